//! Reads one chunk ahead of its writer: at most one page waits, so that the source works while
//! the target commits, and memory stays flat.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Shared;
use super::chunker::split_key;
use crate::db::{Access, PageSink, Session};
use crate::error::{Error, Result};
use crate::key::{Key, KeyRange};
use crate::ledger::chunks::{Chunk, ChunkKind};
use crate::mapping::render;
use crate::sql::{Kind, Statement};
use crate::value::Row;

/// Rows in key order; keys are absent where the chunk has none.
#[derive(Debug, Default)]
pub struct Page {
    /// Inputs of the mapping.
    pub rows: Vec<Row>,
    /// One key for each row, or none at all.
    pub keys: Vec<Key>,
    /// Bytes of the values.
    pub bytes: u64,
}

/// A running reader.
pub struct ReadAhead {
    pages: mpsc::Receiver<Result<Page>>,
    task: JoinHandle<()>,
}

impl ReadAhead {
    /// Starts reading what is left of `chunk`, in pages of `page_rows` rows or a batch's.
    pub fn start(shared: Arc<Shared>, chunk: &Chunk, page_rows: Option<u32>) -> ReadAhead {
        let (sender, pages) = mpsc::channel(1);
        let (kind, rest) = (chunk.kind, chunk.rest());
        let page_rows = page_rows.unwrap_or(shared.job.options.batch_rows);
        let task = tokio::spawn(async move {
            if let Err(error) = read(&shared, kind, rest, page_rows, &sender).await {
                let _ = sender.send(Err(error)).await;
            }
        });
        ReadAhead { pages, task }
    }

    /// The next page; `None` at the chunk's end.
    pub async fn next(&mut self) -> Result<Option<Page>> {
        self.pages.recv().await.transpose()
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        // Its connection is dropped with it, wherever it stands, and never used again.
        self.task.abort();
    }
}

async fn read(
    shared: &Shared,
    kind: ChunkKind,
    mut rest: KeyRange,
    page_rows: u32,
    sender: &mpsc::Sender<Result<Page>>,
) -> Result<()> {
    let job = &shared.job;
    let label = format!("{}/{}", shared.ledger.plan, job.step);
    let mut session = shared.source.session(Access::Read, &label).await?;
    if let Some(snapshot) = &shared.snapshot {
        join_snapshot(session.as_mut(), snapshot).await?;
    }
    let kinds = select_kinds(shared, kind);
    loop {
        let select = select(shared, session.as_ref(), kind, &rest, page_rows);
        let (rows, last) = forward(shared, session.as_mut(), &select, &kinds, sender).await?;
        // A short page may still be followed by rows that came meanwhile: only an empty read
        // ends a chunk.
        if kind != ChunkKind::Range || rows == 0 || sender.is_closed() {
            return Ok(());
        }
        rest.after = last.or(rest.after);
    }
}

/// Runs one query and sends its pages on; the number of rows and the last key.
async fn forward(
    shared: &Shared,
    session: &mut dyn Session,
    select: &str,
    kinds: &[Kind],
    sender: &mpsc::Sender<Result<Page>>,
) -> Result<(u64, Option<Key>)> {
    let flavor = session.dialect().flavor();
    let (mut sink, mut raw) = PageSink::new(u64::from(shared.job.options.batch_rows));
    let inputs = shared.job.mapping.inputs.len();
    let has_key = kinds.len() > inputs;
    let table = shared.job.source.name.as_str();
    let pump = async {
        let mut seen = 0;
        let mut last = None;
        while let Some(mut part) = raw.recv().await {
            let mut page = Page { bytes: part.bytes, ..Page::default() };
            for row in &mut part.rows {
                if has_key {
                    page.keys.push(split_key(flavor, row, inputs, table)?);
                }
            }
            page.rows = part.rows;
            seen += page.rows.len() as u64;
            last = page.keys.last().cloned().or(last);
            if sender.send(Ok(page)).await.is_err() {
                break;
            }
        }
        Ok::<_, Error>((seen, last))
    };
    let read = async {
        let result = session.read(select, kinds, &mut sink).await;
        drop(sink);
        result
    };
    let (read, pumped) = tokio::join!(read, pump);
    read?;
    pumped
}

/// Kinds of the inputs, then of the key's columns in their identifying form.
fn select_kinds(shared: &Shared, kind: ChunkKind) -> Vec<Kind> {
    let job = &shared.job;
    let mut kinds: Vec<Kind> = job.mapping.inputs.iter().map(|input| input.kind_read()).collect();
    if let (Some(key), ChunkKind::Range) = (&job.source.key, kind) {
        let text = Kind::Text { max: None, padded: false };
        kinds.extend(key.0.iter().map(|_| text.clone()));
    }
    kinds
}

fn select(
    shared: &Shared,
    session: &dyn Session,
    kind: ChunkKind,
    rest: &KeyRange,
    page_rows: u32,
) -> String {
    let job = &shared.job;
    let dialect = session.dialect();
    let mut list = render::render_inputs(&job.mapping, dialect.flavor(), "s");
    let Some(key) = &job.source.key else {
        let list = if list.is_empty() { vec!["1".to_owned()] } else { list };
        return format!("SELECT {} FROM {}", list.join(", "), job.source.from_where(&[]));
    };
    if kind == ChunkKind::Range {
        list.push(dialect.key_list("s", &key.names()));
    } else if list.is_empty() {
        list.push("1".to_owned());
    }
    let conditions: Vec<String> = match kind {
        ChunkKind::Nulls => key.any_null("s").into_iter().collect(),
        ChunkKind::Whole => Vec::new(),
        ChunkKind::Range => {
            key.no_null("s").into_iter().chain([key.within(dialect, "s", rest)]).collect()
        }
    };
    let order = match kind {
        ChunkKind::Range => {
            format!(" ORDER BY {} LIMIT {page_rows}", key.list("s"))
        }
        _ => String::new(),
    };
    format!("SELECT {} FROM {}{order}", list.join(", "), job.source.from_where(&conditions))
}

/// Makes the session see the run's one moment.
pub async fn join_snapshot(session: &mut dyn Session, snapshot: &str) -> Result<()> {
    let literal = session.dialect().text_literal(snapshot);
    session.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    session.execute(&Statement::new(format!("SET TRANSACTION SNAPSHOT {literal}"))).await?;
    Ok(())
}

/// The query that reads the step's first rows; `limit` for a sample, else the batch's.
pub fn sample_select(shared: &Shared, session: &dyn Session, limit: Option<usize>) -> String {
    let job = &shared.job;
    let dialect = session.dialect();
    let list = render::render_inputs(&job.mapping, dialect.flavor(), "s");
    let list = if list.is_empty() { vec!["1".to_owned()] } else { list };
    let order = job.source.key.as_ref().map(|key| format!(" ORDER BY {}", key.list("s")));
    format!(
        "SELECT {} FROM {}{} LIMIT {}",
        list.join(", "),
        job.source.from_where(&[]),
        order.unwrap_or_default(),
        limit.unwrap_or(job.options.batch_rows as usize)
    )
}
