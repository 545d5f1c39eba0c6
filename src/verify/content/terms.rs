//! What of a step is compared, and how: decided before the first row is read. Pure.

use crate::event::NotCompared;
use crate::job::{Job, Locate};
use crate::mapping::{BoundColumn, BoundRule, InputSource, render};
use crate::plan::OnConflict;
use crate::sql::{Column, Flavor, Kind};

/// How rows of both sides come together.
#[derive(Debug, Clone, PartialEq)]
pub enum How {
    /// Both are in one PostgreSQL database, which joins them and compares their stored forms;
    /// holds the mapped SELECT list of the compared columns.
    Joined(Vec<String>),
    /// The target's key is the source's, in the same order: both are read by the same ranges.
    Ranges,
    /// The target's rows are asked for by their keys.
    Keys,
    /// Rows without a key: sums of hashes.
    Sums,
}

impl How {
    /// Its name in events.
    pub fn name(&self) -> &'static str {
        match self {
            How::Joined(_) => "joined",
            How::Ranges => "ranges",
            How::Keys => "keys",
            How::Sums => "sums",
        }
    }
}

/// What is compared, and how.
#[derive(Debug, Clone)]
pub struct Terms {
    /// How rows come together.
    pub how: How,
    /// Positions of the compared columns among the mapping's.
    pub compared: Vec<usize>,
    /// Positions of the target's key among the mapping's columns; `None`: it is not written
    /// whole, and the ledger knows the keys.
    pub key_cells: Option<Vec<usize>>,
    /// The target's key is the source's.
    pub aligned: bool,
    /// A row of the target that no source row has is one that nobody wrote.
    pub names_extra: bool,
    /// What can't be compared, and why.
    pub not_compared: Vec<NotCompared>,
}

/// What the run knows of the step beside its job.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Both ends are one PostgreSQL database.
    pub one_postgres: bool,
    /// Values of both sides are wanted, row by row.
    pub row_by_row: bool,
    /// The step updates rows of the target.
    pub is_update: bool,
    /// Rows come from files or the plan.
    pub has_files: bool,
    /// Columns that a later step writes in the same rows, with its name.
    pub written_later: Vec<(String, String)>,
    /// The table was empty before, only this step inserts into it, and nobody else may.
    pub owns_table: bool,
}

/// Words of SQL whose value is not a function of the row.
const VOLATILE: &[&str] = &[
    "now(",
    "random(",
    "rand(",
    "uuid(",
    "gen_random_uuid",
    "uuid_generate",
    "clock_timestamp",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtime",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday(",
    "nextval",
    "sysdate",
    "curdate",
    "utc_timestamp",
    "'now'",
    "randomblob",
    "last_insert",
    "current_user",
    "session_user",
];

/// Decides for a step; the reason, where nothing of it can be compared.
///
/// # Errors
/// Why the step can't be compared at all.
pub fn terms(job: &Job, facts: &Facts) -> Result<Terms, String> {
    let mapping = &job.mapping;
    let mut not_compared = Vec::new();
    let mut compared = Vec::new();
    for (at, column) in mapping.columns.iter().enumerate() {
        match reason(job, facts, column) {
            None => compared.push(at),
            Some(because) => {
                not_compared.push(NotCompared { what: format!("column {}", column.name), because });
            }
        }
    }
    if facts.is_update && reads_what_it_writes(job) {
        return Err("its rules read the columns that they write".to_owned());
    }
    if !facts.is_update {
        let others: Vec<&str> = job
            .target
            .column_names()
            .filter(|name| !mapping.columns.iter().any(|column| column.name == **name))
            .collect();
        if !others.is_empty() {
            not_compared.push(NotCompared {
                what: format!("column {}", others.join(", ")),
                because: "the step doesn't write it".to_owned(),
            });
        }
    }
    let key = &job.marks.key;
    let position = |name: &String| mapping.columns.iter().position(|column| column.name == *name);
    let key_cells: Option<Vec<usize>> = key.iter().map(position).collect();
    let key_cells = key_cells.filter(|cells| !cells.is_empty());
    let source_key = job.source.key.is_some();
    let ranged = facts.is_update || job.marks.locate == Locate::Range && source_key;
    let aligned = ranged || facts.one_postgres && source_key && same_key(job);
    let names_extra = aligned && facts.owns_table && !facts.is_update;
    let list = match facts.one_postgres && aligned && !facts.row_by_row && !facts.is_update {
        true => render(mapping, Flavor::Postgres, "s").ok(),
        false => None,
    };
    let how = match list {
        Some(list) => How::Joined(compared.iter().map(|at| list[*at].clone()).collect()),
        None if ranged => How::Ranges,
        None if !key.is_empty() && (key_cells.is_some() || job.record_moved && source_key) => {
            How::Keys
        }
        None if !key.is_empty() => {
            return Err(
                "the step doesn't write the target's key, and its source has none".to_owned()
            );
        }
        None if facts.owns_table => {
            leave_out_unsure(job, &mut compared, &mut not_compared);
            How::Sums
        }
        None => {
            return Err("the target table has no key, and other rows are in it".to_owned());
        }
    };
    if compared.is_empty() && !matches!(how, How::Joined(_) | How::Ranges | How::Keys) {
        return Err("none of its columns can be compared".to_owned());
    }
    Ok(Terms { how, compared, key_cells, aligned, names_extra, not_compared })
}

/// The columns that are compared, as the target has them.
pub fn columns(job: &Job, terms: &Terms) -> Vec<Column> {
    let of =
        |at: &usize| job.written.iter().find(|column| column.name == job.mapping.columns[*at].name);
    terms.compared.iter().filter_map(of).cloned().collect()
}

/// Why a column can't be compared.
fn reason(job: &Job, facts: &Facts, column: &BoundColumn) -> Option<String> {
    if let Some((_, step)) = facts.written_later.iter().find(|(name, _)| *name == column.name) {
        return Some(format!("the step `{step}` writes it later"));
    }
    let inputs = &job.mapping.inputs;
    let volatile = column.rule.any(&|rule| match rule {
        BoundRule::Input(at) => inputs.get(*at).is_some_and(|input| match &input.source {
            InputSource::Sql(sql) => {
                let sql = sql.to_ascii_lowercase();
                VOLATILE.iter().any(|word| sql.contains(word))
            }
            _ => false,
        }),
        _ => false,
    });
    if volatile {
        return Some("its SQL gives another value each time".to_owned());
    }
    let exact = matches!(column.ty.kind, Kind::Text { .. } | Kind::Bytes | Kind::Json);
    if job.mapping.lossy && job.mapping.flavor == Flavor::Mysql && !exact {
        return Some("lossy = \"allow\" lets the server change its values".to_owned());
    }
    None
}

/// An update whose rules look at columns that it sets can't be said again afterwards.
fn reads_what_it_writes(job: &Job) -> bool {
    let written = |name: &String| job.mapping.columns.iter().any(|column| column.name == *name);
    job.mapping.inputs.iter().any(|input| match &input.source {
        InputSource::Column(name) => written(name),
        InputSource::Sql(sql) => {
            job.mapping.columns.iter().any(|column| sql.contains(&column.name))
        }
        InputSource::Children(_) => false,
    })
}

/// The key passes as it is, in the same type; both sides of one database order it alike.
fn same_key(job: &Job) -> bool {
    let Some(key) = &job.source.key else { return false };
    key.0.len() == job.marks.key.len()
        && key.0.iter().zip(&job.marks.key).all(|(from, to)| {
            let column = job.mapping.columns.iter().find(|column| column.name == *to);
            column.is_some_and(|column| match &column.rule {
                BoundRule::Input(at) => {
                    let input = &job.mapping.inputs[*at];
                    input.source == InputSource::Column(from.name.clone())
                        && from.ty == column.ty
                        && !matches!(from.ty.kind, Kind::Text { padded: true, .. })
                }
                _ => false,
            })
        })
}

/// Sums can't ask the server what it takes for the same.
fn leave_out_unsure(job: &Job, compared: &mut Vec<usize>, not_compared: &mut Vec<NotCompared>) {
    compared.retain(|at| {
        let column = &job.mapping.columns[*at];
        let unsure = matches!(column.ty.kind, Kind::Opaque { .. } | Kind::Interval | Kind::TimeTz(_))
            && !matches!(&column.rule, BoundRule::Input(at) if job.mapping.inputs[*at].ty == column.ty);
        if unsure || job.mapping.lossy {
            not_compared.push(NotCompared {
                what: format!("column {}", column.name),
                because: "without a key, what the server made of it can't be told".to_owned(),
            });
        }
        !(unsure || job.mapping.lossy)
    });
}

/// Rows that were there and were left alone or updated.
pub fn may_meet_others(job: &Job) -> bool {
    job.options.on_conflict != OnConflict::Fail
}
