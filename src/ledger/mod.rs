//! What happened: the only SQL on our own tables. They live in the target, so that a batch's
//! rows and its checkpoint commit in one transaction.

pub mod chunks;
pub mod claims;
pub mod control;
pub mod deferred;
pub mod history;
pub mod lease;
pub mod protocol;
pub mod rows;
pub mod tables;
pub mod timeline;
pub mod verified;

use crate::db::Session;
use crate::error::Result;
use crate::sql::{Dialect, Statement};
use crate::value::{Row, Value};

/// The table that is made last: where it is, the ledger is complete.
const LAST_TABLE: &str = "runs";

/// The ledger of one plan, as seen by one process. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    /// The target's SQL.
    pub dialect: &'static dyn Dialect,
    /// The plan's name.
    pub plan: String,
    /// The run's id.
    pub run: String,
    /// The epoch under which this process works; 0 owns nothing.
    pub epoch: i64,
    /// This process, as the ledger and the server's list of sessions call it.
    pub runner: &'static str,
    /// How long this process may be silent before others take it for dead.
    pub patience: std::time::Duration,
}

/// A run as the ledger knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// running, stopped, failed, done, differs, rolling back, rolled back.
    pub state: String,
    /// Identity of the source database at the start.
    pub source: String,
    /// Identity of the target database at the start.
    pub target: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339; empty while it goes on.
    pub finished_at: Option<String>,
    /// The last error.
    pub error: Option<String>,
}

/// The text of a value that the ledger's own queries gave.
pub fn text(value: &Value) -> String {
    value.to_text().unwrap_or_default()
}

/// The number of a value that the ledger's own queries gave; 0 for NULL.
pub fn number(value: &Value) -> i64 {
    match value {
        Value::Int(i) => *i,
        other => other.to_text().and_then(|text| text.parse().ok()).unwrap_or(0),
    }
}

/// The same, for counts.
pub fn unsigned(value: &Value) -> u64 {
    u64::try_from(number(value)).unwrap_or(0)
}

impl Ledger {
    /// The quoted name of one of our tables.
    pub fn table(&self, name: &str) -> String {
        self.dialect.ledger(name).sql(self.dialect)
    }

    /// Whether the ledger is there at all.
    pub async fn exists(session: &mut dyn Session) -> Result<bool> {
        Ledger::has(session, LAST_TABLE).await
    }

    /// Whether the ledger has this table: some came later.
    async fn has(session: &mut dyn Session, table: &str) -> Result<bool> {
        let name = session.dialect().ledger(table);
        Ok(session.table(&name).await?.is_some())
    }

    /// The newest run of the plan.
    pub async fn newest_run(&self, session: &mut dyn Session) -> Result<Option<Run>> {
        let ask = Statement::new(format!(
            "SELECT id, state, source, target, started_at, finished_at, error FROM {} \
             WHERE plan = $1 ORDER BY started_at DESC, id DESC LIMIT 1",
            self.table("runs")
        ))
        .bind(self.plan.as_str());
        Ok(session.rows(&ask).await?.first().map(run_of))
    }

    /// Writes a new run and makes it this ledger's.
    pub async fn start_run(
        &mut self,
        session: &mut dyn Session,
        source: &str,
        target: &str,
        checksum: &str,
    ) -> Result<()> {
        self.run = uuid::Uuid::now_v7().to_string();
        let insert = Statement::new(format!(
            "INSERT INTO {} (id, plan, state, source, target, plan_checksum, tool_version, started_at) \
             VALUES ($1, $2, 'running', $3, $4, $5, $6, {})",
            self.table("runs"),
            self.dialect.now()
        ))
        .bind(self.run.as_str())
        .bind(self.plan.as_str())
        .bind(source)
        .bind(target)
        .bind(checksum)
        .bind(env!("CARGO_PKG_VERSION"));
        session.execute(&insert).await?;
        Ok(())
    }

    /// Sets the run's state, if this process still has the plan; `finished` stamps the time.
    ///
    /// # Errors
    /// Held: another process took the plan over, and says itself how the run goes on.
    pub async fn set_run(
        &self,
        session: &mut dyn Session,
        state: &str,
        error: Option<String>,
        finished: bool,
    ) -> Result<()> {
        let stamp = if finished { self.dialect.now() } else { "NULL" };
        let update = Statement::new(format!(
            "UPDATE {} SET state = $1, error = $2, finished_at = {stamp} WHERE id = $3",
            self.table("runs")
        ))
        .bind(state)
        .bind(error)
        .bind(self.run.as_str());
        session.begin().await?;
        self.guard(session).await?;
        session.execute(&update).await?;
        session.commit().await
    }
}

fn run_of(row: &Row) -> Run {
    Run {
        id: text(&row[0]),
        state: text(&row[1]),
        source: text(&row[2]),
        target: text(&row[3]),
        started_at: text(&row[4]),
        finished_at: row[5].to_text(),
        error: row[6].to_text(),
    }
}
