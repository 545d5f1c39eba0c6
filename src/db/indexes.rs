//! Secondary indexes of a table: which of them can be dropped and built again exactly as they
//! were, and how. What is not known to come back the same stays.

use super::{Session, scalar};
use crate::error::{Error, Result};
use crate::sql::{Flavor, Statement, Table, TableName, quote};
use crate::value::{Row, Value};

/// All that is needed to build an index again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its table.
    pub table: TableName,
    /// Its name; it lies in the table's schema.
    pub name: String,
    /// The CREATE INDEX.
    pub create: String,
    /// PostgreSQL: the tablespace, where it is not the database's own. No definition names it.
    pub tablespace: Option<String>,
    /// Statements that follow: comment, targets of statistics, the mark of CLUSTER.
    pub more: Vec<String>,
}

impl Definition {
    /// The index's name with its schema.
    pub fn index(&self) -> TableName {
        TableName { schema: self.table.schema.clone(), name: self.name.clone() }
    }
}

/// The plain secondary indexes of a table. Unique ones and those of constraints are not among
/// them: they refuse rows, and lookups by key need them.
#[derive(Debug, Clone, Default)]
pub struct Secondary {
    /// Can be dropped and built again, in the order in which they were made.
    pub go: Vec<Definition>,
    /// Must stay: name and reason.
    pub stay: Vec<(String, String)>,
}

/// Each index that is neither unique nor a constraint's, and why it must stay, if it must.
const POSTGRES: &str = "SELECT c.relname::text, CASE \
     WHEN t.relkind <> 'r' THEN 'its table is partitioned' \
     WHEN NOT (i.indisvalid AND i.indisready AND i.indislive) THEN 'it is not valid' \
     WHEN EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid) \
       THEN 'it is part of an index of the partitioned table' \
     WHEN EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE \
         (d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid) OR \
         (d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'x'))) \
       THEN 'something else in the database hangs on it' \
     WHEN NOT pg_has_role(t.relowner, 'USAGE') THEN 'the role does not own the table' \
     WHEN NOT has_schema_privilege(n.oid, 'CREATE') THEN 'the role may not create in the schema' \
     WHEN c.reltablespace <> 0 AND NOT has_tablespace_privilege(c.reltablespace, 'CREATE') \
       THEN 'the role may not create in its tablespace' END \
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
       JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE i.indrelid = to_regclass($1) AND NOT i.indisunique AND NOT i.indisprimary \
       AND NOT i.indisexclusion AND NOT i.indisreplident \
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = c.oid) \
     ORDER BY c.oid";

const POSTGRES_ONE: &str = "SELECT pg_catalog.pg_get_indexdef(c.oid), s.spcname::text, \
       pg_catalog.obj_description(c.oid, 'pg_class'), i.indisclustered, i.indisvalid \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
       LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace \
     WHERE c.oid = to_regclass($1)";

const POSTGRES_TARGETS: &str = "SELECT a.attnum::bigint, a.attstattarget::bigint \
     FROM pg_catalog.pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 \
       AND a.attstattarget >= 0 ORDER BY a.attnum";

const SQLITE: &str = "SELECT m.name, m.sql FROM main.sqlite_master m \
     JOIN pragma_index_list($1, 'main') l ON l.name = m.name \
     WHERE m.type = 'index' AND m.sql IS NOT NULL AND l.\"unique\" = 0 AND l.origin = 'c' \
     ORDER BY m.rowid";

/// The plain secondary indexes of `table`; inside a transaction.
pub async fn secondary(session: &mut dyn Session, table: &Table) -> Result<Secondary> {
    match session.dialect().flavor() {
        Flavor::Postgres => postgres(session, &table.name).await,
        Flavor::Sqlite => sqlite(session, &table.name).await,
        // Plans that ask for it are refused: the drop could not be one transaction with its note.
        Flavor::Mysql => Ok(Secondary::default()),
    }
}

/// Drops the index.
pub async fn drop_index(session: &mut dyn Session, definition: &Definition) -> Result<()> {
    let drop = Statement::new(format!("DROP INDEX {}", definition.index().sql(session.dialect())));
    session.execute(&drop).await.map(|_| ())
}

/// Builds the index again; inside a transaction. One that is there with the same definition is
/// taken as it is.
///
/// # Errors
/// An index of that name is there that is another one.
pub async fn build(session: &mut dyn Session, definition: &Definition) -> Result<()> {
    match found(session, definition).await? {
        None => {
            if session.dialect().flavor() == Flavor::Postgres {
                // Without a name it means the database's own, whatever the role's setting is.
                let space = definition.tablespace.as_deref().unwrap_or_default();
                let literal = session.dialect().text_literal(space);
                session.script(&format!("SET LOCAL default_tablespace = {literal}")).await?;
            }
            session.execute(&Statement::new(definition.create.as_str())).await?;
        }
        Some(create) if create == definition.create => {}
        Some(_) => {
            return Err(Error::stop(format!(
                "another index is called `{}` now, or it is not valid",
                definition.name
            ))
            .in_table(&definition.table.to_string())
            .hint(
                "Rename it or drop it. What was there before stands in the ledger's table \
                 `deferred`; the next `run` or `rollback` builds it.",
            ));
        }
    }
    for statement in &definition.more {
        session.execute(&Statement::new(statement.as_str())).await?;
    }
    Ok(())
}

/// The definition of the index that has the name now; empty where that one is not valid.
async fn found(session: &mut dyn Session, definition: &Definition) -> Result<Option<String>> {
    if session.dialect().flavor() == Flavor::Postgres {
        return Ok(in_catalog(session, &definition.index()).await?.map(|row| {
            let valid = row[4] == Value::Bool(true);
            if valid { text(&row[0]) } else { String::new() }
        }));
    }
    let ask = Statement::new(
        "SELECT sql FROM main.sqlite_master WHERE type = 'index' AND lower(name) = lower($1) \
         AND lower(tbl_name) = lower($2)",
    )
    .bind(definition.name.as_str())
    .bind(definition.table.name.as_str());
    Ok(session.rows(&ask).await?.first().map(|row| text(&row[0])))
}

/// What PostgreSQL's catalog says of an index. Names in it depend on the search path: with an
/// empty one, every name that is not built in comes with its schema.
async fn in_catalog(session: &mut dyn Session, index: &TableName) -> Result<Option<Row>> {
    let path = Statement::new("SELECT current_setting('search_path')");
    let path = text(&scalar(session, &path).await?);
    set_path(session, "").await?;
    let ask = Statement::new(POSTGRES_ONE).bind(index.sql(&crate::sql::postgres::POSTGRES));
    let row = session.rows(&ask).await?.into_iter().next();
    // What the functions of an index look for, they find by the session's own path.
    set_path(session, &path).await?;
    Ok(row)
}

async fn set_path(session: &mut dyn Session, path: &str) -> Result<()> {
    let set = Statement::new("SELECT set_config('search_path', $1, true)").bind(path);
    session.rows(&set).await.map(|_| ())
}

async fn postgres(session: &mut dyn Session, table: &TableName) -> Result<Secondary> {
    let mut all = Secondary::default();
    for row in session
        .rows(&Statement::new(POSTGRES).bind(table.sql(&crate::sql::postgres::POSTGRES)))
        .await?
    {
        let name = text(&row[0]);
        if let Some(reason) = row[1].to_text() {
            all.stay.push((name, reason));
            continue;
        }
        let index = TableName { schema: table.schema.clone(), name: name.clone() };
        let Some(found) = in_catalog(session, &index).await? else { continue };
        let mut more = Vec::new();
        if let Some(comment) = found[2].to_text() {
            let literal = session.dialect().text_literal(&comment);
            more.push(format!(
                "COMMENT ON INDEX {} IS {literal}",
                index.sql(&crate::sql::postgres::POSTGRES)
            ));
        }
        for target in session
            .rows(
                &Statement::new(POSTGRES_TARGETS).bind(index.sql(&crate::sql::postgres::POSTGRES)),
            )
            .await?
        {
            more.push(format!(
                "ALTER INDEX {} ALTER COLUMN {} SET STATISTICS {}",
                index.sql(&crate::sql::postgres::POSTGRES),
                text(&target[0]),
                text(&target[1])
            ));
        }
        if found[3] == Value::Bool(true) {
            more.push(format!(
                "ALTER TABLE {} CLUSTER ON {}",
                table.sql(&crate::sql::postgres::POSTGRES),
                quote(&name)
            ));
        }
        let (create, tablespace) = (text(&found[0]), found[1].to_text());
        all.go.push(Definition { table: table.clone(), name, create, tablespace, more });
    }
    Ok(all)
}

async fn sqlite(session: &mut dyn Session, table: &TableName) -> Result<Secondary> {
    let mut all = Secondary::default();
    let ask = Statement::new(SQLITE).bind(table.name.as_str());
    for row in session.rows(&ask).await? {
        let (name, create) = (text(&row[0]), text(&row[1]));
        let table = table.clone();
        let one = Definition { table, name, create, tablespace: None, more: Vec::new() };
        match compiles(session, &one).await? {
            None => all.go.push(one),
            Some(reason) => all.stay.push((one.name, reason)),
        }
    }
    Ok(all)
}

/// Why this SQLite can't build the index again: it may use functions or collations that only
/// the application has. Tried without the index, because its name must be free for that, and
/// without running it.
async fn compiles(session: &mut dyn Session, one: &Definition) -> Result<Option<String>> {
    if !one.create.starts_with("CREATE INDEX ") {
        return Ok(Some("its definition is not what SQLite writes".to_owned()));
    }
    session.script("SAVEPOINT trial").await?;
    drop_index(session, one).await?;
    let tried = session.rows(&Statement::new(format!("EXPLAIN {}", one.create))).await;
    session.script("ROLLBACK TO trial; RELEASE trial").await?;
    Ok(tried.err().map(|error| format!("it can't be built again here: {}", error.message)))
}

fn text(value: &Value) -> String {
    value.to_text().unwrap_or_default()
}
