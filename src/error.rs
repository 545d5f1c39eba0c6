//! What can go wrong, where it went wrong, and what to type next.
//!
//! Every [`Error`] carries a [`Class`], decided once where the error is made. The worker loop
//! has one arm per class and looks at nothing else.

use std::fmt;

/// The result of everything that can fail in this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the worker loop does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Transient (deadlock, lost connection, COMMIT without an answer): drop the transaction,
    /// wait, reconnect, read the cursor from the ledger and go on from there.
    Retry,
    /// The data was refused: make the batch smaller until one row stands alone, then reject it.
    Split,
    /// This runner no longer owns the plan or the chunk: it must not write again.
    Lost,
    /// Anything else: the step stops, what was committed stays, `run` resumes.
    Stop,
}

/// The kind decides the exit code of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A failure while running: exit code 1.
    Failed,
    /// Wrong usage or an invalid plan; nothing was touched: exit code 2.
    Invalid,
    /// A count, a check, a protected table or a compared row differs: exit code 3.
    Differs,
    /// Another runner holds the plan: exit code 4.
    Held,
    /// Ended before the end, as the plan or a flag asked: exit code 5.
    Asked,
    /// Interrupted by a signal with this number: exit code 128 + the number.
    Interrupted(u8),
}

/// Where an error happened. Every part is optional; what is known is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Plan file and line, as `plan.toml:12`.
    pub plan: Option<String>,
    /// The step's name.
    pub step: Option<String>,
    /// The table, as the plan spells it.
    pub table: Option<String>,
    /// The row's key in display form.
    pub key: Option<String>,
    /// The column.
    pub column: Option<String>,
    /// The constraint that refused a row, where the database named it. Not printed: messages
    /// name it.
    pub constraint: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("", &self.plan),
            ("step ", &self.step),
            ("table ", &self.table),
            ("key ", &self.key),
            ("column ", &self.column),
        ];
        let mut first = true;
        for (label, part) in parts {
            if let Some(text) = part {
                if !first {
                    f.write_str(", ")?;
                }
                first = false;
                write!(f, "{label}{text}")?;
            }
        }
        Ok(())
    }
}

/// One error: message, class, kind, place, the database's own code, and a hint that says what
/// to do next. Never holds a secret; row values appear only in rejects.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Error {
    /// Lowercase fragment that says what failed.
    pub message: String,
    /// What the worker does about it.
    pub class: Class,
    /// What the command's exit code is.
    pub kind: Kind,
    /// Where it happened. Boxed: errors travel through every `Result`.
    pub place: Box<Place>,
    /// SQLSTATE or SQLite's extended code, where a database said it.
    pub code: Option<String>,
    /// 1-based number of the refused row inside the batch that was being written, where the
    /// server named it.
    pub row: Option<u64>,
    /// A sentence that says what to type or change.
    pub hint: Option<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.to_string();
        if !place.is_empty() {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(code) = &self.code {
            write!(f, " [{code}]")?;
        }
        Ok(())
    }
}

impl Error {
    /// So many rows were sent to `table`, and the server wrote another number.
    pub fn swallowed(table: &str, sent: u64, written: u64) -> Self {
        Error::stop(format!("{sent} rows were sent, the server wrote {written}"))
            .in_table(table)
            .hint(
                "A trigger or a rule on the table changes what is written; disable it for the run.",
            )
    }

    /// An error of `class`, with exit code 1.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Error {
            message: message.into(),
            class,
            kind: Kind::Failed,
            place: Box::default(),
            code: None,
            row: None,
            hint: None,
        }
    }

    /// The step stops; exit code 1.
    pub fn stop(message: impl Into<String>) -> Self {
        Error::new(Class::Stop, message)
    }

    /// Wrong usage or plan; exit code 2.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error { kind: Kind::Invalid, ..Error::stop(message) }
    }

    /// Something that was expected does not hold; exit code 3.
    pub fn differs(message: impl Into<String>) -> Self {
        Error { kind: Kind::Differs, ..Error::stop(message) }
    }

    /// Another runner holds the plan; exit code 4.
    pub fn held(message: impl Into<String>) -> Self {
        Error { kind: Kind::Held, ..Error::new(Class::Lost, message) }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the step, unless a place closer to the error named one.
    #[must_use]
    pub fn in_step(mut self, step: &str) -> Self {
        self.place.step.get_or_insert_with(|| step.to_owned());
        self
    }

    /// Adds the table, unless a place closer to the error named one.
    #[must_use]
    pub fn in_table(mut self, table: &str) -> Self {
        self.place.table.get_or_insert_with(|| table.to_owned());
        self
    }

    /// Adds the row's key.
    #[must_use]
    pub fn at_key(mut self, key: &str) -> Self {
        self.place.key.get_or_insert_with(|| key.to_owned());
        self
    }

    /// Adds plan file and line.
    #[must_use]
    pub fn at_line(mut self, file: &str, line: usize) -> Self {
        self.place.plan.get_or_insert_with(|| format!("{file}:{line}"));
        self
    }

    /// The exit code of a command that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Failed => 1,
            Kind::Invalid => 2,
            Kind::Differs => 3,
            Kind::Held => 4,
            Kind::Asked => 5,
            Kind::Interrupted(signal) => 128u8.saturating_add(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_closest_to_the_error_wins() {
        let error = Error::stop("no").in_table("inner").in_table("outer").in_step("s");
        assert_eq!(error.to_string(), "step s, table inner: no");
    }

    #[test]
    fn exit_codes_follow_the_documented_table() {
        assert_eq!(Error::stop("").exit_code(), 1);
        assert_eq!(Error::invalid("").exit_code(), 2);
        assert_eq!(Error::differs("").exit_code(), 3);
        assert_eq!(Error::held("").exit_code(), 4);
        let mut interrupted = Error::stop("");
        interrupted.kind = Kind::Interrupted(2);
        assert_eq!(interrupted.exit_code(), 130);
    }
}
