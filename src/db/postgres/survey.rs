//! What a plan's author wants to know, from PostgreSQL's catalog.

use super::catalog::{find, text};
use super::session::PgSession;
use crate::db::Session as _;
use crate::error::Result;
use crate::sql::survey::{Concerns, Details, Note, TableKind};
use crate::sql::{Statement, Table, TableName};
use crate::value::Value;

/// What a bare name of a plan can mean: no partitions, nothing of the system, of extensions or
/// of the ledger.
const TABLES: &str = "SELECT n.nspname::text, c.relname::text, c.relkind::text \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition \
       AND pg_catalog.pg_table_is_visible(c.oid) AND left(n.nspname, 3) <> 'pg_' \
       AND n.nspname NOT IN ('information_schema', 'tablelift') \
       AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' \
         AND d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid) \
     ORDER BY n.nspname, c.relname";

const FOREIGN_KEYS: &str = "SELECT k.conname::text, n.nspname::text, f.relname::text, \
       a.attname::text, b.attname::text \
     FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class f ON f.oid = k.confrelid \
       JOIN pg_catalog.pg_namespace n ON n.oid = f.relnamespace \
       CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u(own, other, position) \
       JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.own \
       JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = u.other \
     WHERE k.conrelid = $1::oid AND k.contype = 'f' AND k.conparentid = 0 \
     ORDER BY k.conname, u.position";

const DEFAULTS: &str = "SELECT a.attname::text, pg_catalog.pg_get_expr(d.adbin, d.adrelid) \
     FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a \
       ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
     WHERE d.adrelid = $1::oid ORDER BY a.attnum";

const ABOUT: &str = "SELECT c.relrowsecurity, c.relkind <> 'p' AND EXISTS (SELECT 1 \
       FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) \
     FROM pg_catalog.pg_class c WHERE c.oid = $1::oid";

/// Key columns whose equality is not that of their bytes.
const FOLDED: &str = "SELECT DISTINCT a.attname::text FROM pg_catalog.pg_index i \
       CROSS JOIN LATERAL unnest(i.indkey::int2[]) AS k(attnum) \
       JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
       JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
       LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation \
     WHERE i.indrelid = $1::oid AND i.indisunique \
       AND (t.typname = 'citext' OR NOT c.collisdeterministic) ORDER BY 1";

/// Tables and views that a bare name can mean.
pub async fn tables(session: &mut PgSession) -> Result<Vec<(TableName, TableKind)>> {
    let rows = session.rows(&Statement::new(TABLES)).await?;
    let kind = |value: &Value| match text(value).as_str() {
        "p" => TableKind::Partitioned,
        "v" | "m" => TableKind::View,
        "f" => TableKind::Foreign,
        _ => TableKind::Table,
    };
    Ok(rows
        .iter()
        .map(|row| (TableName::within(text(&row[0]), text(&row[1])), kind(&row[2])))
        .collect())
}

/// Foreign keys, defaults, and what can surprise.
pub async fn details(session: &mut PgSession, table: &Table) -> Result<Details> {
    let mut details = Details::default();
    let Some((oid, _)) = find(session, &table.name).await? else {
        return Ok(details);
    };
    for row in session.rows(&Statement::new(FOREIGN_KEYS).bind(oid)).await? {
        let other = TableName::within(text(&row[1]), text(&row[2]));
        details.add_pair(&text(&row[0]), other, text(&row[3]), Some(text(&row[4])));
    }
    for row in session.rows(&Statement::new(DEFAULTS).bind(oid)).await? {
        details.defaults.push((text(&row[0]), text(&row[1])));
    }
    for row in session.rows(&Statement::new(ABOUT).bind(oid)).await? {
        if row[0] == Value::Bool(true) {
            details.notes.push(Note::new(
                Concerns::Both,
                "row level security is on: only the owner, or a role with BYPASSRLS, sees and \
                 writes every row; for others the step fails",
            ));
        }
        if row[1] == Value::Bool(true) {
            details.notes.push(Note::new(
                Concerns::Reader,
                "other tables inherit from it: reading it gives their rows too",
            ));
        }
    }
    for row in session.rows(&Statement::new(FOLDED).bind(oid)).await? {
        details.notes.push(Note::new(
            Concerns::Writer,
            format!(
                "the unique column {} takes texts that differ in case or accents for equal: the \
                 second of such rows is rejected",
                text(&row[0])
            ),
        ));
    }
    Ok(details)
}
