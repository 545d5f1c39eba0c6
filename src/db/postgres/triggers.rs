//! `triggers = "skip"`: within a batch's transaction only, so that nothing stays switched off
//! whatever ends the batch. Until it commits, others who write the table wait.

use super::catalog::{find, text};
use super::session::PgSession;
use crate::db::Session as _;
use crate::error::{Error, Result};
use crate::sql::postgres::POSTGRES;
use crate::sql::{Dialect as _, Statement, Switch, Table};
use crate::value::Value;

/// Triggers and rules that fire for us: their kind, name and state, and whether we may change
/// them.
const SWITCHED: &str = "SELECT s.kind, s.name::text, s.state::text, \
     pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c JOIN ( \
     SELECT tgrelid AS rel, 'TRIGGER' AS kind, tgname AS name, tgenabled AS state \
     FROM pg_catalog.pg_trigger WHERE NOT tgisinternal \
     UNION ALL SELECT ev_class, 'RULE', rulename, ev_enabled \
     FROM pg_catalog.pg_rewrite WHERE ev_type <> '1') s ON s.rel = c.oid \
     WHERE c.oid = $1::oid AND s.state IN ('O', 'A') ORDER BY s.kind, s.name";

/// What switches triggers and rules off and on. Those that only fire on replicas stay.
pub async fn switch(session: &mut PgSession, table: &Table) -> Result<Switch> {
    let mut switch = Switch { off: String::new(), on: String::new() };
    let Some((oid, _)) = find(session, &table.name).await? else {
        return Ok(switch);
    };
    let name = table.name.sql(&POSTGRES);
    for row in session.rows(&Statement::new(SWITCHED).bind(oid)).await? {
        if row[3] != Value::Bool(true) {
            return Err(Error::invalid("the table belongs to another role")
                .in_table(&table.name.to_string())
                .hint("triggers = \"skip\" needs the table's owner: run as that role."));
        }
        let (kind, one) = (text(&row[0]), POSTGRES.quote(&text(&row[1])));
        let enable = if text(&row[2]) == "A" { "ENABLE ALWAYS" } else { "ENABLE" };
        switch.off.push_str(&format!("ALTER TABLE {name} DISABLE {kind} {one};"));
        switch.on.push_str(&format!("ALTER TABLE {name} {enable} {kind} {one};"));
    }
    Ok(switch)
}
