//! From what is written to what runs: patterns become one step for each table, and columns that
//! wait for other rows get a second pass. Pure: who runs the plan asks the catalogs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::mapping::{Rule, each_rule};

use super::links::{Problem, link};
use super::{CopySource, OnConflict, Plan, Step, StepKind, steps};

/// What the catalogs said when the run began; kept in the ledger, so that a table that comes
/// later changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expansion {
    /// Step with a pattern → its tables, those first that others refer to.
    pub tables: BTreeMap<String, Vec<String>>,
    /// Second passes.
    pub later: Vec<Later>,
}

/// Columns that are NULL at first and get their values by a second pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Later {
    /// The step, after patterns are expanded.
    pub step: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// The step after which all rows are there that they refer to.
    pub after: String,
}

impl Step {
    /// It stands for others: only the catalogs say for which.
    pub(super) fn needs_expansion(&self) -> bool {
        match &self.kind {
            StepKind::Copy(copy) => {
                matches!(copy.from, CopySource::Tables { .. }) || !copy.later.is_empty()
            }
            _ => false,
        }
    }
}

impl Plan {
    /// The plan can't run as it is written: see [`Plan::expanded`].
    pub fn needs_expansion(&self) -> bool {
        self.steps.iter().any(Step::needs_expansion)
    }

    /// The plan with one step for each table of its patterns, and with its second passes.
    ///
    /// # Errors
    /// Two steps of one name; a `moved` that names no earlier step.
    pub fn expanded(mut self, expansion: &Expansion) -> Result<Plan, Problem> {
        let written = std::mem::take(&mut self.steps);
        for step in written {
            match one_for_each(&step, expansion) {
                Some(steps) => self.steps.extend(steps),
                None => self.steps.push(step),
            }
        }
        for later in &expansion.later {
            self.second_pass(later);
        }
        for (at, step) in self.steps.iter().enumerate() {
            if self.steps[..at].iter().any(|other| other.name == step.name) {
                let message = format!("two steps are called `{}`", step.name);
                return Err((step.line, message, None));
            }
        }
        match link(&mut self.steps).into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(self),
        }
    }

    /// Steps or tables whose keys the rules of these columns of a step ask for.
    pub fn moved_by(&self, step: &str, columns: &[String]) -> Vec<String> {
        let mut out = Vec::new();
        let mapping = self.step(step).and_then(|step| step.kind.mapping());
        for (_, rule) in mapping
            .iter()
            .flat_map(|mapping| &mapping.columns)
            .filter(|(column, _)| columns.contains(column))
        {
            each_rule(rule, &mut |rule| {
                if let Rule::Moved { step, .. } = rule {
                    out.push(step.clone());
                }
            });
        }
        out
    }

    /// Whether `--step only` means this step: by its name, or by the pattern's that it is of.
    pub fn selects(only: Option<&str>, step: &str) -> bool {
        only.is_none_or(|only| {
            step == only || step.strip_prefix(only).is_some_and(|rest| rest.starts_with('/'))
        })
    }

    fn second_pass(&mut self, later: &Later) {
        let Some(first) = self.steps.iter_mut().find(|step| step.name == later.step) else {
            return;
        };
        let mut second = first.clone();
        if let StepKind::Copy(copy) = &mut first.kind {
            copy.later.clone_from(&later.columns);
        }
        first.checksum = steps::checksum(&first.kind, &first.options);
        second.name = format!("{}/later", second.name);
        second.expect = super::Expect::default();
        second.options.on_conflict = OnConflict::Update;
        second.options.tune.defer_indexes = false;
        if let StepKind::Copy(copy) = &mut second.kind {
            copy.later.clear();
            copy.only_with.clone_from(&later.columns);
        }
        second.checksum = steps::checksum(&second.kind, &second.options);
        let after = self.steps.iter().rposition(|step| step.name == later.after);
        let at = after.map_or(self.steps.len(), |at| at + 1);
        self.steps.insert(at, second);
    }
}

/// The steps of a pattern; `None` for other steps.
fn one_for_each(step: &Step, expansion: &Expansion) -> Option<Vec<Step>> {
    let StepKind::Copy(copy) = &step.kind else { return None };
    let CopySource::Tables { .. } = copy.from else { return None };
    let tables = expansion.tables.get(&step.name).map(Vec::as_slice).unwrap_or_default();
    let made = tables.iter().map(|table| {
        let mut one = step.clone();
        one.name = format!("{}/{table}", step.name);
        one.expect = super::Expect::default();
        if let StepKind::Copy(copy) = &mut one.kind {
            copy.into = target_name(&copy.into, table);
            copy.from = CopySource::Table(table.clone());
        }
        one.checksum = steps::checksum(&one.kind, &one.options);
        one
    });
    Some(made.collect())
}

/// What may stand in `{table|…}`.
const FILTERS: [&str; 4] = ["strip:PREFIX", "strip_end:SUFFIX", "lower", "upper"];

/// What is wrong with an `into`, if anything is.
pub fn template_problem(template: &str) -> Option<String> {
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let inside = &rest[at + 1..];
        let Some(end) = inside.find('}') else {
            return Some("`{` without `}`".to_owned());
        };
        let mut words = inside[..end].split('|');
        if words.next() != Some("table") {
            return Some("only `{table}` is filled in here".to_owned());
        }
        for word in words {
            let known = matches!(word, "lower" | "upper")
                || word.starts_with("strip:")
                || word.starts_with("strip_end:");
            if !known {
                return Some(format!("`{word}` is none of: {}", FILTERS.join(", ")));
            }
        }
        rest = &inside[end + 1..];
    }
    None
}

/// The target's name for a table: `{table|strip:dh_}` of `dh_tool` is `tool`.
pub fn target_name(template: &str, table: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let Some(end) = rest[at..].find('}') else { break };
        out.push_str(&rest[..at]);
        let filters = rest[at + 1..at + end].split('|').skip(1);
        out.push_str(&filters.fold(
            table.to_owned(),
            |name, filter| match filter.split_once(':') {
                Some(("strip", prefix)) => name.strip_prefix(prefix).unwrap_or(&name).to_owned(),
                Some(("strip_end", suffix)) => {
                    name.strip_suffix(suffix).unwrap_or(&name).to_owned()
                }
                _ if filter == "lower" => name.to_lowercase(),
                _ if filter == "upper" => name.to_uppercase(),
                _ => name,
            },
        ));
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    out
}

/// Whether a list of names and patterns means this table: `*` is any text, `?` one character.
pub fn names_table(patterns: &[String], table: &str) -> bool {
    patterns.iter().any(|pattern| {
        pattern == table || glob::Pattern::new(pattern).is_ok_and(|glob| glob.matches(table))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_in() {
        assert_eq!(target_name("{table|strip:dh_}s", "dh_tool"), "tools");
        assert_eq!(target_name("new_{table|strip_end:_old|upper}", "a_old"), "new_A");
        assert_eq!(target_name("{table}", "a{b"), "a{b");
        assert_eq!(target_name("all", "x"), "all");
        assert_eq!(template_problem("{table|strip:dh_}"), None);
        assert!(template_problem("{tabel}").is_some());
        assert!(template_problem("{table|stripp:x}").is_some());
        assert!(template_problem("{table").is_some());
    }

    #[test]
    fn patterns_name_tables() {
        let list = |one: &str| vec![one.to_owned()];
        assert!(names_table(&list("dh_*"), "dh_tool"));
        assert!(!names_table(&list("dh_*"), "DH_tool"));
        assert!(names_table(&list("t?"), "t1"));
        assert!(names_table(&list("a[b"), "a[b"));
    }

    #[test]
    fn a_pattern_selects_its_steps() {
        assert!(Plan::selects(None, "a"));
        assert!(Plan::selects(Some("all"), "all/dh_tool"));
        assert!(!Plan::selects(Some("all"), "allies"));
    }
}
