//! One step's comparison: bound again, cut, compared; what of it can't be.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::{Kept, Verify};
use crate::db::{Access, Session};
use crate::engine::Shared;
use crate::engine::choose::Choice;
use crate::engine::chunker::cut;
use crate::engine::limit::Size;
use crate::engine::read_ahead::Room;
use crate::error::Result;
use crate::event::{NotCompared, StepProof};
use crate::job::{Job, Marks};
use crate::key::KeyRange;
use crate::ledger::chunks::ChunkKind;
use crate::ledger::history::StepRecord;
use crate::ledger::verified::Verified;
use crate::plan::{OnConflict, Step, StepKind};
use crate::sql::Flavor;
use crate::steps::bind::{self, Bound, Ends};
use crate::steps::{StepContext, rows};
use crate::verify::content::rebuild::Rebuild;
use crate::verify::content::terms::{self, Facts, How, Terms};
use crate::verify::content::{Comparison, Side};

/// Pieces that a sampled table is cut into at most, and rows of a piece at least.
const PIECES: u32 = 250;
const PIECE_ROWS: u32 = 200;

/// One step, and all that is known of the others.
pub struct OneStep<'a> {
    /// What steps need.
    pub context: &'a StepContext,
    /// Steps of the run.
    pub records: &'a [StepRecord],
    /// The step.
    pub step: &'a Step,
    /// What is asked for.
    pub wanted: &'a Verify,
    /// Rows of each table that the steps before this one were found to have written.
    pub owned: &'a BTreeMap<String, u64>,
}

impl OneStep<'_> {
    /// Compares the step's rows.
    pub async fn compare(&self) -> Result<Kept> {
        let begun = Instant::now();
        let record = self.records.iter().find(|record| record.step == self.step.name);
        let record = match record {
            Some(record) if record.state == "done" => record,
            _ => return Ok(self.not_compared("it is not done".to_owned())),
        };
        if matches!(self.step.kind, StepKind::Sql(_)) {
            return Ok(self.not_compared("it runs SQL of the plan".to_owned()));
        }
        let label = format!("{}/{}/verify", self.context.plan.name, self.step.name);
        let mut target = self.context.target.session(Access::Write, &label).await?;
        let target = target.as_mut();
        let bound = self.bind(record, &label, target).await?;
        let totals = self.context.ledger.totals(target, &self.step.name).await?;
        let facts = self.facts(record, &bound, totals.rejected > 0);
        let mut terms = match terms::terms(&bound.job, &facts) {
            Ok(terms) if terms.how == How::Sums && totals.rejected > 0 => {
                let _ = terms;
                return Ok(self.not_compared("it has rejects, and its rows no key".to_owned()));
            }
            Ok(terms) => terms,
            Err(because) => return Ok(self.not_compared(because)),
        };
        for trigger in &bound.fires {
            terms.not_compared.push(NotCompared {
                what: format!("what the trigger or rule `{trigger}` changes"),
                because: "rows are compared with what was sent; it shows as a difference"
                    .to_owned(),
            });
        }
        let rejects = self.context.ledger.reject_count(target, &self.step.name).await?;
        let (comparison, chunks, later) =
            self.prepare(bound, terms, rejects > 0, target, &label).await?;
        let mut tally = comparison.chunks(chunks, self.workers()).await?;
        let comparison = &comparison;
        // What has changed meanwhile is equal at the second look.
        comparison.settle(&mut tally).await?;
        let mut kept = self.kept(comparison, later);
        self.others(comparison, record, &totals, &mut tally, &mut kept).await?;
        self.sum_up(&totals, tally, &mut kept);
        kept.proof.seconds = begun.elapsed().as_secs_f64();
        Ok(kept)
    }

    fn not_compared(&self, because: String) -> Kept {
        let proof = StepProof {
            step: self.step.name.clone(),
            table: self.step.kind.target_table().unwrap_or_default().to_owned(),
            ok: true,
            not_compared: vec![NotCompared { what: format!("step {}", self.step.name), because }],
            ..StepProof::default()
        };
        Kept { proof, listed: Vec::new(), key: Vec::new() }
    }

    fn workers(&self) -> u32 {
        match self.context.target.flavor() {
            Flavor::Sqlite => 1,
            _ => self.context.workers.unwrap_or(self.step.options.workers),
        }
    }

    async fn bind(
        &self,
        record: &StepRecord,
        label: &str,
        target: &mut dyn Session,
    ) -> Result<Bound> {
        let context = self.context;
        let mut source = context.source.session(Access::Read, label).await?;
        let (joint, attached) = Ends::relation(&context.source, &context.target);
        let began = marks_of(record).map(|marks| marks.source).filter(|shape| !shape.is_empty());
        let mut ends =
            Ends { source: source.as_mut(), target, joint, attached, began: began.clone() };
        let mut bound =
            bind::step(&context.plan, self.step, &mut ends).await.map_err(rows::first)?;
        if let Some(began) = began {
            bound.job.marks.source = began;
        }
        Ok(bound)
    }

    fn facts(&self, record: &StepRecord, bound: &Bound, has_rejects: bool) -> Facts {
        let flavors = (self.context.source.flavor(), self.context.target.flavor());
        let (joint, _) = Ends::relation(&self.context.source, &self.context.target);
        let is_update = matches!(self.step.kind, StepKind::Update(_));
        let writes = |other: &&StepRecord| {
            other.target_table == record.target_table
                && other.kind != "update"
                && other.state != "rolled back"
        };
        let after = self.records.iter().skip_while(|other| other.step != record.step).skip(1);
        let mut written_later = Vec::new();
        for other in after.filter(|other| {
            other.target_table == record.target_table && other.state != "rolled back"
        }) {
            let step = self.context.plan.step(&other.step);
            let updates = other.kind == "update"
                || step.is_some_and(|step| step.options.on_conflict == OnConflict::Update);
            let Some(marks) = marks_of(other).filter(|_| updates) else { continue };
            let names = marks.written.iter().filter(|name| !marks.key.contains(name));
            written_later.extend(names.map(|name| (name.clone(), other.step.clone())));
        }
        Facts {
            one_postgres: joint && flavors == (Flavor::Postgres, Flavor::Postgres),
            // One value that the rules refuse ends a statement for all of its rows.
            row_by_row: self.wanted.rebuild || has_rejects,
            is_update,
            has_files: bound.files.is_some(),
            written_later,
            owns_table: record.before_rows == Some(0)
                && self.records.iter().filter(writes).count() == 1
                && !self.step.options.allow_inserts,
        }
    }

    /// The comparison with its chunks: those of an interrupted verify, or new ones.
    async fn prepare(
        &self,
        bound: Bound,
        terms: Terms,
        has_rejects: bool,
        target: &mut dyn Session,
        label: &str,
    ) -> Result<(Arc<Comparison>, Vec<Verified>, u64)> {
        let context = self.context;
        let mut terms = terms;
        let flavor = context.target.flavor();
        let mut job = bound.job;
        let (highest, nulls) = context.ledger.cut_of(target, &self.step.name).await?;
        let is_update = matches!(self.step.kind, StepKind::Update(_));
        let reads = if is_update { &context.target } else { &context.source };
        let mut source = reads.session(Access::Read, label).await?;
        let later = match (&job.source.key, &highest, bound.files.is_some()) {
            (Some(key), Some(highest), false) => {
                let dialect = source.dialect();
                let above = KeyRange { after: Some(highest.clone()), upto: None };
                let above = key.within(dialect, "s", &above);
                let upto = KeyRange { after: None, upto: Some(highest.clone()) };
                let mut upto = key.within(dialect, "s", &upto);
                if let Some(null) = key.any_null(dialect, "s").filter(|_| nulls) {
                    upto = format!("({upto} OR {null})");
                }
                let later =
                    crate::db::count(source.as_mut(), &job.source.from_where(&[above])).await?;
                job.source.filter = Some(match &job.source.filter {
                    Some(filter) => format!("({filter}) AND {upto}"),
                    None => upto,
                });
                later
            }
            _ => 0,
        };
        let mut chunks = context.ledger.verified(target, &self.step.name).await?;
        if chunks.is_empty() {
            let planned = match &bound.files {
                Some(files) => vec![(ChunkKind::Range, files.range())],
                None => self.cut(source.as_mut(), &job, &terms).await?,
            };
            chunks = (0..)
                .zip(planned)
                .map(|(number, (kind, range))| new_chunk(number, kind, range))
                .collect();
            context.ledger.store_verified(target, &self.step.name, &chunks).await?;
        }
        let rebuild = match self.wanted.rebuild {
            true => {
                let (rebuild, lost) = Rebuild::new(&job, &terms, source.dialect().flavor());
                terms.not_compared.extend(lost);
                Some(rebuild)
            }
            false => None,
        };
        let mut columns = terms::columns(&job, &terms);
        if self.wanted.repair {
            // Those that are not compared are written again as they are.
            let others = job.written.iter().filter(|one| !columns.contains(one)).cloned();
            columns.extend(others.collect::<Vec<_>>());
        }
        let comparison = Comparison {
            side: Side::new(&job.target, &job.marks.key, &columns, flavor),
            recheck: self.wanted.recheck,
            repair: self.wanted.repair,
            rebuild,
            has_rejects,
            terms,
            shared: Arc::new(Shared {
                size: Size::new(&job.options),
                job,
                choice: Choice::Decode("rows are compared".to_owned()),
                source: Arc::clone(reads),
                moved_flavor: context.source.flavor(),
                target: Arc::clone(&context.target),
                files: bound.files,
                ledger: context.ledger.clone(),
                throttle: Arc::clone(&context.throttle),
                emitter: context.emitter.clone(),
                snapshot: None,
                stop: context.stop.child_token(),
                rejects: AtomicU64::new(0),
                // Of each row there is the target's too.
                room: Room::of(self.workers() * 2),
                readers: Mutex::default(),
            }),
        };
        Ok((Arc::new(comparison), chunks, later))
    }

    /// The ranges that are compared: all, or a sample of small ones.
    async fn cut(
        &self,
        source: &mut dyn Session,
        job: &Job,
        terms: &Terms,
    ) -> Result<Vec<(ChunkKind, KeyRange)>> {
        let (workers, rows) = match self.wanted.sample {
            Some(_) => (PIECES, PIECE_ROWS),
            None => (self.workers(), self.step.options.batch_rows),
        };
        let mut chunks = cut(source, &job.source, workers, rows, false).await?.chunks;
        if let Some(part) = self.wanted.sample {
            return Ok(sampled(chunks, part));
        }
        let ranged = matches!(terms.how, How::Joined(_) | How::Ranges);
        if ranged && terms.names_extra {
            // The source ends at the step's highest key by its own condition; what the target
            // has above is compared too.
            match chunks.last_mut() {
                Some((ChunkKind::Range, range)) => range.upto = None,
                _ => chunks.push((ChunkKind::Range, KeyRange::default())),
            }
        }
        Ok(chunks)
    }

    fn kept(&self, comparison: &Comparison, later: u64) -> Kept {
        let job = &comparison.shared.job;
        let key = match &job.source.key {
            Some(key) => key.names(),
            None => vec!["row".to_owned()],
        };
        let proof = StepProof {
            step: self.step.name.clone(),
            table: job.target.name.name.clone(),
            how: comparison.terms.how.name().to_owned(),
            later,
            sample: self.wanted.sample,
            rebuilt: comparison.rebuild.as_ref().map(Rebuild::names).unwrap_or_default(),
            not_compared: comparison.terms.not_compared.clone(),
            ..StepProof::default()
        };
        Kept { proof, listed: Vec::new(), key }
    }
}

fn new_chunk(number: i64, kind: ChunkKind, range: KeyRange) -> Verified {
    Verified { number, kind, range, pos: None, done: false, found: String::new() }
}

/// What the ledger knows of a step's rows.
fn marks_of(record: &StepRecord) -> Option<Marks> {
    record.columns.as_deref().and_then(|json| serde_json::from_str(json).ok())
}

/// Some of the chunks, by chance, that hold about this part of the rows.
fn sampled(chunks: Vec<(ChunkKind, KeyRange)>, part: f64) -> Vec<(ChunkKind, KeyRange)> {
    let all = chunks.len();
    let wanted = ((all as f64 * part).ceil() as usize).clamp(1.min(all), all);
    let mut chance = uuid::Uuid::now_v7().as_u128() as u64 | 1;
    let mut kept = Vec::with_capacity(wanted);
    for (at, chunk) in chunks.into_iter().enumerate() {
        // xorshift: each of the rest is taken with the same chance.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let (left, missing) = ((all - at) as u64, (wanted - kept.len()) as u64);
        if chance % left < missing {
            kept.push(chunk);
        }
    }
    kept
}
