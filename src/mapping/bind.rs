//! Ties a mapping to a source and a target table: `"*"` is expanded, every name looked up,
//! every pair of types judged. All findings come together.

use std::collections::BTreeMap;

use super::bound::{BoundColumn, BoundLookup, BoundMapping, BoundRule, Form, Input, InputSource};
use super::{JsonShape, Lookup, Mapping, Rule};
use crate::sql::{Column, ColumnType, Kind, Table};
use crate::value::Value;

/// Something that can't work, or (as a warning) that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The target column whose rule it is about.
    pub column: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// What a mapping is bound to.
pub struct Scope<'a> {
    /// Columns of the source, in order.
    pub source: &'a [Column],
    /// The source's name, for messages.
    pub source_name: &'a str,
    /// The source is a seed, whose values bring their own types.
    pub source_is_files: bool,
    /// The table written.
    pub target: &'a Table,
    /// Type of each `sql` rule's expression, as its server describes it.
    pub sql_types: &'a BTreeMap<String, ColumnType>,
    /// Tables of `children` rules.
    pub children: &'a BTreeMap<String, Table>,
    /// Tables of `lookup` rules.
    pub lookups: &'a BTreeMap<String, Table>,
    /// Type of the target key for each step that a `moved` rule names.
    pub moved: &'a BTreeMap<String, ColumnType>,
    /// Values may be changed to fit.
    pub lossy: bool,
}

/// Each source column into the target column of the same name.
pub fn same_names(source: &[Column], target: &Table) -> Result<Mapping, Vec<Finding>> {
    let homeless: Vec<Finding> = source
        .iter()
        .filter(|column| target.column(&column.name).is_none())
        .map(|column| Finding {
            column: Some(column.name.clone()),
            message: format!("the target `{}` has no column `{}`", target.name, column.name),
            help: Some(
                "Add [step.columns] with a rule for it, or fold leftover columns into a JSON \
                 column with { json = \"*\" }."
                    .to_owned(),
            ),
        })
        .collect();
    if !homeless.is_empty() {
        return Err(homeless);
    }
    let rule = |column: &Column| (column.name.clone(), Rule::Column(column.name.clone()));
    Ok(Mapping { columns: source.iter().map(rule).collect() })
}

/// Binds `mapping`, or gives everything that is wrong with it.
pub fn bind(mapping: &Mapping, scope: &Scope<'_>) -> Result<BoundMapping, Vec<Finding>> {
    let mut binder = Binder {
        scope,
        inputs: Vec::new(),
        lookups: Vec::new(),
        moved: Vec::new(),
        findings: Vec::new(),
        warnings: Vec::new(),
        column: String::new(),
        taken: taken(mapping),
    };
    let mut columns = Vec::new();
    for (name, rule) in &mapping.columns {
        binder.column.clone_from(name);
        let target = binder.target_column(name);
        let bound = binder.rule(rule, false);
        if let (Some(target), Some(rule)) = (target, bound) {
            binder.judge(&rule, &target);
            columns.push(BoundColumn {
                name: name.clone(),
                ty: target.ty,
                not_null: target.not_null,
                rule,
            });
        }
    }
    binder.without_rule(mapping);
    binder.left_behind(mapping);
    if !binder.findings.is_empty() {
        return Err(binder.findings);
    }
    Ok(BoundMapping {
        inputs: binder.inputs,
        columns,
        lookups: binder.lookups,
        moved: binder.moved,
        lossy: scope.lossy,
        warnings: binder.warnings,
    })
}

/// Source columns that some rule other than a rest rule's own `with` mentions.
fn taken(mapping: &Mapping) -> Vec<String> {
    let mut out = Vec::new();
    for (_, rule) in &mapping.columns {
        mentioned(rule, &mut out);
    }
    out
}

fn mentioned(rule: &Rule, out: &mut Vec<String>) {
    match rule {
        Rule::Column(name) => out.push(name.clone()),
        Rule::Children { matches: _, .. } => {}
        Rule::Json { shape: JsonShape::Rest { .. }, .. } => {}
        Rule::Json { shape: JsonShape::Columns { columns, with }, .. } => {
            out.extend(columns.iter().cloned());
            with.iter().for_each(|(_, rule)| mentioned(rule, out));
        }
        other => other.nested(&mut |inner| mentioned(inner, out)),
    }
}

/// The nearest of `names`, if one is near.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    names
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| format!("Did you mean `{other}`?"))
}

struct Binder<'a> {
    scope: &'a Scope<'a>,
    inputs: Vec<Input>,
    lookups: Vec<BoundLookup>,
    moved: Vec<String>,
    findings: Vec<Finding>,
    warnings: Vec<Finding>,
    /// The target column whose rule is being bound.
    column: String,
    taken: Vec<String>,
}

impl Binder<'_> {
    fn finding(&mut self, message: String, help: Option<String>) {
        self.findings.push(Finding { column: Some(self.column.clone()), message, help });
    }

    fn target_column(&mut self, name: &str) -> Option<Column> {
        let target = self.scope.target;
        match target.column(name) {
            Some(column) if column.generated => {
                self.finding(
                    format!("`{}.{name}` is generated and can't be written", target.name),
                    Some("Leave its rule out.".to_owned()),
                );
                None
            }
            Some(column) => Some(column.clone()),
            None => {
                let near = nearest(name, target.column_names());
                self.finding(format!("the target `{}` has no column `{name}`", target.name), near);
                None
            }
        }
    }

    fn source_column(&mut self, name: &str) -> Option<Column> {
        if let Some(column) = self.scope.source.iter().find(|column| column.name == name) {
            return Some(column.clone());
        }
        let near = nearest(name, self.scope.source.iter().map(|column| column.name.as_str()));
        self.finding(
            format!("the source `{}` has no column `{name}`", self.scope.source_name),
            near,
        );
        None
    }

    fn input(&mut self, input: Input) -> usize {
        match self.inputs.iter().position(|other| *other == input) {
            Some(at) => at,
            None => {
                self.inputs.push(input);
                self.inputs.len() - 1
            }
        }
    }

    fn column_input(&mut self, name: &str, as_json: bool) -> Option<BoundRule> {
        let column = self.source_column(name)?;
        let by_server = as_json && column.ty.kind == Kind::Opaque { json_by_server: true };
        Some(BoundRule::Input(self.input(Input {
            source: InputSource::Column(column.name.clone()),
            form: if by_server { Form::Json } else { Form::Value },
            kind: column.ty.kind,
            name: column.name,
        })))
    }

    fn rules(&mut self, rules: &[Rule], as_json: bool) -> Option<Vec<BoundRule>> {
        let bound: Vec<Option<BoundRule>> =
            rules.iter().map(|rule| self.rule(rule, as_json)).collect();
        bound.into_iter().collect()
    }

    fn entries(&mut self, entries: &[(String, Rule)]) -> Option<Vec<(String, BoundRule)>> {
        let bound: Vec<Option<(String, BoundRule)>> = entries
            .iter()
            .map(|(key, rule)| self.rule(rule, true).map(|rule| (key.clone(), rule)))
            .collect();
        bound.into_iter().collect()
    }

    /// Binds one rule; `as_json`: its value goes into a JSON document.
    fn rule(&mut self, rule: &Rule, as_json: bool) -> Option<BoundRule> {
        Some(match rule {
            Rule::Column(name) => self.column_input(name, as_json)?,
            Rule::Value(constant) => BoundRule::Value(constant.value()),
            Rule::First(rules) => BoundRule::First(self.rules(rules, as_json)?),
            Rule::Map { from, map, default } => BoundRule::Map {
                from: Box::new(self.rule(from, false)?),
                map: map.iter().map(|(text, value)| (text.clone(), value.value())).collect(),
                default: default.as_ref().map(super::Constant::value),
            },
            Rule::Cast { from, to } => {
                let from = self.rule(from, false);
                let Some(ty) = super::cast::parse_type(to) else {
                    self.finding(
                        format!("`cast` does not know the type `{to}`"),
                        Some(
                            "Known are bigint, integer, numeric(p,s), double precision, real, \
                             text, varchar(n), boolean, date, time, timestamp, timestamptz, uuid, \
                             json, jsonb, bytea."
                                .to_owned(),
                        ),
                    );
                    return None;
                };
                BoundRule::Cast { from: Box::new(from?), to: ty }
            }
            Rule::Json { shape, drop_nulls } => {
                BoundRule::Json { entries: self.shape(shape)?, drop_nulls: *drop_nulls }
            }
            Rule::Array(rules) => BoundRule::Array(self.rules(rules, true)?),
            Rule::Lookup(lookup) => self.lookup(lookup)?,
            Rule::Moved { step, from } => {
                let from = self.rule(from, false)?;
                let ty = self.scope.moved.get(step)?.clone();
                let which = self.moved.iter().position(|other| other == step);
                let which = which.unwrap_or_else(|| {
                    self.moved.push(step.clone());
                    self.moved.len() - 1
                });
                BoundRule::Moved(which, Box::new(from), ty)
            }
            Rule::Children { .. } => self.children(rule)?,
            Rule::Uuid(rules) => BoundRule::Uuid(self.uuid_parts(rules)?),
            Rule::Sql(sql) => {
                let kind = self.scope.sql_types.get(sql)?.kind.clone();
                let by_server = as_json && kind == Kind::Opaque { json_by_server: true };
                BoundRule::Input(self.input(Input {
                    source: InputSource::Sql(sql.clone()),
                    form: if by_server { Form::Json } else { Form::Value },
                    kind,
                    name: sql.clone(),
                }))
            }
            Rule::File(path) => BoundRule::File(path.clone()),
        })
    }

    /// Strings that name no source column stand for themselves.
    fn uuid_parts(&mut self, rules: &[Rule]) -> Option<Vec<BoundRule>> {
        let bound: Vec<Option<BoundRule>> = rules
            .iter()
            .map(|rule| match rule {
                Rule::Column(name)
                    if !self.scope.source.iter().any(|column| column.name == *name) =>
                {
                    Some(BoundRule::Value(Value::Text(name.clone())))
                }
                rule => self.rule(rule, false),
            })
            .collect();
        bound.into_iter().collect()
    }

    fn shape(&mut self, shape: &JsonShape) -> Option<Vec<(String, BoundRule)>> {
        let (names, with): (Vec<String>, &[(String, Rule)]) = match shape {
            JsonShape::Object(entries) => return self.entries(entries),
            JsonShape::Columns { columns, with } => (columns.clone(), with),
            JsonShape::Rest { except, with } => {
                for name in except {
                    self.source_column(name);
                }
                let rest = self.scope.source.iter().map(|column| column.name.clone());
                let rest = rest.filter(|name| !self.taken.contains(name) && !except.contains(name));
                (rest.collect(), with)
            }
        };
        let mut entries = Vec::new();
        for name in names {
            if with.iter().any(|(key, _)| *key == name) {
                self.finding(
                    format!("the JSON key `{name}` would stand twice: as a column and in `with`"),
                    Some(
                        "Name the extra key otherwise, or put the column into `except`.".to_owned(),
                    ),
                );
                return None;
            }
            let rule = self.column_input(&name, true)?;
            entries.push((name, rule));
        }
        entries.extend(self.entries(with)?);
        Some(entries)
    }

    fn lookup(&mut self, lookup: &Lookup) -> Option<BoundRule> {
        let table = self.scope.lookups.get(&lookup.table)?.clone();
        let mut matches = Vec::new();
        let mut keys = Vec::new();
        let mut complete = true;
        for (name, rule) in &lookup.matches {
            match table.column(name) {
                Some(column) => matches.push((name.clone(), column.ty.clone())),
                None => {
                    let near = nearest(name, table.column_names());
                    self.finding(
                        format!("the table `{}` has no column `{name}`", lookup.table),
                        near,
                    );
                    complete = false;
                }
            }
            match self.rule(rule, false) {
                Some(rule) => keys.push(rule),
                None => complete = false,
            }
        }
        let Some(take) = table.column(&lookup.take) else {
            let near = nearest(&lookup.take, table.column_names());
            self.finding(
                format!("the table `{}` has no column `{}`", lookup.table, lookup.take),
                near,
            );
            return None;
        };
        if !complete {
            return None;
        }
        let take_type = take.ty.clone();
        let bound = BoundLookup { matches, take: lookup.take.clone(), take_type, table };
        self.lookups.push(bound);
        Some(BoundRule::Lookup(self.lookups.len() - 1, keys, lookup.missing))
    }

    fn children(&mut self, rule: &Rule) -> Option<BoundRule> {
        let Rule::Children { table, matches, shape, order_by } = rule else {
            return None;
        };
        let child = self.scope.children.get(table)?.clone();
        let columns: Vec<String> = match shape {
            JsonShape::Columns { columns, .. } => columns.clone(),
            JsonShape::Rest { except, .. } => child
                .column_names()
                .filter(|name| !except.iter().any(|left_out| left_out == name))
                .map(str::to_owned)
                .collect(),
            JsonShape::Object(_) => {
                self.finding("`json` of a children rule is \"*\" or a list".to_owned(), None);
                return None;
            }
        };
        let child_names =
            columns.iter().chain(order_by).chain(matches.iter().map(|(name, _)| name));
        for name in child_names.cloned().collect::<Vec<_>>() {
            if child.column(&name).is_none() {
                let near = nearest(&name, child.column_names());
                self.finding(format!("the table `{table}` has no column `{name}`"), near);
                return None;
            }
        }
        for (_, parent) in matches {
            self.source_column(parent)?;
        }
        Some(BoundRule::Input(self.input(Input {
            name: table.clone(),
            source: InputSource::Children {
                table: child,
                matches: matches.clone(),
                columns,
                order_by: order_by.clone(),
                drop_nulls: false,
            },
            form: Form::Json,
            kind: Kind::Json,
        })))
    }

    /// Pairs of types that can never fit, and those that can lose something.
    fn judge(&mut self, rule: &BoundRule, target: &Column) {
        let BoundRule::Input(at) = rule else { return };
        let (from, to) = (self.inputs[*at].kind_read(), &target.ty.kind);
        let name = &target.ty.name;
        let never = match (&from, to) {
            (Kind::Bool, Kind::Uuid | Kind::Date | Kind::Timestamp(_) | Kind::TimestampTz(_)) => {
                true
            }
            (Kind::Uuid, Kind::Int(_) | Kind::Numeric(_) | Kind::Bool | Kind::Date) => true,
            (Kind::Int(_) | Kind::Numeric(_) | Kind::Float4 | Kind::Float8, other) => matches!(
                other,
                Kind::Uuid | Kind::Date | Kind::Timestamp(_) | Kind::TimestampTz(_) | Kind::Bytes
            ),
            (Kind::TimestampTz(_), Kind::Timestamp(_) | Kind::Date)
            | (Kind::Timestamp(_), Kind::TimestampTz(_)) => true,
            (Kind::Json | Kind::Jsonb, Kind::Bytes | Kind::Int(_) | Kind::Uuid) => true,
            (Kind::Bytes, Kind::Text { .. } | Kind::Int(_) | Kind::Json | Kind::Jsonb) => true,
            _ => false,
        };
        if never {
            let kind = super::cast::kind_name(&from);
            self.finding(
                format!("a {kind} value does not fit the column's type {name}"),
                Some(format!(
                    "Say how with {{ from = \"…\", cast = \"{name}\" }}, or fold it into a JSON column."
                )),
            );
        }
    }

    /// NOT NULL columns that nothing fills.
    fn without_rule(&mut self, mapping: &Mapping) {
        for column in &self.scope.target.columns {
            let has_rule = mapping.columns.iter().any(|(name, _)| *name == column.name);
            if column.not_null && !column.has_default && !column.generated && !has_rule {
                self.findings.push(Finding {
                    column: Some(column.name.clone()),
                    message: format!(
                        "`{}.{}` is NOT NULL, has no default and no rule",
                        self.scope.target.name, column.name
                    ),
                    help: Some("Add a rule for it, for example { value = … }.".to_owned()),
                });
            }
        }
    }

    /// Source columns that no rule takes: said aloud, because they are not copied.
    fn left_behind(&mut self, mapping: &Mapping) {
        let has_rest = |rule: &Rule| {
            let mut found = false;
            super::each_rule(rule, &mut |rule| {
                found |= matches!(rule, Rule::Json { shape: JsonShape::Rest { .. }, .. });
            });
            found
        };
        if mapping.columns.iter().any(|(_, rule)| has_rest(rule)) {
            return;
        }
        let left: Vec<&str> = self
            .scope
            .source
            .iter()
            .map(|column| column.name.as_str())
            .filter(|name| {
                !self
                    .inputs
                    .iter()
                    .any(|input| input.source == InputSource::Column((*name).to_owned()))
            })
            .collect();
        if !left.is_empty() {
            self.warnings.push(Finding {
                column: None,
                message: format!("columns not copied: {}", left.join(", ")),
                help: Some("Fold them into a JSON column with { json = \"*\" }.".to_owned()),
            });
        }
    }
}
