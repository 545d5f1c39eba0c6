//! Indexes that are dropped for the time of a step. What stands here is not in the target, and
//! what is in the target again does not stand here: both change in one transaction.

use super::{Ledger, text};
use crate::db::Session;
use crate::db::indexes::Definition;
use crate::error::{Error, Result};
use crate::sql::{Bind, Statement, TableName};
use crate::value::Row;

/// An index that is dropped.
#[derive(Debug, Clone)]
pub struct Deferred {
    /// The step that dropped it.
    pub step: String,
    /// How it is built again.
    pub definition: Definition,
}

impl Ledger {
    /// Writes an index down; in the transaction that drops it.
    pub async fn remember_deferred(
        &self,
        session: &mut dyn Session,
        step: &str,
        definition: &Definition,
    ) -> Result<()> {
        let more = serde_json::to_string(&definition.more)
            .map_err(|error| Error::stop(format!("the index can't be written down: {error}")))?;
        let insert = Statement::new(format!(
            "INSERT INTO {0} (run, step, number, schema_name, table_name, index_name, definition, \
             tablespace, more, dropped_at) \
             SELECT $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5, $6, $7, $8, {1} \
             FROM {0} WHERE run = $1",
            self.table("deferred"),
            self.dialect.now()
        ))
        .bind(self.run.as_str())
        .bind(step)
        .bind(definition.table.schema.clone().unwrap_or_default())
        .bind(definition.table.name.as_str())
        .bind(definition.name.as_str())
        .bind(definition.create.as_str())
        .bind(definition.tablespace.clone())
        .bind(more);
        session.execute(&insert).await.map(|_| ())
    }

    /// Indexes of the run, or of one of its steps, that are dropped now.
    pub async fn deferred(
        &self,
        session: &mut dyn Session,
        step: Option<&str>,
    ) -> Result<Vec<Deferred>> {
        if !Ledger::has(session, "deferred").await? {
            return Ok(Vec::new());
        }
        let ask = Statement::new(format!(
            "SELECT step, schema_name, table_name, index_name, definition, tablespace, more \
             FROM {} WHERE run = $1 AND step = coalesce($2, step) ORDER BY number",
            self.table("deferred")
        ))
        .bind(self.run.as_str())
        .bind(Bind::Text(step.map(str::to_owned)));
        session.rows(&ask).await?.iter().map(deferred_of).collect()
    }

    /// Takes an index out of the ledger; in the transaction that builds it again.
    ///
    /// # Errors
    /// Held: another process has put it back.
    pub async fn forget_deferred(&self, session: &mut dyn Session, one: &Deferred) -> Result<()> {
        let delete = Statement::new(format!(
            "DELETE FROM {} WHERE run = $1 AND step = $2 AND index_name = $3",
            self.table("deferred")
        ))
        .bind(self.run.as_str())
        .bind(one.step.as_str())
        .bind(one.definition.name.as_str());
        match session.execute(&delete).await? {
            1 => Ok(()),
            _ => Err(Error::held("another process put the index back")),
        }
    }
}

fn deferred_of(row: &Row) -> Result<Deferred> {
    let more = serde_json::from_str(&text(&row[6]))
        .map_err(|_| Error::stop("the ledger holds an index that can't be read"))?;
    Ok(Deferred {
        step: text(&row[0]),
        definition: Definition {
            table: TableName::within(text(&row[1]), text(&row[2])),
            name: text(&row[3]),
            create: text(&row[4]),
            tablespace: row[5].to_text(),
            more,
        },
    })
}
