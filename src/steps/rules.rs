//! Binds the rules of a step: what they ask of both catalogs, then the mapping itself.

use std::collections::BTreeMap;

use super::bind::{Ends, Findings, find, one};
use crate::db::Session;
use crate::error::Error;
use crate::mapping::{BoundMapping, Finding, Mapping, Rule, Scope, bind, each_rule, same_names};
use crate::plan::{Plan, Step, StepKind};
use crate::sql::{Column, ColumnType, Table};

/// What the mapping sees of the source.
pub(super) struct ScopeParts {
    pub columns: Vec<Column>,
    pub types: BTreeMap<String, ColumnType>,
    pub is_files: bool,
    pub name: String,
}

pub(super) async fn bind_mapping(
    plan: &Plan,
    step: &Step,
    mapping: Option<&Mapping>,
    parts: &ScopeParts,
    target: &Table,
    ends: &mut Ends<'_>,
) -> Findings<BoundMapping> {
    let mapping = match mapping {
        Some(mapping) => mapping.clone(),
        None => same_names(&parts.columns, target).map_err(errors_of)?,
    };
    let mut lookups = BTreeMap::new();
    let mut children = BTreeMap::new();
    let mut moved = BTreeMap::new();
    let mut problems = Vec::new();
    let mut rules = Vec::new();
    for (_, rule) in &mapping.columns {
        each_rule(rule, &mut |rule| rules.push(rule));
    }
    for rule in rules {
        match rule {
            Rule::Lookup(lookup) if !lookups.contains_key(&lookup.table) => {
                match find(ends.target, &lookup.table, "target").await {
                    Ok(table) => drop(lookups.insert(lookup.table.clone(), table)),
                    Err(errors) => problems.extend(errors),
                }
            }
            Rule::Children { table, .. } if !children.contains_key(table) => {
                match find(ends.source, table, "source").await {
                    Ok(found) => drop(children.insert(table.clone(), found)),
                    Err(errors) => problems.extend(errors),
                }
            }
            Rule::Moved { step: name, .. } if !moved.contains_key(name) => {
                match moved_type(plan, name, ends).await {
                    Ok(ty) => drop(moved.insert(name.clone(), ty)),
                    Err(errors) => problems.extend(errors),
                }
            }
            _ => {}
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let values = step.options.values;
    let mut columns = parts.columns.clone();
    values.read_as(&mut columns);
    children.values_mut().for_each(|table: &mut Table| values.read_as(&mut table.columns));
    let scope = Scope {
        source: &columns,
        source_name: &parts.name,
        source_is_files: parts.is_files,
        target,
        sql_types: &parts.types,
        children: &children,
        lookups: &lookups,
        moved: &moved,
        lossy: step.options.lossy,
        values,
        flavor: ends.target.dialect().flavor(),
        partial: matches!(step.kind, StepKind::Update(_)),
    };
    let mut bound = bind(&mapping, &scope).map_err(errors_of)?;
    if let StepKind::Copy(copy) = &step.kind {
        bound.leave_for_later(&copy.later).map_err(|finding| errors_of(vec![finding]))?;
    }
    Ok(bound)
}

fn errors_of(findings: Vec<Finding>) -> Vec<Error> {
    findings
        .into_iter()
        .map(|finding| {
            let mut error = Error::invalid(finding.message);
            error.place.column = finding.column;
            error.hint = finding.help;
            error
        })
        .collect()
}

/// The type of the key that `step` gives to its rows in the target.
async fn moved_type(plan: &Plan, step: &str, ends: &mut Ends<'_>) -> Findings<ColumnType> {
    let table = plan.step(step).and_then(|step| step.kind.target_table());
    let Some(table) = table else {
        return Err(one(Error::invalid(format!("step `{step}` moves no rows"))));
    };
    let found = find(ends.target, table, "target").await?;
    match found.primary_key() {
        [key] => found
            .column(key)
            .map(|column| column.ty.clone())
            .ok_or_else(|| one(Error::invalid(format!("`{table}` has no column `{key}`")))),
        _ => Err(one(Error::invalid(format!(
            "`moved` needs a primary key of one column, `{table}` has another"
        ))
        .in_table(table))),
    }
}

/// Types of the plan's own expressions, as the server describes them.
pub(super) async fn sql_types(
    session: &mut dyn Session,
    from: &str,
    mapping: Option<&Mapping>,
) -> Findings<BTreeMap<String, ColumnType>> {
    let mut expressions = Vec::new();
    for (_, rule) in mapping.iter().flat_map(|mapping| &mapping.columns) {
        each_rule(rule, &mut |rule| {
            if let Rule::Sql(sql) = rule {
                expressions.push(sql.clone());
            }
        });
    }
    let mut types = BTreeMap::new();
    for sql in expressions {
        let described = session.describe(&format!("SELECT ({sql}) FROM {from}")).await;
        let mut columns = described.map_err(|mut error| {
            error.message = format!("the expression `{sql}`: {}", error.message);
            error.code = None;
            one(error)
        })?;
        if let Some(column) = columns.pop() {
            types.insert(sql, column.ty);
        }
    }
    Ok(types)
}
