//! MySQL and MariaDB: connecting, and the sessions that come of it. Both are read; what is
//! written needs `INSERT … RETURNING`, which MariaDB has since 10.5 and MySQL has not.

mod argument;
mod catalog;
mod error;
mod rows;
mod session;
mod statement;
mod survey;
mod watch;
mod write;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use tokio::sync::OnceCell;

use self::session::MySession;
use self::watch::Watch;
use super::relay::Relay;
use super::watch::CONNECT_TIMEOUT;
use super::{Access, Session, scalar, url};
use crate::error::{Class, Error, Result};
use crate::sql::Statement;
use crate::value::Value;

/// Where a server listens when the URL doesn't say.
const PORT: u16 = 3306;

/// One database on a server, with everything needed to connect to it.
pub struct Server {
    options: MySqlConnectOptions,
    host: String,
    port: u16,
    /// The user's name and the database's.
    user: String,
    database: String,
    over_tcp: bool,
    patience: Duration,
    /// Made at the first connection over TCP.
    relay: OnceCell<Option<Arc<Relay>>>,
}

impl Server {
    /// Understands the URL. `schema` stands for the URL's database.
    pub fn new(text: &str, schema: Option<&str>, patience: Duration) -> Result<Server> {
        let unreadable = || {
            Error::invalid("the database URL can't be read")
                .hint("Write mysql://user:password@host:3306/database.")
        };
        let parsed = url::mysql(text)?;
        // The driver knows one of the two names only.
        let known = match text.strip_prefix("mariadb:") {
            Some(rest) => format!("mysql:{rest}"),
            None => text.to_owned(),
        };
        let options = MySqlConnectOptions::from_str(&known).map_err(|_| unreadable())?;
        let database = match schema.or(options.get_database()) {
            Some(database) => database.to_owned(),
            None => {
                return Err(Error::invalid("the URL names no database")
                    .hint("Write mysql://user:password@host:3306/database."));
            }
        };
        let says = |names: &[&str]| parsed.query_pairs().any(|(name, _)| names.contains(&&*name));
        let over_tcp = !says(&["socket"]);
        let host = parsed.host_str().unwrap_or("localhost").to_owned();
        let mut options = options
            .database(&database)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .disable_statement_logging();
        if !says(&["sslmode", "ssl-mode"]) && over_tcp {
            // The driver's own default falls back to clear text when a server says no.
            let local = url::is_local(&host);
            let mode = if local { MySqlSslMode::Disabled } else { MySqlSslMode::VerifyIdentity };
            options = options.ssl_mode(mode);
        }
        Ok(Server {
            user: options.get_username().to_owned(),
            options,
            port: parsed.port().unwrap_or(PORT),
            host,
            database,
            over_tcp,
            patience,
            relay: OnceCell::new(),
        })
    }

    /// `host:port/database`.
    pub fn display(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }

    /// The same database on the same server under the same name: one statement reaches both.
    pub fn same_as(&self, other: &Server) -> bool {
        self.display() == other.display()
            && self.user == other.user
            && self.over_tcp == other.over_tcp
    }

    /// Opens a pinned session.
    pub async fn session(&self, access: Access) -> Result<MySession> {
        let mut options = self.options.clone();
        if let Some(relay) = self.relay().await? {
            options = options.socket(relay.socket());
        }
        let watch = Watch::new(options.clone(), self.patience / 4);
        let session = async {
            let connection = options
                .connect()
                .await
                .map_err(|failure| error::connecting(&self.display(), &failure))?;
            let mut session = MySession::new(connection, watch);
            session.pin(access, self.patience).await?;
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
        let relay = self
            .relay
            .get_or_try_init(|| async {
                if !self.over_tcp {
                    return Ok(None);
                }
                let relay = Relay::start(self.host.clone(), self.port).await?;
                Ok::<_, Error>(Some(Arc::new(relay)))
            })
            .await?;
        Ok(relay.clone())
    }

    /// Takes the advisory lock of `plan` on a connection of its own, if it is free.
    pub async fn lock(&self, plan: &str) -> Result<Option<Box<dyn Session>>> {
        let mut session = self.session(Access::Write).await?;
        // The server's locks know no databases, and their names have 64 characters at most.
        let name = Sha256::digest(format!("{}\0{plan}", self.database).as_bytes());
        let name: String = name.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let ask = Statement::new("SELECT GET_LOCK($1, 0)").bind(format!("tablelift {name}"));
        let got = scalar(&mut session, &ask).await? == Value::Int(1);
        Ok(if got { Some(Box::new(session)) } else { None })
    }
}
