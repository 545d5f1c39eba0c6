//! Rows that come from no database: files and rows of the plan, looked at before they are bound.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::db::files::{self, Listing};
use crate::error::{Error, Result};
use crate::job::Marks;
use crate::ledger::history::StepRecord;
use crate::mapping::{Rule, each_rule};
use crate::plan::files::FileMark;
use crate::plan::{Plan, Seed, SeedSource, StepKind};
use crate::sql::{Affinity, Column, ColumnType, Kind};

/// What this process looked at: a run binds each step more than once, and files may be large.
static KNOWN: Mutex<BTreeMap<String, Arc<Listing>>> = Mutex::new(BTreeMap::new());

/// Looks at everything a seed names.
///
/// # Errors
/// A file that is missing or not well formed; no row that could name a column.
pub fn load(seed: &Seed, dir: &Path) -> Result<Arc<Listing>> {
    let listing = match &seed.from {
        SeedSource::Rows(rows) => Arc::new(Listing::of_plan(rows)),
        SeedSource::Files(source) => {
            let values = file_rules(seed);
            let name = format!("{} {source:?} {values:?}", dir.display());
            let known = KNOWN.lock().ok().and_then(|known| known.get(&name).cloned());
            match known.filter(|known| known.is_current(dir)) {
                Some(known) => known,
                None => {
                    let new = tokio::task::block_in_place(|| files::scan(source, &values, dir))?;
                    let new = Arc::new(new);
                    if let Ok(mut known) = KNOWN.lock() {
                        known.insert(name, Arc::clone(&new));
                    }
                    new
                }
            }
        }
    };
    if listing.columns().is_empty() {
        let names = match &seed.from {
            SeedSource::Files(source) => source.patterns.join(", "),
            SeedSource::Rows(_) => "`rows`".to_owned(),
        };
        return Err(Error::invalid(format!("there is no row in {names}"))
            .hint("Check the file, or its `at` path."));
    }
    Ok(listing)
}

/// The columns of the rows, whose values bring their own types.
pub fn columns(listing: &Listing) -> Vec<Column> {
    listing.columns().iter().map(|name| column(name)).collect()
}

/// Steps that are half done go on with the files that they began with.
///
/// # Errors
/// A file that is another one now, with its name.
pub fn same_files(plan: &Plan, records: &[StepRecord]) -> Result<()> {
    for record in records.iter().filter(|record| record.state == "running") {
        let began = marks_of(record);
        let Some(step) = plan.step(&record.step).filter(|_| !began.is_empty()) else { continue };
        let StepKind::Seed(seed) = &step.kind else { continue };
        let file = plan.file.display().to_string();
        load(seed, &plan.dir)
            .and_then(|now| unchanged(&began, &now.marks()))
            .map_err(|error| error.in_step(&step.name).at_line(&file, step.line))?;
    }
    Ok(())
}

/// The files that a step began with; none where it reads no files.
pub fn marks_of(record: &StepRecord) -> Vec<FileMark> {
    let marks = record.columns.as_deref().and_then(|text| serde_json::from_str::<Marks>(text).ok());
    marks.map(|marks| marks.files).unwrap_or_default()
}

/// # Errors
/// The first file that is not what the step began with.
pub fn unchanged(began: &[FileMark], now: &[FileMark]) -> Result<()> {
    let lost = began.iter().find(|mark| !now.iter().any(|other| other.path == mark.path));
    let differs = began.iter().zip(now).find(|(one, two)| one != two);
    let what = match (lost, differs) {
        (Some(mark), _) => format!("the file {} is gone since the step began", mark.path),
        (None, Some((one, two))) if one.path == two.path => {
            format!("the file {} changed since the step began", one.path)
        }
        (None, Some((_, two))) => format!("the file {} is new since the step began", two.path),
        (None, None) if now.len() > began.len() => {
            let new = now.get(began.len()).map_or("", |mark| mark.path.as_str());
            format!("the file {new} is new since the step began")
        }
        (None, None) => return Ok(()),
    };
    Err(Error::invalid(what).hint(
        "Put the files back as they were and run again, or take the step back first with \
         `tablelift rollback --step` and begin it anew.",
    ))
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
