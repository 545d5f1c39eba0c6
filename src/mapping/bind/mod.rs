//! Ties a mapping to a source and a target table and finds everything that can't work, all at
//! once.

mod binder;
mod checks;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use binder::Binder;

use super::cast::Clock;
use super::{Mapping, Missing, Rule, ValueOptions};
use crate::sql::{Column, ColumnType, Flavor, Kind, Table, TableName};
use crate::value::Value;

/// Something wrong (or, among the warnings, worth knowing) about a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The target column whose rule it is.
    pub column: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// All that a mapping is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The source's columns, in order.
    pub source: &'a [Column],
    /// What messages call the source.
    pub source_name: &'a str,
    /// The source is files or rows of the plan: values have their own types, and `file` rules
    /// work.
    pub source_is_files: bool,
    /// The table that is written.
    pub target: &'a Table,
    /// Type of each `sql` rule's expression, as the server describes it.
    pub sql_types: &'a BTreeMap<String, ColumnType>,
    /// Tables of `children` rules, by the name that the plan uses.
    pub children: &'a BTreeMap<String, Table>,
    /// Target tables of `lookup` rules, by the name that the plan uses.
    pub lookups: &'a BTreeMap<String, Table>,
    /// Step name of a `moved` rule → type of its target key.
    pub moved: &'a BTreeMap<String, ColumnType>,
    /// `lossy = "allow"`.
    pub lossy: bool,
    /// `values = { … }`
    pub values: ValueOptions,
    /// The target's kind of database.
    pub flavor: Flavor,
    /// An update: target columns without a rule keep what they have, and source columns that
    /// no rule takes are no loss.
    pub partial: bool,
}

/// A mapping that can run.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundMapping {
    /// What the source delivers for each row, each thing once.
    pub inputs: Vec<Input>,
    /// The written columns, in the plan's order.
    pub columns: Vec<BoundColumn>,
    /// Lookups that rules name by position.
    pub lookups: Vec<BoundLookup>,
    /// Steps whose moved keys rules name by position.
    pub moved: Vec<String>,
    /// `lossy = "allow"`.
    pub lossy: bool,
    /// `values = { … }`
    pub values: ValueOptions,
    /// The target's kind of database.
    pub flavor: Flavor,
    /// What should be said before the step runs.
    pub warnings: Vec<Finding>,
}

impl BoundMapping {
    /// Makes columns NULL that a second pass will fill.
    ///
    /// # Errors
    /// A column that is not written, or is NOT NULL.
    pub fn leave_for_later(&mut self, names: &[String]) -> Result<(), Finding> {
        for name in names {
            let fail = |message: String| {
                let help =
                    Some("`later` holds columns that have a rule and may be NULL".to_owned());
                Err(Finding { column: Some(name.clone()), message, help })
            };
            match self.columns.iter_mut().find(|column| column.name == *name) {
                None => return fail(format!("`later` names no written column: `{name}`")),
                Some(column) if column.not_null => {
                    return fail("it is NOT NULL, so its value can't come later".to_owned());
                }
                Some(column) => column.rule = BoundRule::Constant(Value::Null),
            }
        }
        Ok(())
    }

    /// Takes the columns out whose values come from keys that are not moved yet, or from one of
    /// these tables of the target, which are not filled yet; their names.
    pub fn leave_out_waiting(&mut self, tables: &HashSet<&str>) -> Vec<String> {
        let lookups = &self.lookups;
        let waits = |rule: &BoundRule| match rule {
            BoundRule::Moved { .. } => true,
            BoundRule::Lookup { which, .. } => {
                lookups.get(*which).is_some_and(|one| tables.contains(one.table.name.as_str()))
            }
            _ => false,
        };
        let (left, kept) =
            std::mem::take(&mut self.columns).into_iter().partition(|one| one.rule.any(&waits));
        self.columns = kept;
        let left: Vec<BoundColumn> = left;
        left.into_iter().map(|column| column.name).collect()
    }
}

/// One written column.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
    /// NOT NULL holds.
    pub not_null: bool,
    /// What is written.
    pub rule: BoundRule,
}

/// One value that the source delivers.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Where it comes from.
    pub source: InputSource,
    /// In which form it is asked for.
    pub form: Form,
    /// Its type.
    pub ty: ColumnType,
    /// For messages: the column's name, `sql` or `children`.
    pub name: String,
}

impl Input {
    /// The kind in which the value is read: what the server gives as JSON is JSON.
    pub fn kind_read(&self) -> Kind {
        match (self.form, &self.source) {
            (Form::Json, _) | (_, InputSource::Children(_)) => Kind::Json,
            _ => self.ty.kind.clone(),
        }
    }

    /// The kind of the input's type.
    pub fn kind(&self) -> &Kind {
        &self.ty.kind
    }
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum InputSource {
    /// A column of the source.
    Column(String),
    /// An expression in the source's SQL.
    Sql(String),
    /// Rows of another table of the source, as a JSON array.
    Children(Box<BoundChildren>),
}

/// A bound `children` rule.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundChildren {
    /// The other table.
    pub table: Table,
    /// Its column = the source's column.
    pub matches: Vec<(String, String)>,
    /// Its columns that give the order.
    pub order_by: Vec<String>,
    /// What `element` reads of the other table.
    pub inputs: Vec<Input>,
    /// The JSON of one row.
    pub element: BoundRule,
}

/// In which form an input is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As its own type.
    Value,
    /// As the JSON that the source server makes of it.
    Json,
}

/// A bound `lookup` rule's query.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundLookup {
    /// The table.
    pub table: TableName,
    /// Columns that must equal the key, with their types.
    pub matches: Vec<(String, ColumnType)>,
    /// The column whose value is taken.
    pub take: String,
    /// Its type.
    pub take_type: ColumnType,
}

/// A bound rule.
#[derive(Debug, Clone, PartialEq)]
pub enum BoundRule {
    /// The input at this position.
    Input(usize),
    /// A constant.
    Constant(Value),
    /// The first that is not null.
    First(Vec<BoundRule>),
    /// Text form of the value → constant. NULL takes the default, or stays NULL without one.
    Map {
        /// What is translated.
        from: Box<BoundRule>,
        /// Text form → constant.
        map: Vec<(String, Value)>,
        /// For other values.
        default: Option<Value>,
    },
    /// A conversion.
    Cast {
        /// What is converted.
        from: Box<BoundRule>,
        /// To which type.
        to: ColumnType,
        /// How times are read.
        clock: Clock,
    },
    /// Texts with parts of them replaced.
    Replace {
        /// What is changed.
        from: Box<BoundRule>,
        /// What is replaced by what, in this order.
        replace: Vec<(String, String)>,
    },
    /// NULL where the text form is one of these.
    NullIf {
        /// What is looked at.
        from: Box<BoundRule>,
        /// The text forms.
        values: Vec<String>,
    },
    /// A JSON object.
    Object {
        /// Keys and their rules.
        entries: Vec<(String, BoundRule)>,
        /// Keys whose value is NULL are left out.
        drop_nulls: bool,
    },
    /// A JSON array.
    Array(Vec<BoundRule>),
    /// A value of another table of the target.
    Lookup {
        /// Position in [`BoundMapping::lookups`].
        which: usize,
        /// The key's parts, in the order of the lookup's columns.
        key: Vec<BoundRule>,
        /// What no match means.
        missing: Missing,
    },
    /// The target key that an earlier step gave to a source key.
    Moved {
        /// Position in [`BoundMapping::moved`].
        which: usize,
        /// The source key.
        from: Box<BoundRule>,
    },
    /// A version 5 UUID of the parts.
    Uuid(Vec<BoundRule>),
    /// The value at a path of the seed file's document.
    File(String),
}

impl BoundRule {
    /// Whether this rule, or one inside of it, is such a one.
    pub fn any(&self, is: &dyn Fn(&BoundRule) -> bool) -> bool {
        let mut found = is(self);
        self.nested(&mut |inner| found |= inner.any(is));
        found
    }

    /// Calls `visit` on each rule directly inside this one.
    pub fn nested<'a>(&'a self, visit: &mut dyn FnMut(&'a BoundRule)) {
        match self {
            BoundRule::First(rules) | BoundRule::Array(rules) | BoundRule::Uuid(rules) => {
                rules.iter().for_each(visit);
            }
            BoundRule::Lookup { key, .. } => key.iter().for_each(visit),
            BoundRule::Map { from, .. }
            | BoundRule::Cast { from, .. }
            | BoundRule::Replace { from, .. }
            | BoundRule::NullIf { from, .. }
            | BoundRule::Moved { from, .. } => visit(from),
            BoundRule::Object { entries, .. } => entries.iter().for_each(|(_, rule)| visit(rule)),
            BoundRule::Input(_) | BoundRule::Constant(_) | BoundRule::File(_) => {}
        }
    }
}

/// Binds a mapping.
///
/// # Errors
/// Everything that can't work, not only the first of it.
pub fn bind(mapping: &Mapping, scope: &Scope<'_>) -> Result<BoundMapping, Vec<Finding>> {
    let mut binder = Binder::new(mapping, scope);
    let mut columns = Vec::with_capacity(mapping.columns.len());
    for (name, rule) in &mapping.columns {
        binder.column = Some(name.clone());
        let Some(column) = scope.target.column(name) else {
            let help = nearest(name, scope.target.column_names());
            binder.fail(format!("{} has no column {name}", scope.target.name), help);
            continue;
        };
        if columns.iter().any(|bound: &BoundColumn| bound.name == *name) {
            binder.fail(format!("column {name} has two rules"), None);
        }
        if column.generated {
            let help = "the database makes its value: leave the rule out".to_owned();
            binder.fail(format!("column {name} is generated and can't be written"), Some(help));
            continue;
        }
        let json = checks::wants_json(&column.ty.kind);
        if let Some(bound) = binder.rule(rule, json) {
            binder.check(&bound, &column.ty);
            columns.push(BoundColumn {
                name: name.clone(),
                ty: column.ty.clone(),
                not_null: column.not_null,
                rule: bound,
            });
        }
    }
    binder.column = None;
    if !scope.partial {
        binder.check_required(mapping);
        binder.warn_left_out(mapping);
    }
    binder.finish(columns)
}

/// The mapping of a step without rules: each source column into the target column of the same
/// name. A generated target column makes its own value.
///
/// # Errors
/// Source columns without a target column.
pub fn same_names(source: &[Column], target: &Table) -> Result<Mapping, Vec<Finding>> {
    let mut columns = Vec::new();
    let mut findings = Vec::new();
    for column in source {
        match target.column(&column.name) {
            Some(found) if found.generated => {}
            Some(_) => columns.push((column.name.clone(), Rule::Column(column.name.clone()))),
            None => findings.push(Finding {
                column: None,
                message: format!("source column {} has no column in {}", column.name, target.name),
                help: Some(
                    "give the step a columns table with a rule for it, or fold it into a JSON \
                     column with { json = \"*\" }"
                        .to_owned(),
                ),
            }),
        }
    }
    if findings.is_empty() { Ok(Mapping { columns }) } else { Err(findings) }
}

/// `did you mean "name"?`, for the nearest of the names.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let lower = name.to_lowercase();
    names
        .map(|other| (strsim::jaro_winkler(&lower, &other.to_lowercase()), other))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| format!("did you mean \"{other}\"?"))
}
