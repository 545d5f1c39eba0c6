//! Rows on their way in: what the driver holds as cells and values.

use futures::{FutureExt as _, TryStreamExt as _};
use sqlx::mysql::{MySql, MySqlRow, MySqlValueRef};
use sqlx::{AssertSqlSafe, Column as _, Decode, Row as _, Type, TypeInfo as _, ValueRef as _};

use super::error;
use super::session::MySession;
use crate::db::RowSink;
use crate::error::{Error, Result};
use crate::mapping::wire::Cell;
use crate::sql::Kind;
use crate::value::{Row, Scalar, Value};

/// How the bytes of a value are meant.
enum Form {
    Signed,
    Unsigned,
    Float,
    Double,
    Decimal,
    Bits,
    Time(Scalar),
    Text,
    Bytes,
}

/// The driver calls a text bytes when its collation is a binary one (utf8mb4_bin), so that is
/// asked another way.
fn form(value: &MySqlValueRef<'_>) -> Form {
    let info = value.type_info();
    match info.name() {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => Form::Signed,
        "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED"
        | "BIGINT UNSIGNED" | "YEAR" => Form::Unsigned,
        "FLOAT" => Form::Float,
        "DOUBLE" => Form::Double,
        "DECIMAL" => Form::Decimal,
        "BIT" => Form::Bits,
        "DATE" => Form::Time(Scalar::Date),
        "TIME" => Form::Time(Scalar::Time),
        "DATETIME" => Form::Time(Scalar::Timestamp),
        "TIMESTAMP" => Form::Time(Scalar::TimestampTz),
        "ENUM" | "SET" | "JSON" => Form::Text,
        _ if <str as Type<MySql>>::compatible(&info) => Form::Text,
        _ => Form::Bytes,
    }
}

fn raw(row: &MySqlRow, at: usize) -> Result<MySqlValueRef<'_>> {
    row.try_get_raw(at).map_err(|failure| error::convert(&failure))
}

/// The value in one of the driver's own types.
fn get<'r, T: Decode<'r, MySql>>(row: &'r MySqlRow, at: usize) -> Result<T> {
    T::decode(raw(row, at)?).map_err(|_| {
        let name = row.columns().get(at).map(|column| column.name().to_owned());
        Error::stop(format!("column {} of an answer can't be read", name.unwrap_or_default()))
    })
}

/// One value of an answer as a cell: integers and floats as they are, the rest as bytes, which
/// are text unless the column holds bytes.
fn cell<'r>(row: &'r MySqlRow, at: usize, kind: &Kind) -> Result<Cell<'r>> {
    let value = raw(row, at)?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    Ok(match form(&value) {
        Form::Signed => Cell::Int(get::<i64>(row, at)?),
        Form::Unsigned => {
            let value = get::<u64>(row, at)?;
            let wide = || Error::stop("an unsigned number came in another form than text");
            Cell::Int(i64::try_from(value).map_err(|_| wide())?)
        }
        Form::Float => Cell::Float(f64::from(get::<f32>(row, at)?)),
        Form::Double => Cell::Float(get::<f64>(row, at)?),
        _ => {
            let bytes = get::<&[u8]>(row, at)?;
            match str::from_utf8(bytes) {
                _ if *kind == Kind::Bytes => Cell::Blob(bytes),
                Ok(text) => Cell::Text(times(text, kind)),
                Err(_) => Cell::Malformed(bytes),
            }
        }
    })
}

/// Fractions of a second come with all digits of the column's type; zeros at the end go, as
/// PostgreSQL prints it.
fn times<'t>(text: &'t str, kind: &Kind) -> &'t str {
    let timed = matches!(kind, Kind::Time(_) | Kind::Timestamp(_) | Kind::TimestampTz(_));
    if timed && text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// The values of a row that was asked for in the form of [`readable`](crate::sql::mysql::readable).
pub fn values(row: &MySqlRow, kinds: &[Kind]) -> Result<Row> {
    let unreadable = || Error::stop("a value of an answer can't be read");
    let value =
        |(at, kind): (usize, &Kind)| cell(row, at, kind)?.value(kind).map_err(|_| unreadable());
    kinds.iter().enumerate().map(value).collect()
}

/// The values of a row of any query, by the types that the server says.
pub fn decode(row: &MySqlRow) -> Result<Row> {
    (0..row.columns().len()).map(|at| decode_value(row, at)).collect()
}

fn decode_value(row: &MySqlRow, at: usize) -> Result<Value> {
    let value = raw(row, at)?;
    if value.is_null() {
        return Ok(Value::Null);
    }
    let text = || get::<&str>(row, at).map(str::to_owned);
    Ok(match form(&value) {
        Form::Signed => Value::Int(get::<i64>(row, at)?),
        Form::Unsigned => {
            let value = get::<u64>(row, at)?;
            i64::try_from(value).map_or_else(|_| Value::Number(value.to_string()), Value::Int)
        }
        Form::Float => Value::Real(get::<f32>(row, at)?),
        Form::Double => Value::Float(get::<f64>(row, at)?),
        Form::Decimal => Value::Number(text()?),
        Form::Bits => {
            let bytes = get::<&[u8]>(row, at)?;
            let value = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
            i64::try_from(value).map_or_else(|_| Value::Number(value.to_string()), Value::Int)
        }
        Form::Time(scalar) => Value::Typed(scalar, text()?),
        Form::Text => match get::<&str>(row, at) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(get::<&[u8]>(row, at)?.to_vec()),
        },
        Form::Bytes => Value::Bytes(get::<&[u8]>(row, at)?.to_vec()),
    })
}

/// Reads the rows of `select` into `sink`, one by one as they come.
pub async fn read(
    session: &mut MySession,
    select: &str,
    kinds: &[Kind],
    sink: &mut dyn RowSink,
) -> Result<()> {
    // Broken until the answer has been read to its end.
    session.broken = true;
    let watch = &session.watch;
    // Prepared: the text protocol rounds floats, and drops a row whose first value is long.
    let query = sqlx::query(AssertSqlSafe(select.to_owned())).persistent(false);
    let mut rows = query.fetch(&mut session.connection);
    loop {
        // Most rows are here already, and need no watching.
        let row = match rows.try_next().now_or_never() {
            Some(row) => row,
            None => watch.answer(rows.try_next()).await,
        };
        let row = match row {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(failure) => {
                drop(rows);
                session.broken = !matches!(failure, sqlx::Error::Database(_));
                return Err(error::convert(&failure));
            }
        };
        let due = {
            let mut cells = Vec::with_capacity(kinds.len());
            for (at, kind) in kinds.iter().enumerate() {
                cells.push(cell(&row, at, kind)?);
            }
            let bytes = cells.iter().map(Cell::size).sum();
            sink.add(&cells, bytes)?
        };
        if due && !sink.hand_on().await {
            return Ok(());
        }
    }
    drop(rows);
    session.broken = false;
    Ok(())
}
