//! PostgreSQL: connecting, and the sessions that come of it.

mod catalog;
#[doc(hidden)]
pub mod copy_out;
#[doc(hidden)]
pub mod copy_text;
mod error;
mod session;
mod survey;
mod triggers;
mod watch;
mod write;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::sync::OnceCell;

use self::session::PgSession;
use self::watch::Watch;
use super::relay::{self, Relay};
use super::watch::CONNECT_TIMEOUT;
use super::{Access, Session, url};
use crate::error::{Class, Error, Result};
use crate::sql::Statement;
use crate::value::Value;

/// One PostgreSQL database, with everything needed to connect to it.
pub struct Server {
    options: PgConnectOptions,
    schema: Option<String>,
    /// How long this process may be silent before others take it for dead.
    patience: Duration,
    /// Made at the first connection over TCP.
    relay: OnceCell<Option<Arc<Relay>>>,
}

impl Server {
    /// Understands the URL.
    pub fn new(text: &str, schema: Option<&str>, patience: Duration) -> Result<Server> {
        let parsed = url::postgres(text)?;
        let mut options = PgConnectOptions::from_str(text).map_err(|_| {
            Error::invalid("the database URL can't be read")
                .hint("Write postgres://user:password@host:5432/database.")
        })?;
        let says_tls =
            parsed.query_pairs().any(|(name, _)| name == "sslmode" || name == "ssl-mode");
        if !says_tls && options.get_socket().is_none() && !url::is_local(options.get_host()) {
            // The driver's own default falls back to clear text when a server says no.
            options = options.ssl_mode(PgSslMode::VerifyFull);
        }
        let options = options.disable_statement_logging();
        let schema = schema.map(str::to_owned);
        Ok(Server { options, schema, patience, relay: OnceCell::new() })
    }

    /// `host:port/database`.
    pub fn display(&self) -> String {
        let database = self.options.get_database().unwrap_or(self.options.get_username());
        match self.options.get_socket() {
            Some(path) => format!("{}:{}/{database}", path.display(), self.options.get_port()),
            None => {
                format!("{}:{}/{database}", self.options.get_host(), self.options.get_port())
            }
        }
    }

    /// The same database on the same server under the same name: one statement reaches both.
    pub fn same_as(&self, other: &Server) -> bool {
        self.display() == other.display()
            && self.options.get_username() == other.options.get_username()
    }

    /// Opens a pinned session.
    pub async fn session(&self, access: Access, label: &str) -> Result<PgSession> {
        let mut options = self
            .options
            .clone()
            .application_name(&format!("tablelift/{}/{label}", super::runner()));
        if let Some(relay) = self.relay().await? {
            options = options.socket(relay.folder()).port(relay::PORT);
        }
        let watch = Watch::new(options.clone(), self.patience / 4);
        let session = async {
            let connection = options.connect().await.map_err(|error| {
                let display = self.display();
                error::connecting(&display, &error)
            })?;
            let mut session = PgSession::new(connection, watch);
            session.pin(self.schema.as_deref(), access, self.patience).await?;
            Ok(session)
        };
        // A server that accepts and then says nothing must not be waited for without end.
        tokio::time::timeout(CONNECT_TIMEOUT, session).await.unwrap_or_else(|_| {
            let mut error = Error::invalid(format!(
                "{} accepts connections and doesn't answer",
                self.display()
            ));
            error.class = Class::Retry;
            Err(error.hint("Is the server overloaded or stopped, or something between?"))
        })
    }

    async fn relay(&self) -> Result<Option<Arc<Relay>>> {
        let host = self.options.get_host().to_owned();
        let port = self.options.get_port();
        let over_tcp = self.options.get_socket().is_none() && !host.starts_with('/');
        let relay = self
            .relay
            .get_or_try_init(|| async {
                if !over_tcp {
                    return Ok(None);
                }
                Relay::start(host, port).await.map(|relay| Some(Arc::new(relay)))
            })
            .await?;
        Ok(relay.clone())
    }

    /// Takes the advisory lock of `plan` on a connection of its own, if it is free.
    pub async fn lock(&self, plan: &str) -> Result<Option<Box<dyn Session>>> {
        let mut session = self.session(Access::Write, &format!("{plan}/lock")).await?;
        let ask = Statement::new("SELECT pg_try_advisory_lock(hashtextextended($1, 7462938465))")
            .bind(format!("tablelift {plan}"));
        let got = super::scalar(&mut session, &ask).await? == Value::Bool(true);
        Ok(if got { Some(Box::new(session)) } else { None })
    }
}
