//! SQL functions of every session: the mapping's own, and the digest by which rollback knows
//! our rows. They run the same Rust code as the streaming route.

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, ValueRef};
use sha2::{Digest as _, Sha256};

use crate::mapping::render;
use crate::value::Value;

/// Prefix of the message of a function that refuses a value.
pub const REFUSED: &str = "tablelift refused: ";

/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 16;

/// Registers all functions.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection
        .create_scalar_function("tl_digest", -1, flags, |context| Ok(digest(context).to_vec()))?;
    for (name, arity) in render::SQL_FUNCTIONS {
        connection
            .create_scalar_function(name, arity, flags, move |context| call(name, context))?;
    }
    Ok(())
}

fn call(name: &str, context: &Context<'_>) -> rusqlite::Result<ToSqlOutput<'static>> {
    let mut arguments = Vec::with_capacity(context.len());
    for at in 0..context.len() {
        let argument = from_sql(context.get_raw(at));
        if let Value::Malformed(_) = argument {
            return Err(refused("the text is not valid UTF-8".to_owned()));
        }
        arguments.push(argument);
    }
    let value = render::sql_function(name, &arguments).map_err(refused)?;
    Ok(match to_sql(&value) {
        ToSqlOutput::Borrowed(value) => ToSqlOutput::Owned(value.try_into()?),
        _ => return Err(refused("the function has no such answer".to_owned())),
    })
}

fn refused(reason: String) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(format!("{REFUSED}{reason}").into())
}

/// Length-prefixed and tagged by storage class, so that no two rows look alike.
fn digest(context: &Context<'_>) -> [u8; DIGEST_BYTES] {
    let mut hash = Sha256::new();
    let mut part = |tag: u8, bytes: &[u8]| {
        hash.update([tag]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for at in 0..context.len() {
        match context.get_raw(at) {
            ValueRef::Null => part(0, &[]),
            ValueRef::Integer(i) => part(1, &i.to_le_bytes()),
            ValueRef::Real(f) => part(2, &f.to_bits().to_le_bytes()),
            ValueRef::Text(text) => part(3, text),
            ValueRef::Blob(bytes) => part(4, bytes),
        }
    }
    let whole = hash.finalize();
    let mut out = [0; DIGEST_BYTES];
    out.copy_from_slice(&whole[..DIGEST_BYTES]);
    out
}

/// A stored value by its own type.
pub fn from_sql(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => Value::Int(i),
        ValueRef::Real(f) => Value::Float(f),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Malformed(text.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

/// A value as SQLite stores it.
pub fn to_sql(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Bool(b) => ValueRef::Integer(i64::from(*b)),
        Value::Int(i) => ValueRef::Integer(*i),
        Value::Real(f) => ValueRef::Real(f64::from(*f)),
        Value::Float(f) => ValueRef::Real(*f),
        Value::Bytes(bytes) => ValueRef::Blob(bytes),
        Value::Malformed(text) => ValueRef::Text(text),
        Value::Text(text) | Value::Number(text) | Value::Json(text) | Value::Typed(_, text) => {
            ValueRef::Text(text.as_bytes())
        }
    })
}
