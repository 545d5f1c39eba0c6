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
        1048 | 1364 | 1062 | 1169 | 1216 | 1217 | 1451 | 1452 | 3819 | 4025 => Class::Split,
        // Out of range, truncated, wrong value, too long, wrong characters, wrong JSON, SIGNAL.
        1264 | 1265 | 1292 | 1366 | 1367 | 1406 | 1411 | 1300 | 1690 | 3140 | 1644 => Class::Split,
        // Lock wait, deadlock.
        1205 | 1213 => Class::Retry,
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
    fn real_codes_of_every_database_have_their_class() {
        use Class::{Retry, Split, Stop};
        let sqlstates = [
            ("23505", Split),
            ("23503", Split),
            ("23502", Split),
            ("23514", Split),
            ("23P01", Split),
            ("22P02", Split),
            ("22001", Split),
            ("22003", Split),
            ("22007", Split),
            ("22021", Split),
            ("22P05", Split),
            ("21000", Split),
            ("54000", Split),
            ("P0001", Split),
            ("40001", Retry),
            ("40P01", Retry),
            ("40003", Retry),
            ("55P03", Retry),
            ("57014", Retry),
            ("57P01", Retry),
            ("57P02", Retry),
            ("57P03", Retry),
            ("57P05", Retry),
            ("08000", Retry),
            ("08006", Retry),
            ("08P01", Retry),
            ("53300", Retry),
            ("25P03", Retry),
            ("53100", Stop),
            ("42501", Stop),
            ("42P01", Stop),
            ("42703", Stop),
            ("25006", Stop),
            ("28P01", Stop),
            ("3D000", Stop),
            ("57P04", Stop),
            ("0A000", Stop),
            ("XX000", Stop),
            ("XX001", Stop),
            ("58030", Stop),
            ("25P02", Stop),
            ("", Stop),
            ("é", Stop),
            ("zzzzz", Stop),
        ];
        for (code, class) in sqlstates {
            assert_eq!(class_of(Code::SqlState(code)), class, "{code}");
        }
        let sqlite = [
            (5, Retry),
            (261, Retry),
            (517, Retry),
            (6, Retry),
            (262, Retry),
            (17, Retry),
            (9, Retry),
            (15, Retry),
            (19, Split),
            (2067, Split),
            (1555, Split),
            (1299, Split),
            (275, Split),
            (787, Split),
            (1811, Split),
            (3091, Split),
            (20, Split),
            (18, Split),
            (13, Stop),
            (10, Stop),
            (778, Stop),
            (8, Stop),
            (14, Stop),
            (11, Stop),
            (26, Stop),
            (7, Stop),
            (1, Stop),
            (0, Stop),
            (-1, Stop),
        ];
        for (code, class) in sqlite {
            assert_eq!(class_of(Code::Sqlite(code)), class, "SQLite {code}");
        }
        let mysql = [
            (1062, Split),
            (1048, Split),
            (1452, Split),
            (4025, Split),
            (3819, Split),
            (1264, Split),
            (1292, Split),
            (1366, Split),
            (1406, Split),
            (1205, Retry),
            (1213, Retry),
            (1040, Retry),
            (1053, Retry),
            (1927, Retry),
            (2006, Retry),
            (2013, Retry),
            (1146, Stop),
            (1044, Stop),
            (1045, Stop),
            (1114, Stop),
            (1021, Stop),
            (1290, Stop),
            (0, Stop),
        ];
        for (number, class) in mysql {
            assert_eq!(class_of(Code::MySql(number)), class, "MySQL {number}");
        }
        let io = [
            (ErrorKind::ConnectionReset, Retry),
            (ErrorKind::BrokenPipe, Retry),
            (ErrorKind::UnexpectedEof, Retry),
            (ErrorKind::TimedOut, Retry),
            (ErrorKind::ConnectionRefused, Retry),
            (ErrorKind::HostUnreachable, Retry),
            (ErrorKind::StorageFull, Stop),
            (ErrorKind::PermissionDenied, Stop),
            (ErrorKind::InvalidInput, Stop),
            (ErrorKind::Other, Stop),
        ];
        for (kind, class) in io {
            assert_eq!(class_of(Code::Io(kind)), class, "{kind}");
        }
    }
}
