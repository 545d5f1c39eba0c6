//! Rule by rule: names become positions.

use std::collections::BTreeSet;

use super::{
    BoundColumn, BoundLookup, BoundMapping, BoundRule, Finding, Form, Input, InputSource, Scope,
    nearest,
};
use crate::mapping::cast::{numeric_text, parse_type};
use crate::mapping::{Clock, Constant, Epoch, JsonShape, Mapping, Rule};
use crate::sql::{Column, ColumnType, Kind};
use crate::value::Value;

pub(super) struct Binder<'a> {
    pub(super) scope: &'a Scope<'a>,
    /// Source columns that some rule takes, so that a rest rule leaves them alone.
    pub(super) taken: BTreeSet<&'a str>,
    pub(super) inputs: Vec<Input>,
    pub(super) lookups: Vec<BoundLookup>,
    moved: Vec<String>,
    /// The target column whose rule is bound.
    pub(super) column: Option<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

impl<'a> Binder<'a> {
    pub(super) fn new(mapping: &'a Mapping, scope: &'a Scope<'a>) -> Self {
        let mut taken = BTreeSet::new();
        for (_, rule) in &mapping.columns {
            mentions(rule, false, &mut |name| {
                taken.insert(name);
            });
        }
        Binder {
            scope,
            taken,
            inputs: Vec::new(),
            lookups: Vec::new(),
            moved: Vec::new(),
            column: None,
            findings: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn finish(self, columns: Vec<BoundColumn>) -> Result<BoundMapping, Vec<Finding>> {
        if !self.findings.is_empty() {
            return Err(self.findings);
        }
        Ok(BoundMapping {
            inputs: self.inputs,
            columns,
            lookups: self.lookups,
            moved: self.moved,
            lossy: self.scope.lossy,
            values: self.scope.values,
            flavor: self.scope.flavor,
            warnings: self.warnings,
        })
    }

    /// Type of the keys that the step at this position gave.
    pub(super) fn moved_type(&self, which: usize) -> Option<ColumnType> {
        self.scope.moved.get(self.moved.get(which)?).cloned()
    }

    pub(super) fn fail(&mut self, message: String, help: Option<String>) {
        let finding = Finding { column: self.column.clone(), message, help };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    pub(super) fn warn(&mut self, message: String, help: Option<String>) {
        let finding = Finding { column: self.column.clone(), message, help };
        if !self.warnings.contains(&finding) {
            self.warnings.push(finding);
        }
    }

    /// Binds one rule; `json` when its value goes into JSON, so that a type whose JSON form
    /// only the server knows is asked for in that form. `None` after a finding.
    pub(super) fn rule(&mut self, rule: &Rule, json: bool) -> Option<BoundRule> {
        Some(match rule {
            Rule::Column(name) => BoundRule::Input(self.source_column(name, json)?),
            Rule::Value(value) => BoundRule::Constant(self.constant(value)?),
            Rule::First(rules) => BoundRule::First(self.rules(rules, json)?),
            Rule::Map { from, map, default } => {
                let from = self.rule(from, false);
                let map: Vec<Option<(String, Value)>> = map
                    .iter()
                    .map(|(key, value)| Some((key.clone(), self.constant(value)?)))
                    .collect();
                let default = match default {
                    Some(value) => Some(self.constant(value)?),
                    None => None,
                };
                let map = map.into_iter().collect::<Option<_>>()?;
                BoundRule::Map { from: Box::new(from?), map, default }
            }
            Rule::Cast { from, to, zone, epoch } => {
                let from = self.rule(from, false);
                let Some(to) = parse_type(to) else {
                    let help = "a PostgreSQL type such as integer, numeric(10,2), timestamptz, uuid or jsonb";
                    self.fail(format!("cast to an unknown type {to}"), Some(help.to_owned()));
                    return None;
                };
                let clock = self.clock(zone.as_deref(), *epoch, &to)?;
                BoundRule::Cast { from: Box::new(from?), to, clock }
            }
            Rule::Replace { from, replace } => {
                let from = Box::new(self.rule(from, false)?);
                BoundRule::Replace { from, replace: replace.clone() }
            }
            Rule::NullIf { from, values } => {
                let from = Box::new(self.rule(from, false)?);
                BoundRule::NullIf { from, values: values.clone() }
            }
            Rule::Json { shape, drop_nulls } => {
                BoundRule::Object { entries: self.shape(shape)?, drop_nulls: *drop_nulls }
            }
            Rule::Array(rules) => BoundRule::Array(self.rules(rules, true)?),
            Rule::Lookup(lookup) => self.lookup(lookup)?,
            Rule::Moved { step, from } => {
                let from = self.rule(from, false);
                if !self.scope.moved.contains_key(step) {
                    let help = nearest(step, self.scope.moved.keys().map(String::as_str));
                    self.fail(format!("no earlier step {step} moved keys"), help);
                    return None;
                }
                let which = position(&mut self.moved, step.clone());
                BoundRule::Moved { which, from: Box::new(from?) }
            }
            Rule::Children { table, matches, shape, order_by } => {
                BoundRule::Input(self.children(table, matches, shape, order_by)?)
            }
            Rule::Uuid(rules) => BoundRule::Uuid(self.uuid(rules)?),
            Rule::Sql(sql) => BoundRule::Input(self.sql(sql, json)?),
            Rule::File(path) => {
                if !self.scope.source_is_files {
                    self.fail("a file rule works in a seed step only".to_owned(), None);
                    return None;
                }
                BoundRule::File(path.clone())
            }
        })
    }

    /// How the cast reads times.
    fn clock(
        &mut self,
        zone: Option<&str>,
        epoch: Option<Epoch>,
        to: &ColumnType,
    ) -> Option<Clock> {
        let dated = matches!(to.kind, Kind::Date | Kind::Timestamp(_) | Kind::TimestampTz(_));
        if (zone.is_some() || epoch.is_some()) && !dated {
            let help = "they go with a cast to timestamptz, timestamp or date".to_owned();
            self.fail(format!("zone and epoch mean nothing to {}", to.name), Some(help));
            return None;
        }
        match Clock::new(zone, epoch) {
            Ok(clock) => Some(clock),
            Err((message, help)) => {
                self.fail(message, help);
                None
            }
        }
    }

    /// Binds all, so that each one's findings are seen.
    fn rules(&mut self, rules: &[Rule], json: bool) -> Option<Vec<BoundRule>> {
        let bound: Vec<_> = rules.iter().map(|rule| self.rule(rule, json)).collect();
        bound.into_iter().collect()
    }

    /// Parts of a uuid: a string that names no source column stands for itself.
    fn uuid(&mut self, rules: &[Rule]) -> Option<Vec<BoundRule>> {
        let bound: Vec<_> = rules
            .iter()
            .map(|rule| match rule {
                Rule::Column(name) if self.find(name).is_none() => {
                    Some(BoundRule::Constant(Value::Text(name.clone())))
                }
                rule => self.rule(rule, false),
            })
            .collect();
        if bound.is_empty() {
            self.fail("a uuid rule without parts gives every row the same key".to_owned(), None);
        }
        bound.into_iter().collect()
    }

    pub(super) fn find(&self, name: &str) -> Option<&'a Column> {
        self.scope.source.iter().find(|column| column.name == name)
    }

    fn source_column(&mut self, name: &str, json: bool) -> Option<usize> {
        let Some(column) = self.find(name) else {
            let help = nearest(name, self.scope.source.iter().map(|column| column.name.as_str()));
            self.fail(format!("{} has no column {name}", self.scope.source_name), help);
            return None;
        };
        Some(position(&mut self.inputs, input(column, json)))
    }

    fn sql(&mut self, sql: &str, json: bool) -> Option<usize> {
        if self.scope.source_is_files {
            self.fail("a sql rule needs a database as source".to_owned(), None);
            return None;
        }
        if sql.contains('\0') {
            self.fail("a sql rule with the character \\u0000".to_owned(), None);
            return None;
        }
        let Some(ty) = self.scope.sql_types.get(sql) else {
            self.fail("the source can't describe this sql rule".to_owned(), None);
            return None;
        };
        let form = form(&ty.kind, json);
        let source = InputSource::Sql(sql.to_owned());
        let input = Input { source, form, ty: ty.clone(), name: "sql".to_owned() };
        Some(position(&mut self.inputs, input))
    }

    fn constant(&mut self, constant: &Constant) -> Option<Value> {
        Some(match constant {
            Constant::Bool(b) => Value::Bool(*b),
            Constant::Int(i) => Value::Int(*i),
            Constant::Number(text) => match numeric_text(&text.replace('_', "")) {
                Some(number) => Value::Number(number),
                None => {
                    self.fail("a constant that is no number".to_owned(), None);
                    return None;
                }
            },
            Constant::Text(text) | Constant::Time(text) => Value::Text(text.clone()),
            Constant::Json(text) => Value::Json(text.clone()),
        })
    }

    /// Keys and rules of a JSON object; a key that is there twice would be lost in jsonb.
    pub(super) fn shape(&mut self, shape: &JsonShape) -> Option<Vec<(String, BoundRule)>> {
        let (mut names, with) = match shape {
            JsonShape::Rest { except, with } => (self.rest(except), with),
            JsonShape::Columns { columns, with } => (columns.clone(), with),
            JsonShape::Object(with) => (Vec::new(), with),
        };
        // An extra key replaces the column of the same name.
        if matches!(shape, JsonShape::Rest { .. }) {
            names.retain(|name| with.iter().all(|(key, _)| key != name));
        }
        let mut entries: Vec<Option<(String, BoundRule)>> = Vec::new();
        for name in names {
            let bound = self.source_column(&name, true);
            entries.push(bound.map(|which| (name, BoundRule::Input(which))));
        }
        for (key, rule) in with {
            let bound = self.rule(rule, true);
            entries.push(bound.map(|rule| (key.clone(), rule)));
        }
        let entries: Vec<(String, BoundRule)> = entries.into_iter().collect::<Option<_>>()?;
        let mut seen = BTreeSet::new();
        for (key, _) in &entries {
            if !seen.insert(key.as_str()) {
                self.fail(format!("the JSON key {key} is there twice"), None);
            } else if key.contains('\0') {
                self.fail("a JSON key with the character \\u0000".to_owned(), None);
            }
        }
        Some(entries)
    }

    fn rest(&mut self, except: &[String]) -> Vec<String> {
        for name in except {
            if self.find(name).is_none() {
                let help =
                    nearest(name, self.scope.source.iter().map(|column| column.name.as_str()));
                self.fail(format!("except: {} has no column {name}", self.scope.source_name), help);
            }
        }
        let names = self.scope.source.iter().map(|column| column.name.as_str());
        names
            .filter(|name| !self.taken.contains(name) && !except.iter().any(|other| other == name))
            .map(str::to_owned)
            .collect()
    }
}

fn form(kind: &Kind, json: bool) -> Form {
    match kind {
        Kind::Opaque { json_by_server: true, .. } if json => Form::Json,
        _ => Form::Value,
    }
}

fn input(column: &Column, json: bool) -> Input {
    Input {
        source: InputSource::Column(column.name.clone()),
        form: form(&column.ty.kind, json),
        ty: column.ty.clone(),
        name: column.name.clone(),
    }
}

/// Where the item is in the list; it is added when it isn't there.
pub(super) fn position<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|other| *other == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

/// Calls `visit` with each source column that the rule names. What a rest rule's own `with`
/// uses stays in the rest, unless `all`.
pub(super) fn mentions<'r>(rule: &'r Rule, all: bool, visit: &mut dyn FnMut(&'r str)) {
    match rule {
        Rule::Column(name) => visit(name),
        Rule::Json { shape: JsonShape::Columns { columns, .. }, .. } => {
            columns.iter().for_each(|name| visit(name));
        }
        Rule::Json { shape: JsonShape::Rest { .. }, .. } if !all => return,
        Rule::Children { matches, .. } => {
            // The keys of its shape are another table's columns.
            matches.iter().for_each(|(_, parent)| visit(parent));
            return;
        }
        _ => {}
    }
    rule.nested(&mut |inner| mentions(inner, all, visit));
}
