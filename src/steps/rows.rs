//! Runs a step that moves rows: start or resume, chunks, counts, conservation, sequences.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::bind::{self, Bound, Ends};
use super::shape::{Shape, came, new_columns, takes_all};
use super::{StepContext, seed, tune};
use crate::db::{Access, Session, count};
use crate::engine::chunker::{Cut, Size, cut, size};
use crate::engine::{self, Shared};
use crate::error::{Error, Result};
use crate::event::{StepFigures, What};
use crate::job::{Marks, SourceRows};
use crate::ledger::chunks::ChunkKind;
use crate::ledger::history::StepRecord;
use crate::plan::{Expect, NewColumns, Step, StepKind};
use crate::sql::Flavor;

/// Runs the step to its end; its figures.
///
/// # Errors
/// Differs: a count is not what the plan or conservation says. The step is then not done.
pub async fn run(
    context: &StepContext,
    position: usize,
    step: &Step,
    record: Option<&StepRecord>,
) -> Result<StepFigures> {
    let mut runner = RowStep::open(context, step, record).await?;
    let resumed = record.filter(|record| record.state != "rolled back");
    runner.same_files(resumed)?;
    let before = match resumed {
        Some(record) => record.before_rows,
        None => Some(runner.start(position).await?),
    };
    runner.announce(resumed, before).await?;
    tune::defer(context, step, &runner.table, runner.target.as_mut()).await?;
    runner.run_chunks().await?;
    runner.finish(before).await
}

/// Works on the open chunks of a step that another process conducts, until none is left.
pub async fn help(context: &StepContext, step: &Step, record: &StepRecord) -> Result<()> {
    let mut runner = RowStep::open(context, step, Some(record)).await?;
    runner.same_files(Some(record))?;
    runner.announce(Some(record), record.before_rows).await?;
    runner.run_chunks().await
}

struct RowStep<'a> {
    context: &'a StepContext,
    step: &'a Step,
    bound: Option<Bound>,
    workers: u32,
    source: Box<dyn Session>,
    target: Box<dyn Session>,
    route: String,
    into: String,
    rows: SourceRows,
    table: crate::sql::Table,
    /// The source's columns when the step began.
    began: Shape,
}

impl<'a> RowStep<'a> {
    async fn open(
        context: &'a StepContext,
        step: &'a Step,
        record: Option<&StepRecord>,
    ) -> Result<RowStep<'a>> {
        let label = format!("{}/{}", context.plan.name, step.name);
        let mut source = context.source.session(Access::Read, &label).await?;
        let mut target = context.target.session(Access::Write, &label).await?;
        let (joint, attached) = Ends::relation(&context.source, &context.target);
        let began = record.filter(|record| record.state != "rolled back").and_then(marks_of);
        let began = began.map(|marks| marks.source).filter(|shape| !shape.is_empty());
        let mut ends = Ends {
            source: source.as_mut(),
            target: target.as_mut(),
            joint,
            attached,
            began: began.clone(),
        };
        let bound = bind::step(&context.plan, step, &mut ends).await.map_err(first)?;
        for trigger in &bound.fires {
            context.emitter.emit(What::Warning {
                step: Some(step.name.clone()),
                message: format!(
                    "the trigger or rule `{trigger}` on {} fires for every row written",
                    bound.job.target.name
                ),
            });
        }
        let asked = context.workers.unwrap_or(step.options.workers);
        // SQLite has one writer, and files are one list.
        let workers = if context.target.flavor() == Flavor::Sqlite || bound.files.is_some() {
            1
        } else {
            asked
        };
        Ok(RowStep {
            route: bound.choice.to_string(),
            into: bound.job.target.name.sql(target.dialect()),
            rows: bound.job.source.clone(),
            table: bound.job.target.clone(),
            began: began.unwrap_or_else(|| bound.job.marks.source.clone()),
            context,
            step,
            bound: Some(bound),
            workers,
            source,
            target,
        })
    }

    fn bound(&self) -> Result<&Bound> {
        self.bound.as_ref().ok_or_else(|| Error::stop("the step is already running"))
    }

    /// The files are those that the step began with, in whichever process.
    fn same_files(&self, record: Option<&StepRecord>) -> Result<()> {
        let began = record.map(seed::marks_of).unwrap_or_default();
        if began.is_empty() {
            return Ok(());
        }
        seed::unchanged(&began, &self.bound()?.job.marks.files)
    }

    /// Cuts the step, compares the counts that are expected at the start, and writes step and
    /// chunks into the ledger in one transaction.
    async fn start(&mut self, position: usize) -> Result<u64> {
        let cut = self.cut().await?;
        let before = count(self.target.as_mut(), &self.into).await?;
        let expect = self.step.expect.clone();
        self.expected("before", expect.before, before)?;
        self.expected("source", expect.source, cut.size.rows)?;
        let files = self.bound()?.job.marks.files.len() as u64;
        self.expected("files", expect.files, files)?;
        let record = StepRecord {
            step: self.step.name.clone(),
            kind: self.step.kind.name().to_owned(),
            checksum: self.step.checksum.clone(),
            spec: format!("{:?}", self.step.kind),
            state: "running".to_owned(),
            route: self.route.clone(),
            target_table: self.step.kind.target_table().map(str::to_owned),
            columns: serde_json::to_string(&self.bound()?.job.marks).ok(),
            source_rows: Some(cut.size.rows),
            source_rows_after: None,
            before_rows: Some(before),
            after_rows: None,
        };
        let ledger = &self.context.ledger;
        let session = self.target.as_mut();
        session.begin().await?;
        ledger.guard(session).await?;
        ledger.start_step(session, position, &record).await?;
        ledger.store_chunks(session, &self.step.name, &cut.chunks).await?;
        session.commit().await?;
        crate::fail::point("chunks_stored");
        Ok(before)
    }

    async fn cut(&mut self) -> Result<Cut> {
        let bound = self.bound.as_ref().ok_or_else(|| Error::stop("the step is running"))?;
        if let Some(files) = &bound.files {
            return Ok(Cut {
                size: Size { rows: files.count(), exact: true },
                chunks: vec![(ChunkKind::Range, files.range())],
            });
        }
        let is_update = matches!(self.step.kind, StepKind::Update(_));
        let session = if is_update { self.target.as_mut() } else { self.source.as_mut() };
        if let Some(snapshot) = self.context.snapshot.as_ref().filter(|_| !is_update) {
            // The cut is of the moment that the readers will see.
            engine::read_ahead::join_snapshot(session, snapshot).await?;
        }
        let (workers, batch_rows) = (self.workers, self.step.options.batch_rows);
        let exact = self.step.expect.source.is_some() || is_update;
        let cut = cut(session, &bound.job.source, workers, batch_rows, exact).await?;
        session.rollback().await;
        Ok(cut)
    }

    /// Compares one count with the plan's; differing ones are events and exit code 3.
    fn expected(&self, what: &str, expected: Option<u64>, actual: u64) -> Result<()> {
        let Some(expected) = expected.filter(|expected| *expected != actual) else {
            return Ok(());
        };
        let table = match (what, &self.step.kind) {
            ("source" | "files", StepKind::Copy(_)) => self.bound()?.job.source.name.clone(),
            _ => self.table.name.name.clone(),
        };
        Err(count_differs(self.context, self.step, &table, what, expected, actual))
    }

    async fn announce(&mut self, resumed: Option<&StepRecord>, before: Option<u64>) -> Result<()> {
        let ledger = &self.context.ledger;
        let totals = ledger.totals(self.target.as_mut(), &self.step.name).await?;
        let records = ledger.steps(self.target.as_mut()).await?;
        let record = records.iter().find(|record| record.step == self.step.name).or(resumed);
        self.context.emitter.emit(What::StepStarted {
            step: self.step.name.clone(),
            kind: self.step.kind.name().to_owned(),
            route: self.route.clone(),
            source_rows: record.and_then(|record| record.source_rows),
            done_rows: totals.read,
            before,
        });
        Ok(())
    }

    async fn run_chunks(&mut self) -> Result<()> {
        let context = self.context;
        let Some(bound) = self.bound.take() else {
            return Ok(());
        };
        let rejects = context.ledger.reject_count(self.target.as_mut(), &self.step.name).await?;
        // An update reads what it writes.
        let source = match self.step.kind {
            StepKind::Update(_) => Arc::clone(&context.target),
            _ => Arc::clone(&context.source),
        };
        let shared = Arc::new(Shared {
            size: engine::limit::Size::new(&bound.job.options),
            job: bound.job,
            choice: bound.choice,
            source,
            moved_flavor: context.source.flavor(),
            target: Arc::clone(&context.target),
            files: bound.files,
            ledger: context.ledger.clone(),
            throttle: Arc::clone(&context.throttle),
            emitter: context.emitter.clone(),
            snapshot: context.snapshot.clone(),
            stop: context.stop.child_token(),
            rejects: AtomicU64::new(rejects),
            room: engine::read_ahead::Room::of(self.workers),
            readers: Mutex::default(),
        });
        shared.add_rejects(0)?;
        engine::run(shared, self.workers).await
    }

    /// Counts everything again, with new sessions, and closes the step when all of it holds.
    async fn finish(&mut self, before: Option<u64>) -> Result<StepFigures> {
        let context = self.context;
        let label = format!("{}/{}/count", context.plan.name, self.step.name);
        self.source = context.source.session(Access::Read, &label).await?;
        self.target = context.target.session(Access::Write, &label).await?;
        let (done, chunks) =
            context.ledger.chunk_counts(self.target.as_mut(), &self.step.name).await?;
        if done != chunks {
            return Err(Error::stop(format!("{} of {chunks} chunks are not done", chunks - done))
                .hint("Run again: the open chunks are taken up."));
        }
        self.no_new_columns().await?;
        tune::put_back(context, self.target.as_mut(), Some(&self.step.name)).await?;
        tune::analyze(context, self.step, &self.table, &mut self.target).await?;
        if self.step.options.advance_sequences {
            self.target.advance_sequences(&self.table).await?;
        }
        let totals = context.ledger.totals(self.target.as_mut(), &self.step.name).await?;
        let is_copy = matches!(self.step.kind, StepKind::Copy(_));
        let is_copy_of_files = self.step.kind.name() == "copy" && !is_copy;
        let exact = self.step.expect.source.is_some();
        let source_after = async {
            match is_copy {
                true => size(self.source.as_mut(), &self.rows, exact).await.map(Some),
                false => Ok(None),
            }
        };
        let (after, source_after) =
            tokio::try_join!(count(self.target.as_mut(), &self.into), source_after)?;
        let estimated = source_after.is_some_and(|size| !size.exact);
        let handled = totals.inserted + totals.updated + totals.skipped + totals.rejected;
        // Other processes count theirs by themselves.
        engine::rejects_allowed(&self.step.name, totals.rejected, self.step.options.max_rejects)?;
        self.holds("conservation", totals.read, handled)?;
        if let Some(before) = before.filter(|_| !self.step.options.allow_inserts) {
            let inserted = before + totals.inserted;
            self.holds("conservation", inserted, after)?;
        }
        let Expect { source, after: expected_after, changed, .. } = self.step.expect.clone();
        self.holds_if("source", source, totals.read)?;
        self.holds_if("after", expected_after, after)?;
        self.holds_if("changed", changed, totals.updated)?;
        let session = self.target.as_mut();
        session.begin().await?;
        context.ledger.guard(session).await?;
        context
            .ledger
            .set_step(
                session,
                &self.step.name,
                "done",
                Some(after),
                match is_copy_of_files {
                    // A file that changed would have ended the step.
                    true => Some(totals.read),
                    false => source_after.filter(|size| size.exact).map(|size| size.rows),
                },
            )
            .await?;
        if estimated {
            context.ledger.set_source_rows(session, &self.step.name, totals.read).await?;
        }
        session.commit().await?;
        if let (Ok(mut counted), Some(table)) =
            (context.counted.lock(), self.step.kind.target_table())
        {
            *counted = Some((table.to_owned(), after));
        }
        crate::fail::point("step_done");
        let records = context.ledger.steps(session).await?;
        let record = records.iter().find(|record| record.step == self.step.name);
        let record = record.ok_or_else(|| Error::stop("the step is gone from the ledger"))?;
        let figures = context.ledger.figures(session, record).await?;
        context.emitter.emit(What::StepFinished(figures.clone()));
        Ok(figures)
    }

    /// A column that came while rows were read is in none of them.
    async fn no_new_columns(&mut self) -> Result<()> {
        let (StepKind::Copy(copy), Some(name)) = (&self.step.kind, &self.rows.table) else {
            return Ok(());
        };
        if self.step.options.new_columns != NewColumns::Stop || !takes_all(copy.columns.as_ref()) {
            return Ok(());
        }
        let now = self.source.table(name).await?.map(|table| table.columns).unwrap_or_default();
        let new: Vec<String> =
            new_columns(&self.began, &now).into_iter().map(str::to_owned).collect();
        if new.is_empty() { Ok(()) } else { Err(came(&new).in_table(&name.to_string())) }
    }

    fn holds_if(&self, what: &str, expected: Option<u64>, actual: u64) -> Result<()> {
        expected.map_or(Ok(()), |expected| self.holds(what, expected, actual))
    }

    fn holds(&self, what: &str, expected: u64, actual: u64) -> Result<()> {
        if expected == actual {
            return Ok(());
        }
        let table = self.table.name.name.clone();
        Err(count_differs(self.context, self.step, &table, what, expected, actual))
    }
}

/// The event and the error of a count that differs: the table and both numbers.
pub fn count_differs(
    context: &StepContext,
    step: &Step,
    table: &str,
    what: &str,
    expected: u64,
    actual: u64,
) -> Error {
    context.emitter.emit(What::ExpectationFailed {
        step: step.name.clone(),
        table: table.to_owned(),
        what: what.to_owned(),
        expected,
        actual,
    });
    let message = match what {
        "conservation" => format!("{expected} rows should be there, {actual} are"),
        what => format!("expected {what} = {expected}, found {actual}"),
    };
    Error::differs(message)
        .in_step(&step.name)
        .in_table(table)
        .at_line(&context.plan.file.display().to_string(), step.line)
        .hint(match what {
            "conservation" => {
                "Others write to the table meanwhile, or a trigger does. If that is meant, say \
                 allow_inserts = true in the step."
            }
            _ => {
                "Correct the plan's `expect` if the database is right; otherwise find out who \
                  changed the table."
            }
        })
}

/// What the ledger knows of a step's rows.
fn marks_of(record: &StepRecord) -> Option<Marks> {
    record.columns.as_deref().and_then(|json| serde_json::from_str(json).ok())
}

/// The first of several errors; the others follow in its message.
pub fn first(errors: Vec<Error>) -> Error {
    let more = errors.len().saturating_sub(1);
    let mut errors = errors.into_iter();
    let mut error = errors.next().unwrap_or_else(|| Error::stop("no reason was given"));
    if more > 0 {
        let others: Vec<String> = errors.map(|other| other.to_string()).collect();
        error.message = format!("{}; and: {}", error.message, others.join("; "));
    }
    error
}
