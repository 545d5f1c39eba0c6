//! What an error means to the worker: one function over the codes of all databases and of the
//! operating system. Unknown codes stop the step: only what is known to be about a row may
//! make a reject, and only what is known to pass may be tried again.

use std::io::ErrorKind;

use crate::error::Class;

/// An error as its maker calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code<'a> {
    /// PostgreSQL's SQLSTATE.
    SqlState(&'a str),
    /// SQLite's extended result code.
    Sqlite(i32),
    /// The number of MySQL and MariaDB.
    MySql(u16),
    /// Of a socket or a file.
    Io(ErrorKind),
}

/// The class of an error.
pub fn class_of(code: Code<'_>) -> Class {
    match code {
        Code::SqlState(code) => of_sqlstate(code),
        // The low byte is the primary code; 9: interrupted.
        Code::Sqlite(code) => match code & 0xff {
            5 | 6 | 9 | 15 | 17 => Class::Retry,
            18..=20 => Class::Split,
            _ => Class::Stop,
        },
        Code::MySql(number) => of_mysql(number),
        Code::Io(kind) => match kind {
            // A server that restarts has no socket for a moment.
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NotFound => Class::Retry,
            _ => Class::Stop,
        },
    }
}

/// What kind of trouble a transient error is, for people and for metrics: a lock that was not had
/// in time, a conflict with another transaction, the connection, or other. What has no code comes
/// from the network.
pub fn trouble(code: Option<&str>) -> &'static str {
    match code {
        Some("40P01" | "55P03" | "1205" | "1213") => "lock",
        Some("SQLite 5" | "SQLite 6" | "SQLite 261" | "SQLite 262" | "SQLite 517") => "lock",
        Some("40001" | "1020" | "1412" | "1615") => "conflict",
        None | Some("57P01" | "57P02" | "57P03" | "57P05" | "53300") => "connection",
        Some("1040" | "1053" | "1077" | "1079" | "1203" | "1927") => "connection",
        Some("2002" | "2003" | "2006" | "2013" | "2055") => "connection",
        Some(code) if code.starts_with("08") => "connection",
        Some(_) => "other",
    }
}

fn of_sqlstate(code: &str) -> Class {
    match code {
        // A row met twice by one upsert; a document too deep for the server's stack; a row or
        // an index entry too big; a check option of a view; RAISE in a trigger.
        "21000" | "54000" | "54001" | "44000" | "P0001" => Class::Split,
        // A lock that was not had in time; cancelled by a timeout or a standby's conflict.
        "55P03" | "57014" => Class::Retry,
        // Shutdown, crash, not yet ready, its database dropped, idle for too long.
        "57P01" | "57P02" | "57P03" | "57P05" => Class::Retry,
        // Out of memory or of connections for a moment; transactions ended by a timeout;
        // a snapshot too old.
        "53200" | "53300" | "53400" | "25P03" | "25P04" | "72000" => Class::Retry,
        _ => match code.get(..2) {
            Some("22" | "23") => Class::Split,
            Some("08" | "40") => Class::Retry,
            _ => Class::Stop,
        },
    }
}

fn of_mysql(number: u16) -> Class {
    match number {
        // NULL or no value where one is needed, duplicate keys, foreign keys, checks (3819, 4025).
        1048 | 1364 | 1062 | 1586 | 1169 | 1216 | 1217 | 1451 | 1452 | 3819 | 4025 => Class::Split,
        // No partition for the row; the row is too long.
        1526 | 1118 => Class::Split,
        // Out of range, truncated, wrong value, too long, wrong characters, wrong JSON, SIGNAL.
        1264 | 1265 | 1292 | 1366 | 1367 | 1406 | 1411 | 1300 | 1690 | 3140 | 1644 => Class::Split,
        1365 | 1416 | 1441 => Class::Split,
        // Lock wait, deadlock, a row that changed since it was read, a table that did.
        1205 | 1213 | 1020 | 1412 | 1615 => Class::Retry,
        // A node of a cluster that is not ready, or that failed to commit.
        1047 | 1180 => Class::Retry,
        // Too many connections, shutdown, killed, network, timeouts, gone away.
        1040 | 1203 | 1053 | 1077 | 1079 | 1158..=1161 | 1317 | 1927 | 1969 | 3024 | 4031 => {
            Class::Retry
        }
        2002 | 2003 | 2006 | 2013 | 2055 => Class::Retry,
        _ => Class::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates() {
        let table: [(Class, &[&str]); 3] = [
            (Class::Split, &["23505", "23503", "23502", "23514", "23P01", "22P02", "22001"]),
            (Class::Retry, &["40001", "40P01", "40003", "55P03", "57014", "57P01", "57P02"]),
            (Class::Stop, &["53100", "42501", "42P01", "42703", "25006", "28P01", "3D000"]),
        ];
        let more: [(Class, &[&str]); 3] = [
            (Class::Split, &["22003", "22007", "22021", "22P05", "21000", "54000", "P0001"]),
            (Class::Retry, &["57P03", "57P05", "08000", "08006", "08P01", "53300", "25P03"]),
            (Class::Stop, &["57P04", "0A000", "XX000", "58030", "25P02", "", "é", "zzzzz"]),
        ];
        for (class, codes) in table.into_iter().chain(more) {
            for code in codes {
                assert_eq!(class_of(Code::SqlState(code)), class, "{code}");
            }
        }
    }

    #[test]
    fn sqlite_codes() {
        let table: [(Class, &[i32]); 3] = [
            (Class::Split, &[19, 2067, 1555, 1299, 275, 787, 1811, 3091, 20, 18]),
            (Class::Retry, &[5, 261, 517, 6, 262, 17, 9, 15]),
            (Class::Stop, &[13, 10, 778, 8, 14, 11, 26, 7, 1, 0, -1]),
        ];
        for (class, codes) in table {
            for code in codes {
                assert_eq!(class_of(Code::Sqlite(*code)), class, "{code}");
            }
        }
    }

    #[test]
    fn mysql_numbers() {
        let table: [(Class, &[u16]); 3] = [
            (Class::Split, &[1062, 1048, 1452, 4025, 3819, 1264, 1292, 1366, 1406, 1526]),
            (Class::Retry, &[1205, 1213, 1020, 1040, 1053, 1927, 2006, 2013]),
            (Class::Stop, &[1146, 1044, 1045, 1114, 1021, 1290, 1305, 0]),
        ];
        for (class, numbers) in table {
            for number in numbers {
                assert_eq!(class_of(Code::MySql(*number)), class, "{number}");
            }
        }
    }

    #[test]
    fn trouble_has_a_name() {
        let table = [
            (Some("40P01"), "lock"),
            (Some("SQLite 5"), "lock"),
            (Some("1205"), "lock"),
            (Some("40001"), "conflict"),
            (Some("08006"), "connection"),
            (None, "connection"),
            (Some("57014"), "other"),
        ];
        for (code, name) in table {
            assert_eq!(trouble(code), name, "{code:?}");
        }
    }

    #[test]
    fn sockets_and_files() {
        use ErrorKind as K;
        let table: [(Class, &[ErrorKind]); 2] = [
            (Class::Retry, &[K::ConnectionReset, K::BrokenPipe, K::UnexpectedEof, K::TimedOut]),
            (Class::Stop, &[K::StorageFull, K::PermissionDenied, K::InvalidInput, K::Other]),
        ];
        for (class, kinds) in table {
            for kind in kinds {
                assert_eq!(class_of(Code::Io(*kind)), class, "{kind}");
            }
        }
        assert_eq!(class_of(Code::Io(K::ConnectionRefused)), Class::Retry);
    }
}
