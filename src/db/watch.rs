//! Tells a server that works for long from a connection that is dead without having said so
//! (a network that swallows packets, a balancer that forgot us): after a silence it asks the
//! server, on a new connection, what our session is doing. No statement has a time limit.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;

/// How long connecting, and asking, may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Silences in a row, without the server working for us, that make a connection dead.
const STRIKES: u32 = 2;

/// Knows how to ask a server after one session.
#[async_trait]
pub trait Asks: Sync {
    /// The session runs, and waits for nothing from us.
    ///
    /// # Errors
    /// The server can't be asked, which says as much as no.
    async fn is_at_work(&self) -> Result<bool, sqlx::Error>;

    /// How long an answer may be late before it asks.
    fn silence(&self) -> Duration;
}

/// The answer to `work`, however long the server works on it.
///
/// # Errors
/// Timed out, when the server is not at work on it or can't be reached. `work` is dropped then,
/// and the connection with it must not be used again.
pub async fn answer<T>(
    asks: &impl Asks,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let mut work = pin!(work);
    let mut strikes = 0;
    loop {
        if let Ok(answer) = tokio::time::timeout(asks.silence(), work.as_mut()).await {
            return answer;
        }
        let asked = tokio::time::timeout(CONNECT_TIMEOUT, asks.is_at_work()).await;
        strikes = if matches!(asked, Ok(Ok(true))) { 0 } else { strikes + 1 };
        if strikes >= STRIKES {
            let waited = (asks.silence() * STRIKES).as_secs_f64();
            return Err(sqlx::Error::Io(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer for {waited} s, and the server is not at work on one"),
            )));
        }
    }
}
