//! Which route a step takes, and why. Pure: the reason is shown by `--dry-run` and the report.

use std::fmt;
use std::sync::Arc;

use crate::job::Job;
use crate::mapping::program::Program;
use crate::mapping::{InputSource, render};
use crate::plan::OnConflict;
use crate::sql::Flavor;

/// A route with its reason.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// One INSERT … SELECT inside the database; holds the SELECT list.
    Pushdown(Vec<String>),
    /// Bytes of one database into the other's, or rows mapped between the two.
    Stream(Arc<Program>),
    /// Rows through the program, one by one; holds the reason.
    Decode(String),
    /// Batched UPDATE of target rows.
    Update,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Pushdown(_) => f.write_str("pushdown: source and target are in one database"),
            Choice::Stream(program) if program.is_identity() => {
                f.write_str("pipe: every column passes as it is")
            }
            Choice::Stream(_) => f.write_str("stream: rows are mapped on their way"),
            Choice::Decode(reason) => write!(f, "decode: {reason}"),
            Choice::Update => f.write_str("update: rows of the target by key"),
        }
    }
}

/// Where the rows of a step come from and where they go.
#[derive(Debug, Clone, Copy)]
pub struct Ways {
    /// The source's database.
    pub source: Flavor,
    /// The target's.
    pub target: Flavor,
    /// One statement reaches both.
    pub joint: bool,
    /// They are two SQLite files.
    pub attached: bool,
    /// The source is a query of the plan.
    pub is_query: bool,
}

/// Chooses the fastest way that can do what the step asks for; `forbidden`: why no single
/// statement may.
pub fn choose(job: &Job, ways: Ways, forbidden: Option<&str>) -> Choice {
    if ways.attached
        && let Ok(program) = stream(job, ways)
    {
        // One statement would do all its work on one core.
        return Choice::Stream(Arc::new(program));
    }
    let pushed = match forbidden {
        Some(why) => Err(why.to_owned()),
        None => pushdown(job, ways),
    };
    let why = match pushed {
        Ok(list) => return Choice::Pushdown(list),
        Err(why) => why,
    };
    match stream(job, ways) {
        Ok(program) => Choice::Stream(Arc::new(program)),
        // Between two databases, the interesting reason is the second.
        Err(Some(reason)) if !ways.joint => Choice::Decode(reason),
        Err(_) => Choice::Decode(why),
    }
}

/// The program of the stream route, or why it can't be taken; `None` where that says nothing.
fn stream(job: &Job, ways: Ways) -> Result<Program, Option<String>> {
    if job.record_moved {
        return Err(Some("a later step or rollback needs the key of each row".to_owned()));
    }
    if job.options.on_conflict != OnConflict::Fail {
        return Err(Some("rows may be there already".to_owned()));
    }
    Program::new(&job.mapping, ways.source, ways.target).map_err(Some)
}

/// The SELECT list of one INSERT … SELECT, or why there is none.
fn pushdown(job: &Job, ways: Ways) -> Result<Vec<String>, String> {
    let reason = |text: &str| Err(text.to_owned());
    if !ways.joint {
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
    if ways.target == Flavor::Mysql && job.options.on_conflict == OnConflict::Skip {
        return reason("MySQL's own clause looks at every unique key, not at the named one");
    }
    if ways.attached && (ways.is_query || may_read_elsewhere(job)) {
        return reason("the plan's own SQL could name tables of both files");
    }
    render::render(&job.mapping, ways.target, "s")
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
