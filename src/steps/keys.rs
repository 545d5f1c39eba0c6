//! Keys of a step: which one the source is read by, whether it is one, and how the target's
//! follows from it.

use super::bind::{Findings, one};
use crate::db::Session;
use crate::error::Error;
use crate::job::SourceRows;
use crate::mapping::{BoundMapping, BoundRule, InputSource};
use crate::plan::{OnConflict, Step, StepKind};
use crate::sql::keyset::KeyColumns;
use crate::sql::{Affinity, Column, Kind, Statement, Table};

/// The key that a step reads by; `None`: none, so one transaction.
pub async fn key(
    session: &mut dyn Session,
    source: &SourceRows,
    columns: &[Column],
    table: Option<&Table>,
    named: Option<&[String]>,
) -> Findings<Option<KeyColumns>> {
    let invalid = |message: String| one(Error::invalid(message).in_table(&source.name));
    let unique = table.map(|table| table.unique.as_slice()).unwrap_or_default();
    let names: Vec<String> = match (named, table) {
        (Some(named), _) => named.to_vec(),
        (None, Some(table)) => match table.primary_key() {
            [] => {
                let whole = |names: &[String]| {
                    names
                        .iter()
                        .all(|name| table.column(name).is_some_and(|column| column.not_null))
                };
                match unique.iter().find(|key| whole(&key.columns)) {
                    Some(key) => key.columns.clone(),
                    None => return Ok(None),
                }
            }
            primary => primary.to_vec(),
        },
        (None, None) => return Err(invalid("a query needs a `key`".to_owned())),
    };
    let mut found = Vec::new();
    for name in &names {
        let column = columns.iter().find(|column| column.name == *name);
        let Some(column) = column else {
            let near = columns
                .iter()
                .map(|column| column.name.as_str())
                .max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
            let mut error = Error::invalid(format!("the key column `{name}` does not exist"))
                .in_table(&source.name);
            if let Some(near) = near {
                error = error.hint(format!("Did you mean `{near}`?"));
            }
            return Err(one(error));
        };
        if matches!(
            column.ty.kind,
            Kind::Float4 | Kind::Float8 | Kind::Dynamic(Affinity::Real) | Kind::Json
        ) {
            return Err(invalid(format!(
                "the key column `{name}` has the type {}, which can't be continued after",
                column.ty.name
            )));
        }
        found.push(column.clone());
    }
    let key = KeyColumns(found);
    let proven = unique.iter().any(|unique| unique.columns.iter().all(|name| names.contains(name)));
    if !proven {
        prove_unique(session, source, &key).await?;
    }
    Ok(Some(key))
}

/// Refuses a key that two rows share, with an example.
async fn prove_unique(
    session: &mut dyn Session,
    source: &SourceRows,
    key: &KeyColumns,
) -> Findings<()> {
    let dialect = session.dialect();
    let list = key.columns(dialect, "s");
    let conditions: Vec<String> = key.no_null(dialect, "s").into_iter().collect();
    let ask = format!(
        "SELECT {} FROM {} GROUP BY {list} HAVING count(*) > 1 LIMIT 1",
        dialect.key_list("s", &key.0),
        source.from_where(&conditions),
    );
    let rows = session.rows(&Statement::new(ask)).await.map_err(one)?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let example: Vec<String> = row.iter().filter_map(|value| value.to_text()).collect();
    Err(one(Error::invalid(format!(
        "the key {} is not unique: {} stands in more than one row",
        key.names().join(", "),
        example.join(", ")
    ))
    .in_table(&source.name)
    .hint("Name columns that are unique together.")))
}

/// The target's key: the primary key, or for conflicts a unique key that is written whole.
pub fn conflict_key(step: &Step, target: &Table, written: &[Column]) -> Findings<Vec<String>> {
    let is_written =
        |names: &[String]| names.iter().all(|name| written.iter().any(|w| w.name == *name));
    let primary = target.primary_key();
    if step.options.on_conflict == OnConflict::Fail || matches!(step.kind, StepKind::Update(_)) {
        return Ok(primary.to_vec());
    }
    if !primary.is_empty() && is_written(primary) {
        return Ok(primary.to_vec());
    }
    match target.unique.iter().find(|key| is_written(&key.columns)) {
        Some(key) => Ok(key.columns.clone()),
        None => Err(one(Error::invalid("on_conflict needs a unique key that the step writes")
            .in_table(&target.name.to_string())
            .hint("Write the primary key or a unique column, or use on_conflict = \"fail\"."))),
    }
}

/// The target's key is the source's key, unchanged and in the same order.
pub fn key_follows(
    source: &SourceRows,
    mapping: &BoundMapping,
    target: &Table,
    key: &[String],
) -> bool {
    let Some(source_key) = &source.key else {
        return false;
    };
    let pairs = source_key.0.iter().zip(key);
    source_key.0.len() == key.len()
        && pairs.into_iter().all(|(from, to)| {
            let bound = mapping.columns.iter().find(|column| column.name == *to);
            let from_column = bound.is_some_and(|bound| match &bound.rule {
                BoundRule::Input(at) => {
                    mapping.inputs[*at].source == InputSource::Column(from.name.clone())
                }
                _ => false,
            });
            let integer =
                |kind: &Kind| matches!(kind, Kind::Int(_) | Kind::Dynamic(Affinity::Integer));
            let ordered = target.column(to).is_some_and(|column| {
                let both = [&from.ty.kind, &column.ty.kind];
                both.iter().all(|kind| integer(kind)) || both == [&Kind::Uuid, &Kind::Uuid]
            });
            from_column && ordered
        })
}
