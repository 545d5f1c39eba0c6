//! What PostgreSQL's and the driver's errors mean to us.

use sqlx::postgres::PgDatabaseError;

use crate::db::class::{Code, class_of};
use crate::error::{Class, Error};

/// A classified error without the row's values: PostgreSQL's DETAIL can hold them, so only the
/// message, table and column are kept.
pub fn convert(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(database) => {
            let pg: &PgDatabaseError = match database.try_downcast_ref() {
                Some(pg) => pg,
                None => return Error::stop(database.message().to_owned()),
            };
            let mut out = Error::new(class_of(Code::SqlState(pg.code())), redact(pg.message()));
            out.code = Some(pg.code().to_owned());
            out.place.table = pg.table().map(str::to_owned);
            out.place.column = pg.column().map(str::to_owned).or_else(|| copy_column(pg.r#where()));
            out.row = copy_line(pg.r#where());
            if let Some(constraint) = pg.constraint() {
                out.place.constraint = Some(constraint.to_owned());
            }
            if pg.code() == "0A000" && pg.message().starts_with("cached plan") {
                // The table changed under a prepared statement; a new connection prepares anew.
                out.class = Class::Retry;
            }
            out.hint = hint(pg.code()).map(str::to_owned);
            out
        }
        sqlx::Error::Io(io) => {
            Error::new(class_of(Code::Io(io.kind())), format!("connection lost: {io}"))
        }
        sqlx::Error::Protocol(message) => {
            Error::new(Class::Retry, format!("the connection is out of step: {message}"))
        }
        sqlx::Error::Tls(tls) => Error::stop(format!("TLS: {tls}")),
        sqlx::Error::WorkerCrashed => Error::new(Class::Retry, "connection lost"),
        other => Error::stop(format!("driver: {other}")),
    }
}

/// What to do about codes that people meet.
fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "42501" => "Grant the role the missing privilege; `tablelift check` lists what it needs.",
        "53100" => "The target's disk is full. Make room, then run the same command again.",
        "42P01" => "Check the table's name and schema.",
        "55P03" | "40P01" => "Another session holds a lock. The batch is tried again.",
        "25006" => "The target is read-only (a standby?). Connect to the primary.",
        _ => return None,
    })
}

/// Messages of class 22 quote the value that was refused (`invalid input syntax for type uuid:
/// "…"`): the part after the last `: "` goes.
fn redact(message: &str) -> String {
    match message.find(": \"") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

/// `COPY t, line 4, column id: "x"` → 4.
fn copy_line(context: Option<&str>) -> Option<u64> {
    let rest = context?.strip_prefix("COPY ")?;
    let (_, after) = rest.split_once(", line ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// `COPY t, line 4, column id: "x"` → id.
fn copy_column(context: Option<&str>) -> Option<String> {
    let rest = context?.strip_prefix("COPY ")?;
    let (_, after) = rest.split_once(", column ")?;
    Some(after.split(": ").next()?.lines().next()?.to_owned())
}

/// Errors of connecting. The URL and the driver's options never appear.
pub fn connecting(display: &str, error: &sqlx::Error) -> Error {
    let converted = convert(error);
    let hint = match converted.code.as_deref() {
        Some("28P01" | "28000") => "Check user and password in the URL.",
        Some("3D000") => "Check the database's name in the URL, or create the database.",
        Some("53300") => "The server has no free connection. Lower `workers` or wait.",
        _ if matches!(error, sqlx::Error::Tls(_)) => {
            "The server's certificate is checked for hosts that are not local. Name its \
             authority with ?sslrootcert=FILE, or say ?sslmode=require or disable."
        }
        _ => "Is the server running, and are host and port in the URL right?",
    };
    let mut out = Error::invalid(format!("can't connect to {display}: {}", converted.message));
    // Mid-run, a server that is away or starting is waited for like any lost connection.
    let refused = matches!(converted.code.as_deref(), Some("28P01" | "28000" | "3D000"));
    if converted.class == Class::Retry && !refused {
        out.class = Class::Retry;
    }
    out.code = converted.code;
    out.hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_context_names_line_and_column() {
        let context = Some("COPY t, line 4, column id: \"x\"");
        assert_eq!(copy_line(context), Some(4));
        assert_eq!(copy_column(context).as_deref(), Some("id"));
        assert_eq!(copy_line(Some("SQL statement")), None);
    }

    #[test]
    fn refused_values_are_not_repeated() {
        let message = "invalid input syntax for type uuid: \"secret\"";
        assert_eq!(redact(message), "invalid input syntax for type uuid");
    }
}
