//! Cuts a step into chunks once, before its first row.

use crate::db::{Sample, Session};
use crate::error::{Error, Result};
use crate::job::SourceRows;
use crate::key::{Key, KeyPart, KeyRange};
use crate::ledger::chunks::ChunkKind;
use crate::sql::keyset::KeyColumns;
use crate::sql::{Flavor, Statement};
use crate::value::{Row, Value};

/// Chunks for each worker: enough that a slow one doesn't leave the others idle.
const CHUNKS_PER_WORKER: u64 = 4;

/// Tables with fewer rows are counted; of larger ones the catalog's estimate is enough, unless
/// the plan expects a number.
const COUNTED: u64 = 1_000_000;

/// A step's cut: how many rows, and the chunks that cover them.
#[derive(Debug, Default)]
pub struct Cut {
    /// Rows in the cut now; an estimate where nobody asked for their number and there are many.
    pub size: Size,
    /// The chunks.
    pub chunks: Vec<(ChunkKind, KeyRange)>,
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: u64,
    /// They were counted; otherwise the catalog says about so many.
    pub exact: bool,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let about = if self.exact { "" } else { "about " };
        write!(f, "{about}{} rows", self.rows)
    }
}

/// Rows of the source; `exact`: counted however many there are.
pub async fn size(session: &mut dyn Session, source: &SourceRows, exact: bool) -> Result<Size> {
    let from = source.from_where(&[]);
    if !exact
        && let Some(rows) = session.estimate(&from).await?
        && rows > COUNTED
    {
        return Ok(Size { rows, exact: false });
    }
    Ok(Size { rows: crate::db::count(session, &from).await?, exact: true })
}

/// Plans the chunks. The last one ends at the highest key there is now: rows that come later
/// above it are not this step's.
pub async fn cut(
    session: &mut dyn Session,
    source: &SourceRows,
    workers: u32,
    batch_rows: u32,
    exact: bool,
) -> Result<Cut> {
    let size = size(session, source, exact).await?;
    let rows = size.rows;
    let mut cut = Cut { size, chunks: Vec::new() };
    let Some(key) = &source.key else {
        cut.chunks.push((ChunkKind::Whole, KeyRange::default()));
        return Ok(cut);
    };
    let dialect = session.dialect();
    if let Some(nulls) = key.any_null(dialect, "s") {
        let find = format!("SELECT 1 FROM {} LIMIT 1", source.from_where(&[nulls]));
        if !session.rows(&Statement::new(find)).await?.is_empty() {
            cut.chunks.push((ChunkKind::Nulls, KeyRange::default()));
        }
    }
    let workers = u64::from(workers.max(1));
    let pieces = if workers == 1 {
        1
    } else {
        (workers * CHUNKS_PER_WORKER).min(rows.div_ceil(u64::from(batch_rows.max(1)))).max(1)
    };
    let mut bounds =
        if pieces > 1 { boundaries(session, source, key, rows, pieces).await? } else { Vec::new() };
    // Asked for last and by itself: rows that were deleted since the count, or came since the
    // boundaries, must not leave the end of the table in no chunk.
    let highest = format!(
        "SELECT {} FROM {} ORDER BY {} LIMIT 1",
        dialect.key_list("s", &key.0),
        source.from_where(&key.no_null(dialect, "s").into_iter().collect::<Vec<_>>()),
        key.descending(dialect, "s"),
    );
    for row in session.rows(&Statement::new(highest)).await? {
        bounds.push(key_of(dialect.flavor(), &row, &source.name)?);
    }
    let mut after: Option<Key> = None;
    for upto in bounds {
        if after.as_ref() == Some(&upto) {
            continue;
        }
        let range = KeyRange { after: after.take(), upto: Some(upto.clone()) };
        cut.chunks.push((ChunkKind::Range, range));
        after = Some(upto);
    }
    Ok(cut)
}

/// Keys that part the rows into so many pieces of about the same size, the last one's end
/// excepted.
async fn boundaries(
    session: &mut dyn Session,
    source: &SourceRows,
    key: &KeyColumns,
    rows: u64,
    pieces: u64,
) -> Result<Vec<Key>> {
    let dialect = session.dialect();
    let sample = match &source.table {
        Some(table) => session.sample(table).await?,
        None => Sample::None,
    };
    let (clause, number) = match &sample {
        // Even ranges may hold uneven numbers of rows, so only where looking is dear.
        Sample::Range(low, high) if key.0.len() == 1 && rows > COUNTED => {
            let step = (i128::from(*high) - i128::from(*low)) / i128::from(pieces);
            let bound = |at: u64| i64::try_from(i128::from(*low) + step * i128::from(at));
            return Ok((1..pieces).filter_map(|at| bound(at).ok()).map(Key::int).collect());
        }
        Sample::Clause(clause) => (clause.as_str(), ", count(*) OVER () AS tablelift_all"),
        Sample::None | Sample::Range(..) => ("", ""),
    };
    // Of a sample, or else in one pass over the key's index.
    let ends = match number {
        "" => format!("q.tablelift_n % {} = 0", rows.div_ceil(pieces)),
        _ => format!(
            "(q.tablelift_n - 1) * {pieces} / q.tablelift_all \
             < q.tablelift_n * {pieces} / q.tablelift_all AND q.tablelift_n < q.tablelift_all"
        ),
    };
    let conditions: Vec<String> = key.no_null(dialect, "s").into_iter().collect();
    let select = format!(
        "SELECT {} FROM (SELECT {}, row_number() OVER (ORDER BY {}) AS tablelift_n{number} \
         FROM {}) q WHERE {ends} ORDER BY q.tablelift_n",
        dialect.key_list("q", &key.0),
        key.columns(dialect, "s"),
        key.ascending(dialect, "s"),
        source.sampled(clause, &conditions),
    );
    let found = session.rows(&Statement::new(select)).await?;
    found.iter().map(|row| key_of(dialect.flavor(), row, &source.name)).collect()
}

/// The key that a row of key columns holds.
pub fn key_of(flavor: Flavor, row: &[Value], table: &str) -> Result<Key> {
    let parts: Option<Vec<KeyPart>> =
        row.iter().map(|value| flavor.dialect().key_part(value)).collect();
    parts.map(Key).ok_or_else(|| {
        let what = "a float, NULL or text that is not UTF-8";
        Error::stop(format!("a key holds {what}, which can't be continued after"))
            .in_table(table)
            .hint("Name another key with `key = …`.")
    })
}

/// Splits the key columns that stand at the end of a row off it.
pub fn split_key(flavor: Flavor, row: &mut Row, inputs: usize, table: &str) -> Result<Key> {
    let key = row.split_off(inputs);
    key_of(flavor, &key, table)
}
