//! Tables, columns and types from the server's information schema.

use super::session::MySession;
use crate::db::{Sample, Session as _};
use crate::error::Result;
use crate::sql::mysql::{MYSQL, is_choice};
use crate::sql::table::UniqueKey;
use crate::sql::{Column, ColumnType, Dialect as _, Kind, Statement, Table, TableName};
use crate::value::{Row, Value};

/// Names are compared as the server compares them: exactly, unless it folds their case.
const FIND: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = COALESCE($1, DATABASE()) AND TABLE_NAME = $2 \
       AND (BINARY TABLE_NAME = BINARY $2 OR @@lower_case_table_names > 0)";

const COLUMNS: &str = "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, \
       EXTRA, GENERATION_EXPRESSION, NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_MAXIMUM_LENGTH, \
       DATETIME_PRECISION, COLLATION_NAME \
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = $1 AND TABLE_NAME = $2 \
       AND BINARY TABLE_NAME = BINARY $2 ORDER BY ORDINAL_POSITION";

/// A whole column each: a prefix (SUB_PART) or an expression makes no key.
const UNIQUE: &str = "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
     WHERE TABLE_SCHEMA = $1 AND TABLE_NAME = $2 AND BINARY TABLE_NAME = BINARY $2 \
       AND NON_UNIQUE = 0 ORDER BY INDEX_NAME = 'PRIMARY' DESC, INDEX_NAME, SEQ_IN_INDEX";

/// MariaDB's JSON is LONGTEXT with this check.
const JSON_CHECKS: &str = "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS \
     WHERE CONSTRAINT_SCHEMA = $1 AND TABLE_NAME = $2 AND CHECK_CLAUSE LIKE 'json_valid(%'";

const TRIGGERS: &str = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS \
     WHERE EVENT_OBJECT_SCHEMA = $1 AND EVENT_OBJECT_TABLE = $2 ORDER BY TRIGGER_NAME";

/// Columns of an index, of a foreign key, or of a check by its name.
const CONSTRAINT: &str = "SELECT COLUMN_NAME FROM information_schema.STATISTICS \
     WHERE TABLE_SCHEMA = $1 AND TABLE_NAME = $2 AND INDEX_NAME = $3 \
     UNION SELECT COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE \
     WHERE TABLE_SCHEMA = $1 AND TABLE_NAME = $2 AND CONSTRAINT_NAME = $3";

const CHECK: &str = "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS \
     WHERE CONSTRAINT_SCHEMA = $1 AND TABLE_NAME = $2 AND CONSTRAINT_NAME = $3";

pub(super) fn text(value: &Value) -> String {
    value.to_text().unwrap_or_default()
}

/// The table called `name`, found as the server would find it.
pub async fn table(session: &mut MySession, name: &TableName) -> Result<Option<Table>> {
    let Some(found) = find(session, name).await? else {
        return Ok(None);
    };
    let schema = found.schema.clone().unwrap_or_default();
    let of_table = |text: &str| Statement::new(text).bind(&*schema).bind(&*found.name);
    let documents = documents(session, &of_table(JSON_CHECKS)).await?;
    let rows = session.rows(&of_table(COLUMNS)).await?;
    let columns = rows.iter().map(|row| column(row, &documents)).collect();
    let mut unique: Vec<UniqueKey> = Vec::new();
    let mut last = None;
    let mut whole = true;
    for row in session.rows(&of_table(UNIQUE)).await? {
        let index = text(&row[0]);
        if last.as_ref() != Some(&index) {
            if !whole {
                unique.pop();
            }
            whole = true;
            unique.push(UniqueKey { columns: Vec::new(), primary: index == "PRIMARY" });
            last = Some(index);
        }
        whole &= !row[1].is_null() && row[2].is_null();
        if let Some(key) = unique.last_mut() {
            key.columns.push(text(&row[1]));
        }
    }
    if !whole {
        unique.pop();
    }
    Ok(Some(Table { name: found, columns, unique }))
}

async fn find(session: &mut MySession, name: &TableName) -> Result<Option<TableName>> {
    // A plan may say `database.table`; a table that is really called so wins.
    let mut candidates = vec![name.clone()];
    if let (None, Some((schema, table))) = (&name.schema, name.name.split_once('.')) {
        candidates.push(TableName::within(schema, table));
    }
    for candidate in candidates {
        let ask = Statement::new(FIND).bind(candidate.schema.clone()).bind(&*candidate.name);
        if let Some(row) = session.rows(&ask).await?.first() {
            return Ok(Some(TableName::within(text(&row[0]), text(&row[1]))));
        }
    }
    Ok(None)
}

/// Columns that a check holds to be JSON documents. MySQL has a type for them, and another
/// table of checks.
async fn documents(session: &mut MySession, ask: &Statement) -> Result<Vec<String>> {
    if !session.is_mariadb {
        return Ok(Vec::new());
    }
    let rows = session.rows(ask).await?;
    let name = |row: &Row| {
        let clause = text(&row[0]);
        let inner = clause.strip_prefix("json_valid(`")?.strip_suffix("`)")?.replace("``", "`");
        Some(inner)
    };
    Ok(rows.iter().filter_map(name).collect())
}

fn column(row: &Row, documents: &[String]) -> Column {
    let name = text(&row[0]);
    let number = |at: usize| text(&row[at]).parse::<u32>().ok();
    let extra = text(&row[5]).to_ascii_lowercase();
    let mut declared = text(&row[2]);
    let collation = text(&row[11]);
    if is_choice(&declared) && collation.ends_with("_bin") {
        // Elsewhere, labels that differ in their case alone are one.
        declared = format!("{declared} COLLATE {collation}");
    }
    let is_document = documents.contains(&name);
    let kind = match (text(&row[1]).as_str(), is_document) {
        (_, true) => Kind::Json,
        ("decimal", _) => {
            Kind::Numeric(number(7).zip(number(8)).map(|(p, s)| (p, i32::try_from(s).unwrap_or(0))))
        }
        ("varchar", _) => Kind::Text { max: number(9), padded: false },
        ("char", _) => Kind::Text { max: number(9), padded: true },
        (base, _) => {
            let digits = number(10).and_then(|digits| u8::try_from(digits).ok()).unwrap_or(0);
            kind(base, declared.contains("unsigned"), bits(&declared), digits)
        }
    };
    let default = text(&row[4]);
    let identity = extra.contains("auto_increment");
    Column {
        name,
        ty: ColumnType { kind, name: if is_document { "json".to_owned() } else { declared } },
        not_null: text(&row[3]) == "NO",
        // MariaDB spells the default NULL out.
        has_default: identity || !row[4].is_null() && default != "NULL",
        generated: extra.contains("generated") && !extra.contains("default_generated")
            || extra.contains("virtual")
            || extra.contains("persistent"),
        identity,
        identity_always: false,
    }
}

/// `bit(8)` → 8.
fn bits(declared: &str) -> u32 {
    let inner = declared.strip_prefix("bit(").and_then(|rest| rest.strip_suffix(')'));
    inner.and_then(|digits| digits.parse().ok()).unwrap_or(1)
}

/// The kind of a type by its name; lengths are added by the caller.
fn kind(base: &str, unsigned: bool, bits: u32, digits: u8) -> Kind {
    match (base, unsigned) {
        ("tinyint", _) | ("smallint", false) | ("year", _) => Kind::Int(2),
        ("smallint", true) | ("mediumint", _) | ("int" | "integer", false) => Kind::Int(4),
        ("int" | "integer", true) | ("bigint", false) => Kind::Int(8),
        ("bigint", true) => Kind::Numeric(Some((20, 0))),
        ("bit", _) if bits < 64 => Kind::Int(8),
        ("bit", _) => Kind::Numeric(Some((20, 0))),
        ("decimal", _) => Kind::Numeric(None),
        ("float", _) => Kind::Float4,
        ("double", _) => Kind::Float8,
        ("date", _) => Kind::Date,
        ("time", _) => Kind::Time(digits),
        ("datetime", _) => Kind::Timestamp(digits),
        ("timestamp", _) => Kind::TimestampTz(digits),
        ("json", _) => Kind::Json,
        ("uuid", _) => Kind::Uuid,
        (
            "tinyblob" | "blob" | "mediumblob" | "longblob" | "binary" | "varbinary" | "geometry"
            | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection",
            _,
        ) => Kind::Bytes,
        _ => Kind::Text { max: None, padded: false },
    }
}

/// The type that the server says of a query's column; `is_text`: it has a character set.
pub fn described(name: &str, is_text: bool) -> ColumnType {
    let lower = name.to_ascii_lowercase();
    let (base, unsigned) = match lower.strip_suffix(" unsigned") {
        Some(base) => (base, true),
        None => (lower.as_str(), false),
    };
    let kind = match base {
        // What the driver calls bytes has a binary collation, which texts can have too.
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" if is_text => {
            Kind::Text { max: None, padded: false }
        }
        "boolean" => Kind::Int(2),
        base => kind(base, unsigned, 64, 6),
    };
    ColumnType { kind, name: if base == "boolean" { "tinyint(1)".to_owned() } else { lower } }
}

/// Names of the triggers of `table`.
pub async fn triggers(session: &mut MySession, table: &Table) -> Result<Vec<String>> {
    let schema = table.name.schema.clone();
    let ask = Statement::new(TRIGGERS).bind(schema).bind(&*table.name.name);
    Ok(session.rows(&ask).await?.iter().map(|row| text(&row[0])).collect())
}

/// Columns that an index, a foreign key or a check is about.
pub async fn constraint_columns(
    session: &mut MySession,
    table: &Table,
    name: &str,
) -> Result<Vec<String>> {
    let of = |text: &str| {
        let ask = Statement::new(text).bind(table.name.schema.clone());
        ask.bind(&*table.name.name).bind(name)
    };
    let found = session.rows(&of(CONSTRAINT)).await?;
    if !found.is_empty() {
        return Ok(found.iter().map(|row| text(&row[0])).collect());
    }
    if !session.is_mariadb {
        return Ok(Vec::new());
    }
    let clause: String = session.rows(&of(CHECK)).await?.iter().map(|row| text(&row[0])).collect();
    let spoken = |column: &&Column| clause.contains(&MYSQL.quote(&column.name));
    Ok(table.columns.iter().filter(spoken).map(|column| column.name.clone()).collect())
}

/// The planner's estimate, for one table.
pub async fn estimate(session: &mut MySession, from_where: &str) -> Result<Option<u64>> {
    let explain = Statement::new(format!("EXPLAIN SELECT 1 FROM {from_where}"));
    // Its columns differ from server to server; `rows` comes before the last one or two.
    let rows = session.rows(&explain).await?;
    let [row] = rows.as_slice() else {
        return Ok(None);
    };
    Ok(row.iter().rev().find_map(|value| match value {
        Value::Int(rows) => u64::try_from(*rows).ok(),
        _ => None,
    }))
}

/// The range of a primary key that is one integer.
pub async fn sample(session: &mut MySession, name: &TableName) -> Result<Sample> {
    let Some(table) = table(session, name).await? else {
        return Ok(Sample::None);
    };
    let [key] = table.primary_key() else {
        return Ok(Sample::None);
    };
    if !table.column(key).is_some_and(|column| matches!(column.ty.kind, Kind::Int(_))) {
        return Ok(Sample::None);
    }
    let (key, from) = (MYSQL.quote(key), table.name.sql(&MYSQL));
    let ask = Statement::new(format!("SELECT MIN({key}), MAX({key}) FROM {from}"));
    Ok(match session.rows(&ask).await?.first().map(Vec::as_slice) {
        Some([Value::Int(low), Value::Int(high)]) => Sample::Range(*low, *high),
        _ => Sample::None,
    })
}
