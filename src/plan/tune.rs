//! `tune` of a `copy` or `seed` step: what is done to the target around its batches.

use super::diagnostic::{Findings, Lines};
use super::reader::Reader;
use super::{Endpoint, Step};

/// `tune = { … }`. None of it changes what is written, so it is free to change between runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tune {
    /// Secondary indexes of the target are dropped before the first batch and built again after
    /// the last one.
    pub defer_indexes: bool,
    /// The target is analyzed after the last batch; `None`: where that leaves no tables behind.
    pub analyze: Option<bool>,
    /// `false`: batches commit without waiting for the disk. `true`: as the server says.
    pub synchronous_commit: bool,
}

impl Default for Tune {
    fn default() -> Self {
        Tune { defer_indexes: false, analyze: None, synchronous_commit: true }
    }
}

/// Reads `tune` of the step that `reader` reads.
pub fn read(reader: &mut Reader<'_, '_>) -> Tune {
    let findings = reader.findings();
    let mut tune = Tune::default();
    let Some(mut inner) = reader.take("tune").and_then(|node| Reader::of(node, findings)) else {
        return tune;
    };
    tune.defer_indexes = inner.boolean("defer_indexes").unwrap_or(tune.defer_indexes);
    tune.analyze = inner.boolean("analyze");
    tune.synchronous_commit =
        inner.boolean("synchronous_commit").unwrap_or(tune.synchronous_commit);
    inner.finish();
    tune
}

/// Refuses what the target has not.
pub fn fits(steps: &[Step], target: Option<&Endpoint>, lines: &Lines, findings: &Findings) {
    let is = |schemes: &[&str]| {
        target.is_some_and(|target| schemes.iter().any(|scheme| target.url.starts_with(scheme)))
    };
    let mysql = is(&["mysql:", "mariadb:"]);
    if !mysql && !is(&["sqlite:"]) {
        return;
    }
    for step in steps.iter().filter(|step| mysql && step.options.tune.defer_indexes) {
        findings.error(
            lines.span(step.line),
            "`defer_indexes` needs a PostgreSQL or SQLite target",
            Some(
                "leave it out: MySQL commits a dropped index by itself, so that one could be \
                  lost without a note"
                    .to_owned(),
            ),
        );
    }
    for step in steps.iter().filter(|step| !step.options.tune.synchronous_commit) {
        let help = "leave it out: the target has no such setting for one transaction".to_owned();
        findings.error(
            lines.span(step.line),
            "`synchronous_commit` needs a PostgreSQL target",
            Some(help),
        );
    }
}
