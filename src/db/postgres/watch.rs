//! Asks PostgreSQL after a session.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

use crate::db::watch::{self, Asks};

/// What is needed to ask after one session.
pub struct Watch {
    options: PgConnectOptions,
    silence: Duration,
    /// The session's process on the server; 0 while it is not known.
    pub pid: i32,
}

impl Watch {
    /// A watch that asks after each `silence`.
    pub fn new(options: PgConnectOptions, silence: Duration) -> Self {
        Watch { options: options.application_name("tablelift/watch"), silence, pid: 0 }
    }

    /// The answer to `work`; see [`watch::answer`].
    pub async fn answer<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        watch::answer(self, work).await
    }
}

#[async_trait]
impl Asks for Watch {
    async fn is_at_work(&self) -> Result<bool, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        let found = sqlx::query(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active' \
             AND wait_event_type IS DISTINCT FROM 'Client'",
        )
        .bind(self.pid)
        .fetch_one(&mut connection)
        .await?;
        Ok(found.try_get::<i64, _>(0)? == 1)
    }

    fn silence(&self) -> Duration {
        self.silence
    }
}
