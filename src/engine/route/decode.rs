//! Rows through the program: read ahead, mapped in Rust, written in bulk.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;

use super::lookups::Lookups;
use super::{Batch, Route, Waiting};
use crate::db::rows::to_values;
use crate::db::{Insert, Session};
use crate::engine::Shared;
use crate::engine::file_ahead::FileAhead;
use crate::engine::read_ahead::{KeyCells, Maker, ReadAhead};
use crate::error::{Error, Result};
use crate::key::{Key, KeyPart};
use crate::ledger::chunks::Chunk;
use crate::ledger::rows::RejectedRow;
use crate::mapping::BoundMapping;
use crate::mapping::eval::{Outcome, Reject, eval};
use crate::mapping::wire::Cell;
use crate::sql::Kind;
use crate::value::{Row, Value, write_json_string};

/// Rows in key order; keys are absent where the chunk has none.
#[derive(Debug, Default)]
struct Page {
    /// Inputs of the mapping.
    rows: Vec<Row>,
    /// One key for each row, or none at all.
    keys: Vec<Key>,
    /// Bytes of the values as they came.
    bytes: u64,
}

/// Makes pages of values.
struct Values {
    kinds: Vec<Kind>,
    page: Page,
    /// Bytes that the page takes in memory.
    held: u64,
    /// Rows of a page; `None`: a batch's, which may change.
    most_rows: Option<u32>,
    shared: Arc<Shared>,
    most_held: u64,
}

impl Maker for Values {
    type Page = Page;

    fn add(&mut self, row: &[Cell<'_>], keys: &KeyCells) -> Result<bool> {
        self.page.keys.extend(keys.of(row)?);
        let bytes = row.iter().map(Cell::size).sum::<u64>();
        self.page.bytes += bytes;
        self.held += bytes + (row.len() * size_of::<Value>()) as u64;
        self.page.rows.push(to_values(row, &self.kinds)?);
        let most = self.most_rows.map_or(self.shared.size.rows(), u64::from).max(1);
        Ok(self.page.rows.len() as u64 >= most || self.held >= self.most_held)
    }

    fn size(&self) -> u64 {
        self.held
    }

    fn take(&mut self, _last: Option<Key>, _end: bool) -> Option<(Page, bool)> {
        let page = std::mem::take(&mut self.page);
        self.held = 0;
        (!page.rows.is_empty()).then_some((page, true))
    }
}

/// One row that waits.
struct Pending {
    key: Option<Key>,
    row: Row,
    bytes: u64,
    /// Position in the step's files, from 0.
    position: usize,
}

/// A source row, and what becomes of it.
#[derive(Debug)]
pub struct Mapped {
    /// Its key, where it has one.
    pub key: Option<Key>,
    /// Its number in its chunk or its files, from 1.
    pub number: u64,
    /// The inputs of the mapping.
    pub row: Row,
    /// What the rules say.
    pub outcome: Outcome,
}

impl Mapped {
    /// The row's key in the ledger's rejects.
    pub fn reject_key(&self) -> Key {
        let number = usize::try_from(self.number).unwrap_or(usize::MAX);
        self.key.clone().unwrap_or_else(|| row_number(number))
    }
}

/// The route.
pub struct Decode {
    shared: Arc<Shared>,
    ahead: Option<ReadAhead<Page>>,
    files: Option<FileAhead>,
    pending: VecDeque<Pending>,
    /// What `pending` takes of the reader's window.
    held: Option<OwnedSemaphorePermit>,
    /// Rows of `pending` that the last write covered.
    taken: usize,
    /// Rows of files that were handed out.
    position: usize,
    /// Rows of a page; `None`: a batch's.
    page_rows: Option<u32>,
    found: Lookups,
}

impl Decode {
    /// A route that reads nothing yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        let found = Lookups::new(&shared.job.mapping);
        let pending = VecDeque::new();
        Decode {
            shared,
            ahead: None,
            files: None,
            held: None,
            pending,
            taken: 0,
            position: 0,
            page_rows: None,
            found,
        }
    }

    /// The same, reading pages of so many rows.
    pub fn pages_of(mut self, rows: u32) -> Self {
        self.page_rows = Some(rows);
        self
    }

    async fn next_page(&mut self) -> Result<Option<Page>> {
        if let Some(files) = &mut self.files {
            if let Some(page) = files.next().await? {
                let keys = (1..=page.rows.len()).map(|at| row_number(self.position + at)).collect();
                return Ok(Some(Page { rows: page.rows, keys, bytes: page.bytes }));
            }
            let all = self.shared.files.as_ref().map_or(0, |files| files.count());
            if self.position as u64 != all {
                return Err(Error::stop(format!(
                    "the files ended after {} of {all} rows",
                    self.position
                )));
            }
            return Ok(None);
        }
        match &mut self.ahead {
            Some(ahead) => Ok(ahead.next().await?.map(|(page, held)| {
                self.held = Some(held);
                page
            })),
            None => Ok(None),
        }
    }

    /// Evaluates the first `count` rows that wait; asks the target for what lookups need.
    async fn map(&mut self, session: &mut dyn Session, count: usize) -> Result<Vec<Outcome>> {
        self.found.clear();
        let mut outcomes: Vec<Option<Outcome>> = Vec::new();
        outcomes.resize_with(count, || None);
        loop {
            let mut again = false;
            for (pending, outcome) in self.pending.iter().zip(&mut outcomes) {
                if outcome.is_some() {
                    continue;
                }
                self.found.file = self
                    .shared
                    .files
                    .as_ref()
                    .and_then(|files| files.document(pending.position as u64));
                match eval(&self.shared.job.mapping, &pending.row, &mut self.found) {
                    Outcome::Pending => again = true,
                    done => *outcome = Some(done),
                }
            }
            if !again {
                return Ok(outcomes.into_iter().flatten().collect());
            }
            self.found.fetch(session, &self.shared).await?;
        }
    }

    fn rejected(&self, pending: &Pending, mut reject: Reject) -> RejectedRow {
        let key = pending.key.clone();
        let files = self.shared.files.as_ref();
        if let Some(place) = files.and_then(|files| files.place(pending.position as u64)) {
            reject.reason = format!("{} ({place})", reject.reason);
        }
        rejected(&self.shared.job.mapping, key, pending.position, &pending.row, reject)
    }

    fn moved(&self, sources: &[usize], keys: Vec<Key>) -> Vec<(Key, Key)> {
        sources
            .iter()
            .zip(keys)
            .filter_map(|(at, key)| Some((self.pending.get(*at)?.key.clone()?, key)))
            .collect()
    }
}

#[async_trait]
impl Route for Decode {
    async fn seek(&mut self, chunk: &Chunk) -> Result<()> {
        self.pending.clear();
        self.held = None;
        self.taken = 0;
        self.ahead = None;
        self.files = None;
        if let Some(files) = &self.shared.files {
            let done = match chunk.pos.as_ref().map(|key| key.0.as_slice()) {
                Some([KeyPart::Int(number)]) => usize::try_from(*number).unwrap_or(0),
                _ => 0,
            };
            self.position = done;
            // Files are read once, whatever becomes of the size.
            let rows = self.page_rows.unwrap_or(self.shared.job.options.batch_rows).max(1);
            self.files = Some(FileAhead::start(&self.shared, files, done as u64, rows as usize));
        } else {
            self.position = 0;
            let size = u32::try_from(self.shared.size.rows()).unwrap_or(u32::MAX);
            let rows = self.page_rows.unwrap_or(size).max(1);
            let job = &self.shared.job;
            let kinds = job.mapping.inputs.iter().map(|input| input.kind_read()).collect();
            let maker = Values {
                kinds,
                page: Page::default(),
                held: 0,
                most_rows: self.page_rows,
                shared: Arc::clone(&self.shared),
                most_held: self.shared.room.half(),
            };
            self.ahead = Some(ReadAhead::start(Arc::clone(&self.shared), chunk, rows, &[], maker));
        }
        Ok(())
    }

    async fn fetch(&mut self, _session: &mut dyn Session, limit: u64) -> Result<Waiting> {
        if self.pending.is_empty() {
            self.held = None;
            let Some(page) = self.next_page().await? else {
                return Ok(Waiting::default());
            };
            let share = page.bytes / (page.rows.len() as u64).max(1);
            let mut keys = page.keys.into_iter();
            for row in page.rows {
                let position = self.position;
                self.position += 1;
                self.pending.push_back(Pending { key: keys.next(), row, bytes: share, position });
            }
        }
        let rows = limit.min(self.pending.len() as u64);
        let bytes = self.pending.iter().take(rows as usize).map(|pending| pending.bytes).sum();
        Ok(Waiting { rows, bytes })
    }

    async fn write(&mut self, session: &mut dyn Session, limit: u64) -> Result<Batch> {
        let count = self.pending.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        let outcomes = self.map(session, count).await?;
        crate::fail::point("mapped");
        let mut batch = Batch { read: count as u64, ..Batch::default() };
        let mut rows = Vec::with_capacity(count);
        let mut sources = Vec::with_capacity(count);
        for (at, outcome) in outcomes.into_iter().enumerate() {
            let Some(pending) = self.pending.get(at) else {
                break;
            };
            batch.bytes += pending.bytes;
            match outcome {
                Outcome::Cells(cells) => {
                    rows.push(cells);
                    sources.push(at);
                }
                Outcome::Reject(reject) => batch.rejects.push(self.rejected(pending, reject)),
                Outcome::Stop(reason) => return Err(self.stopped(pending, &reason)),
                Outcome::Pending => {}
            }
        }
        batch.upto = count.checked_sub(1).and_then(|last| self.pending.get(last)?.key.clone());
        if !rows.is_empty() {
            let job = &self.shared.job;
            let insert = Insert {
                table: &job.target,
                columns: &job.written,
                key: &job.marks.key,
                conflict: job.options.on_conflict,
                digest: &job.marks.digest,
                want_keys: job.record_moved,
                rows: &rows,
            };
            let mut done = session.insert(&insert).await.map_err(|mut error| {
                // The server counts the rows sent; rejects stand between them.
                error.row = error.row.and_then(|row| {
                    sources.get(usize::try_from(row).ok()?.checked_sub(1)?).map(|at| *at as u64 + 1)
                });
                error
            })?;
            batch.inserted = done.inserted;
            batch.skipped = done.skipped;
            batch.digests = done.digests;
            batch.images = done.images;
            batch.moved = self.moved(&sources, std::mem::take(&mut done.keys));
        }
        self.taken = count;
        Ok(batch)
    }

    fn reject(&mut self, error: &Error) -> Result<Batch> {
        let pending = self.pending.front().ok_or_else(|| {
            Error::stop("there is no row to reject").in_step(&self.shared.job.step)
        })?;
        let reject = Reject {
            column: error.place.column.clone(),
            ty: String::new(),
            reason: match &error.code {
                Some(code) => format!("{} [{code}]", error.message),
                None => error.message.clone(),
            },
        };
        let batch = Batch {
            upto: pending.key.clone(),
            read: 1,
            bytes: pending.bytes,
            rejects: vec![self.rejected(pending, reject)],
            ..Batch::default()
        };
        self.taken = 1;
        Ok(batch)
    }

    fn committed(&mut self) {
        self.pending.drain(..self.taken.min(self.pending.len()));
        self.taken = 0;
    }
}

impl Decode {
    /// Maps the rows that wait and forgets them; those that would be rejected, each behind its
    /// reason without its place in a file.
    ///
    /// # Errors
    /// The target's, where lookups ask it; a rule that stops the step.
    pub async fn judge(&mut self, session: &mut dyn Session) -> Result<Vec<(String, RejectedRow)>> {
        let outcomes = self.map(session, self.pending.len()).await?;
        let mut rejects = Vec::new();
        for (pending, outcome) in self.pending.iter().zip(outcomes) {
            match outcome {
                Outcome::Reject(reject) => {
                    rejects.push((reject.reason.clone(), self.rejected(pending, reject)));
                }
                Outcome::Stop(reason) => return Err(self.stopped(pending, &reason)),
                Outcome::Cells(_) | Outcome::Pending => {}
            }
        }
        self.pending.clear();
        Ok(rejects)
    }

    /// Takes the rows that wait, with what becomes of each.
    ///
    /// # Errors
    /// The target's, where lookups ask it.
    pub async fn take(&mut self, session: &mut dyn Session) -> Result<Vec<Mapped>> {
        let outcomes = self.map(session, self.pending.len()).await?;
        let taken = self.pending.drain(..).zip(outcomes);
        let mapped = |(pending, outcome): (Pending, Outcome)| Mapped {
            key: pending.key,
            number: pending.position as u64 + 1,
            row: pending.row,
            outcome,
        };
        Ok(taken.map(mapped).collect())
    }

    /// What becomes of rows that were read elsewhere.
    ///
    /// # Errors
    /// The target's, where lookups ask it.
    pub async fn judge_rows(
        &mut self,
        session: &mut dyn Session,
        rows: Vec<(Key, Row)>,
    ) -> Result<Vec<Mapped>> {
        let rows = rows.into_iter().map(|(key, row)| Pending {
            key: Some(key),
            row,
            bytes: 0,
            position: 0,
        });
        self.pending = rows.collect();
        self.take(session).await
    }

    fn stopped(&self, pending: &Pending, reason: &str) -> Error {
        let key = pending.key.as_ref().map(Key::to_string).unwrap_or_default();
        Error::stop(reason).in_step(&self.shared.job.step).at_key(&key)
    }
}

/// A refused row, for the ledger; one without key is known by its number.
pub(super) fn rejected(
    mapping: &BoundMapping,
    key: Option<Key>,
    position: usize,
    row: &Row,
    reject: Reject,
) -> RejectedRow {
    RejectedRow {
        key: key.unwrap_or_else(|| row_number(position + 1)),
        column: reject.column,
        ty: (!reject.ty.is_empty()).then_some(reject.ty),
        reason: reject.reason,
        row: row_json(mapping, row),
    }
}

/// Seeds have their row's number as key.
fn row_number(number: usize) -> Key {
    Key::int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The source row as a JSON object of its inputs.
pub fn row_json(mapping: &BoundMapping, row: &Row) -> String {
    let mut out = String::from("{");
    for (at, (input, value)) in mapping.inputs.iter().zip(row).enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_json_string(&input.name, &mut out);
        out.push(':');
        value.write_json(&mut out);
    }
    out.push('}');
    out
}
