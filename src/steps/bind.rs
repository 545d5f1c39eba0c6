//! Binds a step to both catalogs: a [`Job`], or everything that keeps it from being one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::keys::{conflict_key, key, key_follows};
use super::rules::{ScopeParts, bind_mapping, sql_types};
use super::seed;
use super::shape::{Shape, settle, shape};
use crate::db::files::Listing;
use crate::db::{Database, Session};
use crate::engine::choose::{Choice, Ways, choose};
use crate::error::{Error, Result};
use crate::job::{Job, Locate, Marks, SourceRows};
use crate::mapping::{BoundMapping, Finding, Rule, each_rule};
use crate::plan::{
    Consistency, Copy, CopySource, OnConflict, Plan, Seed, Step, StepKind, Triggers, Update,
};
use crate::sql::{Column, Table, TableName};

/// A bound step.
pub struct Bound {
    /// The job.
    pub job: Job,
    /// Route and reason.
    pub choice: Choice,
    /// Rows that come from files or the plan.
    pub files: Option<Arc<Listing>>,
    /// What a person should know.
    pub warnings: Vec<Finding>,
    /// Triggers and rules of the target that fire for each row.
    pub fires: Vec<String>,
}

/// Both ends, while binding.
pub struct Ends<'a> {
    /// A session on the source.
    pub source: &'a mut dyn Session,
    /// A session on the target.
    pub target: &'a mut dyn Session,
    /// One statement can reach both.
    pub joint: bool,
    /// They are two SQLite files, joined by ATTACH.
    pub attached: bool,
    /// The source's columns when the step began, if it has begun.
    pub began: Option<Shape>,
}

impl Ends<'_> {
    /// How the two databases lie to each other: (joint, attached).
    pub fn relation(source: &Database, target: &Database) -> (bool, bool) {
        match (source, target) {
            (Database::Sqlite(one), Database::Sqlite(two)) => (true, !one.same_as(two)),
            (Database::Postgres(one), Database::Postgres(two)) => (one.same_as(two), false),
            (Database::Mysql(one), Database::Mysql(two)) => (one.same_as(two), false),
            _ => (false, false),
        }
    }
}

/// Binds a `copy`, `seed` or `update`. Findings come together, in one error per finding.
pub async fn step(plan: &Plan, step: &Step, ends: &mut Ends<'_>) -> Result<Bound, Vec<Error>> {
    let bound = match &step.kind {
        StepKind::Copy(copy) => bind_copy(plan, step, copy, ends).await,
        StepKind::Seed(seed) => bind_seed(plan, step, seed, ends).await,
        StepKind::Update(update) => bind_update(plan, step, update, ends).await,
        StepKind::Sql(_) => Err(vec![Error::invalid("a sql step has no rows")]),
    };
    let bound = match bound {
        Ok(bound) => triggers(bound, ends.target).await,
        findings => findings,
    };
    let file = plan.file.display().to_string();
    bound.map_err(|errors| {
        errors
            .into_iter()
            .map(|mut error| {
                if error.class == crate::error::Class::Stop && error.code.is_none() {
                    error.kind = crate::error::Kind::Invalid;
                }
                error.in_step(&step.name).at_line(&file, step.line)
            })
            .collect()
    })
}

/// What becomes of the target's triggers, as the step says.
async fn triggers(mut bound: Bound, target: &mut dyn Session) -> Findings<Bound> {
    let job = &mut bound.job;
    let names = target.triggers(&job.target).await.map_err(one)?;
    if names.is_empty() {
        return Ok(bound);
    }
    let list = names.join("`, `");
    let table = job.target.name.to_string();
    let why = match job.options.triggers {
        Triggers::Fire => {
            job.counts_both = true;
            bound.warnings.push(Finding {
                column: None,
                message: format!(
                    "the trigger or rule `{list}` on {table} fires for every row written"
                ),
                help: None,
            });
            bound.fires = names;
            return Ok(bound);
        }
        Triggers::Skip => match target.trigger_switch(&job.target).await.map_err(one)? {
            Some(switch) => {
                job.triggers = Some(switch);
                return Ok(bound);
            }
            None => "this database can't switch it off for one transaction",
        },
        Triggers::Refuse => "the step says triggers = \"refuse\"",
    };
    Err(vec![
        Error::invalid(format!("{table} has the trigger or rule `{list}`: {why}"))
            .in_table(&table)
            .hint("Drop it, or let it fire: triggers = \"fire\"."),
    ])
}

/// A value, or everything that keeps it from being one.
pub(super) type Findings<T> = Result<T, Vec<Error>>;

/// One finding.
pub(super) fn one(error: Error) -> Vec<Error> {
    vec![error]
}

pub(super) async fn find(session: &mut dyn Session, name: &str, end: &str) -> Findings<Table> {
    let found = session.table(&TableName::bare(name)).await.map_err(one)?;
    found.ok_or_else(|| {
        one(Error::invalid(format!("there is no table `{name}` in the {end}"))
            .in_table(name)
            .hint("Check the name and the schema; names are matched exactly."))
    })
}

async fn bind_copy(plan: &Plan, step: &Step, copy: &Copy, ends: &mut Ends<'_>) -> Findings<Bound> {
    let target = find(ends.target, &copy.into, "target").await?;
    let (from, joint_from, columns, source_table) = match &copy.from {
        CopySource::Table(name) => {
            let table = find(ends.source, name, "source").await?;
            let from = format!("{} s", table.name.sql(ends.source.dialect()));
            let joint = if ends.attached {
                format!(
                    "{} s",
                    TableName::within("source", table.name.name.clone()).sql(ends.source.dialect())
                )
            } else {
                from.clone()
            };
            (from, joint, table.columns.clone(), Some(table))
        }
        CopySource::Tables { .. } => {
            return Err(one(Error::stop("a pattern is not one table")));
        }
        CopySource::Query(query) => {
            let query = query.trim().trim_end_matches(';');
            let from = format!("({query}) s");
            let select = format!("SELECT * FROM {from}");
            let columns = ends.source.describe(&select).await.map_err(one)?;
            (from.clone(), from, columns, None)
        }
    };
    let name = match &copy.from {
        CopySource::Table(name) => name.clone(),
        CopySource::Tables { .. } | CopySource::Query(_) => "copy_query".to_owned(),
    };
    let mut source = SourceRows {
        from,
        joint_from,
        filter: filter(copy, &*ends.source),
        key: None,
        table: source_table.as_ref().map(|table| table.name.clone()),
        name,
    };
    let shape = shape(&columns);
    let columns = match &ends.began {
        Some(began) => settle(began, columns, copy.columns.as_ref(), step.options.new_columns)?,
        None => columns,
    };
    source.key =
        key(ends.source, &source, &columns, source_table.as_ref(), copy.key.as_deref()).await?;
    let types = sql_types(ends.source, &source.from, copy.columns.as_ref()).await?;
    let scope = ScopeParts { columns, types, is_files: false, name: source.name.clone() };
    let mapping = bind_mapping(plan, step, copy.columns.as_ref(), &scope, &target, ends).await?;
    let is_query = source_table.is_none();
    let mut bound = finish(plan, step, source, target, mapping, ends, is_query)?;
    bound.job.marks.source = shape;
    Ok(bound)
}

/// The step's own condition; a second pass passes over the rows that need none.
fn filter(copy: &Copy, source: &dyn Session) -> Option<String> {
    let rule_of = |column: &String| match &copy.columns {
        None => Some(column.clone()),
        Some(mapping) => mapping.columns.iter().find_map(|(name, rule)| match rule {
            Rule::Column(from) if name == column => Some(from.clone()),
            _ => None,
        }),
    };
    let from: Option<Vec<String>> = copy.only_with.iter().map(rule_of).collect();
    let Some(from) = from.filter(|from| !from.is_empty()) else {
        return copy.filter.clone();
    };
    let dialect = source.dialect();
    let some: Vec<String> = from
        .iter()
        .map(|name| format!("{}.{} IS NOT NULL", dialect.quote("s"), dialect.quote(name)))
        .collect();
    let some = format!("({})", some.join(" OR "));
    Some(match &copy.filter {
        Some(filter) => format!("({filter}) AND {some}"),
        None => some,
    })
}

async fn bind_seed(plan: &Plan, step: &Step, seed: &Seed, ends: &mut Ends<'_>) -> Findings<Bound> {
    let target = find(ends.target, &seed.into, "target").await?;
    let rows = seed::load(seed, &plan.dir).map_err(one)?;
    let name = step.kind.name().to_owned();
    let scope = ScopeParts {
        columns: seed::columns(&rows),
        types: BTreeMap::new(),
        is_files: true,
        name: name.clone(),
    };
    let mapping = bind_mapping(plan, step, seed.columns.as_ref(), &scope, &target, ends).await?;
    let source = SourceRows {
        from: String::new(),
        joint_from: String::new(),
        filter: None,
        key: None,
        table: None,
        name,
    };
    let mut bound = finish(plan, step, source, target, mapping, ends, false)?;
    bound.choice = Choice::Decode("rows come from files or the plan".to_owned());
    bound.job.marks.files = rows.marks();
    bound.files = Some(rows);
    Ok(bound)
}

async fn bind_update(
    plan: &Plan,
    step: &Step,
    update: &Update,
    ends: &mut Ends<'_>,
) -> Findings<Bound> {
    let target = find(ends.target, &update.table, "target").await?;
    let from = format!("{} s", target.name.sql(ends.target.dialect()));
    let mut source = SourceRows {
        from: from.clone(),
        joint_from: from,
        filter: update.filter.clone(),
        key: None,
        table: Some(target.name.clone()),
        name: update.table.clone(),
    };
    source.key =
        key(ends.target, &source, &target.columns, Some(&target), update.key.as_deref()).await?;
    let Some(row_key) = source.key.clone() else {
        return Err(one(Error::invalid("the table has no key to update by")
            .in_table(&update.table)
            .hint("Name a unique key with `key = …`.")));
    };
    let types = sql_types(ends.target, &source.from, Some(&update.set)).await?;
    let scope = ScopeParts {
        columns: target.columns.clone(),
        types,
        is_files: false,
        name: update.table.clone(),
    };
    let mapping = bind_mapping(plan, step, Some(&update.set), &scope, &target, ends).await?;
    let mut bound = finish(plan, step, source, target, mapping, ends, false)?;
    bound.choice = Choice::Update;
    bound.job.marks.key = row_key.names();
    bound.job.marks.locate = Locate::Range;
    bound.job.record_moved = false;
    Ok(bound)
}

fn finish(
    plan: &Plan,
    step: &Step,
    source: SourceRows,
    target: Table,
    mapping: BoundMapping,
    ends: &Ends<'_>,
    is_query: bool,
) -> Findings<Bound> {
    let flavor = ends.target.dialect().flavor();
    let written: Vec<Column> =
        mapping.columns.iter().filter_map(|bound| target.column(&bound.name).cloned()).collect();
    let key = conflict_key(step, &target, &written)?;
    let locate = if key.is_empty() {
        Locate::Scan
    } else if key_follows(&source, &mapping, &target, &key) {
        Locate::Range
    } else {
        Locate::Moved
    };
    let asked_for = plan.steps.iter().any(|other| asks_for(other, &step.name));
    if asked_for && key.len() != 1 {
        return Err(one(Error::invalid("`moved` needs a primary key of one column")
            .in_table(&target.name.to_string())));
    }
    let marks = Marks {
        written: written.iter().map(|column| column.name.clone()).collect(),
        digest: target.column_names().map(str::to_owned).collect(),
        key,
        locate,
        source: Vec::new(),
        files: Vec::new(),
    };
    let warnings = mapping.warnings.clone();
    let job = Job {
        step: step.name.clone(),
        options: step.options.clone(),
        record_moved: asked_for || locate == Locate::Moved,
        triggers: None,
        counts_both: step.options.on_conflict != OnConflict::Fail,
        source,
        target,
        written,
        marks,
        mapping,
    };
    let forbidden = if plan.throttle.bytes_per_second.is_some() {
        Some("bytes_per_second counts the bytes of each row")
    } else if step.options.batch_bytes.is_some() {
        Some("batch_bytes counts the bytes of each row")
    } else if plan.source.consistency == Consistency::Snapshot {
        Some("every batch reads the run's snapshot")
    } else {
        None
    };
    let ways = Ways {
        source: ends.source.dialect().flavor(),
        target: flavor,
        joint: ends.joint,
        attached: ends.attached,
        is_query,
    };
    let choice = choose(&job, ways, forbidden);
    Ok(Bound { job, choice, files: None, warnings, fires: Vec::new() })
}

/// Whether a step has a rule that asks for keys that `name` gave.
fn asks_for(step: &Step, name: &str) -> bool {
    let mut asks = false;
    for (_, rule) in step.kind.mapping().iter().flat_map(|mapping| &mapping.columns) {
        each_rule(rule, &mut |rule| {
            asks |= matches!(rule, Rule::Moved { step, .. } if step == name);
        });
    }
    asks
}
