//! What steps say of each other: `moved` names an earlier one.

use super::diagnostic::nearest;
use super::{Step, StepKind};
use crate::mapping::{JsonShape, Rule, each_rule};

/// A line of the plan, what is wrong there, and what to do.
pub type Problem = (usize, String, Option<String>);

/// Makes each `moved` name an earlier step: it may say the step's name, or its target table.
pub(super) fn link(all: &mut [Step]) -> Vec<Problem> {
    let movers: Vec<(String, Option<String>)> = all
        .iter()
        .map(|step| {
            let table = match &step.kind {
                StepKind::Copy(copy) if copy.only_with.is_empty() => Some(copy.into.clone()),
                _ => None,
            };
            (step.name.clone(), table)
        })
        .collect();
    let files: Vec<(String, String)> = all
        .iter()
        .filter_map(|step| match &step.kind {
            StepKind::Seed(seed) if seed.is_copy => Some((step.name.clone(), seed.into.clone())),
            _ => None,
        })
        .collect();
    let mut problems = Vec::new();
    for at in 0..all.len() {
        let line = all[at].line;
        let earlier = &movers[..at];
        visit_moved(&mut all[at].kind, &mut |step, waits| {
            let earlier = if waits { movers.as_slice() } else { earlier };
            let by_name = earlier.iter().find(|(name, table)| name == step && table.is_some());
            let by_table: Vec<&String> = earlier
                .iter()
                .filter(|(_, table)| table.as_deref() == Some(step.as_str()))
                .map(|(name, _)| name)
                .collect();
            match (by_name, by_table.as_slice()) {
                (Some(_), _) => {}
                (None, [one]) => step.clone_from(one),
                (None, []) if files.iter().any(|(name, into)| name == step || into == step) => {
                    problems.push((
                        line,
                        format!("`moved` needs the source's keys, and `{step}` reads files"),
                        Some("find the row with a `lookup` in its target table".to_owned()),
                    ));
                }
                (None, []) => problems.push((
                    line,
                    format!("`moved` names no earlier copy step: `{step}`"),
                    nearest(step, earlier.iter().map(|(name, _)| name.as_str())),
                )),
                (None, several) => {
                    let list: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
                    problems.push((
                        line,
                        format!("several steps copy into `{step}`"),
                        Some(format!("name one of the steps: {}", list.join(", "))),
                    ));
                }
            }
        });
    }
    problems
}

/// Calls `visit` with each name that a `moved` says, and whether its column waits for a second
/// pass.
fn visit_moved(kind: &mut StepKind, visit: &mut dyn FnMut(&mut String, bool)) {
    let mut waiting = Vec::new();
    let columns = match kind {
        StepKind::Copy(copy) => {
            waiting.clone_from(&copy.later);
            copy.columns.as_mut()
        }
        StepKind::Seed(seed) => seed.columns.as_mut(),
        StepKind::Update(update) => Some(&mut update.set),
        StepKind::Sql(_) => None,
    };
    for (column, rule) in columns.into_iter().flat_map(|mapping| &mut mapping.columns) {
        let waits = waiting.contains(column);
        let mut has_moved = false;
        each_rule(rule, &mut |rule| has_moved |= matches!(rule, Rule::Moved { .. }));
        if has_moved {
            visit_rule(rule, &mut |step| visit(step, waits));
        }
    }
}

fn visit_rule(rule: &mut Rule, visit: &mut dyn FnMut(&mut String)) {
    match rule {
        Rule::Moved { step, from } => {
            visit(step);
            visit_rule(from, visit);
        }
        Rule::First(rules) | Rule::Array(rules) | Rule::Uuid(rules) => {
            rules.iter_mut().for_each(|rule| visit_rule(rule, visit));
        }
        Rule::Map { from, .. }
        | Rule::Cast { from, .. }
        | Rule::Replace { from, .. }
        | Rule::NullIf { from, .. } => visit_rule(from, visit),
        Rule::Json { shape, .. } => match shape {
            JsonShape::Rest { with, .. } | JsonShape::Columns { with, .. } => {
                with.iter_mut().for_each(|(_, rule)| visit_rule(rule, visit));
            }
            JsonShape::Object(entries) => {
                entries.iter_mut().for_each(|(_, rule)| visit_rule(rule, visit));
            }
        },
        Rule::Lookup(lookup) => {
            lookup.matches.iter_mut().for_each(|(_, rule)| visit_rule(rule, visit));
        }
        _ => {}
    }
}
