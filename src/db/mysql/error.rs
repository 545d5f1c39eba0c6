//! What the errors of MySQL, MariaDB and the driver mean to us.

use sqlx::mysql::MySqlDatabaseError;

use crate::db::class::{Code, class_of};
use crate::error::{Class, Error};

/// A classified error without the row's values.
pub fn convert(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(database) => {
            let Some(mysql) = database.try_downcast_ref::<MySqlDatabaseError>() else {
                return Error::stop("a database error of another driver");
            };
            of_server(mysql.number(), mysql.message())
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

fn of_server(number: u16, message: &str) -> Error {
    let mut out = Error::new(class_of(Code::MySql(number)), redact(number, message));
    out.code = Some(number.to_string());
    out.row = after(message, " at row ").and_then(|rest| rest.trim().parse().ok());
    out.place.column = match number {
        1048 | 1364 => between(message, "'", "'"),
        // The part after the last point: `db`.`t`.`c`, or 'c'.
        _ => after(message, "for column ")
            .map(|rest| rest.split(" at row").next().unwrap_or(rest).to_owned())
            .and_then(|name| {
                name.rsplit('.').next().map(|c| c.trim_matches(['`', '\'']).to_owned())
            }),
    };
    out.place.constraint = match number {
        1062 | 1586 => message.rsplit("for key ").next().map(last_part),
        4025 | 3819 => between(message, "`", "`").or_else(|| between(message, "'", "'")),
        1452 | 1451 | 1216 | 1217 => between(message, "CONSTRAINT `", "`"),
        _ => None,
    }
    .map(|name| last_part(&name));
    out.hint = hint(number).map(str::to_owned);
    out
}

/// `'t.PRIMARY'` → PRIMARY.
fn last_part(name: &str) -> String {
    let name = name.trim().trim_matches(['\'', '`']);
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

fn after<'m>(message: &'m str, mark: &str) -> Option<&'m str> {
    message.rsplit_once(mark).map(|(_, rest)| rest)
}

fn between(message: &str, open: &str, close: &str) -> Option<String> {
    let (_, rest) = message.split_once(open)?;
    rest.split_once(close).map(|(name, _)| name.to_owned())
}

/// What to do about numbers that people meet.
fn hint(number: u16) -> Option<&'static str> {
    Some(match number {
        1044 | 1142 | 1143 | 1227 | 1370 => "Grant the user the missing privilege.",
        1021 | 1114 => {
            "The target's disk or table is full. Make room, then run the same command again."
        }
        1146 => "Check the table's name and database.",
        1205 | 1213 => "Another session holds a lock. The batch is tried again.",
        1290 | 1792 | 1836 => "The target is read-only (a replica?). Connect to the primary.",
        1665 => "Rows are written under READ COMMITTED, which needs binlog_format = ROW or MIXED.",
        _ => return None,
    })
}

/// Messages quote the value that was refused (`Duplicate entry '…' for key`, `Incorrect date
/// value: '…' for column`): it goes.
fn redact(number: u16, message: &str) -> String {
    for (open, close) in [("Duplicate entry '", "' for key "), ("value: '", "' for ")] {
        if let (Some(start), Some(end)) = (message.find(open), message.rfind(close))
            && start + open.len() <= end
        {
            let front = message[..start + open.len() - 1].trim_end_matches([':', ' ']);
            return format!("{front}{}", &message[end + 1..]);
        }
    }
    match number {
        // The value stands in the middle of the sentence.
        1300 | 1411 => message.split(": '").next().unwrap_or(message).to_owned(),
        _ => message.to_owned(),
    }
}

/// Errors of connecting. The URL and the driver's options never appear.
pub fn connecting(display: &str, error: &sqlx::Error) -> Error {
    let converted = convert(error);
    let code = converted.code.as_deref();
    let hint = match code {
        Some("1045" | "1698" | "1251") => "Check user and password in the URL.",
        Some("1049" | "1044") => "Check the database's name in the URL, or create the database.",
        Some("1040" | "1203") => "The server has no free connection. Lower `workers` or wait.",
        _ if matches!(error, sqlx::Error::Tls(_)) => {
            "The server's certificate is checked for hosts that are not local. Name its \
             authority with ?ssl-ca=FILE, or say ?ssl-mode=REQUIRED or DISABLED."
        }
        _ => "Is the server running, and are host and port in the URL right?",
    };
    let mut out = Error::invalid(format!("can't connect to {display}: {}", converted.message));
    if converted.class == Class::Retry {
        out.class = Class::Retry;
    }
    out.code = converted.code;
    out.hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_row_column_and_key_and_no_value() {
        let error = of_server(1062, "Duplicate entry 'a' for key 'b'' for key 'PRIMARY'");
        assert_eq!(error.message, "Duplicate entry for key 'PRIMARY'");
        assert_eq!(error.place.constraint.as_deref(), Some("PRIMARY"));
        let error =
            of_server(1292, "Incorrect date value: 'secret' for column `test`.`e`.`d` at row 12");
        assert_eq!(error.message, "Incorrect date value for column `test`.`e`.`d` at row 12");
        assert_eq!((error.place.column.as_deref(), error.row), (Some("d"), Some(12)));
        let error = of_server(1264, "Out of range value for column 'u' at row 3");
        assert_eq!((error.place.column.as_deref(), error.row), (Some("u"), Some(3)));
        assert_eq!(error.class, Class::Split);
        let error = of_server(4025, "CONSTRAINT `t.name` failed for `test`.`t`");
        assert_eq!(error.place.constraint.as_deref(), Some("name"));
        let error = of_server(1048, "Column 'v' cannot be null");
        assert_eq!(error.place.column.as_deref(), Some("v"));
        let error = of_server(
            1452,
            "Cannot add or update a child row: a foreign key constraint fails (`d`.`c`, \
             CONSTRAINT `c_fk` FOREIGN KEY (`p`) REFERENCES `p` (`id`))",
        );
        assert_eq!(error.place.constraint.as_deref(), Some("c_fk"));
    }
}
