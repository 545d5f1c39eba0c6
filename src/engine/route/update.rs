//! Batched UPDATE of rows of the target, by key, with before-images.

use std::sync::Arc;

use async_trait::async_trait;

use super::decode::row_json;
use super::lookups::Lookups;
use super::{Batch, Route, Waiting};
use crate::db::{RowUpdate, Session, collect};
use crate::engine::Shared;
use crate::engine::chunker::{key_of, split_key};
use crate::error::{Error, Result};
use crate::key::{Key, KeyRange};
use crate::ledger::chunks::{Chunk, ChunkKind};
use crate::ledger::rows::RejectedRow;
use crate::mapping::eval::{Outcome, eval};
use crate::mapping::render;
use crate::sql::{Kind, Statement};
use crate::value::Row;

/// The route.
pub struct UpdateRows {
    shared: Arc<Shared>,
    rest: KeyRange,
    next: Option<Key>,
    /// The single row that the last write tried, for its rejection.
    tried: Option<(Key, Row)>,
    found: Lookups,
}

impl UpdateRows {
    /// A route that reads nothing yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        let found = Lookups::new(&shared.job.mapping);
        UpdateRows { shared, rest: KeyRange::default(), next: None, tried: None, found }
    }

    fn conditions(&self, session: &dyn Session, range: &KeyRange) -> Result<Vec<String>> {
        let key = self.shared.job.source.key.as_ref();
        let key = key.ok_or_else(|| Error::stop("an update needs a key"))?;
        let dialect = session.dialect();
        let within = key.within(dialect, "s", range);
        Ok(key.no_null(dialect, "s").into_iter().chain([within]).collect())
    }

    /// The rows of the range, locked until commit.
    async fn rows(
        &self,
        session: &mut dyn Session,
        range: &KeyRange,
        limit: u64,
    ) -> Result<Vec<(Key, Row, u64)>> {
        let job = &self.shared.job;
        let dialect = session.dialect();
        let key = job.source.key.as_ref().ok_or_else(|| Error::stop("an update needs a key"))?;
        let mut list = render::render_inputs(&job.mapping, dialect.flavor(), "s", &[]);
        list.push(dialect.key_list("s", &key.0));
        let select = format!(
            "SELECT {} FROM {} ORDER BY {} LIMIT {limit}{}",
            list.join(", "),
            job.source.from_where(&self.conditions(session, range)?),
            key.ascending(dialect, "s"),
            dialect.for_update(),
        );
        let mut kinds: Vec<Kind> =
            job.mapping.inputs.iter().map(|input| input.kind_read()).collect();
        kinds.extend(key.0.iter().map(|_| Kind::Text { max: None, padded: false }));
        let read = collect(session, &select, &kinds).await?;
        let share = read.bytes / (read.rows.len() as u64).max(1);
        let inputs = job.mapping.inputs.len();
        read.rows
            .into_iter()
            .map(|mut row| {
                let key = split_key(dialect.flavor(), &mut row, inputs, &job.source.name)?;
                Ok((key, row, share))
            })
            .collect()
    }

    async fn map(
        &mut self,
        session: &mut dyn Session,
        rows: &[(Key, Row, u64)],
    ) -> Result<Vec<Outcome>> {
        self.found.clear();
        loop {
            let mapping = &self.shared.job.mapping;
            let outcomes: Vec<Outcome> =
                rows.iter().map(|(_, row, _)| eval(mapping, row, &mut self.found)).collect();
            if !outcomes.iter().any(|outcome| matches!(outcome, Outcome::Pending)) {
                return Ok(outcomes);
            }
            self.found.fetch(session, &self.shared).await?;
        }
    }
}

#[async_trait]
impl Route for UpdateRows {
    async fn seek(&mut self, chunk: &Chunk) -> Result<()> {
        if chunk.kind != ChunkKind::Range {
            return Err(Error::stop("rows whose key is NULL can't be updated by key")
                .in_table(&self.shared.job.source.name)
                .hint("Leave them out with `where`, or name another key."));
        }
        self.rest = chunk.rest();
        self.next = None;
        Ok(())
    }

    async fn fetch(&mut self, session: &mut dyn Session, limit: u64) -> Result<Waiting> {
        let source = &self.shared.job.source;
        let key = source.key.as_ref().ok_or_else(|| Error::stop("an update needs a key"))?;
        let dialect = session.dialect();
        let find = format!(
            "SELECT {} FROM {} ORDER BY {} LIMIT {limit}",
            dialect.key_list("s", &key.0),
            source.from_where(&self.conditions(session, &self.rest)?),
            key.ascending(dialect, "s"),
        );
        let found = session.rows(&Statement::new(find)).await?;
        self.next = match found.last() {
            Some(row) => Some(key_of(dialect.flavor(), row, &source.name)?),
            None => None,
        };
        Ok(Waiting { rows: found.len() as u64, bytes: 0 })
    }

    async fn write(&mut self, session: &mut dyn Session, limit: u64) -> Result<Batch> {
        let Some(upto) = self.next.clone() else {
            return Ok(Batch::default());
        };
        let range = KeyRange { after: self.rest.after.clone(), upto: Some(upto.clone()) };
        let rows = self.rows(session, &range, limit).await?;
        // Fewer rows than were there a moment ago is fine; a full page ends at its last row.
        let last = rows.last().map(|(key, _, _)| key.clone());
        let upto = if rows.len() as u64 >= limit { last.unwrap_or(upto) } else { upto };
        self.next = Some(upto.clone());
        self.tried = rows.first().map(|(key, row, _)| (key.clone(), row.clone()));
        let outcomes = self.map(session, &rows).await?;
        let job = &self.shared.job;
        let mut batch = Batch { upto: Some(upto), read: rows.len() as u64, ..Batch::default() };
        let mut updates = Vec::with_capacity(rows.len());
        for ((key, row, bytes), outcome) in rows.into_iter().zip(outcomes) {
            batch.bytes += bytes;
            match outcome {
                Outcome::Cells(cells) => updates.push(RowUpdate { key, cells }),
                Outcome::Reject(reject) => batch.rejects.push(RejectedRow {
                    key,
                    column: reject.column,
                    ty: (!reject.ty.is_empty()).then_some(reject.ty),
                    reason: reject.reason,
                    row: row_json(&job.mapping, &row),
                }),
                Outcome::Stop(reason) => {
                    return Err(Error::stop(reason).in_step(&job.step).at_key(&key.to_string()));
                }
                Outcome::Pending => {}
            }
        }
        if !updates.is_empty() {
            let marks = &job.marks;
            let sent = updates.len() as u64;
            let images = session
                .update(&job.target, &marks.key, &job.written, &marks.digest, &updates)
                .await?;
            batch.skipped = sent - images.len() as u64;
            batch.images = images;
        }
        Ok(batch)
    }

    fn reject(&mut self, error: &Error) -> Result<Batch> {
        let (key, row) = self.tried.take().ok_or_else(|| {
            Error::stop("there is no row to reject").in_step(&self.shared.job.step)
        })?;
        Ok(Batch {
            upto: Some(key.clone()),
            read: 1,
            rejects: vec![RejectedRow {
                key,
                column: error.place.column.clone(),
                ty: None,
                reason: match &error.code {
                    Some(code) => format!("{} [{code}]", error.message),
                    None => error.message.clone(),
                },
                row: row_json(&self.shared.job.mapping, &row),
            }],
            ..Batch::default()
        })
    }

    fn committed(&mut self) {
        if let Some(upto) = self.next.take() {
            self.rest.after = Some(upto);
        }
    }
}
