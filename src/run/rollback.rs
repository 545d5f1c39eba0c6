//! Takes back exactly what the run wrote: steps in reverse, batches in reverse, each batch one
//! guarded transaction. A row that somebody changed since is left alone and counted.

use std::collections::HashMap;
use std::time::Duration;

use crate::db::{Access, Image, RowUpdate, Session};
use crate::error::{Class, Error, Result};
use crate::event::What;
use crate::job::{Locate, Marks};
use crate::key::{Key, KeyPart, KeyRange};
use crate::ledger::history::{BatchRecord, StepRecord};
use crate::plan::{StepKind, Triggers};
use crate::sql::keyset::KeyColumns;
use crate::sql::postgres::POSTGRES;
use crate::sql::{Bind, Column, Dialect, Flavor, Kind, Statement, Switch, Table, TableName};
use crate::steps::sql::in_transaction;
use crate::steps::{StepContext, tune};
use crate::value::Value;

/// Tries to build an index over rows that were just deleted, and the wait between them.
const BUILD_TRIES: u32 = 6;
const BUILD_WAIT: Duration = Duration::from_millis(500);

/// Builds the step's indexes again. Rows that are deleted still count for PostgreSQL's build
/// while an older transaction, autovacuum's among them, could see them: that passes.
async fn put_back(context: &StepContext, session: &mut dyn Session, step: &str) -> Result<()> {
    for _ in 1..BUILD_TRIES {
        match tune::put_back(context, session, Some(step)).await {
            Err(error) if error.class == Class::Stop && !session.broken() => {
                tokio::time::sleep(BUILD_WAIT).await;
            }
            done => return done,
        }
    }
    tune::put_back(context, session, Some(step)).await
}

/// What was taken back of one step.
#[derive(Debug, Default, Clone)]
pub struct Undone {
    /// Rows deleted or restored.
    pub rows: u64,
    /// Rows left alone.
    pub kept: u64,
    /// What could not be undone.
    pub note: Option<String>,
}

/// Takes back one step. Resumable: a batch that is undone is marked so in its transaction.
pub async fn step(context: &StepContext, record: &StepRecord) -> Result<Undone> {
    let undone = match record.kind.as_str() {
        "sql" => sql(context, record).await?,
        _ => rows(context, record).await?,
    };
    context.emitter.emit(What::StepUndone {
        step: record.step.clone(),
        rows: undone.rows,
        kept: undone.kept,
        note: undone.note.clone(),
    });
    Ok(undone)
}

async fn session(context: &StepContext, step: &str) -> Result<Box<dyn Session>> {
    let label = format!("{}/{step}/rollback", context.plan.name);
    context.target.session(Access::Write, &label).await
}

async fn sql(context: &StepContext, record: &StepRecord) -> Result<Undone> {
    let plan_step = context.plan.step(&record.step);
    let undo = plan_step.and_then(|step| match &step.kind {
        StepKind::Sql(sql) => sql.undo.clone().map(|undo| (undo, sql.transaction)),
        _ => None,
    });
    let mut session = session(context, &record.step).await?;
    let session = session.as_mut();
    let Some((undo, allowed)) = undo else {
        context.ledger.set_step(session, &record.step, "rolled back", None, None).await?;
        let note = "it has no `undo`; what it did stays".to_owned();
        return Ok(Undone { note: Some(note), ..Undone::default() });
    };
    let transaction = in_transaction(&undo, allowed, session.dialect());
    if transaction {
        session.begin().await?;
        context.ledger.guard(session).await?;
    }
    if let Err(mut error) = session.script(&undo).await {
        session.rollback().await;
        error.message = format!("the step's undo failed: {}", error.message);
        error.class = crate::error::Class::Stop;
        return Err(error.in_step(&record.step));
    }
    crate::fail::point("undo_ran");
    if !transaction {
        session.begin().await?;
        context.ledger.guard(session).await?;
    }
    context.ledger.set_step(session, &record.step, "rolled back", None, None).await?;
    session.commit().await?;
    Ok(Undone::default())
}

async fn rows(context: &StepContext, record: &StepRecord) -> Result<Undone> {
    let name = record.target_table.clone().unwrap_or_default();
    let mut session = session(context, &record.step).await?;
    let table = session.table(&TableName::bare(&name)).await?.ok_or_else(|| {
        Error::stop(format!("the table `{name}` is gone, its rows can't be taken back"))
            .in_step(&record.step)
    })?;
    let marks: Marks =
        record.columns.as_deref().and_then(|json| serde_json::from_str(json).ok()).ok_or_else(
            || Error::stop("the ledger holds no marks of the step").in_step(&record.step),
        )?;
    let skips =
        context.plan.step(&record.step).is_some_and(|step| step.options.triggers == Triggers::Skip);
    let triggers = if skips { session.trigger_switch(&table).await? } else { None };
    let undo = Undo { context, record, table, marks, triggers };
    let mut all = Undone::default();
    let mut worked = crate::throttle::Worked::default();
    loop {
        if context.stop.is_cancelled() {
            return Err(crate::engine::retry::interrupted());
        }
        let batches = context.ledger.batches_to_undo(session.as_mut(), &record.step, 1).await?;
        let Some(batch) = batches.first() else { break };
        let rows = batch.inserted + batch.updated;
        tokio::select! {
            _ = context.throttle.admit(&mut worked, &context.emitter, &record.step, rows, 0) => {}
            () = context.stop.cancelled() => return Err(crate::engine::retry::interrupted()),
        }
        let one = match undo.batch(session.as_mut(), batch).await {
            Ok(one) => one,
            Err(error) => {
                session.rollback().await;
                return Err(error.in_step(&record.step).in_table(&name));
            }
        };
        all.rows += one.rows;
        all.kept += one.kept;
        context.emitter.emit(What::BatchUndone {
            step: record.step.clone(),
            rows: one.rows,
            kept: one.kept,
        });
    }
    // Without our rows, an index comes back even where one of them kept it from being built.
    put_back(context, session.as_mut(), &record.step).await?;
    session.begin().await?;
    context.ledger.guard(session.as_mut()).await?;
    context.ledger.set_step(session.as_mut(), &record.step, "rolled back", None, None).await?;
    session.commit().await?;
    crate::fail::point("undo_step_done");
    Ok(all)
}

struct Undo<'a> {
    context: &'a StepContext,
    record: &'a StepRecord,
    table: Table,
    marks: Marks,
    /// What didn't fire for the rows doesn't fire for their end.
    triggers: Option<Switch>,
}

impl Undo<'_> {
    async fn batch(&self, session: &mut dyn Session, batch: &BatchRecord) -> Result<Undone> {
        let ledger = &self.context.ledger;
        session.begin().await?;
        ledger.guard(session).await?;
        crate::fail::point("undo_begun");
        if let Some(switch) = &self.triggers {
            session.script(&switch.off).await?;
        }
        let images =
            ledger.images_of_batch(session, &self.record.step, batch.chunk, batch.seq).await?;
        let restored = self.restore(session, batch, images).await?;
        crate::fail::point("undo_restored");
        let deleted = if batch.inserted == 0 { 0 } else { self.delete(session, batch).await? };
        if let Some(switch) = &self.triggers {
            session.script("SET CONSTRAINTS ALL IMMEDIATE").await?;
            session.script(&switch.on).await?;
        }
        if !ledger.mark_undone(session, &self.record.step, batch).await? {
            return Err(Error::held("another process took this batch back"));
        }
        crate::fail::point("undo_before_commit");
        session.commit().await?;
        crate::fail::point("undo_after_commit");
        let rows = restored + deleted;
        Ok(Undone { rows, kept: (batch.inserted + batch.updated).saturating_sub(rows), note: None })
    }

    /// Puts the values before back into rows that nobody changed since.
    async fn restore(
        &self,
        session: &mut dyn Session,
        batch: &BatchRecord,
        images: Vec<Image>,
    ) -> Result<u64> {
        if images.is_empty() {
            return Ok(0);
        }
        let key = self.key_columns();
        let dialect = session.dialect();
        let mut updates = Vec::new();
        for image in &images {
            let unchanged = match dialect.flavor() {
                Flavor::Postgres => self.as_written(batch),
                Flavor::Sqlite | Flavor::Mysql => {
                    format!("{} = $1", dialect.digest("t", &self.table, &self.marks.digest))
                }
            };
            let mut ask = Statement::new(format!(
                "SELECT count(*) FROM {} t WHERE {} AND {unchanged}",
                self.table.name.sql(session.dialect()),
                key.equals(dialect, "t", &image.key),
            ));
            ask = match dialect.flavor() {
                Flavor::Sqlite | Flavor::Mysql => ask.bind(image.mark.clone()),
                Flavor::Postgres => self.bind_as_written(ask),
            };
            if crate::ledger::unsigned(&crate::db::scalar(session, &ask).await?) == 1 {
                let cells = image.before.clone();
                updates.push(RowUpdate { key: image.key.clone(), cells });
            }
        }
        let columns: Vec<Column> =
            self.marks.written.iter().filter_map(|name| self.table.column(name).cloned()).collect();
        let done = session
            .update(&self.table, &self.marks.key, &columns, &self.marks.digest, &updates)
            .await?;
        let keys: Vec<Key> = done.iter().map(|image| image.key.clone()).collect();
        let ledger = &self.context.ledger;
        let transaction = ledger.current_transaction(session).await?;
        ledger
            .remember_restored(
                session,
                &self.record.step,
                batch.chunk,
                batch.seq,
                &keys,
                &transaction,
            )
            .await?;
        Ok(updates.len() as u64)
    }

    /// Deletes the batch's rows that nobody changed since.
    async fn delete(&self, session: &mut dyn Session, batch: &BatchRecord) -> Result<u64> {
        match session.dialect().flavor() {
            Flavor::Postgres => self.delete_by_transaction(session, batch).await,
            Flavor::Sqlite | Flavor::Mysql => self.delete_by_digest(session, batch).await,
        }
    }

    /// PostgreSQL: the row is as the batch left it.
    async fn delete_by_transaction(
        &self,
        session: &mut dyn Session,
        batch: &BatchRecord,
    ) -> Result<u64> {
        let ours = self.as_written(batch);
        let mut deleted = 0;
        for place in self.places(session, batch).await? {
            let text = format!(
                "DELETE FROM {} t WHERE {place} AND {ours}",
                self.table.name.sql(session.dialect())
            );
            deleted += session.execute(&self.bind_as_written(Statement::new(text))).await?;
        }
        Ok(deleted)
    }

    /// PostgreSQL: the condition that a row is as this batch left it. A row's `xmin` is the
    /// transaction that wrote it last. Rows that a later step of ours updated and rollback has
    /// restored since carry that rollback's transaction; the ledger knows which, and what they
    /// carried before.
    fn as_written(&self, batch: &BatchRecord) -> String {
        let list: Vec<String> = batch.marks.iter().map(|id| format!("'{id}'")).collect();
        let ours = if list.is_empty() { "''".to_owned() } else { list.join(", ") };
        if self.marks.key.is_empty() {
            return format!("t.xmin::text IN ({ours})");
        }
        let key: Vec<String> =
            self.marks.key.iter().map(|name| format!("t.{}::text", POSTGRES.quote(name))).collect();
        format!(
            "(t.xmin::text IN ({ours}) OR EXISTS (SELECT 1 FROM {} b \
             JOIN {} st ON st.run = b.run AND st.step = b.step \
             WHERE b.run = $1 AND st.target_table = $2 AND b.restored_by = t.xmin::text \
             AND b.target_key::jsonb = jsonb_build_array({}) \
             AND convert_from(b.mark, 'UTF8') IN ({ours})))",
            self.context.ledger.table("before_images"),
            self.context.ledger.table("steps"),
            key.join(", "),
        )
    }

    fn bind_as_written(&self, statement: Statement) -> Statement {
        if self.marks.key.is_empty() {
            return statement;
        }
        statement.bind(self.context.ledger.run.as_str()).bind(self.record.target_table.clone())
    }

    /// Elsewhere: the row's digest is the one that was kept when it was written.
    async fn delete_by_digest(
        &self,
        session: &mut dyn Session,
        batch: &BatchRecord,
    ) -> Result<u64> {
        let mut kept: HashMap<Vec<u8>, u64> = HashMap::new();
        for digest in batch.digests.chunks_exact(16) {
            *kept.entry(digest.to_vec()).or_insert(0) += 1;
        }
        let digest = session.dialect().digest("t", &self.table, &self.marks.digest);
        let table = self.table.name.sql(session.dialect());
        let id = self.row_id(session.dialect());
        let mut deleted = 0;
        for place in self.places(session, batch).await? {
            let find = format!("SELECT {digest}, {id} FROM {table} t WHERE {place}");
            for row in session.rows(&Statement::new(find)).await? {
                let Some(Value::Bytes(found)) = row.first() else {
                    continue;
                };
                let Some(left) = kept.get_mut(found).filter(|left| **left > 0) else {
                    continue;
                };
                *left -= 1;
                deleted += session.execute(&self.delete_row(session.dialect(), &row)).await?;
            }
        }
        Ok(deleted)
    }

    /// What tells one row from all others. Every rowid table of SQLite has one; tables without
    /// rowid have a primary key. In MySQL, rows without a key that look alike are alike.
    fn row_id(&self, dialect: &dyn Dialect) -> String {
        let key = self.key_columns();
        match (dialect.flavor(), key.0.is_empty()) {
            (Flavor::Mysql, true) => "NULL".to_owned(),
            (_, true) => "t.rowid".to_owned(),
            (_, false) => dialect.key_list("t", &key.0),
        }
    }

    /// Deletes a row that was found: its digest, then what tells it from all others.
    fn delete_row(&self, dialect: &dyn Dialect, row: &[Value]) -> Statement {
        let table = self.table.name.sql(dialect);
        let alias = dialect.quote(&self.table.name.name);
        let key = self.key_columns();
        if dialect.flavor() == Flavor::Mysql {
            if key.0.is_empty() {
                let digest = dialect.digest(&alias, &self.table, &self.marks.digest);
                let delete = format!("DELETE FROM {table} WHERE {digest} = $1 LIMIT 1");
                return Statement::new(delete).bind(bind_of(&row[0]));
            }
            let conditions: Vec<String> = key
                .0
                .iter()
                .zip(&row[1..])
                .map(|(column, value)| match dialect.key_part(value) {
                    Some(part) => format!(
                        "{} = {}",
                        dialect.key_order(&alias, column),
                        dialect.literal(&part, column)
                    ),
                    None => format!("{} IS NULL", dialect.quote(&column.name)),
                })
                .collect();
            return Statement::new(format!(
                "DELETE FROM {table} WHERE {}",
                conditions.join(" AND ")
            ));
        }
        let names: Vec<String> = match self.marks.key.as_slice() {
            [] => vec!["rowid".to_owned()],
            key => key.iter().map(|name| dialect.quote(name)).collect(),
        };
        let conditions: Vec<String> =
            names.iter().enumerate().map(|(at, name)| format!("{name} IS ${}", at + 1)).collect();
        let mut delete =
            Statement::new(format!("DELETE FROM {table} WHERE {}", conditions.join(" AND ")));
        for value in &row[1..] {
            delete = delete.bind(bind_of(value));
        }
        delete
    }

    /// Conditions that together hold every row of the batch.
    async fn places(&self, session: &mut dyn Session, batch: &BatchRecord) -> Result<Vec<String>> {
        let dialect = session.dialect();
        let key = self.key_columns();
        match self.marks.locate {
            Locate::Scan => Ok(vec!["1 = 1".to_owned()]),
            Locate::Range => {
                let range = KeyRange {
                    after: batch.range.after.clone().filter(|bound| usable(&key, bound)),
                    upto: batch.range.upto.clone().filter(|bound| usable(&key, bound)),
                };
                Ok(vec![key.within(dialect, "t", &range)])
            }
            Locate::Moved => {
                let keys = self
                    .context
                    .ledger
                    .moved_of_batch(session, &self.record.step, batch.chunk, batch.seq)
                    .await?;
                if (keys.len() as u64) < batch.inserted {
                    // Source rows without a key have none to be remembered by.
                    return Ok(vec!["1 = 1".to_owned()]);
                }
                Ok(keys
                    .chunks(200)
                    .map(|part| {
                        let each: Vec<String> = part
                            .iter()
                            .map(|one| format!("({})", key.equals(dialect, "t", one)))
                            .collect();
                        format!("({})", each.join(" OR "))
                    })
                    .collect())
            }
        }
    }

    fn key_columns(&self) -> KeyColumns {
        KeyColumns(
            self.marks.key.iter().filter_map(|name| self.table.column(name).cloned()).collect(),
        )
    }
}

/// A bound of the source's key that the target's column can be compared with. Where it can't
/// (text in a SQLite integer key), the range stays open there: marks decide, not places.
fn usable(key: &KeyColumns, bound: &Key) -> bool {
    key.0.len() == bound.0.len()
        && key.0.iter().zip(&bound.0).all(|(column, part)| match (&column.ty.kind, part) {
            (Kind::Int(_), KeyPart::Text(text)) => text.parse::<i64>().is_ok(),
            (Kind::Int(_), KeyPart::Bytes(_)) => false,
            _ => true,
        })
}

fn bind_of(value: &Value) -> Bind {
    match value {
        Value::Int(i) => Bind::Int(Some(*i)),
        Value::Bytes(bytes) | Value::Malformed(bytes) => Bind::Bytes(Some(bytes.clone())),
        Value::Float(f) => Bind::Float(*f),
        other => Bind::Text(other.to_text()),
    }
}
