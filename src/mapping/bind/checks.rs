//! Whether types can fit, and what a mapping leaves out.

use std::collections::BTreeSet;

use super::binder::{Binder, mentions};
use super::{BoundRule, Form, Scope};
use crate::mapping::cast::{Pair, pair};
use crate::mapping::{JsonShape, Mapping, Rule};
use crate::sql::{Affinity, ColumnType, Kind};
use crate::value::Value;

/// Values for such a column are wanted as JSON.
pub(super) fn wants_json(kind: &Kind) -> bool {
    matches!(kind, Kind::Json | Kind::Jsonb | Kind::Dynamic(Affinity::Json))
}

impl Binder<'_> {
    /// Looks whether the rule's values can fit the type.
    pub(super) fn check(&mut self, rule: &BoundRule, to: &ColumnType) {
        match rule {
            BoundRule::Input(which) => {
                let input = &self.inputs[*which];
                if self.scope.source_is_files || input.form == Form::Json {
                    return;
                }
                let from = input.ty.clone();
                self.check_pair(&from, to, false);
            }
            BoundRule::Constant(value) => self.check_constant(value, to),
            BoundRule::First(rules) => rules.iter().for_each(|rule| self.check(rule, to)),
            BoundRule::Map { map, default, .. } => {
                map.iter()
                    .map(|(_, value)| value)
                    .chain(default)
                    .for_each(|value| self.check_constant(value, to));
            }
            BoundRule::Replace { from, .. } | BoundRule::NullIf { from, .. } => {
                self.check(from, to)
            }
            BoundRule::Cast { from, to: cast, clock } => {
                if let BoundRule::Input(which) = **from
                    && !self.scope.source_is_files
                    && clock.is_plain()
                {
                    let from = self.inputs[which].ty.clone();
                    if matches!(from.kind, Kind::Timestamp(_) | Kind::Date)
                        && matches!(cast.kind, Kind::TimestampTz(_))
                    {
                        self.warn(
                            format!("{} has no zone: its times are taken as UTC", from.name),
                            Some(
                                "say which: zone = \"Europe/Berlin\", or zone = \"UTC\"".to_owned(),
                            ),
                        );
                    }
                    self.check_pair(&from, cast, true);
                }
                self.check_pair(cast, to, false);
            }
            BoundRule::Object { .. } | BoundRule::Array(_) => {
                let json = ColumnType { kind: Kind::Json, name: "json".to_owned() };
                self.check_pair(&json, to, false);
            }
            BoundRule::Lookup { which, .. } => {
                let from = self.lookups[*which].take_type.clone();
                self.check_pair(&from, to, false);
            }
            BoundRule::Moved { which, .. } => {
                if let Some(from) = self.moved_type(*which) {
                    self.check_pair(&from, to, false);
                }
            }
            BoundRule::Uuid(_) => {
                let uuid = ColumnType { kind: Kind::Uuid, name: "uuid".to_owned() };
                self.check_pair(&uuid, to, false);
            }
            BoundRule::File(_) => {}
        }
    }

    fn check_pair(&mut self, from: &ColumnType, to: &ColumnType, explicit: bool) {
        match pair(&from.kind, &to.kind, explicit) {
            Pair::Fits => {}
            Pair::CanLose(why) => {
                let outcome = if self.scope.lossy {
                    "lossy = \"allow\" lets the target change such values"
                } else {
                    "a row that would lose something is rejected; lossy = \"allow\" lets it pass"
                };
                self.warn(
                    format!("{} into {} can lose: {why}", from.name, to.name),
                    Some(outcome.to_owned()),
                );
            }
            Pair::Never(why) => {
                self.fail(format!("{} can't go into {}", from.name, to.name), Some(why.to_owned()));
            }
        }
    }

    fn check_constant(&mut self, value: &Value, to: &ColumnType) {
        let Scope { values, flavor, lossy, .. } = self.scope;
        if let Err(why) = values.fit(value.clone(), to, *flavor, *lossy, false) {
            let help = matches!(to.kind, Kind::Json | Kind::Jsonb)
                .then(|| "write a TOML table or array for a JSON value".to_owned());
            self.fail(format!("the constant doesn't fit: {why}"), help);
        }
    }

    /// Target columns that need a value and get none.
    pub(super) fn check_required(&mut self, mapping: &Mapping) {
        for column in &self.scope.target.columns {
            let automatic = column.has_default || column.generated || column.identity;
            let ruled = mapping.columns.iter().any(|(name, _)| *name == column.name);
            if column.not_null && !automatic && !ruled {
                let message = format!(
                    "column {} of {} is NOT NULL and has no rule",
                    column.name, self.scope.target.name
                );
                self.column = Some(column.name.clone());
                self.fail(message, Some("give it a rule, if only { value = … }".to_owned()));
            }
        }
        self.column = None;
    }

    /// Source columns that nothing takes: legal, but never silent.
    pub(super) fn warn_left_out(&mut self, mapping: &Mapping) {
        let mut used: BTreeSet<&str> = self.taken.iter().copied().collect();
        let mut rest = false;
        let mut sql = String::new();
        for (_, rule) in &mapping.columns {
            mentions(rule, true, &mut |name| {
                used.insert(name);
            });
            each(rule, &mut |rule| match rule {
                Rule::Json { shape: JsonShape::Rest { except, .. }, .. } => {
                    rest = true;
                    used.extend(except.iter().map(String::as_str));
                }
                Rule::Sql(text) => sql.push_str(text),
                _ => {}
            });
        }
        if rest {
            return;
        }
        let names = self.scope.source.iter().map(|column| column.name.as_str());
        let left: Vec<&str> =
            names.filter(|name| !used.contains(name) && !sql.contains(name)).collect();
        if !left.is_empty() {
            let help = "give them rules, or fold them into a JSON column with { json = \"*\" }";
            self.warn(format!("columns not copied: {}", left.join(", ")), Some(help.to_owned()));
        }
    }
}

fn each<'r>(rule: &'r Rule, visit: &mut dyn FnMut(&'r Rule)) {
    visit(rule);
    if !matches!(rule, Rule::Children { .. }) {
        rule.nested(&mut |inner| each(inner, visit));
    }
}
