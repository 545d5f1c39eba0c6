//! Asks MySQL after a session.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

use crate::db::watch::{self, Asks};

/// What is needed to ask after one session.
pub struct Watch {
    options: MySqlConnectOptions,
    silence: Duration,
    /// The session's number on the server; 0 while it is not known.
    pub number: i32,
}

impl Watch {
    /// A watch that asks after each `silence`.
    pub fn new(options: MySqlConnectOptions, silence: Duration) -> Self {
        Watch { options, silence, number: 0 }
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
        // A session that waits for us sleeps, or writes what we don't read.
        let found = sqlx::query(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = ? \
             AND COMMAND <> 'Sleep' AND COALESCE(STATE, '') NOT IN \
             ('Writing to net', 'Sending to client', 'Reading from net')",
        )
        .bind(self.number)
        .fetch_one(&mut connection)
        .await?;
        Ok(found.try_get::<i64, _>(0)? == 1)
    }

    fn silence(&self) -> Duration {
        self.silence
    }
}
