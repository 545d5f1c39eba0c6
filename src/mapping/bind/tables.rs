//! Rules that read another table: `lookup` and `children`.

use super::binder::{Binder, position};
use super::{BoundChildren, BoundLookup, BoundRule, Form, Input, InputSource, Scope, nearest};
use crate::mapping::{Constant, JsonShape, Lookup, Mapping, Rule};
use crate::sql::{Affinity, Column, ColumnType, Kind, Table};

impl Binder<'_> {
    pub(super) fn lookup(&mut self, lookup: &Lookup) -> Option<BoundRule> {
        let key: Vec<_> = lookup.matches.iter().map(|(_, rule)| self.rule(rule, false)).collect();
        let Some(table) = self.scope.lookups.get(&lookup.table) else {
            let help = nearest(&lookup.table, self.scope.lookups.keys().map(String::as_str));
            self.fail(format!("lookup: the target has no table {}", lookup.table), help);
            return None;
        };
        if lookup.matches.is_empty() {
            self.fail("lookup: match names no column".to_owned(), None);
            return None;
        }
        let mut matches = Vec::new();
        for (name, _) in &lookup.matches {
            let column = self.column_of(table, "lookup", name);
            matches.push(column.map(|column| (name.clone(), column.ty.clone())));
        }
        let take = self.column_of(table, "lookup", &lookup.take);
        let bound = BoundLookup {
            table: table.name.clone(),
            matches: matches.into_iter().collect::<Option<_>>()?,
            take: lookup.take.clone(),
            take_type: take?.ty.clone(),
        };
        let key = key.into_iter().collect::<Option<_>>()?;
        let which = position(&mut self.lookups, bound);
        Some(BoundRule::Lookup { which, key, missing: lookup.missing })
    }

    fn column_of<'t>(&mut self, table: &'t Table, what: &str, name: &str) -> Option<&'t Column> {
        let found = table.column(name);
        if found.is_none() {
            let help = nearest(name, table.column_names());
            self.fail(format!("{what}: {} has no column {name}", table.name), help);
        }
        found
    }

    /// Rows of another source table; their rules read that table's columns.
    pub(super) fn children(
        &mut self,
        name: &str,
        matches: &[(String, String)],
        shape: &JsonShape,
        order_by: &[String],
    ) -> Option<usize> {
        let Some(table) = self.scope.children.get(name).filter(|_| !self.scope.source_is_files)
        else {
            let help = nearest(name, self.scope.children.keys().map(String::as_str));
            self.fail(format!("children: the source has no table {name}"), help);
            return None;
        };
        self.check_children(table, matches, order_by);
        let with = match shape {
            JsonShape::Rest { with, .. }
            | JsonShape::Columns { with, .. }
            | JsonShape::Object(with) => with,
        };
        if !with.iter().all(|(_, rule)| made_by_server(rule)) {
            let help = "columns, constants, first, json and array work inside children";
            self.fail(
                "children: a rule that the source can't evaluate".to_owned(),
                Some(help.to_owned()),
            );
            return None;
        }
        let rest = Mapping::default();
        let source_name = table.name.to_string();
        let scope = Scope { source: &table.columns, source_name: &source_name, ..*self.scope };
        let mut inner = Binder::new(&rest, &scope);
        inner.column.clone_from(&self.column);
        let entries = inner.shape(shape);
        self.findings.append(&mut inner.findings);
        for input in inner.inputs.iter().filter(|input| input.ty.kind == Kind::Json) {
            let message =
                format!("children: a document in {} that jsonb refuses stops the step", input.name);
            self.warn(message, None);
        }
        let element = BoundRule::Object { entries: entries?, drop_nulls: false };
        let order_by = match order_by {
            [] => table.primary_key().to_vec(),
            columns => columns.to_vec(),
        };
        let dynamic = table.columns.iter().any(|column| matches!(column.ty.kind, Kind::Dynamic(_)));
        let (kind, form) = if dynamic {
            (Kind::Dynamic(Affinity::Json), Form::Value)
        } else {
            (Kind::Jsonb, Form::Value)
        };
        let children = BoundChildren {
            table: table.clone(),
            matches: matches.to_vec(),
            order_by,
            inputs: inner.inputs,
            element,
        };
        let source = InputSource::Children(Box::new(children));
        let ty = ColumnType { kind, name: "jsonb".to_owned() };
        Some(position(&mut self.inputs, Input { source, form, ty, name: "children".to_owned() }))
    }

    fn check_children(&mut self, table: &Table, matches: &[(String, String)], order_by: &[String]) {
        if matches.is_empty() {
            self.fail("children: match names no column".to_owned(), None);
        }
        for (child, parent) in matches {
            self.column_of(table, "children", child);
            if self.find(parent).is_none() {
                let help =
                    nearest(parent, self.scope.source.iter().map(|column| column.name.as_str()));
                self.fail(
                    format!("children: {} has no column {parent}", self.scope.source_name),
                    help,
                );
            }
        }
        for column in order_by {
            self.column_of(table, "children", column);
        }
    }
}

/// Rules that both servers can make JSON of without ever refusing a row.
fn made_by_server(rule: &Rule) -> bool {
    let mut nested = true;
    rule.nested(&mut |inner| nested &= made_by_server(inner));
    let constant = match rule {
        Rule::Value(Constant::Text(text) | Constant::Time(text) | Constant::Json(text)) => {
            !text.contains('\0') && !text.contains("\\u0000")
        }
        _ => true,
    };
    let known = matches!(
        rule,
        Rule::Column(_) | Rule::Value(_) | Rule::First(_) | Rule::Json { .. } | Rule::Array(_)
    );
    nested && constant && known
}
