//! Looks at both databases before anything is touched: every step is bound, every count that
//! is known at the start compared. Schema steps run inside a transaction that is rolled back,
//! so that later steps are bound to tables which do not exist yet.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::db::indexes::{self, Secondary};
use crate::db::{Access, Database, Session, count, count_table};
use crate::engine::chunker::{Size, size};
use crate::error::{Error, Kind, Result};
use crate::plan::{Plan, Step, StepKind};
use crate::sql::{Table, TableName};
use crate::steps::bind::{self, Bound, Ends};
use crate::steps::sql::statements;
use crate::steps::tune;

use super::order::{self, Written};
use super::{Finding, Level};

/// Both databases of a plan.
pub struct Databases {
    /// Where rows come from.
    pub source: Arc<Database>,
    /// Where rows go.
    pub target: Arc<Database>,
}

impl Databases {
    /// Understands both URLs.
    pub fn open(plan: &Plan, patience: Duration) -> Result<Databases> {
        let file = plan.file.display().to_string();
        let source = Database::open(&plan.source, &plan.dir, patience)
            .map_err(|error| error.at_line(&file, plan.source.line))?;
        let target = Database::open(&plan.target, &plan.dir, patience)
            .map_err(|error| error.at_line(&file, plan.target.line))?;
        Ok(Databases { source: Arc::new(source), target: Arc::new(target) })
    }
}

/// What preflight knows after it has looked at everything.
#[derive(Default)]
pub struct Report {
    /// Findings, in plan order.
    pub findings: Vec<Finding>,
    /// Steps that could be bound, with the count of their target table if it is known.
    pub bound: Vec<(usize, Bound, Option<u64>, Option<u64>)>,
    /// What the `tune` of steps would do.
    pub tuned: BTreeMap<usize, Vec<String>>,
}

impl Report {
    /// The first error, with all others in its message; `None`: the run may start.
    pub fn error(&self, plan: &Plan) -> Option<Error> {
        let errors: Vec<&Finding> =
            self.findings.iter().filter(|finding| finding.level == Level::Error).collect();
        let first = errors.first()?;
        let lines: Vec<String> = errors
            .iter()
            .map(|finding| format!("{}: {}", finding.subject, finding.message))
            .collect();
        let mut error = Error::invalid(lines.join("\n  "));
        if errors.iter().all(|finding| finding.differs) {
            error.kind = Kind::Differs;
        }
        error.hint = first.help.clone();
        if let Some(line) = first.line {
            error = error.at_line(&plan.file.display().to_string(), line);
        }
        Some(error)
    }

    fn add(&mut self, level: Level, subject: &str, message: String, line: Option<usize>) {
        self.findings.push(Finding {
            level,
            subject: subject.to_owned(),
            message,
            help: None,
            line,
            differs: false,
        });
    }

    fn add_error(&mut self, subject: &str, error: &Error, line: Option<usize>) {
        let mut place = (*error.place).clone();
        place.plan = None;
        place.step = None;
        let place = place.to_string();
        let code = error.code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
        let message = if place.is_empty() {
            format!("{}{code}", error.message)
        } else {
            format!("{place}: {}{code}", error.message)
        };
        self.findings.push(Finding {
            level: Level::Error,
            subject: subject.to_owned(),
            message,
            help: error.hint.clone(),
            line,
            differs: error.kind == Kind::Differs,
        });
    }

    fn differs(&mut self, subject: &str, message: String, line: usize) {
        self.findings.push(Finding {
            level: Level::Error,
            subject: subject.to_owned(),
            message,
            help: Some(
                "Correct the plan's number if the database is right; otherwise find out who \
                 changed the table."
                    .to_owned(),
            ),
            line: Some(line),
            differs: true,
        });
    }
}

/// Looks at everything the plan's steps from `skip` on need. `Err`: a database can't be reached.
pub async fn look(plan: &Plan, databases: &Databases, skip: &HashSet<String>) -> Result<Report> {
    let label = format!("{}/check", plan.name);
    let mut source = databases.source.session(Access::Read, &label).await.map_err(refused)?;
    let mut target = databases.target.session(Access::Look, &label).await.map_err(refused)?;
    let mut report = Report::default();
    report.add(Level::Ok, "source", format!("connected to {}", databases.source.display()), None);
    report.add(Level::Ok, "target", format!("connected to {}", databases.target.display()), None);
    protected(plan, target.as_mut(), &mut report, skip.is_empty()).await;
    if let Err(error) = target.begin().await {
        report.add_error("target", &error, None);
        return Ok(report);
    }
    let (joint, attached) = Ends::relation(&databases.source, &databases.target);
    let mut unsettled = Unsettled::default();
    let mut written = Vec::new();
    let dialect = databases.target.flavor().dialect();
    for (position, step) in plan.steps.iter().enumerate() {
        if skip.contains(&step.name) {
            // It may be half done: what it leaves in its table is known only when it ends.
            unsettled.add_table(target.as_mut(), step.kind.target_table()).await;
            continue;
        }
        let subject = format!("step {}", step.name);
        if let StepKind::Sql(sql) = &step.kind {
            if dialect.ddl_commits() || !sql.transaction || !is_schema_only(&sql.sql) {
                // It may write to any table, or make it.
                unsettled.everything = true;
                report.add(Level::Ok, &subject, "sql: not tried here".to_owned(), Some(step.line));
                continue;
            }
            match target.script(&sql.sql).await {
                Ok(()) => report.add(Level::Ok, &subject, "sql: runs".to_owned(), Some(step.line)),
                Err(error) => {
                    report.add_error(&subject, &error, Some(step.line));
                    // PostgreSQL's transaction is over; what follows can't be judged.
                    break;
                }
            }
            continue;
        }
        let mut ends =
            Ends { source: source.as_mut(), target: target.as_mut(), joint, attached, began: None };
        match bind::step(plan, step, &mut ends).await {
            Err(errors) if dialect.ddl_commits() && unsettled.everything => {
                for error in errors {
                    let message = format!("not looked at before an earlier sql step ran: {error}");
                    report.add(Level::Warning, &subject, message, Some(step.line));
                }
            }
            Err(errors) => {
                let broken = errors.iter().any(|error| error.code.is_some());
                for error in &errors {
                    report.add_error(&subject, error, Some(step.line));
                }
                if broken {
                    break;
                }
            }
            Ok(bound) => {
                match ends.target.details(&bound.job.target, false).await {
                    Ok(found) => written.push(Written::new(step, &bound.job, found.foreign_keys)),
                    Err(error) => report.add_error(&subject, &error, Some(step.line)),
                }
                counts(plan, position, bound, &mut ends, &mut unsettled, &mut report).await;
            }
        }
    }
    target.rollback().await;
    report.findings.extend(order::warnings(&written));
    Ok(report)
}

/// Tables whose counts steps before the one at hand still change: comparing them with `expect`
/// now would refuse a plan that is right. The step compares them itself when it starts.
#[derive(Default)]
struct Unsettled {
    /// Quoted names.
    tables: HashSet<String>,
    /// SQL that was not tried may have changed anything.
    everything: bool,
}

impl Unsettled {
    async fn add_table(&mut self, target: &mut dyn Session, name: Option<&str>) {
        let Some(name) = name else { return };
        if let Ok(Some(table)) = target.table(&TableName::bare(name)).await {
            self.tables.insert(table.name.sql(target.dialect()));
        }
    }

    fn has(&self, table: &str) -> bool {
        self.everything || self.tables.contains(table)
    }

    /// Whether a FROM item reads such a table; a query of the plan may read any.
    fn reads(&self, from: &str) -> bool {
        match from.strip_suffix(" s") {
            Some(query) if query.starts_with('(') => self.everything || !self.tables.is_empty(),
            Some(table) => self.has(table),
            None => false,
        }
    }
}

/// A database that says no before the run began: exit code 2.
pub fn refused(mut error: Error) -> Error {
    error.kind = Kind::Invalid;
    error
}

async fn counts(
    plan: &Plan,
    position: usize,
    bound: Bound,
    ends: &mut Ends<'_>,
    unsettled: &mut Unsettled,
    report: &mut Report,
) {
    let step = &plan.steps[position];
    let subject = format!("step {}", step.name);
    for warning in &bound.warnings {
        let column = warning.column.as_ref().map(|name| format!("column {name}: "));
        let message = format!("{}{}", column.unwrap_or_default(), warning.message);
        report.add(Level::Warning, &subject, message, Some(step.line));
    }
    if let Err(error) = tuned(step, position, &bound.job.target, ends.target, report).await {
        report.add_error(&subject, &error, Some(step.line));
        return;
    }
    let rows = match (&bound.files, &step.kind) {
        (Some(files), _) => Ok(Size { rows: files.count(), exact: true }),
        (None, StepKind::Update(_)) => size(ends.target, &bound.job.source, true).await,
        (None, _) => {
            size(ends.source, &bound.job.source, plan.steps[position].expect.source.is_some()).await
        }
    };
    let into = bound.job.target.name.sql(ends.target.dialect());
    let before = count(ends.target, &into).await;
    let settled = !unsettled.has(&into);
    let source_settled = !ends.joint || ends.attached || !unsettled.reads(&bound.job.source.from);
    unsettled.tables.insert(into);
    let (size, before) = match (rows, before) {
        (Ok(size), Ok(before)) => (size, before),
        (Err(error), _) | (_, Err(error)) => {
            report.add_error(&subject, &error, Some(step.line));
            return;
        }
    };
    let rows = size.rows;
    let expect = &step.expect;
    let table = &bound.job.target.name.name;
    // What an update finds may depend on the steps before it.
    let is_update = matches!(step.kind, StepKind::Update(_));
    if let Some(expected) = expect.source.filter(|n| *n != rows && !is_update && source_settled) {
        let name = &bound.job.source.name;
        report.differs(
            &subject,
            format!("table {name}: expected source = {expected}, found {rows}"),
            step.line,
        );
    }
    if let Some(expected) = expect.before.filter(|expected| settled && *expected != before) {
        report.differs(
            &subject,
            format!("table {table}: expected before = {expected}, found {before}"),
            step.line,
        );
    }
    let files = bound.files.as_ref().map_or(0, |files| files.marks().len() as u64);
    if let Some(expected) = expect.files.filter(|expected| *expected != files) {
        report.differs(&subject, format!("expected files = {expected}, found {files}"), step.line);
    }
    report.add(
        Level::Ok,
        &subject,
        format!("{size} into {table} ({})", bound.choice),
        Some(step.line),
    );
    let before = settled.then_some(before);
    report.bound.push((position, bound, Some(rows), before));
}

/// What the step's `tune` would do to the target.
async fn tuned(
    step: &Step,
    position: usize,
    table: &Table,
    target: &mut dyn Session,
    report: &mut Report,
) -> Result<()> {
    let subject = format!("step {}", step.name);
    let mut lines = Vec::new();
    if step.options.tune.defer_indexes {
        let Secondary { go, stay } = indexes::secondary(target, table).await?;
        let names: Vec<String> = go.into_iter().map(|one| one.name).collect();
        lines.push(match names.as_slice() {
            [] => "has no index to drop and rebuild".to_owned(),
            names => format!("would drop and rebuild: {}", names.join(", ")),
        });
        for (index, reason) in stay {
            report.add(Level::Warning, &subject, tune::stays(&index, &reason), Some(step.line));
        }
    }
    if !step.options.tune.synchronous_commit {
        lines.push("batches would not wait for the disk (synchronous_commit = off)".to_owned());
    }
    for line in &lines {
        report.add(Level::Ok, &subject, line.clone(), Some(step.line));
    }
    report.tuned.insert(position, lines);
    Ok(())
}

async fn protected(plan: &Plan, target: &mut dyn Session, report: &mut Report, fresh: bool) {
    for protect in &plan.protect {
        let subject = format!("protect {}", protect.table);
        let table = match target.table(&TableName::bare(&protect.table)).await {
            Ok(Some(table)) => table,
            Ok(None) => {
                let error = Error::invalid("there is no such table in the target")
                    .hint("Check the name under [[protect]].");
                report.add_error(&subject, &error, Some(protect.line));
                continue;
            }
            Err(error) => {
                report.add_error(&subject, &error, Some(protect.line));
                continue;
            }
        };
        for column in protect.except.iter().filter(|name| table.column(name).is_none()) {
            let error = Error::invalid(format!("`except` names no column: `{column}`"));
            report.add_error(&subject, &error, Some(protect.line));
        }
        match count_table(target, &table.name).await {
            Err(error) => report.add_error(&subject, &error, Some(protect.line)),
            Ok(rows) => match protect.rows.filter(|expected| fresh && *expected != rows) {
                Some(expected) => report.differs(
                    &subject,
                    format!("expected rows = {expected}, found {rows}"),
                    protect.line,
                ),
                None => {
                    report.add(Level::Ok, &subject, format!("{rows} rows"), Some(protect.line));
                }
            },
        }
    }
}

/// Every statement begins with a word of schema change: safe and quick to try.
fn is_schema_only(sql: &str) -> bool {
    statements(sql).iter().all(|statement| {
        let word = statement.split_whitespace().next().unwrap_or_default();
        ["ALTER", "CREATE", "DROP", "COMMENT"].iter().any(|ddl| word.eq_ignore_ascii_case(ddl))
    })
}

#[cfg(test)]
mod tests {
    use super::is_schema_only;

    #[test]
    fn only_schema_changes_are_tried() {
        assert!(is_schema_only("-- add\nALTER TABLE t ADD c int; create index i on t (c);"));
        assert!(!is_schema_only("ALTER TABLE t ADD c int; UPDATE t SET c = 1"));
    }
}
