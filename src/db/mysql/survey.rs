//! What a plan's author wants to know, from the information schema.

use super::catalog::text;
use super::session::MySession;
use crate::db::Session as _;
use crate::error::Result;
use crate::sql::mysql::MYSQL;
use crate::sql::survey::{Concerns, Details, Note, TableKind};
use crate::sql::{Dialect as _, Kind, Statement, Table, TableName};
use crate::value::Value;

const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'VIEW') \
       AND LEFT(TABLE_NAME, 10) <> 'tablelift_' ORDER BY BINARY TABLE_NAME";

const FOREIGN_KEYS: &str = "SELECT CONSTRAINT_NAME, REFERENCED_TABLE_SCHEMA, \
       REFERENCED_TABLE_NAME, COLUMN_NAME, REFERENCED_COLUMN_NAME \
     FROM information_schema.KEY_COLUMN_USAGE \
     WHERE TABLE_SCHEMA = $1 AND TABLE_NAME = $2 AND BINARY TABLE_NAME = BINARY $2 \
       AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION";

const DEFAULTS: &str = "SELECT COLUMN_NAME, COLUMN_DEFAULT FROM information_schema.COLUMNS \
     WHERE TABLE_SCHEMA = $1 AND TABLE_NAME = $2 AND BINARY TABLE_NAME = BINARY $2 \
       AND COLUMN_DEFAULT IS NOT NULL AND COLUMN_DEFAULT <> 'NULL' ORDER BY ORDINAL_POSITION";

const ENGINE: &str = "SELECT ENGINE FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = $1 AND TABLE_NAME = $2 AND BINARY TABLE_NAME = BINARY $2 \
       AND ENGINE <> 'InnoDB'";

/// Key columns whose equality is not that of their bytes.
const FOLDED: &str = "SELECT DISTINCT c.COLUMN_NAME, c.COLLATION_NAME \
     FROM information_schema.STATISTICS s JOIN information_schema.COLUMNS c \
       ON c.TABLE_SCHEMA = s.TABLE_SCHEMA AND c.TABLE_NAME = s.TABLE_NAME \
       AND c.COLUMN_NAME = s.COLUMN_NAME \
     WHERE s.TABLE_SCHEMA = $1 AND s.TABLE_NAME = $2 AND BINARY s.TABLE_NAME = BINARY $2 \
       AND s.NON_UNIQUE = 0 AND c.COLLATION_NAME LIKE '%\\_ci' ORDER BY c.COLUMN_NAME";

/// Tables and views of the database.
pub async fn tables(session: &mut MySession) -> Result<Vec<(TableName, TableKind)>> {
    let rows = session.rows(&Statement::new(TABLES)).await?;
    let kind = |value: &Value| match text(value).as_str() {
        "VIEW" => TableKind::View,
        _ => TableKind::Table,
    };
    Ok(rows
        .iter()
        .map(|row| (TableName::within(text(&row[0]), text(&row[1])), kind(&row[2])))
        .collect())
}

/// Foreign keys, defaults, and what can surprise.
pub async fn details(session: &mut MySession, table: &Table, scan: bool) -> Result<Details> {
    let mut details = Details::default();
    let of =
        |text: &str| Statement::new(text).bind(table.name.schema.clone()).bind(&*table.name.name);
    for row in session.rows(&of(FOREIGN_KEYS)).await? {
        let other = TableName::within(text(&row[1]), text(&row[2]));
        details.add_pair(&text(&row[0]), other, text(&row[3]), Some(text(&row[4])));
    }
    for row in session.rows(&of(DEFAULTS)).await? {
        details.defaults.push((text(&row[0]), text(&row[1])));
    }
    for row in session.rows(&of(ENGINE)).await? {
        let text = format!(
            "its engine is {}: rows there are not in one transaction with the ledger; use InnoDB",
            text(&row[0])
        );
        details.notes.push(Note::new(Concerns::Writer, text));
    }
    for row in session.rows(&of(FOLDED)).await? {
        let text = format!(
            "the unique column {} has the collation {}: texts that differ in case alone are \
             equal there, and the second of such rows is rejected",
            text(&row[0]),
            text(&row[1])
        );
        details.notes.push(Note::new(Concerns::Writer, text));
    }
    let unsafe_dates = if scan { zero_dates(session, table).await? } else { Vec::new() };
    if !unsafe_dates.is_empty() {
        let text = format!(
            "dates with zeros (0000-00-00) stand in {}: such rows are rejected; say what they \
             mean, as in {{ sql = \"NULLIF({}, 0)\" }}",
            unsafe_dates.join(", "),
            unsafe_dates.first().map(String::as_str).unwrap_or_default()
        );
        details.notes.push(Note::new(Concerns::Reader, text));
    }
    Ok(details)
}

/// Columns that hold dates with zeros; one pass over the table.
async fn zero_dates(session: &mut MySession, table: &Table) -> Result<Vec<String>> {
    let is_date =
        |kind: &Kind| matches!(kind, Kind::Date | Kind::Timestamp(_) | Kind::TimestampTz(_));
    let dates: Vec<&str> = table
        .columns
        .iter()
        .filter(|column| is_date(&column.ty.kind))
        .map(|column| column.name.as_str())
        .collect();
    if dates.is_empty() {
        return Ok(Vec::new());
    }
    let looks: Vec<String> = dates
        .iter()
        .map(|name| {
            let name = MYSQL.quote(name);
            format!("COALESCE(MAX(YEAR({name}) = 0 OR MONTH({name}) = 0 OR DAY({name}) = 0), 0)")
        })
        .collect();
    let ask = format!("SELECT {} FROM {}", looks.join(", "), table.name.sql(&MYSQL));
    let rows = session.rows(&Statement::new(ask)).await?;
    let found = rows.first().map(Vec::as_slice).unwrap_or_default();
    Ok(dates
        .into_iter()
        .zip(found)
        .filter(|(_, found)| **found == Value::Int(1))
        .map(|(name, _)| name.to_owned())
        .collect())
}
