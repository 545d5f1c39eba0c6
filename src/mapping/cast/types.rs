//! Type names of `cast` rules.

use crate::sql::{ColumnType, Kind};

/// The type that a `cast` rule names, in any of PostgreSQL's common spellings.
pub fn parse_type(name: &str) -> Option<ColumnType> {
    let lower = name.trim().to_ascii_lowercase();
    let (base, arguments) = split(&lower)?;
    let first = arguments.first().copied();
    let bare = |kind: Kind| arguments.is_empty().then_some(kind);
    let digits = || match (first, arguments.len()) {
        (None, 0) => Some(6),
        (Some(p @ 0..=6), 1) => u8::try_from(p).ok(),
        _ => None,
    };
    let length = |padded: bool| {
        let max = match (first, arguments.len()) {
            (None, 0) => padded.then_some(1),
            (Some(n), 1) => Some(u32::try_from(n).ok().filter(|n| (1..=10_485_760).contains(n))?),
            _ => return None,
        };
        Some(Kind::Text { max, padded })
    };
    let kind = match base.as_str() {
        "bool" | "boolean" => bare(Kind::Bool)?,
        "smallint" | "int2" => bare(Kind::Int(2))?,
        "int" | "integer" | "int4" => bare(Kind::Int(4))?,
        "bigint" | "int8" => bare(Kind::Int(8))?,
        "numeric" | "decimal" | "dec" => Kind::Numeric(match arguments[..] {
            [] => None,
            [p] => Some((precision(p)?, 0)),
            [p, s] => {
                Some((precision(p)?, i32::try_from(s).ok().filter(|s| (-1000..=1000).contains(s))?))
            }
            _ => return None,
        }),
        "real" | "float4" => bare(Kind::Float4)?,
        "float8" | "double precision" | "double" => bare(Kind::Float8)?,
        "float" => match arguments[..] {
            [] | [25..=53] => Kind::Float8,
            [1..=24] => Kind::Float4,
            _ => return None,
        },
        "text" | "string" => bare(Kind::Text { max: None, padded: false })?,
        "varchar" | "character varying" => length(false)?,
        "char" | "character" | "bpchar" => length(true)?,
        "bytea" | "bytes" | "blob" => bare(Kind::Bytes)?,
        "json" => bare(Kind::Json)?,
        "jsonb" => bare(Kind::Jsonb)?,
        "date" => bare(Kind::Date)?,
        "time" | "time without time zone" => Kind::Time(digits()?),
        "timetz" | "time with time zone" => Kind::TimeTz(digits()?),
        "timestamp" | "datetime" | "timestamp without time zone" => Kind::Timestamp(digits()?),
        "timestamptz" | "timestamp with time zone" => Kind::TimestampTz(digits()?),
        "interval" => bare(Kind::Interval)?,
        "uuid" => bare(Kind::Uuid)?,
        _ => return None,
    };
    Some(ColumnType { name: spelling(&kind), kind })
}

fn precision(p: i64) -> Option<u32> {
    u32::try_from(p).ok().filter(|p| (1..=1000).contains(p))
}

/// The name by which a `cast` rule calls a kind; what has none of its own is `text`.
pub fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::TimestampTz(6) => "timestamptz".to_owned(),
        Kind::Timestamp(6) => "timestamp".to_owned(),
        kind => spelling(kind),
    }
}

/// PostgreSQL's own spelling.
fn spelling(kind: &Kind) -> String {
    let with = |name: &str, p: &u8, zone: &str| match p {
        6 => format!("{name} {zone} time zone"),
        p => format!("{name}({p}) {zone} time zone"),
    };
    match kind {
        Kind::Bool => "boolean".to_owned(),
        Kind::Int(2) => "smallint".to_owned(),
        Kind::Int(4) => "integer".to_owned(),
        Kind::Int(_) => "bigint".to_owned(),
        Kind::Numeric(None) => "numeric".to_owned(),
        Kind::Numeric(Some((p, s))) => format!("numeric({p},{s})"),
        Kind::Float4 => "real".to_owned(),
        Kind::Float8 => "double precision".to_owned(),
        Kind::Text { max: None, .. } | Kind::Opaque { .. } | Kind::Dynamic(_) => "text".to_owned(),
        Kind::Text { max: Some(n), padded: false } => format!("character varying({n})"),
        Kind::Text { max: Some(n), padded: true } => format!("character({n})"),
        Kind::Bytes => "bytea".to_owned(),
        Kind::Json => "json".to_owned(),
        Kind::Jsonb => "jsonb".to_owned(),
        Kind::Date => "date".to_owned(),
        Kind::Time(p) => with("time", p, "without"),
        Kind::TimeTz(p) => with("time", p, "with"),
        Kind::Timestamp(p) => with("timestamp", p, "without"),
        Kind::TimestampTz(p) => with("timestamp", p, "with"),
        Kind::Interval => "interval".to_owned(),
        Kind::Uuid => "uuid".to_owned(),
    }
}

/// `timestamp (3) with time zone` → `timestamp with time zone`, `[3]`.
fn split(name: &str) -> Option<(String, Vec<i64>)> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some(open) = name.find('(') else {
        return Some((words(name), Vec::new()));
    };
    let close = open + name[open..].find(')')?;
    let arguments =
        name[open + 1..close].split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
    Some((words(&format!("{} {}", &name[..open], &name[close + 1..])), arguments))
}
