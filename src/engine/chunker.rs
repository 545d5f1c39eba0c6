//! Cuts a step into chunks once, before its first row.

use crate::db::Session;
use crate::error::{Error, Result};
use crate::job::SourceRows;
use crate::key::{Key, KeyPart, KeyRange};
use crate::ledger::chunks::ChunkKind;
use crate::sql::{Flavor, Statement};
use crate::value::{Row, Value};

/// Chunks for each worker: enough that a slow one doesn't leave the others idle.
const CHUNKS_PER_WORKER: u64 = 4;

/// A step's cut: how many rows, and the chunks that cover them.
#[derive(Debug, Default)]
pub struct Cut {
    /// Rows in the cut now.
    pub rows: u64,
    /// The chunks.
    pub chunks: Vec<(ChunkKind, KeyRange)>,
}

/// Plans the chunks. The last one ends at the highest key there is now: rows that come later
/// above it are not this step's.
pub async fn cut(
    session: &mut dyn Session,
    source: &SourceRows,
    workers: u32,
    batch_rows: u32,
) -> Result<Cut> {
    let Some(key) = &source.key else {
        let rows = crate::db::count(session, &source.from_where(&[])).await?;
        return Ok(Cut { rows, chunks: vec![(ChunkKind::Whole, KeyRange::default())] });
    };
    let dialect = session.dialect();
    let not_null: Vec<String> = key.no_null("s").into_iter().collect();
    let ranged = crate::db::count(session, &source.from_where(&not_null)).await?;
    let mut cut = Cut { rows: ranged, chunks: Vec::new() };
    if let Some(nulls) = key.any_null("s") {
        let rows = crate::db::count(session, &source.from_where(&[nulls])).await?;
        if rows > 0 {
            cut.rows += rows;
            cut.chunks.push((ChunkKind::Nulls, KeyRange::default()));
        }
    }
    if ranged == 0 {
        return Ok(cut);
    }
    let workers = u64::from(workers.max(1));
    let pieces = if workers == 1 {
        1
    } else {
        (workers * CHUNKS_PER_WORKER).min(ranged.div_ceil(u64::from(batch_rows.max(1)))).max(1)
    };
    let size = ranged.div_ceil(pieces);
    let names = key.names();
    let mut bounds = Vec::new();
    if pieces > 1 {
        // One pass over the key's index gives the boundaries between chunks.
        let select = format!(
            "SELECT {} FROM (SELECT {}, row_number() OVER (ORDER BY {}) AS tablelift_n FROM {}) q \
             WHERE q.tablelift_n % {size} = 0 ORDER BY q.tablelift_n",
            dialect.key_list("q", &names),
            key.list("s"),
            key.list("s"),
            source.from_where(&not_null),
        );
        bounds = session.rows(&Statement::new(select)).await?;
    }
    // Asked for last and by itself: rows that were deleted since the count, or came since the
    // boundaries, must not leave the end of the table in no chunk.
    let backwards: Vec<String> =
        names.iter().map(|name| format!("s.{} DESC", crate::sql::quote(name))).collect();
    let highest = format!(
        "SELECT {} FROM {} ORDER BY {} LIMIT 1",
        dialect.key_list("s", &names),
        source.from_where(&not_null),
        backwards.join(", "),
    );
    bounds.extend(session.rows(&Statement::new(highest)).await?);
    let mut after: Option<Key> = None;
    for row in bounds {
        let upto = key_of(dialect.flavor(), &row, &source.name)?;
        if after.as_ref() == Some(&upto) {
            continue;
        }
        let range = KeyRange { after: after.take(), upto: Some(upto.clone()) };
        cut.chunks.push((ChunkKind::Range, range));
        after = Some(upto);
    }
    Ok(cut)
}

/// The key that a row of key columns holds.
pub fn key_of(flavor: Flavor, row: &[Value], table: &str) -> Result<Key> {
    let part = |value: &Value| match flavor {
        Flavor::Postgres => KeyPart::from_postgres(value),
        Flavor::Sqlite => KeyPart::from_sqlite(value),
    };
    let parts: Option<Vec<KeyPart>> = row.iter().map(part).collect();
    parts.map(Key).ok_or_else(|| {
        Error::stop("a key holds a float or NULL, which can't be continued after")
            .in_table(table)
            .hint("Name another key with `key = …`.")
    })
}

/// Splits the key columns that stand at the end of a row off it.
pub fn split_key(flavor: Flavor, row: &mut Row, inputs: usize, table: &str) -> Result<Key> {
    let key = row.split_off(inputs);
    key_of(flavor, &key, table)
}
