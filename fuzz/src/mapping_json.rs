//! JSON made of rows: whatever the rules and values, what is written is a JSON document with the
//! keys and texts that went in, and what is no document is found.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tablelift::mapping::cast::{self, json};
use tablelift::mapping::render::SQL_FUNCTIONS;
use tablelift::mapping::{
    BoundRule, Context, Found, Outcome, Rule, each_rule, eval, render, render_inputs, sql_function,
};
use tablelift::sql::{Affinity, ColumnType, Flavor, Kind};
use tablelift::value::Value;

use super::feed::Feed;
use super::rules::Case;

/// The input as a JSON text, and as decisions that make rules and a row.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        document(text);
    }
    let mut feed = Feed(data);
    called_by_sql(&mut feed);
    if let Some(case) = Case::new(&mut feed) {
        evaluated(&case, &mut feed);
    }
}

/// Our scanner and serde's parser agree on what is JSON, and jsonb never gets what is none.
fn document(text: &str) {
    let parsed = parses(text);
    assert_eq!(json::scan(text).is_some(), parsed, "{text:?}");
    for (kind, name) in [(Kind::Json, "json"), (Kind::Jsonb, "jsonb")] {
        let to = ColumnType { kind, name: name.to_owned() };
        let fitted = cast::fit(Value::Text(text.to_owned()), &to, false);
        assert!(parsed || fitted.is_err(), "{text:?} went into {name}");
    }
}

fn parses(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// What SQLite's own SQL calls, with values of SQLite's storage classes.
fn called_by_sql(feed: &mut Feed<'_>) {
    let stored = match feed.value() {
        Value::Json(text) | Value::Number(text) | Value::Typed(_, text) => Value::Text(text),
        Value::Bool(b) => Value::Int(i64::from(b)),
        Value::Real(f) => Value::Float(f64::from(f)),
        other => other,
    };
    let letter = |feed: &mut Feed<'_>| {
        Value::Text((*feed.pick(&["i", "r", "n", "t", "b", "o", "j", "?"])).to_owned())
    };
    let args = [stored, letter(feed), letter(feed), Value::Int(i64::from(feed.flag()))];
    for (name, count) in SQL_FUNCTIONS {
        let count = usize::try_from(count).unwrap_or_else(|_| feed.below(5));
        let answer = sql_function(name, &args[..count.min(args.len())]);
        if let ("tl_json", Ok(Value::Text(text))) = (name, &answer) {
            assert!(parses(text), "tl_json of {args:?} is {text:?}");
        }
    }
}

struct Answers<'a, 'f>(&'a mut Feed<'f>);

impl Answers<'_, '_> {
    fn found(&mut self) -> Found {
        match self.0.below(6) {
            0 => Found::None,
            1 => Found::Many,
            2 => Found::Unknown,
            3 => Found::One(Value::Null),
            _ => Found::One(self.0.value()),
        }
    }
}

impl Context for Answers<'_, '_> {
    fn lookup(&mut self, _: usize, _: &[Value]) -> Found {
        self.found()
    }
    fn moved(&mut self, _: usize, _: &Value) -> Found {
        self.found()
    }
    fn file(&mut self, _: &str) -> Found {
        self.found()
    }
}

fn evaluated(case: &Case, feed: &mut Feed<'_>) {
    let Case { mapping, bound, row } = case;
    for flavor in [Flavor::Postgres, Flavor::Sqlite] {
        let _ = (render(bound, flavor, "s"), render_inputs(bound, flavor, "s", &[]));
    }
    match eval(bound, row, &mut Answers(feed)) {
        Outcome::Cells(cells) => {
            assert_eq!(cells.len(), bound.columns.len());
            for (cell, column) in cells.iter().zip(&bound.columns) {
                let folded = matches!(column.rule, BoundRule::Object { .. } | BoundRule::Array(_));
                let into_json = matches!(
                    column.ty.kind,
                    Kind::Json | Kind::Jsonb | Kind::Dynamic(Affinity::Json)
                );
                if let (Value::Json(text) | Value::Text(text), true) = (cell, folded || into_json) {
                    assert!(parses(text), "{:?} of {row:?} is {text:?}", column.rule);
                    entries(&column.rule, text, case);
                }
            }
        }
        Outcome::Reject(reject) => {
            // A cast may find that a text is no document; what is folded always is one.
            let column = |(name, _): &&(String, Rule)| reject.column.as_ref() == Some(name);
            let folds = mapping.columns.iter().find(column).is_some_and(|(_, rule)| {
                let mut casts = false;
                each_rule(rule, &mut |rule| casts |= matches!(rule, Rule::Cast { .. }));
                matches!(rule, Rule::Json { .. } | Rule::Array(_)) && !casts
            });
            let broken = folds && reject.reason.starts_with("text into json");
            assert!(!broken, "{mapping:?} of {row:?}: {}", reject.reason);
        }
        Outcome::Pending | Outcome::Stop(_) => {}
    }
}

/// An object has the keys of its rule, and a text that goes straight in comes straight out.
fn entries(rule: &BoundRule, text: &str, case: &Case) {
    let BoundRule::Object { entries, drop_nulls } = rule else {
        return;
    };
    let found: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let keys = entries.iter().filter(|(key, _)| found.contains_key(key)).count();
    assert_eq!(keys, found.len(), "{text:?} has keys of its own");
    assert!(*drop_nulls || keys == entries.len(), "{text:?} lacks keys");
    for (key, rule) in entries {
        if let (BoundRule::Input(which), Some(made)) = (rule, found.get(key))
            && let (Value::Text(text), false) = (&case.row[*which], converted(case, *which))
        {
            let back: Result<String, _> = serde_json::from_str(made.get());
            assert_eq!(back.ok().as_ref(), Some(text), "{key}");
        }
    }
}

/// Text that stands for a document is not a JSON string.
fn converted(case: &Case, which: usize) -> bool {
    matches!(case.bound.inputs[which].kind(), Kind::Dynamic(Affinity::Json))
}
