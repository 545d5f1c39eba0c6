//! What SQLite's codes mean to us.

use rusqlite::ErrorCode;

use crate::db::class::{Code, class_of};
use crate::error::{Class, Error};

/// A classified error.
pub fn convert(failure: &rusqlite::Error) -> Error {
    let (code, message) = match failure {
        rusqlite::Error::SqliteFailure(code, message) => (code, message.clone()),
        rusqlite::Error::SqlInputError { error, msg, .. } => (error, Some(msg.clone())),
        rusqlite::Error::UserFunctionError(inner) => {
            return Error::new(Class::Split, inner.to_string());
        }
        other => return Error::stop(format!("SQLite: {other}")),
    };
    let message = message.unwrap_or_else(|| code.to_string());
    // A function of ours that refuses a value comes back as its message alone.
    if let Some(reason) = message.strip_prefix(super::functions::REFUSED) {
        return Error::new(Class::Split, reason.to_owned());
    }
    let mut error = Error::new(class_of(Code::Sqlite(code.extended_code)), message);
    (error.place.column, error.place.constraint) = blamed(&error.message);
    error.code = Some(format!("SQLite {}", code.extended_code));
    error.hint = hint(code.code).map(str::to_owned);
    error
}

/// The columns that SQLite's message names, or the text of the check that failed.
fn blamed(message: &str) -> (Option<String>, Option<String>) {
    let bare = |list: &str| {
        let names: Vec<&str> = list
            .split(", ")
            .map(|name| name.rsplit_once('.').map_or(name, |(_, last)| last))
            .collect();
        names.join(", ")
    };
    for kind in ["UNIQUE constraint failed: ", "NOT NULL constraint failed: "] {
        if let Some(list) = message.strip_prefix(kind).filter(|list| !list.starts_with("index ")) {
            return (Some(bare(list)), None);
        }
    }
    if let Some(check) = message.strip_prefix("CHECK constraint failed: ") {
        return (None, Some(check.to_owned()));
    }
    // STRICT tables: `cannot store TEXT value in INTEGER column t.n`.
    let strict = message.strip_prefix("cannot store ").and_then(|rest| rest.split_once(" column "));
    (strict.map(|(_, name)| bare(name)), None)
}

fn hint(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::DiskFull => "The disk is full. Make room, then run the same command again.",
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            "Another process writes to the file; close it, or wait."
        }
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            "Check that the file and its folder exist and may be written."
        }
        ErrorCode::NotADatabase => "The file is not a SQLite database; check the path.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_their_columns() {
        let column = |message| blamed(message).0;
        assert_eq!(column("UNIQUE constraint failed: t.a, t.b").as_deref(), Some("a, b"));
        assert_eq!(column("NOT NULL constraint failed: t.name").as_deref(), Some("name"));
        assert_eq!(column("cannot store TEXT value in INTEGER column t.n").as_deref(), Some("n"));
        assert_eq!(blamed("CHECK constraint failed: n > 0"), (None, Some("n > 0".to_owned())));
    }
}
