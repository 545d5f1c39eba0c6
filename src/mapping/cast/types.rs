//! Names of types.

use crate::sql::{ColumnType, Kind};

/// The type that a `cast` rule names.
pub fn parse_type(name: &str) -> Option<ColumnType> {
    let lower = name.trim().to_ascii_lowercase();
    let (base, arguments, tail) = match lower.split_once('(') {
        None => (lower.as_str(), None, ""),
        Some((base, rest)) => {
            let (inside, tail) = rest.split_once(')')?;
            (base.trim(), Some(inside.trim()), tail.trim())
        }
    };
    let base = if tail.is_empty() { base.to_owned() } else { format!("{base} {tail}") };
    let digits = || arguments.map_or(Some(6), |text| text.parse::<u8>().ok().filter(|n| *n <= 6));
    let length = || match arguments {
        None => Some(None),
        Some(text) => text.parse::<u32>().ok().map(Some),
    };
    let kind = match base.as_str() {
        "bool" | "boolean" => Kind::Bool,
        "smallint" | "int2" => Kind::Int(2),
        "int" | "integer" | "int4" => Kind::Int(4),
        "bigint" | "int8" => Kind::Int(8),
        "numeric" | "decimal" => Kind::Numeric(match arguments {
            None => None,
            Some(text) => {
                let (precision, scale) = text.split_once(',').unwrap_or((text, "0"));
                Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
            }
        }),
        "real" | "float4" => Kind::Float4,
        "float" | "float8" | "double precision" | "double" => Kind::Float8,
        "text" => Kind::Text { max: None, padded: false },
        "varchar" | "character varying" => Kind::Text { max: length()?, padded: false },
        "char" | "character" | "bpchar" => Kind::Text { max: length()?.or(Some(1)), padded: true },
        "bytea" | "blob" => Kind::Bytes,
        "json" => Kind::Json,
        "jsonb" => Kind::Jsonb,
        "date" => Kind::Date,
        "time" | "time without time zone" => Kind::Time(digits()?),
        "timetz" | "time with time zone" => Kind::TimeTz(digits()?),
        "timestamp" | "timestamp without time zone" => Kind::Timestamp(digits()?),
        "timestamptz" | "timestamp with time zone" => Kind::TimestampTz(digits()?),
        "interval" => Kind::Interval,
        "uuid" => Kind::Uuid,
        _ => return None,
    };
    Some(ColumnType { kind, name: name.trim().to_owned() })
}

/// A kind's name, for messages.
pub fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "boolean",
        Kind::Int(2) => "smallint",
        Kind::Int(4) => "integer",
        Kind::Int(_) => "bigint",
        Kind::Numeric(_) => "numeric",
        Kind::Float4 => "real",
        Kind::Float8 => "double precision",
        Kind::Text { .. } => "text",
        Kind::Bytes => "bytea",
        Kind::Json => "json",
        Kind::Jsonb => "jsonb",
        Kind::Date => "date",
        Kind::Time(_) => "time",
        Kind::TimeTz(_) => "timetz",
        Kind::Timestamp(_) => "timestamp",
        Kind::TimestampTz(_) => "timestamptz",
        Kind::Interval => "interval",
        Kind::Uuid => "uuid",
        Kind::Opaque { .. } => "server type",
        Kind::Dynamic(_) => "SQLite",
    }
}
