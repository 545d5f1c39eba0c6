//! Tells a server that works for long from a connection that is dead without having said so
//! (a network that swallows packets, a balancer that forgot us): after a silence it asks the
//! server, on a new connection, what our session is doing. No statement has a time limit.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

/// How long connecting, and asking, may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Silences in a row, without the server working for us, that make a connection dead.
const STRIKES: u32 = 2;

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

    /// The answer to `work`, however long the server works on it.
    ///
    /// # Errors
    /// Timed out, when the server is not at work on it or can't be reached. `work` is dropped
    /// then, and the connection with it must not be used again.
    pub async fn answer<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let mut work = pin!(work);
        let mut strikes = 0;
        loop {
            if let Ok(answer) = tokio::time::timeout(self.silence, work.as_mut()).await {
                return answer;
            }
            strikes = if self.is_at_work().await { 0 } else { strikes + 1 };
            if strikes >= STRIKES {
                let waited = (self.silence * STRIKES).as_secs_f64();
                return Err(sqlx::Error::Io(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    format!("no answer for {waited} s, and the server is not at work on one"),
                )));
            }
        }
    }

    /// The session's process runs, and waits for nothing from us.
    async fn is_at_work(&self) -> bool {
        let ask = async {
            let mut connection = self.options.connect().await?;
            sqlx::query(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active' \
                 AND wait_event_type IS DISTINCT FROM 'Client'",
            )
            .bind(self.pid)
            .fetch_one(&mut connection)
            .await?
            .try_get::<i64, _>(0)
        };
        matches!(tokio::time::timeout(CONNECT_TIMEOUT, ask).await, Ok(Ok(1)))
    }
}
