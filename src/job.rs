//! One step bound to two catalogs: all that the engine and verify need to know. They never
//! meet the plan file.

use serde::{Deserialize, Serialize};

use crate::mapping::BoundMapping;
use crate::plan::Options;
use crate::plan::files::FileMark;
use crate::sql::keyset::KeyColumns;
use crate::sql::{Column, Switch, Table, TableName};

/// A `copy`, `seed` or `update` step, bound.
pub struct Job {
    /// The step's name.
    pub step: String,
    /// Its options.
    pub options: Options,
    /// Where rows are read. For an `update`, this is the target itself.
    pub source: SourceRows,
    /// The table written.
    pub target: Table,
    /// Columns written, in the order of the mapping.
    pub written: Vec<Column>,
    /// How the ledger and rollback know the rows.
    pub marks: Marks,
    /// What becomes of a row.
    pub mapping: BoundMapping,
    /// Target keys are kept in the ledger row by row: a later step asks for them, or rollback
    /// could not find the rows otherwise.
    pub record_moved: bool,
    /// Statements that switch the target's triggers off and on again within a transaction.
    pub triggers: Option<Switch>,
    /// Triggers or rules on the target may write fewer rows than were sent: both are counted.
    pub counts_both: bool,
}

/// The rows of a step's cut.
#[derive(Debug, Clone)]
pub struct SourceRows {
    /// A FROM item with the alias `s`, for a session on the source; empty for rows in memory.
    pub from: String,
    /// The same for a session on the target that sees the source.
    pub joint_from: String,
    /// A condition in the source's SQL.
    pub filter: Option<String>,
    /// The key, unique and never NULL within ranges; `None`: one transaction for everything.
    pub key: Option<KeyColumns>,
    /// The table, if it is one and not a query.
    pub table: Option<TableName>,
    /// The plan's name for it, for messages.
    pub name: String,
}

impl SourceRows {
    /// What follows FROM, in a session on the source.
    pub fn from_where(&self, conditions: &[String]) -> String {
        self.restricted(&self.from, conditions)
    }

    /// The same of a sample of the rows: `clause` says which.
    pub fn sampled(&self, clause: &str, conditions: &[String]) -> String {
        self.restricted(&format!("{}{clause}", self.from), conditions)
    }

    /// What follows FROM, in a session on the target that sees the source.
    pub fn joint_from_where(&self, conditions: &[String]) -> String {
        self.restricted(&self.joint_from, conditions)
    }

    fn restricted(&self, from: &str, conditions: &[String]) -> String {
        let mut all: Vec<String> = self.filter.iter().map(|filter| format!("({filter})")).collect();
        all.extend(conditions.iter().cloned());
        if all.is_empty() { from.to_owned() } else { format!("{from} WHERE {}", all.join(" AND ")) }
    }
}

/// How rollback finds and recognises the rows of a step. Kept in the ledger as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// The target's key; empty where it has none.
    pub key: Vec<String>,
    /// The columns written.
    pub written: Vec<String>,
    /// The columns that a digest covers.
    pub digest: Vec<String>,
    /// How the rows of a batch are found.
    pub locate: Locate,
    /// Name and type of each source column when the step began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<(String, String)>,
    /// The files that the rows come from, so that a resume reads the same ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileMark>,
}

/// How the rows of a batch are found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Locate {
    /// The target's key is the source's, in the same order: the batch's range holds them.
    Range,
    /// Their keys stand in the ledger's `moved`.
    Moved,
    /// No key: the whole table is looked through.
    Scan,
}
