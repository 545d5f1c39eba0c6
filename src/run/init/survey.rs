//! Reads both catalogs.

use glob::Pattern;

use super::url::written;
use super::{SOURCE, TARGET, Wish};
use crate::db::{Access, Database, Session, count_table};
use crate::draft::{Side, Surveyed};
use crate::error::{Error, Result};
use crate::sql::survey::{Concerns, Note, TableKind};
use crate::sql::{Table, TableName};
use crate::steps::bind::Ends;

/// Both databases as they were found.
pub struct Seen {
    /// The source.
    pub source: Side,
    /// The target.
    pub target: Side,
}

/// Patterns of `--tables`.
pub fn patterns(tables: &[String]) -> Result<Vec<Pattern>> {
    let pattern = |text: &String| {
        Pattern::new(text).map_err(|error| {
            Error::invalid(format!("--tables: not a pattern: {error}"))
                .hint("* stands for any text, ? for one character, [ab] for one of them.")
        })
    };
    tables.iter().map(pattern).collect()
}

/// Looks at both ends, one after the other.
pub async fn both(
    source: &Database,
    target: &Database,
    wish: &Wish<'_>,
    picked: &[Pattern],
) -> Result<Seen> {
    let (joint, attached) = Ends::relation(source, target);
    let same_database = joint && !attached;
    let (source_url, source_secret) = written(wish.source, wish.plan, SOURCE);
    let (target_url, target_secret) = written(wish.target, wish.plan, TARGET);
    let source = Side {
        flavor: source.flavor(),
        display: source.display(),
        url: source_url,
        secret: source_secret,
        same_database,
        tables: tables(source, true, wish.counts, picked).await?,
    };
    let target = Side {
        flavor: target.flavor(),
        display: target.display(),
        url: target_url,
        secret: target_secret,
        same_database,
        tables: tables(target, false, wish.counts, &[]).await?,
    };
    Ok(Seen { source, target })
}

/// Tables that `--tables` leaves out are listed, and not counted.
async fn tables(
    database: &Database,
    is_source: bool,
    counts: bool,
    picked: &[Pattern],
) -> Result<Vec<Surveyed>> {
    let mut session = database.session(Access::Read, "init").await?;
    let mut out = Vec::new();
    for (name, kind) in session.tables().await? {
        // It may be gone since.
        if let Some(table) = named(session.as_mut(), &name).await? {
            let is_picked = picked.is_empty() || picked.iter().any(|one| one.matches(&name.name));
            let counts = counts && is_picked;
            out.push(surveyed(session.as_mut(), table, kind, is_source, counts).await?);
        }
    }
    Ok(out)
}

async fn named(session: &mut dyn Session, name: &TableName) -> Result<Option<Table>> {
    let found = session.table(name).await?;
    Ok(found.filter(|table| table.name.name == name.name))
}

async fn surveyed(
    session: &mut dyn Session,
    table: Table,
    kind: TableKind,
    is_source: bool,
    counts: bool,
) -> Result<Surveyed> {
    let mut details = session.details(&table, is_source && counts).await?;
    let triggers = match kind {
        TableKind::View => Vec::new(),
        _ => session.triggers(&table).await?,
    };
    // Counting the rows of a view that only the target has helps nobody.
    let wanted = counts && (is_source || kind.is_writable());
    let rows = match wanted {
        false => None,
        true => match count_table(session, &table.name).await {
            Ok(rows) => Some(rows),
            // No privilege, or a view that no longer works: said, and the others go on.
            Err(error) if error.code.is_some() && !session.broken() => {
                let text = format!("its rows can't be counted: {error}");
                details.notes.push(Note::new(Concerns::Both, text));
                None
            }
            Err(error) => return Err(error),
        },
    };
    Ok(Surveyed { table, kind, details, triggers, rows })
}
