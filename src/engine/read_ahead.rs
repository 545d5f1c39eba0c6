//! Reads one chunk ahead of its writer, so that the source works while the target commits. What
//! is between the two is bounded in bytes, and a query is begun only when its answer fits there:
//! however long the writer is held up, no query stays open at the source.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::Shared;
use super::chunker::key_of;
use crate::db::{RowSink, Session};
use crate::error::Result;
use crate::key::{Key, KeyRange};
use crate::ledger::chunks::{Chunk, ChunkKind};
use crate::mapping::wire::{Cell, encode};
use crate::mapping::{BoundMapping, Form, InputSource, render};
use crate::sql::keyset::KeyColumns;
use crate::sql::{Flavor, Kind, Statement};
use crate::value::{Row, Value};

/// Bytes between the readers and the writers of a run at most, wider rows excepted.
const WINDOWS: u64 = 8 * MIB;
/// One worker's share of it at least and at most.
const SHARE: (u64, u64) = (MIB, 8 * MIB);
const MIB: u64 = 1024 * 1024;
/// Bytes that a permit of the window stands for.
const UNIT: u64 = 1024;
/// Rows of one query at least, where batches are smaller: asking costs more than they do.
const QUERY_ROWS: u64 = 10_000;

/// A worker's share of the memory between readers and writers, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Room(u64);

impl Room {
    /// Of one of so many workers.
    pub fn of(workers: u32) -> Room {
        Room((WINDOWS / u64::from(workers.max(1))).clamp(SHARE.0, SHARE.1))
    }

    /// Of a batch that is made ahead; one ends when its rows or its bytes are reached.
    pub fn batch(self) -> u64 {
        self.0 * 5 / 8
    }

    /// Of a batch while another is written, each in one page.
    pub fn half(self) -> u64 {
        self.0 / 2
    }

    /// For a query's answer, beside a batch that is not complete.
    fn query(self) -> u64 {
        (self.0 - self.batch()) * 5 / 6
    }
}

/// Makes pages of rows; what a page is depends on the route.
pub trait Maker: Send + Sync + 'static {
    /// What is handed on.
    type Page: Send + 'static;

    /// Takes a row. `true`: a page is full.
    fn add(&mut self, row: &[Cell<'_>], keys: &KeyCells) -> Result<bool>;

    /// Bytes that have come together.
    fn size(&self) -> u64;

    /// What has come together, up to the row with this key, and whether a batch ends with it;
    /// `end`: the chunk has no more rows.
    fn take(&mut self, last: Option<Key>, end: bool) -> Option<(Self::Page, bool)>;
}

/// A running reader.
pub struct ReadAhead<P> {
    pages: mpsc::UnboundedReceiver<Result<(P, OwnedSemaphorePermit)>>,
    task: JoinHandle<()>,
}

impl<P: Send + 'static> ReadAhead<P> {
    /// Starts reading what is left of `chunk`, in batches of `rows` rows.
    pub fn start<M: Maker<Page = P>>(
        shared: Arc<Shared>,
        chunk: &Chunk,
        rows: u32,
        unread: &[bool],
        maker: M,
    ) -> ReadAhead<P> {
        let (sender, pages) = mpsc::unbounded_channel();
        let (kind, rest) = (chunk.kind, chunk.rest());
        let columns = Columns::new(&shared, kind, unread);
        let task = tokio::spawn(async move {
            let sink = Pages {
                maker,
                keys: columns.keys.clone(),
                last: Vec::new(),
                rows: 0,
                bytes: 0,
                room: shared.room,
                held: 0,
                window: Arc::new(Semaphore::new((shared.room.0 / UNIT) as usize)),
                sender: sender.clone(),
            };
            let rows = u64::from(rows.max(1));
            if let Err(error) = read(&shared, kind, rest, rows, &columns, sink).await {
                // Nobody listening means nobody cares for the error.
                let _ = sender.send(Err(error));
            }
        });
        ReadAhead { pages, task }
    }

    /// The next page; `None` at the chunk's end.
    /// Its room is free again when the permit is dropped.
    pub async fn next(&mut self) -> Result<Option<(P, OwnedSemaphorePermit)>> {
        self.pages.recv().await.transpose()
    }
}

impl<P> Drop for ReadAhead<P> {
    fn drop(&mut self) {
        // Its connection is dropped with it, wherever it stands, and never used again.
        self.task.abort();
    }
}

/// Where the key's parts stand in a row.
#[derive(Debug, Clone, Default)]
pub struct KeyCells {
    /// Position and kind of each part; empty where the chunk has no keys.
    parts: Vec<(usize, Kind)>,
    flavor: Option<Flavor>,
    table: String,
}

impl KeyCells {
    /// The row's key, if the chunk has keys.
    pub fn of(&self, row: &[Cell<'_>]) -> Result<Option<Key>> {
        let Some(flavor) = self.flavor.filter(|_| !self.parts.is_empty()) else {
            return Ok(None);
        };
        let values: Vec<Value> = self
            .parts
            .iter()
            .map(|(at, kind)| row.get(*at).and_then(|cell| cell.value(kind).ok()))
            .map(|value| value.unwrap_or(Value::Null))
            .collect();
        key_of(flavor, &values, &self.table).map(Some)
    }
}

/// The SELECT list of one reader.
struct Columns {
    list: Vec<String>,
    kinds: Vec<Kind>,
    keys: KeyCells,
}

impl Columns {
    /// Inputs, then those parts of the key that are no input in a form that identifies a row.
    fn new(shared: &Shared, kind: ChunkKind, unread: &[bool]) -> Columns {
        let job = &shared.job;
        let dialect = shared.source.flavor().dialect();
        let flavor = dialect.flavor();
        let (mut list, mut kinds) = inputs(&job.mapping, flavor, unread);
        let mut keys = KeyCells { flavor: Some(flavor), ..KeyCells::default() };
        keys.table.clone_from(&job.source.name);
        if let (Some(key), ChunkKind::Range) = (&job.source.key, kind) {
            for column in &key.0 {
                let input = job.mapping.inputs.iter().position(|input| {
                    matches!(&input.source, InputSource::Column(name) if *name == column.name)
                        && input.form == Form::Value
                        && (flavor == Flavor::Sqlite || encode::is_known(input.kind()))
                });
                keys.parts.push(match input {
                    Some(at) => (at, kinds[at].clone()),
                    None => {
                        list.push(dialect.key_list("s", std::slice::from_ref(column)));
                        kinds.push(Kind::Text { max: None, padded: false });
                        (list.len() - 1, Kind::Text { max: None, padded: false })
                    }
                });
            }
        }
        Columns { list, kinds, keys }
    }
}

/// Expressions and kinds of a mapping's inputs; a mapping without any reads a number.
pub fn inputs(mapping: &BoundMapping, flavor: Flavor, unread: &[bool]) -> (Vec<String>, Vec<Kind>) {
    if mapping.inputs.is_empty() {
        return (vec!["1".to_owned()], vec![Kind::Int(4)]);
    }
    let kinds = mapping.inputs.iter().map(|input| input.kind_read()).collect();
    (render::render_inputs(mapping, flavor, "s", unread), kinds)
}

/// Rows on their way to a maker, and its pages on their way to the writer.
struct Pages<M: Maker> {
    maker: M,
    keys: KeyCells,
    /// The key's cells of the last row, kept without making a key of each.
    last: Vec<Kept>,
    /// Rows and bytes of the query that runs.
    rows: u64,
    bytes: u64,
    room: Room,
    /// What the pages of a batch that is not complete take of the window.
    held: u64,
    window: Arc<Semaphore>,
    sender: mpsc::UnboundedSender<Result<(M::Page, OwnedSemaphorePermit)>>,
}

/// A cell that outlives its row.
enum Kept {
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
    Malformed(Vec<u8>),
    Wire(Vec<u8>),
    /// No key can hold it.
    Other,
}

impl Kept {
    fn cell(&self) -> Cell<'_> {
        match self {
            Kept::Int(i) => Cell::Int(*i),
            Kept::Text(text) => Cell::Text(text),
            Kept::Blob(bytes) => Cell::Blob(bytes),
            Kept::Malformed(bytes) => Cell::Malformed(bytes),
            Kept::Wire(bytes) => Cell::Wire(bytes),
            Kept::Other => Cell::Null,
        }
    }

    fn keep(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Kept::Wire(kept), Cell::Wire(bytes)) => {
                kept.clear();
                kept.extend_from_slice(bytes);
            }
            (kept, Cell::Int(i)) => *kept = Kept::Int(i),
            (kept, Cell::Text(text)) => *kept = Kept::Text(text.to_owned()),
            (kept, Cell::Blob(bytes)) => *kept = Kept::Blob(bytes.to_vec()),
            (kept, Cell::Malformed(bytes)) => *kept = Kept::Malformed(bytes.to_vec()),
            (kept, Cell::Wire(bytes)) => *kept = Kept::Wire(bytes.to_vec()),
            (kept, Cell::Null | Cell::Float(_)) => *kept = Kept::Other,
        }
    }
}

impl<M: Maker> Pages<M> {
    /// The key of the last row.
    fn last_key(&self) -> Result<Option<Key>> {
        if self.last.is_empty() {
            return Ok(None);
        }
        let cells: Vec<Cell<'_>> = self.last.iter().map(Kept::cell).collect();
        let parts = self.keys.parts.iter().enumerate();
        let parts = parts.map(|(at, (_, kind))| (at, kind.clone())).collect();
        KeyCells { parts, ..self.keys.clone() }.of(&cells)
    }

    async fn send(&mut self, end: bool) -> bool {
        // A page that is wider than all there is waits until it is alone; the rest of its own
        // batch is not written before it comes.
        let most = (self.room.0 / UNIT).saturating_sub(self.held);
        let units = (self.maker.size() / UNIT).min(most).max(1);
        let page = match self.last_key() {
            Ok(last) => self.maker.take(last, end),
            Err(error) => return self.sender.send(Err(error)).is_ok(),
        };
        let Some((page, ends)) = page else { return true };
        self.held = if ends { 0 } else { self.held + units };
        let window = Arc::clone(&self.window);
        let Ok(permit) = window.acquire_many_owned(units as u32).await else {
            return false;
        };
        self.sender.send(Ok((page, permit))).is_ok()
    }

    /// Waits until there is room for a query's answer.
    async fn has_room(&self) -> bool {
        self.window.acquire_many((self.room.query() / UNIT) as u32).await.is_ok()
            && !self.sender.is_closed()
    }
}

#[async_trait]
impl<M: Maker> RowSink for Pages<M> {
    fn add(&mut self, row: &[Cell<'_>], bytes: u64) -> Result<bool> {
        self.rows += 1;
        self.bytes += bytes;
        self.last.resize_with(self.keys.parts.len(), || Kept::Other);
        for (kept, (at, _)) in self.last.iter_mut().zip(&self.keys.parts) {
            kept.keep(row.get(*at).copied().unwrap_or(Cell::Null));
        }
        self.maker.add(row, &self.keys)
    }

    async fn hand_on(&mut self) -> bool {
        self.send(false).await
    }
}

async fn read<M: Maker>(
    shared: &Shared,
    kind: ChunkKind,
    mut rest: KeyRange,
    batch_rows: u64,
    columns: &Columns,
    mut sink: Pages<M>,
) -> Result<()> {
    let mut session = shared.reader().await?;
    let most = batch_rows.max(QUERY_ROWS);
    let mut query_rows = batch_rows;
    while sink.has_room().await {
        let select = select(shared, session.as_ref(), kind, &rest, query_rows, columns);
        (sink.rows, sink.bytes) = (0, 0);
        session.read(&select, &columns.kinds, &mut sink).await?;
        // A short page may still be followed by rows that came meanwhile: only an empty read
        // ends a chunk.
        if kind != ChunkKind::Range || sink.rows == 0 {
            if let Ok(mut readers) = shared.readers.lock() {
                readers.push(session);
            }
            sink.send(true).await;
            return Ok(());
        }
        rest.after = sink.last_key()?.or(rest.after);
        let row_bytes = (sink.bytes / sink.rows).max(1);
        query_rows = (sink.room.query() / row_bytes).clamp(1, most);
    }
    Ok(())
}

fn select(
    shared: &Shared,
    session: &dyn Session,
    kind: ChunkKind,
    rest: &KeyRange,
    rows: u64,
    columns: &Columns,
) -> String {
    let job = &shared.job;
    let list = columns.list.join(", ");
    let Some(key) = &job.source.key else {
        return format!("SELECT {list} FROM {}", job.source.from_where(&[]));
    };
    let conditions: Vec<String> = match kind {
        ChunkKind::Nulls => key.any_null(session.dialect(), "s").into_iter().collect(),
        ChunkKind::Whole => Vec::new(),
        ChunkKind::Range => {
            let within = key.within(session.dialect(), "s", rest);
            key.no_null(session.dialect(), "s").into_iter().chain([within]).collect()
        }
    };
    let order = match kind {
        ChunkKind::Range => {
            format!(" ORDER BY {} LIMIT {rows}", key.ascending(session.dialect(), "s"))
        }
        _ => String::new(),
    };
    format!("SELECT {list} FROM {}{order}", job.source.from_where(&conditions))
}

/// Rows of the step with these keys, in no order: those that are there.
///
/// # Errors
/// The source's.
pub async fn rows_of(
    shared: &Shared,
    session: &mut dyn Session,
    keys: &[Key],
) -> Result<Vec<(Key, Row)>> {
    let job = &shared.job;
    let (Some(key), false) = (&job.source.key, keys.is_empty()) else {
        return Ok(Vec::new());
    };
    let columns = Columns::new(shared, ChunkKind::Range, &[]);
    let condition = key.any_of(session.dialect(), "s", keys);
    let from = job.source.from_where(&[condition]);
    let select = format!("SELECT {} FROM {from}", columns.list.join(", "));
    let read = crate::db::collect(session, &select, &columns.kinds).await?;
    let flavor = session.dialect().flavor();
    let mut out = Vec::with_capacity(read.rows.len());
    for mut row in read.rows {
        let parts: Vec<Value> = columns
            .keys
            .parts
            .iter()
            .map(|(at, _)| row.get(*at).cloned().unwrap_or(Value::Null))
            .collect();
        let key = key_of(flavor, &parts, &job.source.name)?;
        row.truncate(job.mapping.inputs.len());
        out.push((key, row));
    }
    Ok(out)
}

/// Makes the session see the run's one moment.
pub async fn join_snapshot(session: &mut dyn Session, snapshot: &str) -> Result<()> {
    let literal = session.dialect().text_literal(snapshot);
    session.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    session.execute(&Statement::new(format!("SET TRANSACTION SNAPSHOT {literal}"))).await?;
    Ok(())
}

/// The query that reads the step's first rows, and the kinds of its columns; `limit` for a
/// sample, else the batch's.
pub fn sample_select(
    shared: &Shared,
    session: &dyn Session,
    limit: Option<usize>,
) -> (String, Vec<Kind>) {
    let job = &shared.job;
    let (list, kinds) = inputs(&job.mapping, session.dialect().flavor(), &[]);
    let order = |key: &KeyColumns| format!(" ORDER BY {}", key.ascending(session.dialect(), "s"));
    let order = job.source.key.as_ref().map(order);
    let select = format!(
        "SELECT {} FROM {}{} LIMIT {}",
        list.join(", "),
        job.source.from_where(&[]),
        order.unwrap_or_default(),
        limit.unwrap_or(job.options.batch_rows as usize)
    );
    (select, kinds)
}
