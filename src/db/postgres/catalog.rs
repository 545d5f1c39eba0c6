//! Tables and columns from PostgreSQL's catalog.

use super::session::PgSession;
use crate::db::{Sample, Session as _};
use crate::error::Result;
use crate::sql::postgres::POSTGRES;
use crate::sql::table::UniqueKey;
use crate::sql::{Column, ColumnType, Kind, Statement, Table, TableName};
use crate::value::{Row, Value};

const FIND: &str = "SELECT c.oid::bigint, n.nspname::text, c.relname::text \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.oid = to_regclass($1)";

/// Domains are followed to their base type, so that conversions see what is stored.
const COLUMNS: &str = "WITH RECURSIVE base AS ( \
       SELECT a.attnum, t.oid AS type, t.typbasetype, a.atttypmod AS typmod, t.typtypmod, t.typtype \
       FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
       WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped \
     UNION ALL \
       SELECT b.attnum, t.oid, t.typbasetype, b.typtypmod, t.typtypmod, t.typtype \
       FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd') \
     SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), \
       CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname::text ELSE '' END, \
       b.typmod::bigint, a.attnotnull, a.atthasdef OR a.attidentity <> '', \
       a.attgenerated <> '', a.attidentity = 'a', \
       pg_catalog.pg_get_serial_sequence(a.attrelid::regclass::text, a.attname::text) IS NOT NULL, \
       t.typcategory IN ('A', 'C') OR t.typtype = 'c' OR EXISTS (SELECT 1 FROM pg_catalog.pg_cast k \
         WHERE k.castsource = t.oid AND k.casttarget = 'json'::regtype AND k.castmethod = 'f') \
     FROM pg_catalog.pg_attribute a JOIN base b ON b.attnum = a.attnum AND b.typtype <> 'd' \
       JOIN pg_catalog.pg_type t ON t.oid = b.type \
     WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const UNIQUE: &str = "SELECT i.indexrelid::bigint, i.indisprimary, a.attname::text \
     FROM pg_catalog.pg_index i \
       CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position) \
       JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
     WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indimmediate \
       AND i.indpred IS NULL AND i.indexprs IS NULL AND k.position <= i.indnkeyatts \
     ORDER BY i.indisprimary DESC, i.indexrelid, k.position";

const TRIGGERS: &str = "SELECT t.tgname::text FROM pg_catalog.pg_trigger t \
     WHERE t.tgrelid = $1::oid AND NOT t.tgisinternal AND t.tgenabled <> 'D' \
     UNION ALL SELECT r.rulename::text FROM pg_catalog.pg_rewrite r \
     WHERE r.ev_class = $1::oid AND r.ev_type <> '1'";

/// The table called `name`, found as the server would find it.
pub async fn table(session: &mut PgSession, name: &TableName) -> Result<Option<Table>> {
    let Some((oid, found)) = find(session, name).await? else {
        return Ok(None);
    };
    let rows = session.rows(&Statement::new(COLUMNS).bind(oid)).await?;
    let columns = rows.into_iter().map(column).collect();
    let mut unique: Vec<UniqueKey> = Vec::new();
    let mut last = None;
    for row in session.rows(&Statement::new(UNIQUE).bind(oid)).await? {
        let index = row[0].clone();
        if last.as_ref() != Some(&index) {
            unique.push(UniqueKey { columns: Vec::new(), primary: row[1] == Value::Bool(true) });
            last = Some(index);
        }
        if let Some(key) = unique.last_mut() {
            key.columns.push(text(&row[2]));
        }
    }
    Ok(Some(Table { name: found, columns, unique }))
}

/// Names of enabled triggers and rules of `table`.
pub async fn triggers(session: &mut PgSession, table: &Table) -> Result<Vec<String>> {
    let Some((oid, _)) = find(session, &table.name).await? else {
        return Ok(Vec::new());
    };
    let rows = session.rows(&Statement::new(TRIGGERS).bind(oid)).await?;
    Ok(rows.iter().map(|row| text(&row[0])).collect())
}

/// The planner's estimate.
pub async fn estimate(session: &mut PgSession, from_where: &str) -> Result<Option<u64>> {
    let explain = Statement::new(format!("EXPLAIN (FORMAT JSON) SELECT 1 FROM {from_where}"));
    let plan = crate::db::scalar(session, &explain).await?.to_text().unwrap_or_default();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap_or_default();
    Ok(plan[0]["Plan"]["Plan Rows"].as_u64())
}

/// Pages that a sample reads, and the size from which a table is sampled.
const SAMPLE_PAGES: i64 = 1_000;

/// A clause that leaves the rows of about a thousand pages; the partitions of a table share them.
pub async fn sample(session: &mut PgSession, table: &TableName) -> Result<Sample> {
    let Some((oid, _)) = find(session, table).await? else {
        return Ok(Sample::None);
    };
    let ask = Statement::new(
        "SELECT c.relkind::text, coalesce(sum(pg_relation_size(coalesce(p.relid, c.oid))), 0)::bigint \
         / current_setting('block_size')::bigint FROM pg_catalog.pg_class c \
         LEFT JOIN LATERAL pg_partition_tree(c.oid) p ON c.relkind = 'p' \
         WHERE c.oid = $1::oid GROUP BY c.relkind",
    )
    .bind(oid);
    let rows = session.rows(&ask).await?;
    let Some([Value::Text(kind), Value::Int(pages)]) = rows.first().map(Vec::as_slice) else {
        return Ok(Sample::None);
    };
    if !matches!(kind.as_str(), "r" | "m" | "p") || *pages < SAMPLE_PAGES * 4 {
        return Ok(Sample::None);
    }
    let percent = 100.0 * SAMPLE_PAGES as f64 / *pages as f64;
    Ok(Sample::Clause(format!(" TABLESAMPLE SYSTEM ({percent:.9})")))
}

pub(super) async fn find(
    session: &mut PgSession,
    name: &TableName,
) -> Result<Option<(i64, TableName)>> {
    // A plan may say `schema.table`; a table that is really called so wins.
    let mut candidates = vec![name.clone()];
    if let (None, Some((schema, table))) = (&name.schema, name.name.split_once('.')) {
        candidates.push(TableName::within(schema, table));
    }
    for candidate in candidates {
        let found = session.rows(&Statement::new(FIND).bind(candidate.sql(&POSTGRES))).await?;
        if let Some(row) = found.into_iter().next() {
            let Value::Int(oid) = row[0] else { continue };
            return Ok(Some((oid, TableName::within(text(&row[1]), text(&row[2])))));
        }
    }
    Ok(None)
}

pub(super) fn text(value: &Value) -> String {
    value.to_text().unwrap_or_default()
}

fn column(row: Row) -> Column {
    let typmod = if let Value::Int(typmod) = row[3] { typmod } else { -1 };
    let truth = |at: usize| row[at] == Value::Bool(true);
    let identity = truth(8);
    Column {
        name: text(&row[0]),
        ty: ColumnType { kind: kind(&text(&row[2]), typmod, truth(9)), name: text(&row[1]) },
        not_null: truth(4),
        has_default: truth(5),
        generated: truth(6),
        identity,
        identity_always: truth(7),
    }
}

/// Columns of a constraint or a unique index, in the table's order.
pub async fn constraint_columns(
    session: &mut PgSession,
    table: &Table,
    name: &str,
) -> Result<Vec<String>> {
    let ask = Statement::new(
        "SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = $1::regclass \
         AND a.attnum > 0 AND (a.attnum = ANY (SELECT unnest(c.conkey) FROM pg_constraint c \
         WHERE c.conrelid = a.attrelid AND c.conname = $2) \
         OR a.attnum = ANY (SELECT unnest(i.indkey::int2[]) FROM pg_index i \
         JOIN pg_class n ON n.oid = i.indexrelid WHERE i.indrelid = a.attrelid AND n.relname = $2)) \
         ORDER BY a.attnum",
    )
    .bind(table.name.sql(&POSTGRES))
    .bind(name);
    let rows = session.rows(&ask).await?;
    Ok(rows.iter().filter_map(|row| row.first().and_then(Value::to_text)).collect())
}

/// A built-in type's kind; `name` is empty for types outside `pg_catalog`.
fn kind(name: &str, typmod: i64, json_by_server: bool) -> Kind {
    let length = u32::try_from(typmod - 4).ok();
    let digits = u8::try_from(typmod).unwrap_or(6);
    match name {
        "bool" => Kind::Bool,
        "int2" => Kind::Int(2),
        "int4" => Kind::Int(4),
        "int8" => Kind::Int(8),
        "numeric" => Kind::Numeric(numeric_modifier(typmod)),
        "float4" => Kind::Float4,
        "float8" => Kind::Float8,
        "text" => Kind::Text { max: None, padded: false },
        "varchar" => Kind::Text { max: length, padded: false },
        "bpchar" => Kind::Text { max: length, padded: true },
        "bytea" => Kind::Bytes,
        "json" => Kind::Json,
        "jsonb" => Kind::Jsonb,
        "date" => Kind::Date,
        "time" => Kind::Time(digits),
        "timetz" => Kind::TimeTz(digits),
        "timestamp" => Kind::Timestamp(digits),
        "timestamptz" => Kind::TimestampTz(digits),
        "interval" => Kind::Interval,
        "uuid" => Kind::Uuid,
        name => Kind::Opaque { json_by_server, portable: PORTABLE.contains(&name) },
    }
}

/// Built-in types, by their internal names, whose binary form holds nothing of one server alone
/// (an array holds the id of its elements' type, which is fixed for these).
const PORTABLE: &[&str] = &[
    "_bool",
    "_int2",
    "_int4",
    "_int8",
    "_float4",
    "_float8",
    "_numeric",
    "_text",
    "_varchar",
    "_bpchar",
    "_bytea",
    "_date",
    "_time",
    "_timetz",
    "_timestamp",
    "_timestamptz",
    "_interval",
    "_uuid",
    "_json",
    "_jsonb",
    "_inet",
    "_cidr",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "bit",
    "varbit",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "tsvector",
    "tsquery",
];

/// Precision and scale from a type modifier; the scale is a signed 11-bit number.
fn numeric_modifier(typmod: i64) -> Option<(u32, i32)> {
    let packed = u32::try_from(typmod - 4).ok()?;
    let scale = i32::try_from(packed & 0x7ff).ok()?;
    let scale = if scale >= 1024 { scale - 2048 } else { scale };
    Some((packed >> 16, scale))
}

/// The kind of a type by its object id, for answers of queries.
pub fn kind_of_oid(oid: u32) -> Kind {
    let name = match oid {
        16 => "bool",
        21 => "int2",
        23 => "int4",
        20 | 26 => "int8",
        1700 => "numeric",
        700 => "float4",
        701 => "float8",
        19 | 25 | 705 => "text",
        1043 => "varchar",
        1042 => "bpchar",
        17 => "bytea",
        114 => "json",
        3802 => "jsonb",
        1082 => "date",
        1083 => "time",
        1266 => "timetz",
        1114 => "timestamp",
        1184 => "timestamptz",
        1186 => "interval",
        2950 => "uuid",
        _ => "",
    };
    kind(name, -1, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_modifiers() {
        assert_eq!(numeric_modifier(-1), None);
        assert_eq!(numeric_modifier(((10 << 16) | 2) + 4), Some((10, 2)));
        assert_eq!(numeric_modifier(((3 << 16) | (2048 - 2)) + 4), Some((3, -2)));
    }
}
