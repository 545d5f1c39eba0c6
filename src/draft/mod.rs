//! A first plan, drafted from two catalogs. Pure: what was seen goes in, decisions and text come
//! out. Nothing is guessed in silence: each decision carries its reason, and what can't be
//! decided is left to the person.

mod columns;
mod dangers;
pub mod names;
mod order;
pub mod snapshot;
mod tables;
mod write;

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::sql::survey::{Details, TableKind};
use crate::sql::{Flavor, Table};

pub use tables::Fate;
pub use write::write;

/// One table as it was found.
#[derive(Debug, Clone)]
pub struct Surveyed {
    /// Columns and keys.
    pub table: Table,
    /// Table or view.
    pub kind: TableKind,
    /// Foreign keys, defaults, notes.
    pub details: Details,
    /// Enabled triggers.
    pub triggers: Vec<String>,
    /// Its rows, where they were counted.
    pub rows: Option<u64>,
}

/// One database as it was found.
#[derive(Debug, Clone)]
pub struct Side {
    /// Which database.
    pub flavor: Flavor,
    /// `host:port/name` or the file's path; no secret.
    pub display: String,
    /// What stands under `url` in the plan; no secret.
    pub url: String,
    /// The URL holds a password: `url` names a variable instead.
    pub secret: bool,
    /// Source and target are one database.
    pub same_database: bool,
    /// Its tables and views, in a stable order.
    pub tables: Vec<Surveyed>,
}

/// One target column's rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DraftRule {
    /// The source column.
    Column(String),
    /// The source column through a `cast`.
    Cast {
        /// The source column.
        from: String,
        /// The type, in a plan's spelling.
        cast: String,
    },
    /// `{ json = "*" }`, less these.
    Rest(Vec<String>),
}

/// One line of `[step.columns]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The target column.
    pub target: String,
    /// Its rule.
    pub rule: DraftRule,
    /// Why, where the name alone doesn't say.
    pub why: Option<String>,
}

/// One step, written or commented out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DraftStep {
    /// Its name in the plan.
    pub name: String,
    /// The source table.
    pub source: String,
    /// The target table.
    pub target: String,
    /// Why these two.
    pub why: String,
    /// Rules.
    pub columns: Vec<Entry>,
    /// Target columns that need a value and have no source: a `TODO` each.
    pub missing: Vec<String>,
    /// The key to read by, where it is not the primary key.
    pub key: Vec<String>,
    /// Columns that a second pass fills, because they refer to rows that come later.
    pub later: Vec<String>,
    /// What would go wrong, or could.
    pub dangers: Vec<String>,
    /// What else was decided.
    pub notes: Vec<String>,
    /// Why the step is commented out; empty: it runs.
    pub inactive: Vec<String>,
    /// Rows of the source table, and of the target table.
    pub rows: Option<(u64, u64)>,
}

impl DraftStep {
    /// It stands in the plan as a step.
    pub fn is_active(&self) -> bool {
        self.inactive.is_empty()
    }
}

/// A source table without a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmatched {
    /// Its name.
    pub table: String,
    /// Why.
    pub why: String,
    /// It is a view: said, but no step is proposed.
    pub view: bool,
    /// Its columns.
    pub columns: Vec<String>,
}

/// A target table that must not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guarded {
    /// The table.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// A step adds rows to it.
    pub allow_inserts: bool,
}

/// The whole draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// The plan's name.
    pub name: String,
    /// Steps, referenced tables first.
    pub steps: Vec<DraftStep>,
    /// Source tables without a step.
    pub unmatched: Vec<Unmatched>,
    /// Target tables that nothing is written into, by name.
    pub unwritten: Vec<String>,
    /// Dangers that no single step has: cycles of foreign keys.
    pub dangers: Vec<String>,
    /// Rows were counted.
    pub counted: bool,
}

/// Decides everything. `picked`: which source tables are meant.
pub fn draft(
    source: &Side,
    target: &Side,
    picked: Option<&dyn Fn(&str) -> bool>,
    counted: bool,
) -> Draft {
    let candidates = tables::candidates(source, target, picked);
    let decisions = tables::decide(source, target, &candidates);
    let mut pairs = Vec::new();
    let mut unmatched = Vec::new();
    for decision in decisions {
        let table = &source.tables[decision.source];
        let why = match decision.fate {
            Fate::Into { target, why } => {
                pairs.push((decision.source, target, why));
                continue;
            }
            Fate::Ambiguous { why } => why,
            Fate::Unmatched { why } => {
                why.unwrap_or_else(|| "no table of the target has such a name".to_owned())
            }
        };
        unmatched.push(Unmatched {
            table: table.table.name.name.clone(),
            why,
            view: table.kind == TableKind::View,
            columns: table.table.column_names().map(str::to_owned).collect(),
        });
    }
    let written: Vec<usize> = pairs.iter().map(|(_, target, _)| *target).collect();
    let order::Order { positions, cycles } = order::order(&target.tables, &written);
    let mut names = Vec::new();
    let mut steps = Vec::new();
    for position in positions {
        let (from, into, why) = &pairs[position];
        let name = step_name(&target.tables[*into].table.name.name, &names);
        names.push(name.clone());
        let ends = (&source.tables[*from], &target.tables[*into]);
        steps.push(step(name, why, ends, source.flavor, target.flavor));
    }
    let mut draft = Draft {
        name: plan_name(source, target),
        steps,
        unmatched,
        unwritten: Vec::new(),
        dangers: cycles,
        counted,
    };
    draft.unwritten = unwritten(&draft, source, target, &candidates.targets);
    dangers::references(&mut draft, target);
    draft
}

fn step(
    name: String,
    why: &str,
    ends: (&Surveyed, &Surveyed),
    from: Flavor,
    to: Flavor,
) -> DraftStep {
    let (source, target) = ends;
    let found = columns::columns(&source.table, &target.table);
    let (key, key_danger) = dangers::key(source);
    let mut inactive = Vec::new();
    if found.entries.is_empty() {
        inactive.push("no column of the two tables matches".to_owned());
    }
    if !found.missing.is_empty() {
        let list = found.missing.join(", ");
        inactive.push(format!("NOT NULL without a default and without a source: {list}"));
    }
    let mut dangers = found.dangers;
    dangers.extend(key_danger);
    dangers.extend(dangers::tables(source, target, &found.entries, (from, to)));
    DraftStep {
        name,
        source: source.table.name.name.clone(),
        target: target.table.name.name.clone(),
        why: why.to_owned(),
        columns: found.entries,
        missing: found.missing,
        later: Vec::new(),
        key,
        dangers,
        notes: found.notes,
        inactive,
        rows: source.rows.zip(target.rows),
    }
}

impl Draft {
    /// Tables to protect: those that hold rows and nothing is written into, whole; those that
    /// hold rows and get more, with `allow_inserts`.
    pub fn guarded(&self, target: &Side) -> Vec<Guarded> {
        let mut out = Vec::new();
        for table in target.tables.iter().filter(|table| table.kind.is_writable()) {
            let Some(rows) = table.rows.filter(|rows| *rows > 0) else { continue };
            let name = &table.table.name.name;
            let into = self.steps.iter().any(|step| step.is_active() && step.target == *name);
            out.push(Guarded { table: name.clone(), rows, allow_inserts: into });
        }
        out
    }

    /// Every danger, with the table that it is about.
    pub fn all_dangers(&self) -> Vec<(String, String)> {
        let all = self.dangers.iter().map(|text| ("(plan)".to_owned(), text.clone()));
        let steps = self.steps.iter().flat_map(|step| {
            let reasons =
                step.inactive.iter().map(|text| format!("the step is commented out: {text}"));
            let dangers = step.dangers.iter().cloned().chain(reasons);
            dangers.map(|text| (step.target.clone(), text))
        });
        all.chain(steps).collect()
    }
}

/// Target tables that no step writes, and that are no source table of the same database.
fn unwritten(draft: &Draft, source: &Side, target: &Side, targets: &[usize]) -> Vec<String> {
    let is_source = |name: &str| {
        source.same_database && draft.unmatched.iter().any(|other| other.table == name)
    };
    targets
        .iter()
        .map(|at| target.tables[*at].table.name.name.clone())
        .filter(|name| draft.steps.iter().all(|step| step.target != *name) && !is_source(name))
        .collect()
}

/// A name for the ledger and for `--step`: the target table's words, once.
fn step_name(table: &str, taken: &[String]) -> String {
    let clean: String = table
        .chars()
        .map(|c| if c.is_alphanumeric() || "_-.".contains(c) { c } else { ' ' })
        .collect();
    let base = clean.split_whitespace().collect::<Vec<_>>().join("-");
    let base = if base.is_empty() { "step".to_owned() } else { base };
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(base)
}

/// `[a-z0-9-]`, at most 63 characters, of both databases' names, and unlike any name that a
/// person gives.
fn plan_name(source: &Side, target: &Side) -> String {
    let slug = |side: &Side| {
        let last = side.display.rsplit('/').next().unwrap_or_default();
        let last = last.strip_suffix(".db").or(last.strip_suffix(".sqlite")).unwrap_or(last);
        let ascii = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let text: String = last.chars().map(ascii).collect();
        let words: Vec<&str> = text.split('-').filter(|word| !word.is_empty()).collect();
        words.join("-").chars().take(26).collect::<String>().trim_matches('-').to_owned()
    };
    let words = match (slug(source), slug(target)) {
        (one, other) if one == other => vec!["move".to_owned(), one],
        (one, other) => vec!["move".to_owned(), one, "to".to_owned(), other],
    };
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}
