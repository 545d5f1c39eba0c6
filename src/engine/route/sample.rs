//! A few mapped rows for `--dry-run`; writes nothing.

use super::lookups::Lookups;
use crate::db::files::Listing;
use crate::db::{Session, collect};
use crate::engine::Shared;
use crate::engine::read_ahead::sample_select;
use crate::error::Result;
use crate::mapping::eval::{Outcome, eval};
use crate::value::Row;

/// The first rows of a step as they would be written: target column and text. A lookup whose
/// table is still empty, or a key that no step has moved yet, shows as such.
pub async fn sample(
    shared: &Shared,
    reader: &mut dyn Session,
    writer: &mut dyn Session,
    rows: usize,
) -> Result<Vec<Vec<(String, Option<String>)>>> {
    let mapping = &shared.job.mapping;
    let read: Vec<Row> = match &shared.files {
        Some(files) => first_rows(shared, files, rows)?,
        None => {
            let (select, kinds) = sample_select(shared, reader, Some(rows));
            collect(reader, &select, &kinds).await?.rows
        }
    };
    let ledger_is_there = crate::ledger::Ledger::exists(writer).await?;
    let mut found = Lookups::new(mapping);
    let mut out = Vec::new();
    for (at, row) in read.iter().enumerate() {
        found.file = shared.files.as_ref().and_then(|files| files.document(at as u64));
        let mut outcome = eval(mapping, row, &mut found);
        while matches!(outcome, Outcome::Pending) {
            found.assume_unmoved(ledger_is_there && !shared.ledger.run.is_empty());
            found.fetch(writer, shared).await?;
            outcome = eval(mapping, row, &mut found);
        }
        out.push(match outcome {
            Outcome::Cells(cells) => mapping
                .columns
                .iter()
                .zip(cells)
                .map(|(column, cell)| (column.name.clone(), cell.to_text()))
                .collect(),
            Outcome::Reject(reject) => vec![(
                reject.column.unwrap_or_default(),
                Some(format!("would be rejected now: {}", reject.reason)),
            )],
            Outcome::Stop(reason) => vec![(String::new(), Some(reason))],
            Outcome::Pending => Vec::new(),
        });
    }
    Ok(out)
}

fn first_rows(shared: &Shared, files: &Listing, most: usize) -> Result<Vec<Row>> {
    let mut out = Vec::new();
    tokio::task::block_in_place(|| {
        files.read(0, &shared.job.mapping, &mut |row| {
            out.push(row);
            out.len() < most
        })
    })?;
    out.truncate(most);
    Ok(out)
}
