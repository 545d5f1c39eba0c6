//! Which route a step takes, and why. Pure: the reason is shown by `--dry-run` and the report.

use std::fmt;

use crate::job::Job;
use crate::mapping::{InputSource, render};
use crate::plan::OnConflict;
use crate::sql::Flavor;

/// A route with its reason.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// One INSERT … SELECT inside the database; holds the SELECT list.
    Pushdown(Vec<String>),
    /// Rows through the program; holds the reason.
    Decode(String),
    /// Batched UPDATE of target rows.
    Update,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Pushdown(_) => f.write_str("pushdown: source and target are in one database"),
            Choice::Decode(reason) => write!(f, "decode: {reason}"),
            Choice::Update => f.write_str("update: rows of the target by key"),
        }
    }
}

/// Chooses between pushdown and decode. `joint`: one statement reaches both databases;
/// `attached`: they are two SQLite files.
pub fn choose(job: &Job, flavor: Flavor, joint: bool, attached: bool, is_query: bool) -> Choice {
    let reason = |text: &str| Choice::Decode(text.to_owned());
    if !joint {
        return reason("source and target are two databases");
    }
    if job.source.key.is_none() {
        return reason("the source has no usable key");
    }
    if job.record_moved {
        return reason("a later step or rollback needs the key of each row");
    }
    if job.options.on_conflict == OnConflict::Update {
        return reason("on_conflict = \"update\" keeps before-images");
    }
    if attached && (is_query || may_read_elsewhere(job)) {
        return reason("the plan's own SQL could name tables of both files");
    }
    match render::render(&job.mapping, flavor, "s") {
        Ok(list) => Choice::Pushdown(list),
        Err(why) => Choice::Decode(why),
    }
}

/// SQL of the plan that may hold a subquery, whose table names would be looked up in the
/// target first.
fn may_read_elsewhere(job: &Job) -> bool {
    let subquery = |sql: &str| sql.to_ascii_lowercase().contains("select");
    job.source.filter.as_deref().is_some_and(subquery)
        || job.mapping.inputs.iter().any(|input| match &input.source {
            InputSource::Sql(sql) => subquery(sql),
            InputSource::Children { .. } => true,
            InputSource::Column(_) => false,
        })
}
