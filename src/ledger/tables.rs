//! The documented schema of the ledger, for each dialect.

use super::{LAST_TABLE, Ledger};
use crate::db::Session;
use crate::error::{Error, Result};
use crate::sql::{Dialect, Flavor, Statement};

/// Version of this schema; an older tool refuses a newer ledger and the other way round.
pub const FORMAT: i64 = 2;

/// One column: name, type letter (i integer, n name, k row key, t text, b bytes, f float), suffix.
/// Names and row keys stand in primary keys; only row keys may be of any length.
type ColumnSpec = (&'static str, char, &'static str);

/// One table: name, columns, primary key.
type TableSpec = (&'static str, &'static [ColumnSpec], &'static str);

/// The tables, in order. Comments for people stand in docs/ledger.md.
const TABLES: &[TableSpec] = &[
    ("meta", &[("format", 'i', "NOT NULL")], "format"),
    (
        "lease",
        &[
            ("plan", 'n', "NOT NULL"),
            ("epoch", 'i', "NOT NULL"),
            ("mode", 't', "NOT NULL"),
            ("runner", 't', "NOT NULL"),
            ("locked", 'i', "NOT NULL"),
            ("taken_at", 't', "NOT NULL"),
        ],
        "plan",
    ),
    (
        "runners",
        &[
            ("plan", 'n', "NOT NULL"),
            ("id", 'n', "NOT NULL"),
            ("process", 't', "NOT NULL"),
            ("beat_at", 'i', "NOT NULL"),
            ("patience", 'i', "NOT NULL"),
        ],
        "plan, id",
    ),
    (
        "control",
        &[
            ("plan", 'n', "NOT NULL"),
            ("paused", 'i', "NOT NULL"),
            ("rows_per_second", 'i', ""),
            ("batch_rows", 'i', ""),
            ("changed_by", 't', "NOT NULL"),
            ("changed_at", 't', "NOT NULL"),
        ],
        "plan",
    ),
    (
        "throttles",
        &[
            ("plan", 'n', "NOT NULL"),
            ("id", 'n', "NOT NULL"),
            ("said_at", 'i', "NOT NULL"),
            ("at_work", 'i', "NOT NULL"),
            ("reason", 't', ""),
            ("signals", 't', "NOT NULL"),
        ],
        "plan, id",
    ),
    (
        "runs",
        &[
            ("id", 'n', "NOT NULL"),
            ("plan", 'n', "NOT NULL"),
            ("state", 't', "NOT NULL"),
            ("source", 't', "NOT NULL"),
            ("target", 't', "NOT NULL"),
            ("plan_checksum", 't', "NOT NULL"),
            ("tool_version", 't', "NOT NULL"),
            ("started_at", 't', "NOT NULL"),
            ("finished_at", 't', ""),
            ("error", 't', ""),
        ],
        "id",
    ),
    (
        "steps",
        &[
            ("run", 'n', "NOT NULL"),
            ("step", 'n', "NOT NULL"),
            ("position", 'i', "NOT NULL"),
            ("kind", 't', "NOT NULL"),
            ("checksum", 't', "NOT NULL"),
            ("spec", 't', "NOT NULL"),
            ("state", 't', "NOT NULL"),
            ("route", 't', "NOT NULL DEFAULT ''"),
            ("target_table", 't', ""),
            ("columns", 't', ""),
            ("source_rows", 'i', ""),
            ("source_rows_after", 'i', ""),
            ("before_rows", 'i', ""),
            ("after_rows", 'i', ""),
            ("files", 'i', ""),
            ("started_at", 't', ""),
            ("finished_at", 't', ""),
        ],
        "run, step",
    ),
    (
        "chunks",
        &[
            ("run", 'n', "NOT NULL"),
            ("step", 'n', "NOT NULL"),
            ("chunk", 'i', "NOT NULL"),
            ("kind", 't', "NOT NULL"),
            ("lo", 't', ""),
            ("hi", 't', ""),
            ("pos", 't', ""),
            ("seq", 'i', "NOT NULL"),
            ("state", 't', "NOT NULL"),
            ("fence", 'i', "NOT NULL"),
            ("owner_epoch", 'i', "NOT NULL"),
            ("owner", 't', "NOT NULL"),
            ("worker", 'i', "NOT NULL"),
        ],
        "run, step, chunk",
    ),
    (
        "batches",
        &[
            ("run", 'n', "NOT NULL"),
            ("step", 'n', "NOT NULL"),
            ("chunk", 'i', "NOT NULL"),
            ("seq", 'i', "NOT NULL"),
            ("after_key", 't', ""),
            ("last_key", 't', ""),
            ("read_rows", 'i', "NOT NULL"),
            ("inserted", 'i', "NOT NULL"),
            ("updated", 'i', "NOT NULL"),
            ("skipped", 'i', "NOT NULL"),
            ("rejected", 'i', "NOT NULL"),
            ("bytes", 'i', "NOT NULL"),
            ("seconds", 'f', "NOT NULL"),
            ("transaction_id", 't', "NOT NULL"),
            ("digests", 'b', ""),
            ("committed_at", 't', "NOT NULL"),
            ("undone", 'i', "NOT NULL DEFAULT 0"),
        ],
        "run, step, chunk, seq",
    ),
    (
        "rejects",
        &[
            ("run", 'n', "NOT NULL"),
            ("step", 'n', "NOT NULL"),
            ("chunk", 'i', "NOT NULL"),
            ("seq", 'i', "NOT NULL"),
            ("number", 'i', "NOT NULL"),
            ("row_key", 't', "NOT NULL"),
            ("column_name", 't', ""),
            ("column_type", 't', ""),
            ("reason", 't', "NOT NULL"),
            ("row_data", 't', "NOT NULL"),
            ("rejected_at", 't', "NOT NULL"),
        ],
        "run, step, chunk, seq, number",
    ),
    (
        "moved",
        &[
            ("run", 'n', "NOT NULL"),
            ("step", 'n', "NOT NULL"),
            ("source_key", 'k', "NOT NULL"),
            ("target_key", 't', "NOT NULL"),
            ("chunk", 'i', "NOT NULL"),
            ("seq", 'i', "NOT NULL"),
        ],
        "run, step, source_key",
    ),
    (
        "before_images",
        &[
            ("run", 'n', "NOT NULL"),
            ("step", 'n', "NOT NULL"),
            ("chunk", 'i', "NOT NULL"),
            ("seq", 'i', "NOT NULL"),
            ("target_key", 'k', "NOT NULL"),
            ("image", 't', "NOT NULL"),
            ("mark", 'b', ""),
            ("restored_by", 't', ""),
        ],
        "run, step, chunk, seq, target_key",
    ),
    (
        "deferred",
        &[
            ("run", 'n', "NOT NULL"),
            ("step", 'n', "NOT NULL"),
            ("number", 'i', "NOT NULL"),
            ("schema_name", 't', "NOT NULL"),
            ("table_name", 'n', "NOT NULL"),
            ("index_name", 'n', "NOT NULL"),
            ("definition", 't', "NOT NULL"),
            ("tablespace", 't', ""),
            ("more", 't', "NOT NULL"),
            ("dropped_at", 't', "NOT NULL"),
        ],
        "run, step, index_name",
    ),
    (
        "verifications",
        &[
            ("run", 'n', "NOT NULL"),
            ("number", 'i', "NOT NULL"),
            ("state", 't', "NOT NULL"),
            ("options", 't', "NOT NULL"),
            ("started_at", 't', "NOT NULL"),
            ("finished_at", 't', ""),
        ],
        "run, number",
    ),
    (
        "verified",
        &[
            ("run", 'n', "NOT NULL"),
            ("step", 'n', "NOT NULL"),
            ("chunk", 'i', "NOT NULL"),
            ("kind", 't', "NOT NULL"),
            ("lo", 't', ""),
            ("hi", 't', ""),
            ("pos", 't', ""),
            ("state", 't', "NOT NULL"),
            ("found", 't', "NOT NULL"),
        ],
        "run, step, chunk",
    ),
    (
        "baseline",
        &[
            ("run", 'n', "NOT NULL"),
            ("table_name", 'n', "NOT NULL"),
            ("row_count", 'i', ""),
            ("protected", 'i', "NOT NULL"),
            ("columns", 't', ""),
            ("key_columns", 't', ""),
        ],
        "run, table_name",
    ),
    (
        "baseline_blocks",
        &[
            ("run", 'n', "NOT NULL"),
            ("table_name", 'n', "NOT NULL"),
            ("block", 'i', "NOT NULL"),
            ("last_key", 't', ""),
            ("keys", 't', "NOT NULL"),
            ("digests", 'b', "NOT NULL"),
        ],
        "run, table_name, block",
    ),
    (
        "events",
        &[
            ("run", 'n', "NOT NULL"),
            ("number", 'i', "NOT NULL"),
            ("at", 't', "NOT NULL"),
            ("event", 't', "NOT NULL"),
            ("body", 't', "NOT NULL"),
        ],
        "run, number",
    ),
];

/// SQL that creates the ledger where it is missing. The table that tells that it is there comes
/// last: where schema changes commit one by one, half a ledger is none.
pub fn create(dialect: &dyn Dialect) -> String {
    let mut sql = String::new();
    if dialect.flavor() == Flavor::Postgres {
        sql.push_str("CREATE SCHEMA IF NOT EXISTS tablelift;\n");
    }
    let is_last = |spec: &&TableSpec| spec.0 == LAST_TABLE;
    sql.push_str(&create_tables(dialect, TABLES.iter().filter(|spec| !is_last(spec))));
    sql.push_str(&format!(
        "INSERT INTO {0} (format) SELECT n FROM (SELECT {FORMAT} AS n) one \
         WHERE NOT EXISTS (SELECT 1 FROM {0}){1};\n",
        dialect.ledger("meta").sql(dialect),
        dialect.or_keep("format")
    ));
    sql.push_str(&create_tables(dialect, TABLES.iter().filter(is_last)));
    sql
}

fn create_tables<'a>(dialect: &dyn Dialect, tables: impl Iterator<Item = &'a TableSpec>) -> String {
    let types = dialect.ledger_types();
    let mut sql = String::new();
    for (name, columns, key) in tables {
        let definitions: Vec<String> = columns
            .iter()
            .map(|(column, letter, suffix)| {
                let ty = match letter {
                    'i' => types.int,
                    'n' => types.name,
                    'b' => types.bytes,
                    'f' => types.float,
                    _ => types.text,
                };
                format!("{} {ty} {suffix}", dialect.quote(column))
            })
            .collect();
        let row_key = columns.iter().find(|(_, letter, _)| *letter == 'k').map(|(name, ..)| *name);
        sql.push_str(&format!(
            "CREATE TABLE IF NOT EXISTS {} ({}, {}){};\n",
            dialect.ledger(name).sql(dialect),
            definitions.join(", "),
            dialect.ledger_key(key, row_key),
            types.table,
        ));
    }
    sql
}

/// Creates the ledger where it is missing and refuses one of another format.
pub async fn install(session: &mut dyn Session) -> Result<()> {
    if !Ledger::exists(session).await? {
        let sql = create(session.dialect());
        let in_transaction = !session.dialect().ddl_commits();
        if in_transaction {
            session.begin().await?;
        }
        if let Err(mut error) = session.script(&sql).await {
            session.rollback().await;
            error.message = format!("can't create the ledger in the target: {}", error.message);
            error.kind = crate::error::Kind::Invalid;
            return Err(error.hint(
                "The role needs CREATE on the database, or somebody creates the schema \
                 `tablelift` and grants it to the role.",
            ));
        }
        if in_transaction {
            session.commit().await?;
        }
    }
    let meta = session.dialect().ledger("meta").sql(session.dialect());
    let ask = Statement::new(format!("SELECT format FROM {meta}"));
    let format = super::number(&crate::db::scalar(session, &ask).await?);
    if format != FORMAT {
        return Err(Error::invalid(format!(
            "the ledger has format {format}, this tablelift knows format {FORMAT}"
        ))
        .hint("Use the version of tablelift that started the run."));
    }
    Ok(())
}

/// Adds a table that came after the ledger's format, where it is missing; inside a transaction
/// that needs it. The format stays: older versions refuse the plans that use the table.
pub async fn add(session: &mut dyn Session, table: &str) -> Result<()> {
    if Ledger::has(session, table).await? {
        return Ok(());
    }
    let spec = TABLES.iter().filter(|(name, ..)| *name == table);
    let sql = create_tables(session.dialect(), spec);
    session.script(&sql).await.map_err(|mut error| {
        error.message = format!("can't add `{table}` to the ledger: {}", error.message);
        error.hint("The ledger is from an earlier version; the role needs CREATE in its schema.")
    })
}
