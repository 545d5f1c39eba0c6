//! Steps whose rows refer to rows that a later step brings: seen before the first of them is
//! refused.

use super::{Finding, Level};
use crate::job::Job;
use crate::plan::{Step, StepKind};
use crate::sql::TableName;
use crate::sql::survey::ForeignKey;

/// What a step writes, and what that refers to.
pub struct Written {
    step: String,
    line: usize,
    table: TableName,
    keys: Vec<ForeignKey>,
    /// The columns of `keys` are all that matter of it.
    updates: bool,
}

impl Written {
    /// Of a bound step; `keys`: all foreign keys of its target.
    pub fn new(step: &Step, job: &Job, mut keys: Vec<ForeignKey>) -> Written {
        let later = match &step.kind {
            StepKind::Copy(copy) => copy.later.as_slice(),
            _ => &[],
        };
        let fills = |name: &String| {
            job.written.iter().any(|column| column.name == *name) && !later.contains(name)
        };
        keys.retain(|key| key.columns.iter().any(fills));
        Written {
            step: step.name.clone(),
            line: step.line,
            table: job.target.name.clone(),
            keys,
            updates: matches!(step.kind, StepKind::Update(_)),
        }
    }
}

/// A warning for each foreign key whose rows come after those that refer to them.
pub fn warnings(steps: &[Written]) -> Vec<Finding> {
    let mut out = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        // The second pass of a step that had its first one before.
        let second = steps[..at].iter().any(|earlier| earlier.table == step.table);
        for key in step.keys.iter().filter(|_| !second && !step.updates) {
            let columns = key.columns.join(", ");
            let help = format!("later = [\"{}\"]", key.columns.join("\", \""));
            let (message, help) = if key.table.name == step.table.name {
                (
                    format!(
                        "{} refers to itself ({columns}): a row whose other row comes later is refused",
                        key.table
                    ),
                    format!("{help} fills the column by a second pass"),
                )
            } else {
                let earlier = |other: &Written| other.table.name == key.table.name;
                if steps[..at].iter().any(earlier) {
                    continue;
                }
                let Some(other) = steps[at..].iter().find(|other| earlier(other)) else {
                    continue;
                };
                (
                    format!(
                        "{columns} refers to {}, which the later step {} fills: rows that are not \
                         there yet are refused",
                        key.table, other.step
                    ),
                    format!(
                        "put that step first; where both refer to each other, {help} fills the column by a second pass"
                    ),
                )
            };
            out.push(Finding {
                level: Level::Warning,
                subject: format!("step {}", step.step),
                message,
                help: Some(help),
                line: Some(step.line),
                differs: false,
            });
        }
    }
    out
}
