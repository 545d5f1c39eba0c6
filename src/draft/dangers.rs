//! What a person should look at before the plan runs.

use super::{Draft, DraftRule, DraftStep, Entry, Side, Surveyed};
use crate::sql::survey::{Concerns, TableKind};
use crate::sql::{Affinity, Flavor, Kind, Table};

/// The key to write into the step (empty: the primary key, or none), and what is wrong with it.
pub fn key(source: &Surveyed) -> (Vec<String>, Option<String>) {
    let table = &source.table;
    let whole = |names: &[String]| {
        names.iter().all(|name| {
            table.column(name).is_some_and(|column| {
                let exact = !matches!(
                    column.ty.kind,
                    Kind::Float4 | Kind::Float8 | Kind::Json | Kind::Dynamic(Affinity::Real)
                );
                column.not_null && exact
            })
        })
    };
    if !table.primary_key().is_empty() {
        return (Vec::new(), None);
    }
    if let Some(unique) = table.unique.iter().find(|key| whole(&key.columns)) {
        return (unique.columns.clone(), None);
    }
    let nullable: Vec<String> = table.unique.iter().map(|key| key.columns.join("+")).collect();
    let what = match (source.kind, nullable.as_slice()) {
        (TableKind::View, _) => "a view has no key".to_owned(),
        (_, []) => "the source table has no key".to_owned(),
        (_, keys) => format!("the source table's only keys may hold NULL ({})", keys.join(", ")),
    };
    let danger = format!(
        "{what}: all rows go in one transaction, a refused row stops the step, and nothing tells \
         a row from its double. If some columns are unique together, name them: key = [\"…\"]"
    );
    (Vec::new(), Some(danger))
}

/// Dangers of the two tables, beyond columns and keys.
pub fn tables(
    source: &Surveyed,
    target: &Surveyed,
    entries: &[Entry],
    (from, to): (Flavor, Flavor),
) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(rows) = target.rows.filter(|rows| *rows > 0) {
        out.push(format!(
            "the target table holds {rows} rows: a source row whose key is there is rejected \
             (on_conflict says otherwise)"
        ));
    }
    if !target.triggers.is_empty() {
        out.push(format!(
            "triggers of the target fire for every row, and what they change or write is not \
             taken back: {}",
            target.triggers.join(", ")
        ));
    }
    if target.table.primary_key().is_empty() {
        let cost = match to {
            Flavor::Mysql => ", and rollback reads the whole table for each row",
            _ => "",
        };
        out.push(format!("the target table has no primary key: doubles are not noticed{cost}"));
    }
    if source.kind == TableKind::Foreign {
        out.push("the source is a foreign table: each batch goes over to its server".to_owned());
    }
    for (side, end, who) in
        [(source, "source", Concerns::Reader), (target, "target", Concerns::Writer)]
    {
        let notes = side.details.notes.iter();
        let notes = notes.filter(|note| note.concerns == who || note.concerns == Concerns::Both);
        out.extend(notes.map(|note| format!("{end}: {}", note.text)));
    }
    let folds = entries.iter().any(|entry| matches!(entry.rule, DraftRule::Rest(_)));
    if folds && from == Flavor::Mysql {
        out.extend(folded_booleans(source, entries));
    }
    out
}

/// TINYINT(1) columns that become numbers in JSON.
fn folded_booleans(source: &Surveyed, entries: &[Entry]) -> Option<String> {
    let is_taken = |name: &str| {
        entries.iter().any(|entry| match &entry.rule {
            DraftRule::Column(from) | DraftRule::Cast { from, .. } => from == name,
            DraftRule::Rest(_) => false,
        })
    };
    let columns = source.table.columns.iter();
    let names: Vec<&str> = columns
        .filter(|column| column.ty.name.eq_ignore_ascii_case("tinyint(1)"))
        .map(|column| column.name.as_str())
        .filter(|name| !is_taken(name))
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "TINYINT(1) goes into JSON as a number, 0 and 1, not as true and false: {}",
            names.join(", ")
        )
    })
}

/// Foreign keys of the target whose rows nobody brings.
pub fn references(draft: &mut Draft, target: &Side) {
    let written: Vec<(String, bool)> =
        draft.steps.iter().map(|step| (step.target.clone(), step.is_active())).collect();
    for (at, step) in draft.steps.iter_mut().enumerate() {
        let Some(table) = target.tables.iter().find(|table| table.table.name.name == step.target)
        else {
            continue;
        };
        for key in &table.details.foreign_keys {
            let columns = key.columns.join(", ");
            let other = &key.table.name;
            // The table itself, or one of a circle.
            if written[at..].iter().any(|(name, active)| name == other && *active) {
                comes_later(step, &table.table, &key.columns, other);
                continue;
            }
            let brings = written.iter().find(|(name, _)| name == other).map(|(_, active)| *active);
            let text = match brings {
                Some(true) => continue,
                Some(false) => format!("the step for {other} is commented out"),
                None => format!("no step writes {other}"),
            };
            let ruled = step.columns.iter().any(|entry| key.columns.contains(&entry.target));
            if ruled {
                step.dangers.push(format!(
                    "{columns} points into {other}, and {text}: rows whose counterpart is not \
                     there are rejected"
                ));
            }
        }
    }
}

/// Columns that refer to rows which are not there yet.
fn comes_later(step: &mut DraftStep, table: &Table, columns: &[String], other: &str) {
    let list = columns.join(", ");
    let may_be_null = |name: &String| table.column(name).is_some_and(|one| !one.not_null);
    let ruled = |name: &String| step.columns.iter().any(|entry| entry.target == *name);
    if !columns.iter().all(ruled) {
        return;
    }
    if columns.iter().all(may_be_null) {
        step.later.extend(columns.iter().cloned());
        return;
    }
    step.dangers.push(format!(
        "{list} points into {other}, and may not be NULL: rows go in the order of the key, and one \
         whose counterpart comes later is rejected"
    ));
}
