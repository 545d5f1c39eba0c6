//! `tablelift init`: looks at both databases, drafts a plan, and checks it until what stands
//! there would run. Changes nothing.

mod survey;
mod url;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::db::Database;
use crate::draft::snapshot::{Snapshot, snapshot};
use crate::draft::{Draft, draft, write};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener};
use crate::plan::resolve::{LoadOptions, Loaded, PlanError, parse};
use crate::plan::{Consistency, Endpoint};

use super::{Finding, Level, Runner, Settings};

/// How long a silent session lives; as `--lease` has it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Variables that stand for URLs which hold a password.
const SOURCE: &str = "SOURCE_URL";
const TARGET: &str = "TARGET_URL";

/// What `init` is asked for.
pub struct Wish<'a> {
    /// URL of the source; a SQLite path is absolute, or starts at the current folder.
    pub source: &'a str,
    /// URL of the target.
    pub target: &'a str,
    /// Where the plan will stand; paths in it are written from there.
    pub plan: &'a Path,
    /// Patterns of source tables, such as `dh_*`; empty: all tables.
    pub tables: &'a [String],
    /// Count rows, and look for MySQL's dates with zeros.
    pub counts: bool,
}

/// What `init` gives.
pub struct Drafted {
    /// The decisions.
    pub draft: Draft,
    /// The plan.
    pub text: String,
    /// What `check` says of it.
    pub findings: Vec<Finding>,
    /// Variables that the plan asks for: URLs that hold a password.
    pub variables: Vec<&'static str>,
    /// Both catalogs.
    pub snapshot: Snapshot,
}

/// Drafts a plan. Steps that `check` refuses are commented out, with the reason.
///
/// # Errors
/// A database that can't be reached, or a pattern that fits no table: nothing is drafted.
pub async fn init(wish: &Wish<'_>) -> Result<Drafted> {
    let source = open(wish.source, "source")?;
    let target = open(wish.target, "target")?;
    let picked = survey::patterns(wish.tables)?;
    let seen = survey::both(&source, &target, wish, &picked).await.map_err(refused)?;
    let (source, target) = (&seen.source, &seen.target);
    let is_picked = |name: &str| picked.iter().any(|pattern| pattern.matches(name));
    if !picked.is_empty() && !source.tables.iter().any(|one| is_picked(&one.table.name.name)) {
        return Err(Error::invalid("--tables fits no table of the source")
            .hint("Quote the pattern, so that the shell leaves it alone: --tables 'dh_*'."));
    }
    let picked: Option<&dyn Fn(&str) -> bool> =
        if picked.is_empty() { None } else { Some(&is_picked) };
    let mut draft = draft(source, target, picked, wish.counts);
    loop {
        let text = write(&draft, source, target);
        let findings = check(&text, wish).await?;
        // Each turn takes a step out, so this ends.
        if !take_out(&mut draft, &findings) {
            let secrets = [(SOURCE, source.secret), (TARGET, target.secret)];
            let variables =
                secrets.into_iter().filter(|(_, secret)| *secret).map(|(name, _)| name).collect();
            let snapshot = snapshot(source, target);
            return Ok(Drafted { draft, text, findings, variables, snapshot });
        }
    }
}

/// Comments out the steps that a check refuses; whether there were any.
fn take_out(draft: &mut Draft, findings: &[Finding]) -> bool {
    let mut changed = false;
    for step in draft.steps.iter_mut().filter(|step| step.is_active()) {
        let subject = format!("step {}", step.name);
        let refusals =
            findings.iter().filter(|one| one.level == Level::Error && one.subject == subject);
        let reasons: Vec<String> =
            refusals.map(|one| format!("check says: {}", one.message)).collect();
        changed |= !reasons.is_empty();
        step.inactive.extend(reasons);
    }
    changed
}

fn open(url: &str, end: &str) -> Result<Database> {
    let known = ["postgres://", "postgresql://", "mysql://", "mariadb://", "sqlite:"];
    if !known.iter().any(|scheme| url.starts_with(scheme)) {
        return Err(Error::invalid(format!("the {end}'s url has an unknown scheme"))
            .hint("Write postgres://…, mysql://… or sqlite:PATH."));
    }
    let endpoint =
        Endpoint { url: url.to_owned(), schema: None, consistency: Consistency::Batch, line: 0 };
    Database::open(&endpoint, Path::new(""), PATIENCE)
}

/// A database that says no before anything was written: exit code 2.
fn refused(mut error: Error) -> Error {
    error.kind = Kind::Invalid;
    error
}

/// What `tablelift check` says of the text, as if it stood at the plan's place.
async fn check(text: &str, wish: &Wish<'_>) -> Result<Vec<Finding>> {
    let options = LoadOptions {
        vars: &|_| None,
        source: Some(wish.source.to_owned()),
        target: Some(wish.target.to_owned()),
    };
    match parse(text.to_owned(), wish.plan, &options) {
        Ok(Loaded { plan, .. }) => {
            Runner::new(plan, Settings::new(Arc::new(Silent))).check().await.map_err(refused)
        }
        Err(error) => Ok(said(&error)),
    }
}

/// What is wrong with the text itself.
fn said(error: &PlanError) -> Vec<Finding> {
    let finding = |one: &crate::plan::Diagnostic| Finding {
        level: Level::Error,
        subject: "plan".to_owned(),
        message: one.message.clone(),
        help: one.help.clone(),
        line: one.span.map(|span| span.line_and_column(&error.text).0),
        differs: false,
    };
    error.diagnostics.iter().map(finding).collect()
}

/// A check has no events.
struct Silent;

impl Listener for Silent {
    fn event(&self, _event: &Event) {}
}
