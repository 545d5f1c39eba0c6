//! A bound mapping on one row: the reader that does not need SQL.

use super::bind::{BoundColumn, BoundMapping, BoundRule, Form, InputSource};
use super::{Missing, cast};
use crate::sql::{ColumnType, Kind};
use crate::value::{Value, write_json_string};

/// What becomes of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// One value per written column.
    Cells(Vec<Value>),
    /// Keys are not known yet; the context remembered which.
    Pending,
    /// The row goes to the rejects.
    Reject(Reject),
    /// The step stops.
    Stop(String),
}

/// Why a row is refused. Never holds the row's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The target column.
    pub column: Option<String>,
    /// Its type.
    pub ty: String,
    /// A short lowercase phrase.
    pub reason: String,
}

/// What rules need from outside of their row.
pub trait Context {
    /// The value that lookup number `which` gives for a key.
    fn lookup(&mut self, which: usize, key: &[Value]) -> Found;
    /// The target key that moved step number `which` gave to a source key.
    fn moved(&mut self, which: usize, key: &Value) -> Found;
    /// The value at a path of the seed file's document.
    fn file(&mut self, path: &str) -> Found;
}

/// What a context knows of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// There is nothing.
    None,
    /// There is this value, which may be NULL.
    One(Value),
    /// There are several.
    Many,
    /// The context has to ask; it has remembered the key.
    Unknown,
}

/// Why a rule has no value.
enum Halt {
    Pending,
    Reject(String),
    Stop(String),
    /// A lookup without a match; the next alternative of a `first` may have a value.
    Missing {
        reason: String,
        fail: bool,
    },
}

/// Evaluates the rules on one row: one value per input of the mapping, in their order.
///
/// All rules are evaluated even when a key is unknown, so that one round of questions
/// finds all of a row's keys.
pub fn eval(mapping: &BoundMapping, row: &[Value], context: &mut dyn Context) -> Outcome {
    let mut reader = Reader { mapping, row, context };
    let mut cells = Vec::with_capacity(mapping.columns.len());
    let mut pending = false;
    let mut refused = None;
    for column in &mapping.columns {
        let halt = match reader.fitted(column) {
            Ok(value) => {
                cells.push(value);
                continue;
            }
            Err(Halt::Pending) => {
                pending = true;
                continue;
            }
            Err(halt) => halt,
        };
        refused.get_or_insert_with(|| match halt {
            Halt::Stop(why) | Halt::Missing { reason: why, fail: true } => {
                Outcome::Stop(format!("column {}: {why}", column.name))
            }
            Halt::Reject(reason) | Halt::Missing { reason, .. } => Outcome::Reject(Reject {
                column: Some(column.name.clone()),
                ty: column.ty.name.clone(),
                reason,
            }),
            Halt::Pending => Outcome::Pending,
        });
    }
    if pending {
        return Outcome::Pending;
    }
    refused.unwrap_or(Outcome::Cells(cells))
}

struct Reader<'a> {
    mapping: &'a BoundMapping,
    row: &'a [Value],
    context: &'a mut dyn Context,
}

/// The value of one written column; `None` where [`eval`] has something to say instead.
pub(super) fn column_value(
    mapping: &BoundMapping,
    which: usize,
    row: &[Value],
    context: &mut dyn Context,
) -> Option<Value> {
    Reader { mapping, row, context }.fitted(&mapping.columns[which]).ok()
}

impl Reader<'_> {
    /// The rule's value as the column takes it.
    fn fitted(&mut self, column: &BoundColumn) -> Result<Value, Halt> {
        let value = match &column.rule {
            // SQLite holds any bytes as text.
            BoundRule::Input(which)
                if matches!(column.ty.kind, Kind::Dynamic(_))
                    && matches!(self.raw(*which)?, Value::Malformed(_)) =>
            {
                return Ok(self.raw(*which)?.clone());
            }
            rule => self.value(rule)?,
        };
        let value = self.converted(value, &column.ty, false)?;
        if value.is_null() && column.not_null {
            return Err(Halt::Reject("null in a NOT NULL column".to_owned()));
        }
        Ok(value)
    }

    fn converted(&self, value: Value, to: &ColumnType, explicit: bool) -> Result<Value, Halt> {
        let BoundMapping { values, flavor, lossy, .. } = self.mapping;
        values.fit(value, to, *flavor, *lossy, explicit).map_err(Halt::Reject)
    }

    fn value(&mut self, rule: &BoundRule) -> Result<Value, Halt> {
        match rule {
            BoundRule::Input(which) => {
                let input = &self.mapping.inputs[*which];
                let value = self.raw(*which)?.clone();
                if input.form == Form::Json {
                    return Ok(value);
                }
                // A child without a JSON form has left a mark in the document.
                if matches!(input.source, InputSource::Children(_))
                    && matches!(&value, Value::Json(text) if cast::json::scan(text).is_none())
                {
                    return Err(Halt::Reject("children: a value has no JSON form".to_owned()));
                }
                let (values, target) = (&self.mapping.values, self.mapping.flavor);
                values.read(value, &input.ty, target).map_err(Halt::Reject)
            }
            BoundRule::Constant(value) => Ok(value.clone()),
            BoundRule::First(rules) => self.first(rules),
            BoundRule::Map { from, map, default } => {
                let found = match self.dated(from)?.to_text() {
                    None => Some(default.clone().unwrap_or(Value::Null)),
                    Some(text) => map
                        .iter()
                        .find(|(key, _)| *key == text)
                        .map(|(_, value)| value.clone())
                        .or_else(|| default.clone()),
                };
                found.ok_or_else(|| Halt::Reject("the value is not in the map".to_owned()))
            }
            BoundRule::Cast { from, to, clock } => {
                let value = self.value(from)?;
                let value =
                    cast::read_by(clock, value, to, self.mapping.lossy).map_err(Halt::Reject)?;
                self.converted(value, to, true)
            }
            BoundRule::Replace { from, replace } => {
                Ok(cast::replace(self.as_stored(from)?, replace))
            }
            BoundRule::NullIf { from, values } => {
                let text = self.as_stored(from)?.to_text();
                if text.is_none_or(|text| values.contains(&text)) {
                    return Ok(Value::Null);
                }
                self.value(from)
            }
            BoundRule::Object { .. } | BoundRule::Array(_) => {
                let mut out = String::new();
                self.write_json(rule, &mut out)?;
                Ok(Value::Json(out))
            }
            BoundRule::Lookup { which, key, missing } => self.lookup(*which, key, *missing),
            BoundRule::Moved { which, from } => {
                let key = self.value(from)?;
                if key.is_null() {
                    return Ok(Value::Null);
                }
                let step = &self.mapping.moved[*which];
                match self.context.moved(*which, &key) {
                    Found::One(value) => Ok(value),
                    Found::Unknown => Err(Halt::Pending),
                    Found::None => {
                        let reason = format!("step {step} moved no row with this key");
                        Err(Halt::Missing { reason, fail: false })
                    }
                    Found::Many => {
                        Err(Halt::Reject(format!("step {step} moved several rows with this key")))
                    }
                }
            }
            BoundRule::Uuid(parts) => {
                let values = self.all(parts)?;
                uuid(&values).map_err(Halt::Reject)
            }
            BoundRule::File(path) => match self.context.file(path) {
                Found::One(value) => Ok(value),
                Found::None => Ok(Value::Null),
                Found::Unknown => Err(Halt::Pending),
                Found::Many => Err(Halt::Reject(format!("several values at {path} of the file"))),
            },
        }
    }

    /// The value for a rule that translates it: a zero date has no other way.
    fn dated(&mut self, rule: &BoundRule) -> Result<Value, Halt> {
        match rule {
            BoundRule::Input(which) if matches!(self.raw(*which)?, Value::Typed(..)) => {
                self.as_stored(rule)
            }
            rule => self.value(rule),
        }
    }

    /// The value for a rule that looks at its text: what no type can hold (a zero date, a text
    /// that is no JSON) is just what the plan may want to change.
    fn as_stored(&mut self, rule: &BoundRule) -> Result<Value, Halt> {
        match (self.value(rule), rule) {
            (Err(Halt::Reject(_)), BoundRule::Input(which)) => self.raw(*which).cloned(),
            (value, _) => value,
        }
    }

    fn raw(&self, which: usize) -> Result<&Value, Halt> {
        self.row.get(which).ok_or_else(|| {
            Halt::Stop("the row has fewer values than the mapping has inputs".to_owned())
        })
    }

    /// All values, or the first halt; the rest is evaluated in any case.
    fn all(&mut self, rules: &[BoundRule]) -> Result<Vec<Value>, Halt> {
        let values: Vec<_> = rules.iter().map(|rule| self.value(rule)).collect();
        settle(values)
    }

    fn first(&mut self, rules: &[BoundRule]) -> Result<Value, Halt> {
        let mut missed = None;
        for rule in rules {
            match self.value(rule) {
                Ok(Value::Null) => {}
                Err(halt @ Halt::Missing { .. }) => {
                    missed.get_or_insert(halt);
                }
                other => return other,
            }
        }
        missed.map_or(Ok(Value::Null), Err)
    }

    fn lookup(&mut self, which: usize, key: &[BoundRule], missing: Missing) -> Result<Value, Halt> {
        let values = self.all(key)?;
        let lookup = &self.mapping.lookups[which];
        let table = &lookup.table.name;
        let missed = |reason: String| match missing {
            Missing::Null => Ok(Value::Null),
            Missing::Reject => Err(Halt::Missing { reason, fail: false }),
            Missing::Fail => Err(Halt::Missing { reason, fail: true }),
        };
        if values.iter().any(Value::is_null) {
            return missed(format!("lookup in {table} with a null key"));
        }
        let typed: Result<Vec<_>, _> = values
            .into_iter()
            .zip(&lookup.matches)
            .map(|(value, (_, ty))| cast::cast(value, ty, false))
            .collect();
        // A text that is no uuid is in no uuid column: nothing matches.
        let Ok(typed) = typed else {
            return missed(format!("lookup in {table} found no row"));
        };
        match self.context.lookup(which, &typed) {
            Found::One(value) => Ok(value),
            Found::None => missed(format!("lookup in {table} found no row")),
            Found::Many => {
                Err(Halt::Reject(format!("lookup in {table} is ambiguous: several rows match")))
            }
            Found::Unknown => Err(Halt::Pending),
        }
    }

    /// Appends the rule's JSON; true when its value is NULL.
    fn write_json(&mut self, rule: &BoundRule, out: &mut String) -> Result<bool, Halt> {
        match rule {
            // Padding is a part of the JSON string, as it is for to_jsonb.
            BoundRule::Input(which)
                if matches!(
                    self.mapping.inputs[*which].kind(),
                    Kind::Text { padded: true, .. }
                ) =>
            {
                let value = self.raw(*which)?.clone();
                let (values, target) = (&self.mapping.values, self.mapping.flavor);
                // The type without its padding, which stays.
                let kind = Kind::Text { max: None, padded: false };
                let plain = ColumnType { kind, name: String::new() };
                let value = values.read(value, &plain, target).map_err(Halt::Reject)?;
                value.write_json(out);
                Ok(value.is_null())
            }
            BoundRule::First(rules) => self.write_first(rules, out),
            BoundRule::Object { entries, drop_nulls } => {
                let mut done = Vec::with_capacity(entries.len());
                out.push('{');
                let mut comma = false;
                for (key, rule) in entries {
                    let start = out.len();
                    if comma {
                        out.push(',');
                    }
                    write_json_string(key, out);
                    out.push(':');
                    let null = self.write_json(rule, out);
                    if *drop_nulls && matches!(null, Ok(true)) {
                        out.truncate(start);
                    } else {
                        comma = true;
                    }
                    done.push(null);
                }
                out.push('}');
                settle(done).map(|_| false)
            }
            BoundRule::Array(rules) => {
                let mut done = Vec::with_capacity(rules.len());
                out.push('[');
                for (at, rule) in rules.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    done.push(self.write_json(rule, out));
                }
                out.push(']');
                settle(done).map(|_| false)
            }
            rule => {
                let value = self.value(rule)?;
                value.write_json(out);
                Ok(value.is_null())
            }
        }
    }

    /// The JSON of the first that is not null.
    fn write_first(&mut self, rules: &[BoundRule], out: &mut String) -> Result<bool, Halt> {
        let mut missed = None;
        for rule in rules {
            let start = out.len();
            match self.write_json(rule, out) {
                Ok(false) => return Ok(false),
                Ok(true) => {}
                Err(halt @ Halt::Missing { .. }) => {
                    missed.get_or_insert(halt);
                }
                Err(halt) => return Err(halt),
            }
            out.truncate(start);
        }
        out.push_str("null");
        missed.map_or(Ok(true), Err)
    }
}

/// The values, or one halt: a pending key comes first, because the row is evaluated again.
fn settle<T>(results: Vec<Result<T, Halt>>) -> Result<Vec<T>, Halt> {
    let mut values = Vec::with_capacity(results.len());
    let mut halt = None;
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(Halt::Pending) => return Err(Halt::Pending),
            Err(other) => {
                halt.get_or_insert(other);
            }
        }
    }
    halt.map_or(Ok(values), Err)
}

/// The version 5 UUID of some values. Each part has its length before it, so that
/// `("ab", "c")` and `("a", "bc")` differ.
pub(super) fn uuid(parts: &[Value]) -> Result<Value, String> {
    let mut name = String::new();
    for part in parts {
        let Some(text) = part.to_text() else {
            return Err("null in a uuid rule".to_owned());
        };
        name.push_str(&format!("{}:{text}", text.len()));
    }
    let space = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, b"tablelift");
    let made = uuid::Uuid::new_v5(&space, name.as_bytes());
    Ok(Value::Typed(crate::value::Scalar::Uuid, made.to_string()))
}
