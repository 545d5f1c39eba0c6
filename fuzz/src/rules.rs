//! A source, a target and rules between them, out of an input's decisions.

use std::collections::BTreeMap;

use tablelift::mapping::{
    BoundMapping, Constant, Epoch, JsonShape, Lookup, Mapping, Missing, Rule, Scope, bind,
};
use tablelift::sql::{Affinity, Column, ColumnType, Kind, Table, TableName};
use tablelift::value::{Scalar, Value};

use super::feed::Feed;

const NAMES: [&str; 8] = ["id", "a", "a b", "x\"y", "ключ", "back\\slash", "new\nline", ""];
/// Kinds that mean something for JSON.
const TARGETS: [(Kind, &str); 5] = [
    (Kind::Json, "json"),
    (Kind::Jsonb, "jsonb"),
    (Kind::Dynamic(Affinity::Json), "JSON"),
    (Kind::Dynamic(Affinity::Text), "TEXT"),
    (Kind::Text { max: None, padded: false }, "text"),
];
const CASTS: [&str; 12] = [
    "text",
    "bigint",
    "numeric(6,2)",
    "numeric",
    "timestamptz",
    "date",
    "time(3)",
    "interval",
    "double precision",
    "bytea",
    "uuid",
    "jsonb",
];

/// A mapping that binds, with one row of its source.
pub struct Case {
    /// The rules as the plan says them.
    pub mapping: Mapping,
    /// The same, bound.
    pub bound: BoundMapping,
    /// One value for each of the mapping's inputs.
    pub row: Vec<Value>,
}

impl Case {
    /// `None` where the rules can't work.
    pub fn new(feed: &mut Feed<'_>) -> Option<Case> {
        let files = feed.flag();
        let values: Vec<Value> = (0..feed.below(NAMES.len())).map(|_| feed.value()).collect();
        let columns: Vec<Column> = values
            .iter()
            .zip(NAMES)
            .map(|(value, name)| column(name, kind(value, files, feed), "source"))
            .collect();
        let targets: Vec<Column> = (0..=feed.below(3))
            .map(|at| {
                let (kind, ty) = feed.pick(&TARGETS).clone();
                column(&format!("t{at}"), kind, ty)
            })
            .collect();
        let rules = targets.iter().map(|column| (column.name.clone(), rule(feed, 0)));
        let mapping = Mapping { columns: rules.collect() };
        let target = Table { name: TableName::bare("t"), columns: targets, unique: Vec::new() };
        let text =
            ColumnType { kind: Kind::Text { max: None, padded: false }, name: "text".into() };
        let scope = Scope {
            source: &columns,
            source_name: "s",
            source_is_files: files,
            target: &target,
            sql_types: &BTreeMap::new(),
            children: &BTreeMap::new(),
            lookups: &BTreeMap::from([("l".to_owned(), looked_up())]),
            moved: &BTreeMap::from([("m".to_owned(), text)]),
            lossy: feed.flag(),
            values: tablelift::mapping::ValueOptions::default(),
            flavor: tablelift::sql::Flavor::Postgres,
            partial: feed.flag(),
        };
        let bound = bind(&mapping, &scope).ok()?;
        let row = bound.inputs.iter().map(|input| {
            let at = columns.iter().position(|column| column.name == input.name)?;
            values.get(at).cloned()
        });
        let row = row.collect::<Option<_>>()?;
        Some(Case { mapping, bound, row })
    }
}

fn column(name: &str, kind: Kind, ty: &str) -> Column {
    Column {
        name: name.to_owned(),
        ty: ColumnType { kind, name: ty.to_owned() },
        not_null: false,
        has_default: false,
        generated: false,
        identity: false,
        identity_always: false,
    }
}

fn looked_up() -> Table {
    let column = column("k", Kind::Text { max: None, padded: false }, "text");
    Table { name: TableName::bare("l"), columns: vec![column], unique: Vec::new() }
}

/// A kind whose column can hold the value.
fn kind(value: &Value, files: bool, feed: &mut Feed<'_>) -> Kind {
    let affinities =
        [Affinity::Blob, Affinity::Integer, Affinity::Text, Affinity::Bool, Affinity::Json];
    if files {
        return Kind::Dynamic(Affinity::Blob);
    }
    match value {
        Value::Bool(_) => Kind::Bool,
        Value::Real(_) => Kind::Float4,
        Value::Number(_) => Kind::Numeric(None),
        Value::Json(_) => Kind::Jsonb,
        Value::Typed(scalar, _) => match scalar {
            Scalar::Date => Kind::Date,
            Scalar::Time => Kind::Time(6),
            Scalar::TimeTz => Kind::TimeTz(6),
            Scalar::Timestamp => Kind::Timestamp(6),
            Scalar::TimestampTz => Kind::TimestampTz(6),
            Scalar::Interval => Kind::Interval,
            Scalar::Uuid => Kind::Uuid,
            Scalar::Opaque => Kind::Opaque { json_by_server: false, portable: false },
        },
        Value::Text(_) if feed.flag() => Kind::Text { max: Some(9), padded: feed.flag() },
        _ => Kind::Dynamic(*feed.pick(&affinities)),
    }
}

fn constant(feed: &mut Feed<'_>) -> Constant {
    match feed.below(5) {
        0 => Constant::Bool(feed.flag()),
        1 => Constant::Int(i64::from_le_bytes(feed.eight())),
        2 => Constant::Number(feed.number(true)),
        3 => Constant::Json(feed.json(0)),
        _ => Constant::Text(feed.text()),
    }
}

fn rules(feed: &mut Feed<'_>, depth: usize) -> Vec<Rule> {
    (0..feed.below(4)).map(|_| rule(feed, depth + 1)).collect()
}

fn entries(feed: &mut Feed<'_>, depth: usize) -> Vec<(String, Rule)> {
    (0..feed.below(4)).map(|at| (format!("{}{at}", feed.text()), rule(feed, depth + 1))).collect()
}

fn shape(feed: &mut Feed<'_>, depth: usize) -> JsonShape {
    let names = |feed: &mut Feed<'_>| -> Vec<String> {
        (0..feed.below(4)).map(|_| (*feed.pick(&NAMES)).to_owned()).collect()
    };
    match feed.below(4) {
        0 => JsonShape::Rest { except: names(feed), with: entries(feed, depth) },
        1 => JsonShape::Columns { columns: names(feed), with: entries(feed, depth) },
        _ => JsonShape::Object(entries(feed, depth)),
    }
}

fn rule(feed: &mut Feed<'_>, depth: usize) -> Rule {
    let below = |feed: &mut Feed<'_>| Box::new(rule(feed, depth + 1));
    // Outermost, every second rule folds.
    match feed.below([24, 14, 14, 14, 14].get(depth).copied().unwrap_or(3)) {
        0 | 1 => Rule::Column((*feed.pick(&NAMES)).to_owned()),
        2 => Rule::Value(constant(feed)),
        3 => Rule::First(rules(feed, depth)),
        4 => Rule::Map {
            from: below(feed),
            map: (0..feed.below(4)).map(|_| (feed.text(), constant(feed))).collect(),
            default: feed.flag().then(|| constant(feed)),
        },
        5 => {
            let (from, to) = (below(feed), (*feed.pick(&CASTS)).to_owned());
            let zone = *feed.pick(&[None, None, Some("Europe/Berlin"), Some("Asia/Kathmandu")]);
            let epoch = *feed.pick(&[None, None, Some(Epoch::Seconds), Some(Epoch::Microseconds)]);
            Rule::Cast { from, to, zone: zone.map(str::to_owned), epoch }
        }
        6 => Rule::Array(rules(feed, depth)),
        7 => Rule::Uuid(rules(feed, depth)),
        8 => Rule::Moved { step: "m".to_owned(), from: below(feed) },
        9 => Rule::Lookup(Lookup {
            table: "l".to_owned(),
            matches: vec![("k".to_owned(), rule(feed, depth + 1))],
            take: "k".to_owned(),
            missing: *feed.pick(&[Missing::Reject, Missing::Null, Missing::Fail]),
        }),
        10 => Rule::File("library.name".to_owned()),
        11 => Rule::Replace {
            from: below(feed),
            replace: (0..feed.below(3))
                .map(|_| (format!("{}x", feed.text()), feed.text()))
                .collect(),
        },
        12 => Rule::NullIf {
            from: below(feed),
            values: (0..feed.below(3)).map(|_| feed.text()).collect(),
        },
        _ => Rule::Json { shape: shape(feed, depth), drop_nulls: feed.flag() },
    }
}
