//! The source's columns as they were when a step began: what came, went or changed since.

use super::bind::Findings;
use crate::error::Error;
use crate::mapping::{JsonShape, Mapping, Rule, each_rule};
use crate::plan::NewColumns;
use crate::sql::Column;

/// Name and type of each column, in the order of the catalog; kept in the ledger.
pub type Shape = Vec<(String, String)>;

/// The shape of these columns.
pub fn shape(columns: &[Column]) -> Shape {
    columns.iter().map(|column| (column.name.clone(), column.ty.name.clone())).collect()
}

/// Whether a new column would become a part of what is written: a rule takes all columns that
/// are left, or there are no rules and all columns are taken by name.
pub fn takes_all(mapping: Option<&Mapping>) -> bool {
    let Some(mapping) = mapping else { return true };
    let mut found = false;
    for (_, rule) in &mapping.columns {
        each_rule(rule, &mut |rule| {
            found |= matches!(rule, Rule::Json { shape: JsonShape::Rest { .. }, .. });
        });
    }
    found
}

/// Columns that came since the step began.
pub fn new_columns<'a>(began: &Shape, now: &'a [Column]) -> Vec<&'a str> {
    let is_new = |name: &str| began.iter().all(|(old, _)| old != name);
    now.iter().map(|column| column.name.as_str()).filter(|name| is_new(name)).collect()
}

/// The columns that the rest of the step sees.
///
/// # Errors
/// A column that is gone or has another type; a new one, unless the plan says what it means.
pub fn settle(
    began: &Shape,
    mut now: Vec<Column>,
    mapping: Option<&Mapping>,
    policy: NewColumns,
) -> Findings<Vec<Column>> {
    let mut errors = Vec::new();
    for (name, ty) in began {
        let why = match now.iter().find(|column| column.name == *name) {
            None => "is gone from the source".to_owned(),
            Some(column) if column.ty.name != *ty => {
                format!("was {ty} and is {}", column.ty.name)
            }
            Some(_) => continue,
        };
        errors.push(
            Error::stop(format!("since the step began, column `{name}` {why}"))
                .hint("Put it back as it was, or take the step back and run it again."),
        );
    }
    let new: Vec<String> = new_columns(began, &now).into_iter().map(str::to_owned).collect();
    if !new.is_empty() && takes_all(mapping) {
        match policy {
            NewColumns::Stop => errors.push(came(&new)),
            NewColumns::Ignore => now.retain(|column| !new.contains(&column.name)),
            NewColumns::Absorb => {}
        }
    }
    if errors.is_empty() { Ok(now) } else { Err(errors) }
}

/// The error of columns that came while the step was under way.
pub fn came(new: &[String]) -> Error {
    Error::stop(format!(
        "since the step began, the source got the column `{}`: rows that are copied have none of it",
        new.join("`, `")
    ))
    .hint(
        "new_columns = \"ignore\" goes on without it, \"absorb\" takes it from here on; or take \
         the step back and run it again.",
    )
}
