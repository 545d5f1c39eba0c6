//! What the patterns of a plan stand for: asked of the catalogs once, then frozen in the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::preflight::{Databases, refused};
use super::start;
use crate::db::{Access, Session};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::plan::expand::{Expansion, Later, names_table, target_name};
use crate::plan::{Copy, CopySource, Plan, Step, StepKind};
use crate::sql::TableName;

/// The name under which the ledger's events keep it.
const EVENT: &str = "plan_expanded";

/// The plan as it runs, and what its patterns stand for, if it has any.
pub async fn expanded(plan: Plan, patience: Duration) -> Result<(Plan, Option<Expansion>)> {
    if !plan.needs_expansion() {
        return Ok((plan, None));
    }
    let databases = Databases::open(&plan, patience)?;
    let label = format!("{}/look", plan.name);
    let mut target = databases.target.session(Access::Look, &label).await.map_err(refused)?;
    let expansion = match frozen(&plan, &databases, target.as_mut()).await? {
        Some(expansion) => expansion,
        None => {
            let mut source =
                databases.source.session(Access::Read, &label).await.map_err(refused)?;
            Look { plan: &plan, keys: BTreeMap::new() }
                .ask(source.as_mut(), target.as_mut())
                .await?
        }
    };
    let file = plan.file.display().to_string();
    let expanded = plan.expanded(&expansion).map_err(|(line, message, help)| {
        let mut error = Error::invalid(message).at_line(&file, line);
        error.hint = help;
        error
    })?;
    Ok((expanded, Some(expansion)))
}

/// What the run in the ledger began with.
async fn frozen(
    plan: &Plan,
    databases: &Databases,
    target: &mut dyn Session,
) -> Result<Option<Expansion>> {
    let Some((run, _)) = start::existing(plan, databases).await? else {
        return Ok(None);
    };
    let mut ledger = start::ledger_of(plan, &databases.target, Duration::ZERO);
    ledger.run = run.id;
    let body = ledger.logged(target, EVENT).await?;
    Ok(body.and_then(|body| serde_json::from_str(&body).ok()))
}

/// Writes it down, inside the transaction that begins the run.
pub async fn freeze(
    ledger: &Ledger,
    session: &mut dyn Session,
    expansion: &Expansion,
) -> Result<()> {
    let body = serde_json::to_string(expansion)
        .map_err(|error| Error::stop(format!("the expansion can't be written down: {error}")))?;
    ledger.log(session, EVENT, &body).await
}

/// One step's rows go into this table.
#[derive(Clone)]
struct Writer {
    step: String,
    table: Option<TableName>,
}

/// A foreign key of a target table.
#[derive(Clone)]
struct Link {
    columns: Vec<String>,
    table: TableName,
    /// Each of its columns may be NULL.
    nullable: bool,
}

struct Look<'a> {
    plan: &'a Plan,
    /// Target table, as a plan names it → its name in the catalog and its foreign keys.
    keys: BTreeMap<String, (TableName, Vec<Link>)>,
}

impl Look<'_> {
    async fn ask(
        mut self,
        source: &mut dyn Session,
        target: &mut dyn Session,
    ) -> Result<Expansion> {
        let mut out = Expansion::default();
        let mut writers: Vec<Writer> = Vec::new();
        let mut later: Vec<(String, Vec<String>)> = Vec::new();
        for step in &self.plan.steps {
            let StepKind::Copy(copy) = &step.kind else {
                let table = match step.kind.target_table() {
                    Some(name) => self.look_at(target, name).await?,
                    None => None,
                };
                writers.push(Writer { step: step.name.clone(), table });
                continue;
            };
            let CopySource::Tables { .. } = &copy.from else {
                let table = self.look_at(target, &copy.into).await?;
                writers.push(Writer { step: step.name.clone(), table });
                if !copy.later.is_empty() {
                    later.push((step.name.clone(), copy.later.clone()));
                }
                continue;
            };
            let tables = self.matching(step, copy, source).await?;
            for table in &tables {
                self.look_at(target, &target_name(&copy.into, table)).await?;
            }
            let (tables, waiting) = self.in_order(step, copy, tables)?;
            for table in &tables {
                let into = target_name(&copy.into, table);
                writers.push(Writer {
                    step: format!("{}/{table}", step.name),
                    table: self.keys.get(&into).map(|(name, _)| name.clone()),
                });
            }
            later.extend(
                waiting.into_iter().map(|(table, list)| (format!("{}/{table}", step.name), list)),
            );
            out.tables.insert(step.name.clone(), tables);
        }
        for (step, columns) in later {
            let after = self.last_needed(&writers, &step, &columns);
            out.later.push(Later { step, columns, after });
        }
        Ok(out)
    }

    async fn look_at(&mut self, target: &mut dyn Session, name: &str) -> Result<Option<TableName>> {
        if let Some((found, _)) = self.keys.get(name) {
            return Ok(Some(found.clone()));
        }
        // A table that a step of the plan makes is not there yet.
        let Some(table) = target.table(&TableName::bare(name)).await? else {
            return Ok(None);
        };
        let keys = target.details(&table, false).await?.foreign_keys.into_iter();
        let may_be_null = |name: &String| table.column(name).is_some_and(|column| !column.not_null);
        let keys = keys
            .map(|key| Link {
                nullable: key.columns.iter().all(may_be_null),
                columns: key.columns,
                table: key.table,
            })
            .collect();
        self.keys.insert(name.to_owned(), (table.name.clone(), keys));
        Ok(Some(table.name))
    }

    /// The tables that a step's patterns mean: those that no other step copies by name.
    async fn matching(
        &self,
        step: &Step,
        copy: &Copy,
        source: &mut dyn Session,
    ) -> Result<Vec<String>> {
        let CopySource::Tables { patterns, except } = &copy.from else {
            return Ok(Vec::new());
        };
        let by_name: BTreeSet<&str> = self
            .plan
            .steps
            .iter()
            .filter_map(|step| match &step.kind {
                StepKind::Copy(Copy { from: CopySource::Table(name), .. }) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let mut found = BTreeSet::new();
        for (name, kind) in source.tables().await? {
            let named = kind.is_writable() || patterns.contains(&name.name);
            let is_ours = names_table(patterns, &name.name) && !names_table(except, &name.name);
            if named && is_ours && !by_name.contains(name.name.as_str()) {
                found.insert(name.name);
            }
        }
        let at = |error: Error| {
            error.in_step(&step.name).at_line(&self.plan.file.display().to_string(), step.line)
        };
        if found.is_empty() {
            let error = Error::invalid(format!("no table matches {}", patterns.join(", ")));
            return Err(at(error.hint("Names are matched exactly; views have to be named.")));
        }
        if let Some(expected) = step.expect.tables.filter(|n| *n != found.len() as u64) {
            let error = Error::differs(format!(
                "expected tables = {expected}, found {}: {}",
                found.len(),
                found.iter().cloned().collect::<Vec<_>>().join(", ")
            ));
            return Err(at(error));
        }
        Ok(found.into_iter().collect())
    }

    /// The tables in the order of their foreign keys, and the columns that have to come later:
    /// those of a table that refers to itself, or to one that refers back.
    #[allow(clippy::type_complexity)]
    fn in_order(
        &self,
        step: &Step,
        copy: &Copy,
        mut left: Vec<String>,
    ) -> Result<(Vec<String>, Vec<(String, Vec<String>)>)> {
        let mut order: Vec<String> = Vec::new();
        let mut later: Vec<(String, Vec<String>)> = Vec::new();
        while !left.is_empty() {
            let free = left.iter().position(|table| self.waits_for(copy, table, &left).is_empty());
            let at = match free {
                Some(at) => at,
                // All of them wait for another one: the first whose columns may be NULL begins.
                None => left
                    .iter()
                    .position(|table| self.can_wait(copy, table, &left))
                    .ok_or_else(|| self.stuck(step, &left))?,
            };
            let table = left[at].clone();
            let mut columns: Vec<String> = self
                .waits_for(copy, &table, &left)
                .into_iter()
                .flat_map(|key| key.columns)
                .collect();
            let own = self.to_itself(copy, &table);
            columns.extend(own.into_iter().flat_map(|key| key.columns));
            columns.sort();
            columns.dedup();
            if !columns.is_empty() {
                later.push((table.clone(), columns));
            }
            left.remove(at);
            order.push(table);
        }
        Ok((order, later))
    }

    fn stuck(&self, step: &Step, left: &[String]) -> Error {
        Error::invalid(format!(
            "the foreign keys of {} form a circle, and their columns are NOT NULL",
            left.join(", ")
        ))
        .in_step(&step.name)
        .at_line(&self.plan.file.display().to_string(), step.line)
        .hint(
            "Let the columns of one of these tables be NULL until the copy is done, or drop one \
             of the foreign keys before and add it after, with sql steps.",
        )
    }

    /// Foreign keys of the table's target to the targets of other tables that are left.
    fn waits_for(&self, copy: &Copy, table: &str, left: &[String]) -> Vec<Link> {
        let into = |table: &str| self.keys.get(&target_name(&copy.into, table));
        let others: Vec<&TableName> = left
            .iter()
            .filter(|other| *other != table)
            .filter_map(|other| into(other).map(|(name, _)| name))
            .collect();
        self.keys_to(copy, table, &|own, key| {
            !same(&key.table, own) && others.iter().any(|other| same(other, &key.table))
        })
    }

    /// Foreign keys of the table's target to itself whose columns may be NULL; the others are
    /// left to the order of the rows.
    fn to_itself(&self, copy: &Copy, table: &str) -> Vec<Link> {
        self.keys_to(copy, table, &|own, key| same(&key.table, own) && key.nullable)
    }

    fn can_wait(&self, copy: &Copy, table: &str, left: &[String]) -> bool {
        self.waits_for(copy, table, left).iter().all(|key| key.nullable)
    }

    /// Foreign keys that the step's rules write.
    fn keys_to(
        &self,
        copy: &Copy,
        table: &str,
        is: &dyn Fn(&TableName, &Link) -> bool,
    ) -> Vec<Link> {
        let Some((own, keys)) = self.keys.get(&target_name(&copy.into, table)) else {
            return Vec::new();
        };
        let written = |name: &String| match &copy.columns {
            Some(mapping) => mapping.columns.iter().any(|(column, _)| column == name),
            None => true,
        };
        let keys = keys.iter().filter(|key| is(own, key) && key.columns.iter().all(written));
        keys.cloned().collect()
    }

    /// The last step that writes what these columns refer to; at least the step itself.
    fn last_needed(&self, writers: &[Writer], step: &str, columns: &[String]) -> String {
        let own = writers.iter().position(|writer| writer.step == step).unwrap_or_default();
        let table = writers.get(own).and_then(|writer| writer.table.as_ref());
        let keys = self.keys.values().filter(|(name, _)| Some(name) == table);
        let referred: Vec<&TableName> = keys
            .flat_map(|(_, keys)| keys)
            .filter(|key| key.columns.iter().any(|column| columns.contains(column)))
            .map(|key| &key.table)
            .collect();
        let moved = self.plan.moved_by(step, columns);
        let last = writers.iter().enumerate().rev().find(|(at, writer)| {
            *at == own
                || writer
                    .table
                    .as_ref()
                    .is_some_and(|name| referred.iter().any(|one| same(one, name)))
                || moved.contains(&writer.step)
                || writer.table.as_ref().is_some_and(|name| moved.contains(&name.name))
        });
        last.map_or_else(|| step.to_owned(), |(_, writer)| writer.step.clone())
    }
}

/// One table, where a name may lack its schema.
fn same(one: &TableName, other: &TableName) -> bool {
    let schemas = (&one.schema, &other.schema);
    one.name == other.name && (schemas.0 == schemas.1 || schemas.0.is_none() || schemas.1.is_none())
}
