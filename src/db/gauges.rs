//! What servers know of their own load, as queries that give one number.

use super::Session;
use crate::error::{Error, Result};
use crate::plan::throttle::Gauge;
use crate::sql::{Flavor, Statement};
use crate::value::Value;

/// How long the server may work on one look at its load, in seconds: a look that is slower says
/// enough, and must not pile up behind the next one.
const LOOK_SECONDS: u32 = 5;

/// Sets a session up that only looks at its server's load.
pub async fn prepare(session: &mut dyn Session) -> Result<()> {
    match session.dialect().flavor() {
        Flavor::Postgres => {
            session.script(&format!("SET statement_timeout = '{LOOK_SECONDS}s'")).await
        }
        Flavor::Mysql => {
            // MySQL does not know the setting; a source may be one.
            let _ =
                session.script(&format!("SET SESSION max_statement_time = {LOOK_SECONDS}")).await;
            Ok(())
        }
        Flavor::Sqlite => Ok(()),
    }
}

/// The query of a gauge; `None`: this database has none.
fn query(flavor: Flavor, gauge: Gauge) -> Option<&'static str> {
    Some(match (flavor, gauge) {
        (Flavor::Postgres, Gauge::Connections) => {
            "SELECT count(*)::float8 / current_setting('max_connections')::float8 \
             FROM pg_stat_activity WHERE backend_type = 'client backend'"
        }
        (Flavor::Postgres, Gauge::LockWaits) => {
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        }
        // Our own are short, except where the plan asks for a snapshot.
        (Flavor::Postgres, Gauge::OldestTransaction) => {
            "SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::float8 \
             FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
             AND backend_type = 'client backend' AND application_name NOT LIKE 'tablelift/%'"
        }
        (Flavor::Postgres, Gauge::ArchiveBacklog) => {
            "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
        }
        (Flavor::Postgres, Gauge::SlotRetention) => {
            "SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0)::float8 \
             FROM pg_replication_slots"
        }
        (Flavor::Mysql, Gauge::Connections) => {
            "SELECT VARIABLE_VALUE / @@GLOBAL.max_connections FROM information_schema.GLOBAL_STATUS \
             WHERE VARIABLE_NAME = 'THREADS_CONNECTED'"
        }
        (Flavor::Mysql, Gauge::LockWaits) => {
            "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'"
        }
        _ => return None,
    })
}

/// Reads a gauge.
///
/// # Errors
/// This database has none; the role may not look; the server does not answer.
pub async fn read(session: &mut dyn Session, gauge: Gauge) -> Result<f64> {
    let sql = query(session.dialect().flavor(), gauge)
        .ok_or_else(|| Error::stop("this database has no such gauge"))?;
    number(session, sql).await
}

/// The one number that a query gives; true is 1 and false is 0.
///
/// # Errors
/// It gives no row, NULL, or no number.
pub async fn number(session: &mut dyn Session, sql: &str) -> Result<f64> {
    let value = super::scalar(session, &Statement::new(sql)).await?;
    let number = match &value {
        Value::Bool(on) => Some(f64::from(u8::from(*on))),
        other => other.to_text().and_then(|text| text.trim().parse().ok()),
    };
    number.filter(|number: &f64| number.is_finite()).ok_or_else(|| {
        let found = if value.is_null() { "NULL".to_owned() } else { value.type_name().to_string() };
        Error::stop(format!("the query gives {found}, not a number"))
    })
}

/// Where PostgreSQL's log stands, and how far each of its standbys has replayed it. What only
/// receives (`pg_receivewal`, a running backup) is no standby.
pub async fn positions(primary: &mut dyn Session) -> Result<(u64, Vec<u64>)> {
    let ask = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
    let head = super::scalar(primary, &Statement::new(ask)).await?;
    let ask = "SELECT pg_wal_lsn_diff(replay_lsn, '0/0')::bigint FROM pg_stat_replication \
               WHERE replay_lsn IS NOT NULL";
    let rows = primary.rows(&Statement::new(ask)).await?;
    Ok((position(&head)?, rows.iter().flatten().map(position).collect::<Result<_>>()?))
}

/// How far a standby of PostgreSQL has replayed its primary's log.
pub async fn replayed(standby: &mut dyn Session) -> Result<u64> {
    let ask = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint";
    position(&super::scalar(standby, &Statement::new(ask)).await?)
}

fn position(value: &Value) -> Result<u64> {
    let number = value.to_text().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::stop("the server has no position in its log: is it a standby?"))
}

/// Seconds that a replica of MariaDB or MySQL is behind.
///
/// # Errors
/// It does not replicate, or one of its threads stands still.
pub async fn seconds_behind(replica: &mut dyn Session) -> Result<f64> {
    // The columns have had these places since MySQL 5.0.
    const IO_RUNNING: usize = 10;
    const SQL_RUNNING: usize = 11;
    const SECONDS_BEHIND: usize = 32;
    let rows = replica.rows(&Statement::new("SHOW SLAVE STATUS")).await?;
    let row = rows.first().ok_or_else(|| Error::stop("the server is not a replica"))?;
    let cell = |at: usize| row.get(at).and_then(Value::to_text).unwrap_or_default();
    for (at, thread) in [(IO_RUNNING, "IO"), (SQL_RUNNING, "SQL")] {
        if cell(at) != "Yes" {
            return Err(Error::stop(format!("the replica's {thread} thread does not run")));
        }
    }
    let behind = cell(SECONDS_BEHIND).parse();
    behind.map_err(|_| Error::stop("the replica does not know how far it is behind"))
}
