//! The rows of a `seed`: files and rows of the plan, gathered before they are bound.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::db::files::{self, FileRows};
use crate::engine::route::decode::MemoryRows;
use crate::error::{Error, Result};
use crate::mapping::{BoundMapping, Constant, InputSource, Rule, each_rule};
use crate::plan::{Seed, SeedSource};
use crate::sql::{Affinity, Column, ColumnType, Kind};
use crate::value::{Row, Value};

/// All rows of a seed, with the union of their columns.
#[derive(Debug, Default)]
pub struct SeedRows {
    /// Column names in the order of their first appearance.
    pub columns: Vec<Column>,
    /// The files, in order; one without a path for rows of the plan.
    pub files: Vec<FileRows>,
    /// Files matched; 0 for rows of the plan.
    pub file_count: u64,
}

impl SeedRows {
    /// Rows in all files.
    pub fn count(&self) -> u64 {
        self.files.iter().map(|file| file.rows.len() as u64).sum()
    }

    /// The rows in the order of the mapping's inputs. A key that a row lacks is NULL.
    pub fn bound(&self, mapping: &BoundMapping) -> MemoryRows {
        let mut out = MemoryRows::default();
        for (number, file) in self.files.iter().enumerate() {
            for entries in &file.rows {
                let by_name: HashMap<&str, &Value> =
                    entries.iter().map(|(name, value)| (name.as_str(), value)).collect();
                let row: Row = mapping
                    .inputs
                    .iter()
                    .map(|input| match &input.source {
                        InputSource::Column(name) => {
                            by_name.get(name.as_str()).map_or(Value::Null, |value| (*value).clone())
                        }
                        _ => Value::Null,
                    })
                    .collect();
                out.rows.push(row);
                out.file_of.push(number);
            }
            out.files.push(file.document.clone());
        }
        out
    }
}

/// Reads everything a seed names.
pub fn load(seed: &Seed, dir: &Path) -> Result<SeedRows> {
    let mut out = SeedRows::default();
    match &seed.from {
        SeedSource::Rows(rows) => {
            let rows = rows.iter().map(|row| row.iter().map(entry).collect()).collect();
            out.files.push(FileRows { rows, document: HashMap::new() });
        }
        SeedSource::Files(patterns) => {
            let wanted = file_rules(seed);
            for pattern in patterns {
                for path in files::matching(pattern, dir)? {
                    out.files.push(files::read(&path, seed.at.as_deref(), &wanted)?);
                    out.file_count += 1;
                }
            }
        }
    }
    let mut seen = HashSet::new();
    for (name, _) in out.files.iter().flat_map(|file| &file.rows).flatten() {
        if seen.insert(name.as_str()) {
            out.columns.push(column(name));
        }
    }
    if out.columns.is_empty() {
        return Err(Error::invalid("the seed has no row").hint("Check the file, or its `at` path."));
    }
    Ok(out)
}

fn file_rules(seed: &Seed) -> Vec<String> {
    let mut wanted = Vec::new();
    for (_, rule) in seed.columns.iter().flat_map(|mapping| &mapping.columns) {
        each_rule(rule, &mut |rule| {
            if let Rule::File(path) = rule {
                wanted.push(path.clone());
            }
        });
    }
    wanted
}

fn entry((name, constant): &(String, Constant)) -> (String, Value) {
    (name.clone(), constant.value())
}

/// A column whose values bring their own types.
fn column(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        ty: ColumnType { kind: Kind::Dynamic(Affinity::Blob), name: "file".to_owned() },
        not_null: false,
        has_default: false,
        generated: false,
        identity: false,
        identity_always: false,
    }
}
