//! `report`: the facts of a run, out of the ledger and the plan. Looks only, and at the target
//! only; what people see of it is made in [`crate::report`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::{chronicle, start};
use crate::db::{Access, Database, Session};
use crate::error::{Error, Result};
use crate::event::{StepFigures, StepProof};
use crate::ledger::timeline::Entry;
use crate::ledger::{Ledger, Run};
use crate::plan::{Plan, Step, When};
use crate::report::{
    CheckLine, ContentLine, Expectation, FORMAT, Note, Pace, PlanFacts, Point, ProtectedLine,
    RejectReason, RejectedRow, Rejects, Report, RunFacts, Span, StepLine, TableLine,
};
use crate::verify::{checks, protect};

/// Points of a plot, at most.
const POINTS: f64 = 240.0;
/// Reasons of rejects, and rejected rows, that are listed.
const REASONS: usize = 50;
const ROWS: usize = 50;
/// Seconds between two spans that are one.
const NEXT: f64 = 2.0;
/// Spans of waits, and of retries, that are listed; the longest ones.
const SPANS: usize = 500;

/// The facts of the plan's newest run.
pub async fn report(plan: &Plan, patience: Duration) -> Result<Report> {
    let target = open(plan, patience)?;
    let label = format!("{}/report", plan.name);
    let mut session = target.session(Access::Look, &label).await?;
    let session = session.as_mut();
    let never = || {
        Error::invalid(format!("the plan `{}` has never run on this target", plan.name))
            .hint("There is nothing to report yet; begin with `tablelift run`.")
    };
    if !Ledger::exists(session).await? {
        return Err(never());
    }
    let mut ledger = start::ledger_of(plan, &target, Duration::ZERO);
    let held = ledger.is_held(session, target.lock(&plan.name).await?.is_some()).await?;
    let run = ledger.newest_run(session).await?.ok_or_else(never)?;
    ledger.run.clone_from(&run.id);
    let entries = ledger.entries(session).await?;
    let mut report = Report { format: FORMAT, ..Report::default() };
    report.run = facts(&ledger, session, run, held, &entries).await?;
    report.plan = plan_facts(plan, &ledger, session, &entries).await?;
    report.steps = steps(plan, &ledger, session).await?;
    let taken_back = report.run.state == "rolled back";
    report.tables = tables(plan, &ledger, session, &report.steps, taken_back, &entries).await?;
    report.checks = check_lines(plan, &entries);
    report.protected = protected_lines(plan, &report.tables, &entries);
    report.content = content(plan, &entries);
    report.expectations = expectations(&report.run, &entries);
    report.rejects = rejects(&ledger, session).await?;
    report.pace = pace(&ledger, session, &entries).await?;
    report.waits = spans(&report.pace, &entries, "waits", "signal");
    report.retries = spans(&report.pace, &entries, "retries", "class");
    report.warnings = notes(&entries, |entry, body| {
        (entry == "warning").then(|| match body["step"].as_str() {
            Some(step) => format!("step {step}: {}", string(&body["message"])),
            None => string(&body["message"]),
        })
    });
    report.history = notes(&entries, history);
    report.judge();
    Ok(report)
}

/// The last comparison of each step's rows.
fn content(plan: &Plan, entries: &[Entry]) -> Vec<ContentLine> {
    let all: Vec<(String, StepProof)> = named(entries, "step_verified")
        .filter_map(|(entry, body)| Some((entry.at.clone(), serde_json::from_value(body).ok()?)))
        .collect();
    let last = |step: &Step| {
        let found = all.iter().rev().find(|(_, proof)| proof.step == step.name)?;
        Some(ContentLine { at: found.0.clone(), proof: found.1.clone() })
    };
    plan.steps.iter().filter_map(last).filter(|line| !line.proof.how.is_empty()).collect()
}

fn open(plan: &Plan, patience: Duration) -> Result<Arc<Database>> {
    let file = plan.file.display().to_string();
    let target = Database::open(&plan.target, &plan.dir, patience);
    target.map(Arc::new).map_err(|error| error.at_line(&file, plan.target.line))
}

fn string(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

/// Entries of one name, with their bodies, oldest first.
fn named<'a>(entries: &'a [Entry], name: &'a str) -> impl Iterator<Item = (&'a Entry, Json)> {
    let body = |entry: &'a Entry| Some((entry, serde_json::from_str(&entry.body).ok()?));
    entries.iter().filter(move |entry| entry.event == name).filter_map(body)
}

async fn facts(
    ledger: &Ledger,
    session: &mut dyn Session,
    run: Run,
    held: bool,
    entries: &[Entry],
) -> Result<RunFacts> {
    let (_, tool_version, now) = ledger.origin(session).await?;
    let ended = run.finished_at.clone();
    let last = named(entries, "run_finished").last().map(|(_, body)| body);
    let hint = last.as_ref().and_then(|body| body["hint"].as_str()).map(str::to_owned);
    let waits_for = match held && ledger.can_be_steered(session).await? {
        true => ledger.said(session).await?.into_iter().find_map(|said| said.reason),
        false => None,
    };
    let state = match run.state.as_str() {
        // A process that was killed could not write down that it stopped.
        "running" if !held => "interrupted".to_owned(),
        other => other.to_owned(),
    };
    // Of a run that stands still, the page is the same whenever it is made.
    let as_of = match (&ended, state.as_str()) {
        (Some(_), _) => None,
        (None, "running" | "rolling back") => Some(now),
        (None, _) => entries.last().map(|entry| entry.at.clone()),
    };
    let until = ended.as_ref().or(as_of.as_ref());
    let seconds = until.map_or(0.0, |until| epoch(until) - epoch(&run.started_at)).max(0.0);
    let stands = matches!(state.as_str(), "stopped" | "failed" | "differs");
    Ok(RunFacts {
        id: run.id,
        state,
        started_at: run.started_at,
        finished_at: ended,
        as_of,
        seconds: (seconds * 1000.0).round() / 1000.0,
        source: run.source,
        target: run.target,
        tool_version,
        error: run.error,
        hint: hint.filter(|_| stands),
        waits_for,
    })
}

/// Seconds since 1970; 0 for what is no time.
fn epoch(at: &str) -> f64 {
    at.parse::<Timestamp>().map_or(0.0, |at| at.as_microsecond() as f64 / 1e6)
}

async fn plan_facts(
    plan: &Plan,
    ledger: &Ledger,
    session: &mut dyn Session,
    entries: &[Entry],
) -> Result<PlanFacts> {
    let ran = named(entries, "plan").last().map(|(_, body)| body);
    let (began_with, ..) = ledger.origin(session).await?;
    let checksum = ran.as_ref().map_or(began_with, |body| string(&body["checksum"]));
    Ok(PlanFacts {
        name: plan.name.clone(),
        description: plan.description.clone(),
        changed_since: checksum != chronicle::checksum(plan),
        checksum,
        text: ran.and_then(|body| body["text"].as_str().map(str::to_owned)),
    })
}

/// Steps of the plan, and those of the ledger that the plan does not have any more.
async fn steps(plan: &Plan, ledger: &Ledger, session: &mut dyn Session) -> Result<Vec<StepLine>> {
    let pending = |step: &Step| StepLine {
        figures: StepFigures {
            step: step.name.clone(),
            kind: step.kind.name().to_owned(),
            ..StepFigures::default()
        },
        state: "pending".to_owned(),
        table: step.kind.target_table().map(str::to_owned),
        ..StepLine::default()
    };
    let mut out: Vec<StepLine> = plan.steps.iter().map(pending).collect();
    let times = ledger.step_times(session).await?;
    for record in ledger.steps(session).await? {
        let (_, started_at, finished_at) =
            times.iter().find(|(step, ..)| *step == record.step).cloned().unwrap_or_default();
        let line = StepLine {
            figures: ledger.figures(session, &record).await?,
            state: record.state,
            table: record.target_table,
            expected_rows: record.source_rows,
            started_at,
            finished_at,
        };
        match out.iter_mut().find(|step| step.figures.step == record.step) {
            Some(slot) => *slot = line,
            None => out.push(line),
        }
    }
    Ok(out)
}

/// Every table that the plan protects or writes: the baseline's count, the last count there is,
/// and what the plan expects of both.
async fn tables(
    plan: &Plan,
    ledger: &Ledger,
    session: &mut dyn Session,
    steps: &[StepLine],
    taken_back: bool,
    entries: &[Entry],
) -> Result<Vec<TableLine>> {
    let counted = named(entries, "tables_counted").last().map(|(_, body)| body);
    let counted = counted.as_ref().and_then(|body| body["tables"].as_array());
    let mut out = Vec::new();
    for (table, before, protected) in protect::baseline_tables(session, ledger).await? {
        let writers: Vec<&StepLine> =
            steps.iter().filter(|step| step.table.as_ref() == Some(&table)).collect();
        let planned = |of: fn(&Step) -> Option<u64>| {
            let all = writers.iter().filter_map(|step| plan.step(&step.figures.step));
            all.filter_map(of).collect::<Vec<u64>>()
        };
        let keeps = plan.protect.iter().find(|one| one.table == table);
        let rows = keeps.and_then(|one| one.rows);
        // Steps that only update leave as many rows as there were.
        let is_fixed = keeps.is_some_and(|one| !one.allow_inserts);
        let last = counted.into_iter().flatten().find(|one| one["table"] == table.as_str());
        let open = writers.iter().any(|step| step.state != "done");
        let left = writers.iter().filter_map(|step| step.figures.after).next_back();
        let new = |step: &&&StepLine| step.figures.copied.saturating_sub(step.figures.updated);
        let brings =
            |step: &&&StepLine| step.figures.kind != "update" && step.state != "rolled back";
        let so_far: u64 = writers.iter().filter(brings).map(|step| new(&step)).sum();
        let counted = last.and_then(|one| one["after"].as_u64());
        let after = match open && !taken_back {
            true => before.map(|before| before + so_far),
            false => counted.or(left),
        };
        out.push(TableLine {
            expected_before: planned(|step| step.expect.before).first().copied().or(rows),
            expected_after: planned(|step| step.expect.after)
                .last()
                .copied()
                .or(rows.filter(|_| is_fixed)),
            after,
            steps: writers.iter().map(|step| step.figures.step.clone()).collect(),
            table,
            before,
            protected,
            open,
        });
    }
    Ok(out)
}

fn check_lines(plan: &Plan, entries: &[Entry]) -> Vec<CheckLine> {
    let results: Vec<Json> = named(entries, "check_finished").map(|(_, body)| body).collect();
    let mut out = Vec::new();
    for check in &plan.checks {
        let whens = [(check.when.before(), When::Before), (check.when.after(), When::After)];
        for (_, when) in whens.into_iter().filter(|(runs, _)| *runs) {
            let when = checks::word(when);
            let found = results
                .iter()
                .rfind(|one| one["check"] == check.name.as_str() && one["when"] == when);
            let mut line = CheckLine {
                check: check.name.clone(),
                when: when.to_owned(),
                expected: checks::expected(&check.expected),
                warn_over: check.warn_over.map(|limit| limit.as_secs_f64()),
                fail_over: check.fail_over.map(|limit| limit.as_secs_f64()),
                ..CheckLine::default()
            };
            if let Some(found) = found {
                line.ok = found["ok"].as_bool();
                line.expected = string(&found["expected"]);
                line.actual = string(&found["actual"]);
                line.slow = found["slow"].as_bool().unwrap_or(false);
                line.seconds = found["seconds"].as_f64();
            }
            out.push(line);
        }
    }
    out
}

fn protected_lines(plan: &Plan, tables: &[TableLine], entries: &[Entry]) -> Vec<ProtectedLine> {
    let results: Vec<Json> = named(entries, "protect_finished").map(|(_, body)| body).collect();
    let line = |one: &crate::plan::Protect| {
        let found = results.iter().rfind(|found| found["table"] == one.table.as_str());
        let differences = found.and_then(|found| found["differences"].as_array());
        let difference = |one: &Json| (string(&one["kind"]), string(&one["key"]));
        ProtectedLine {
            table: one.table.clone(),
            ok: found.and_then(|found| found["ok"].as_bool()),
            before: tables.iter().find(|line| line.table == one.table).and_then(|line| line.before),
            rows: found.and_then(|found| found["rows"].as_u64()),
            except: one.except.clone(),
            allow_inserts: one.allow_inserts,
            difference_count: found.and_then(|one| one["difference_count"].as_u64()).unwrap_or(0),
            differences: differences.into_iter().flatten().map(difference).collect(),
        }
    };
    plan.protect.iter().map(line).collect()
}

/// Numbers that were wrong, the newest of each; of a run that is done they hold by now.
fn expectations(run: &RunFacts, entries: &[Entry]) -> Vec<Expectation> {
    let mut out: Vec<Expectation> = Vec::new();
    for (_, body) in named(entries, "expectation_failed").filter(|_| run.state != "done") {
        let one = Expectation {
            step: string(&body["step"]),
            table: string(&body["table"]),
            what: string(&body["what"]),
            expected: body["expected"].as_u64().unwrap_or(0),
            actual: body["actual"].as_u64().unwrap_or(0),
        };
        out.retain(|old| (&old.step, &old.what) != (&one.step, &one.what));
        out.push(one);
    }
    out
}

async fn rejects(ledger: &Ledger, session: &mut dyn Session) -> Result<Rejects> {
    let (count, first) = ledger.rejected(session, ROWS).await?;
    let groups = match count {
        0 => Vec::new(),
        _ => ledger.reject_groups(session, REASONS).await?,
    };
    let reason = |(step, column, reason, count)| RejectReason { step, column, reason, count };
    let row = |(step, key, column, reason)| RejectedRow { step, key, column, reason };
    Ok(Rejects {
        count,
        reasons: groups.into_iter().map(reason).collect(),
        first: first.into_iter().map(row).collect(),
    })
}

async fn pace(ledger: &Ledger, session: &mut dyn Session, entries: &[Entry]) -> Result<Pace> {
    let Some(extent) = ledger.extent(session).await? else { return Ok(Pace::default()) };
    let seconds = (extent.to - extent.from).max(0.001);
    // Wide enough for two batches a stretch, or the plot shows nothing but when they ended.
    let many = (extent.batches as f64 / 2.0).clamp(1.0, POINTS);
    let step = round_up(seconds / many);
    let stretches = ledger.stretches(session, extent.from, step).await?;
    let resumed = entries.iter().filter(|entry| entry.event == "run_resumed");
    let resumed = resumed.map(|entry| epoch(&entry.at) - extent.from);
    let from = Timestamp::from_microsecond((extent.from * 1e6) as i64).ok();
    Ok(Pace {
        from: from.map(|at| at.to_string()),
        seconds,
        step,
        batches: extent.batches,
        bytes: extent.bytes,
        points: stretches
            .into_iter()
            .map(|one| Point {
                number: one.number,
                rows: one.rows,
                bytes: one.bytes,
                batches: one.batches,
                p50: one.p50,
                p95: one.p95,
                most: one.most,
            })
            .collect(),
        resumed: resumed.filter(|at| (0.0..=seconds).contains(at)).collect(),
    })
}

/// The next round number of seconds.
fn round_up(seconds: f64) -> f64 {
    let unit = 10f64.powf(seconds.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * unit >= seconds);
    (step.unwrap_or(10.0) * unit).max(0.001)
}

/// Spans of waits or retries. They say how long before they were written they began and ended.
fn spans(pace: &Pace, entries: &[Entry], name: &str, kind: &str) -> Vec<Span> {
    let begun = pace.from.as_deref().map_or(0.0, epoch);
    let span = |(entry, body): (&Entry, Json)| {
        let ago = |key: &str| {
            let at = epoch(&entry.at) - body[key].as_f64().unwrap_or(0.0) - begun;
            (at * 1000.0).round() / 1000.0
        };
        Span {
            step: string(&body["step"]),
            name: string(&body[kind]),
            reason: string(&body["reason"]),
            from: ago("began_ago"),
            to: ago("ended_ago"),
            seconds: body["seconds"].as_f64().unwrap_or(0.0),
            times: body["times"].as_u64().unwrap_or(0),
        }
    };
    let mut all: Vec<Span> = Vec::new();
    for one in named(entries, name).map(span) {
        let goes_on = |old: &Span| {
            (&old.step, &old.name) == (&one.step, &one.name) && one.from - old.to < NEXT
        };
        match all.iter_mut().rfind(|old| goes_on(old)) {
            Some(old) => {
                old.from = old.from.min(one.from);
                old.to = old.to.max(one.to);
                old.seconds += one.seconds;
                old.times += one.times;
                old.reason = one.reason;
            }
            None => all.push(one),
        }
    }
    if all.len() > SPANS {
        all.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        all.truncate(SPANS);
    }
    all.sort_by(|a, b| a.from.total_cmp(&b.from));
    all
}

fn notes(entries: &[Entry], say: impl Fn(&str, &Json) -> Option<String>) -> Vec<Note> {
    let note = |entry: &Entry| {
        let body = serde_json::from_str(&entry.body).unwrap_or_default();
        Some(Note { at: entry.at.clone(), text: say(&entry.event, &body)? })
    };
    entries.iter().filter_map(note).collect()
}

/// What stands in the history, in words.
fn history(event: &str, body: &Json) -> Option<String> {
    let asked = |key: &str, word: &str| match &body[key] {
        Json::Null => None,
        value => Some(format!("{word} {value}")),
    };
    Some(match event {
        "run_started" => "the run began".to_owned(),
        "run_resumed" => "a process went on with it".to_owned(),
        "run_ended" => format!("a process ended: {}", string(&body["state"])),
        "rolled_back" => format!("rolled back; {} rows were left alone", string(&body["kept"])),
        "throttled" => format!("held back: {}", string(&body["reason"])),
        "throttle_ended" => {
            format!("went on after {} s: {}", string(&body["seconds"]), string(&body["reason"]))
        }
        "throttle_changed" => {
            let asked = [
                asked("paused", "paused"),
                asked("rows_per_second", "rows_per_second"),
                asked("batch_rows", "batch_rows"),
            ];
            let asked: Vec<String> = asked.into_iter().flatten().collect();
            format!("{} asked for: {}", string(&body["by"]), asked.join(", "))
        }
        _ => return None,
    })
}
