//! What a plan's author wants to know of a table, beyond what a copy needs.

use super::TableName;

/// What a name of the catalog stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// A table of its own.
    Table,
    /// A partitioned table; its partitions are not listed.
    Partitioned,
    /// A view, or a materialized one.
    View,
    /// A table that lives on another server.
    Foreign,
}

impl TableKind {
    /// The word for people and snapshots.
    pub fn word(self) -> &'static str {
        match self {
            TableKind::Table => "table",
            TableKind::Partitioned => "partitioned table",
            TableKind::View => "view",
            TableKind::Foreign => "foreign table",
        }
    }

    /// Rows can be written, and known again by rollback.
    pub fn is_writable(self) -> bool {
        matches!(self, TableKind::Table | TableKind::Partitioned)
    }
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its name; SQLite has only a number.
    pub name: String,
    /// The table's own columns.
    pub columns: Vec<String>,
    /// The table that must hold the rows.
    pub table: TableName,
    /// That table's columns; empty: its primary key.
    pub references: Vec<String>,
}

/// Whom a [`Note`] concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concerns {
    /// Who reads the table.
    Reader,
    /// Who writes it.
    Writer,
    /// Both.
    Both,
}

/// Something about a table that can surprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whom it concerns.
    pub concerns: Concerns,
    /// What it is, and what follows from it.
    pub text: String,
}

impl Note {
    /// A note.
    pub fn new(concerns: Concerns, text: impl Into<String>) -> Note {
        Note { concerns, text: text.into() }
    }
}

/// What the catalog says besides columns and keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Foreign keys, in a stable order.
    pub foreign_keys: Vec<ForeignKey>,
    /// Columns and their default expressions, in the server's spelling.
    pub defaults: Vec<(String, String)>,
    /// What can surprise.
    pub notes: Vec<Note>,
}

impl Details {
    /// Takes one pair of columns of a foreign key; pairs of one key come one after the other.
    pub fn add_pair(&mut self, name: &str, table: TableName, own: String, other: Option<String>) {
        let is_new = self.foreign_keys.last().is_none_or(|last| last.name != name);
        if is_new {
            let (columns, references) = (Vec::new(), Vec::new());
            self.foreign_keys.push(ForeignKey {
                name: name.to_owned(),
                columns,
                table,
                references,
            });
        }
        if let Some(key) = self.foreign_keys.last_mut() {
            key.columns.push(own);
            key.references.extend(other);
        }
    }
}
