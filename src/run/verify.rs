//! `tablelift verify`: the closing proof once more, and every copied row's content.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::finish;
use super::start::Started;
use super::{Outcome, Runner, start};
use crate::db::{Access, Session};
use crate::engine::choose::Choice;
use crate::engine::chunker::cut;
use crate::engine::limit::Size;
use crate::engine::read_ahead::Room;
use crate::engine::{Shared, retry::interrupted};
use crate::error::{Error, Result};
use crate::event::{NotCompared, StepProof, What};
use crate::job::{Job, Marks};
use crate::key::{Key, KeyRange};
use crate::ledger::chunks::ChunkKind;
use crate::ledger::history::{StepRecord, Totals};
use crate::ledger::verified::Verified;
use crate::plan::{OnConflict, Plan, Step, StepKind};
use crate::sql::Flavor;
use crate::steps::bind::{self, Bound, Ends};
use crate::steps::{StepContext, rows};
use crate::verify::content::found::{Class, Difference, Tally};
use crate::verify::content::rebuild::Rebuild;
use crate::verify::content::terms::{self, Facts, How, Terms};
use crate::verify::content::{Comparison, Side};

/// What `verify` is asked for, beside the runner's settings.
#[derive(Debug, Clone)]
pub struct Verify {
    /// Compare every copied row by content.
    pub content: bool,
    /// Compare this part of the rows only, above 0 and below 1.
    pub sample: Option<f64>,
    /// How often a row that differs is read again before it is said.
    pub recheck: u32,
    /// Make the source's rows again from the target's, and compare those too.
    pub rebuild: bool,
    /// Copy rows again that are missing or differ.
    pub repair: bool,
}

impl Default for Verify {
    fn default() -> Verify {
        Verify { content: true, sample: None, recheck: 2, rebuild: false, repair: false }
    }
}

/// A step's figures with its first differences, as the ledger keeps them.
#[derive(Serialize, Deserialize)]
struct Kept {
    proof: StepProof,
    listed: Vec<Difference>,
    key: Vec<String>,
}

/// Pieces that a sampled table is cut into at most, and rows of a piece at least.
const PIECES: u32 = 250;
const PIECE_ROWS: u32 = 200;

/// Runs the command.
pub async fn verify(runner: &Runner, wanted: &Verify) -> Result<Outcome> {
    let begun = Instant::now();
    let mut started = match wanted.content {
        true => start::take(runner, "verify").await?,
        false => start::look_on(runner).await?,
    };
    let result = proven(runner, &mut started, wanted).await;
    runner.outcome(&mut started, result, begun).await
}

async fn proven(runner: &Runner, started: &mut Started, wanted: &Verify) -> Result<u8> {
    let only = runner.settings.step.as_deref();
    let mut ok = true;
    if only.is_none() {
        ok &= finish::prove(runner, started).await? == 0;
    }
    if wanted.content {
        ok &= content(runner, started, wanted).await?;
    }
    let left = finish::unfinished(started).await?;
    ok &= !left.iter().any(|name| Plan::selects(only, name));
    Ok(if ok { 0 } else { 3 })
}

/// Compares every step's rows; whether all of them are as they should be.
async fn content(runner: &Runner, started: &Started, wanted: &Verify) -> Result<bool> {
    let Started { context, records, .. } = started;
    start::unchanged(&runner.plan, records)?;
    let only = runner.settings.step.as_deref();
    let (ledger, label) = (&context.ledger, format!("{}/verify", runner.plan.name));
    let mut session = context.target.session(Access::Write, &label).await?;
    let options = format!(
        "step {:?}, sample {:?}, rebuild {}, repair {}",
        only, wanted.sample, wanted.rebuild, wanted.repair
    );
    ledger.begin_verify(session.as_mut(), &options).await?;
    let mut ok = true;
    let mut owned: BTreeMap<String, u64> = BTreeMap::new();
    for step in runner.plan.steps.iter().filter(|step| Plan::selects(only, &step.name)) {
        if context.stop.is_cancelled() {
            return Err(interrupted());
        }
        let kept = match ledger.verified_step(session.as_mut(), &step.name).await? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|_| Error::stop("the ledger holds marks of verify that can't be read"))?,
            None => {
                let one = OneStep { context, records, step, wanted, owned: &owned };
                let kept = one.compare().await.map_err(|error| error.in_step(&step.name))?;
                let text = serde_json::to_string(&kept).map_err(|error| {
                    Error::stop(format!("what was found can't be kept: {error}"))
                })?;
                ledger.finish_verified(session.as_mut(), &step.name, &text).await?;
                crate::fail::point("step_verified");
                kept
            }
        };
        *owned.entry(kept.proof.table.clone()).or_default() += kept.proof.compared;
        ok &= kept.proof.ok;
        say(context, kept)?;
    }
    ledger.end_verify(session.as_mut(), if ok { "done" } else { "differs" }).await?;
    Ok(ok)
}

/// Emits what a step's comparison has shown.
fn say(context: &StepContext, kept: Kept) -> Result<()> {
    for difference in &kept.listed {
        let key = match &difference.key {
            Some(key) => Key::from_ledger(key)?.to_event(&kept.key),
            None => serde_json::Value::Null,
        };
        context.emitter.emit(What::RowDiffers {
            step: kept.proof.step.clone(),
            table: kept.proof.table.clone(),
            class: difference.class.name(),
            key,
            columns: difference.columns.clone(),
        });
    }
    context.emitter.emit(What::StepVerified(kept.proof));
    Ok(())
}

/// One step, and all that is known of the others.
struct OneStep<'a> {
    context: &'a StepContext,
    records: &'a [StepRecord],
    step: &'a Step,
    wanted: &'a Verify,
    /// Rows of each table that the steps before this one were found to have written.
    owned: &'a BTreeMap<String, u64>,
}

impl OneStep<'_> {
    async fn compare(&self) -> Result<Kept> {
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
        let columns = terms::columns(&job, &terms);
        let comparison = Comparison {
            side: Side::new(&job.target, &job.marks.key, &columns, flavor),
            recheck: self.wanted.recheck,
            repair: self.wanted.repair && !is_update,
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
                room: Room::of(self.workers()),
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

    /// Rows of the target that no step wrote, where reading by ranges did not name them.
    async fn others(
        &self,
        comparison: &Comparison,
        record: &StepRecord,
        totals: &Totals,
        tally: &mut Tally,
        kept: &mut Kept,
    ) -> Result<()> {
        let terms = &comparison.terms;
        let is_update = matches!(self.step.kind, StepKind::Update(_));
        let ranged = matches!(terms.how, How::Joined(_) | How::Ranges);
        if is_update || ranged && terms.names_extra || terms.how == How::Sums {
            return Ok(());
        }
        let table = record.target_table.clone();
        let writers: Vec<&StepRecord> = self
            .records
            .iter()
            .filter(|other| {
                other.target_table == table
                    && other.kind != "update"
                    && other.state != "rolled back"
            })
            .collect();
        if writers.last().is_some_and(|last| last.step != record.step) {
            // The last step that writes into the table looks at all of it.
            return Ok(());
        }
        let meets = writers.iter().any(|other| {
            let step = self.context.plan.step(&other.step);
            step.is_some_and(|step| step.options.on_conflict != OnConflict::Fail)
        });
        let grows = writers.iter().any(|other| {
            self.context.plan.step(&other.step).is_some_and(|step| step.options.allow_inserts)
        });
        let before = writers.first().and_then(|first| first.before_rows).unwrap_or(0);
        let only = self.context.plan.steps.len() > 1 && writers.len() > 1 && self.owned.is_empty();
        let because = if self.wanted.sample.is_some() {
            Some("only a sample was asked for")
        } else if grows {
            Some("allow_inserts = true: others may write to the table")
        } else if meets && writers.len() > 1 {
            Some("several steps write the same rows of the table")
        } else if only {
            Some("other steps write to the table, and only this one was asked for")
        } else {
            None
        };
        if let Some(because) = because {
            kept.proof.not_compared.push(NotCompared {
                what: format!("extra rows of {}", kept.proof.table),
                because: because.to_owned(),
            });
            return Ok(());
        }
        let stays = before.saturating_sub(totals.updated + totals.skipped);
        let earlier = self.owned.get(&kept.proof.table).copied().unwrap_or(0);
        let now = comparison.count_target().await?;
        let extra = now.saturating_sub(earlier + tally.matched + tally.repaired + stays);
        if before > 0 {
            kept.proof.not_compared.push(NotCompared {
                what: format!("{stays} rows of {} that were there before", kept.proof.table),
                because:
                    "no step wrote them; they are counted, and extra ones can't be told from them"
                        .to_owned(),
            });
        }
        match before {
            0 if writers.len() == 1 => comparison.name_extra(extra, tally).await,
            _ => {
                (0..extra).for_each(|_| {
                    tally.add(Difference { class: Class::Extra, key: None, columns: Vec::new() });
                });
                Ok(())
            }
        }
    }

    /// The figures, when all is known.
    fn sum_up(&self, totals: &Totals, mut tally: Tally, kept: &mut Kept) {
        let proof = &mut kept.proof;
        if self.step.options.on_conflict == OnConflict::Skip
            && tally.different > 0
            && tally.different <= totals.skipped
        {
            proof.skipped = tally.different;
            tally.different = 0;
            tally.listed.retain(|one| one.class != Class::Different);
            proof.not_compared.push(NotCompared {
                what: format!("content of {} rows that were there before", proof.skipped),
                because: "on_conflict = \"skip\" left them as they were".to_owned(),
            });
        }
        proof.rows = tally.rows;
        proof.compared = tally.matched;
        proof.missing = tally.missing;
        proof.extra = tally.extra;
        proof.different = tally.different;
        proof.rejected = tally.rejected;
        proof.repaired = tally.repaired;
        proof.ok = proof.missing + proof.extra + proof.different == proof.repaired;
        let is_update = matches!(self.step.kind, StepKind::Update(_));
        let wrote = totals.inserted + totals.updated;
        if is_update && proof.rows < totals.read {
            proof.not_compared.push(NotCompared {
                what: format!("{} of {} rows", totals.read - proof.rows, totals.read),
                because: "`where` doesn't select them any more".to_owned(),
            });
        } else if self.wanted.sample.is_none() && proof.rows == 0 && wrote > 0 {
            // Nothing compared is never a pass.
            proof.ok = false;
            proof.not_compared.push(NotCompared {
                what: format!("all {wrote} rows"),
                because: "the source has none of them any more".to_owned(),
            });
        }
        kept.listed = tally.listed;
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
