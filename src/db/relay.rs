//! A small relay inside the process: a unix socket in a private folder, and for each connection
//! a TCP connection with NODELAY and keepalive. The drivers set neither, and a COPY of a small
//! batch, or a statement in two packets, then waits 40 ms for the network's delayed acknowledgement. TLS passes through it end
//! to end. Delete it when a driver release sets the option (transact-rs/sqlx#4335).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// The socket's name, and the port that PostgreSQL clients derive it from.
const SOCKET: &str = ".s.PGSQL.5432";
pub const PORT: u16 = 5432;

/// How long a TCP connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What the names of relays' folders begin with.
const PREFIX: &str = "tablelift-";

/// The file in a relay's folder that its process keeps locked.
const ALIVE: &str = "alive";

/// A running relay; it ends when dropped. Connections that stand go on.
pub struct Relay {
    folder: TempDir,
    _alive: File,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Starts listening, after one connection has shown that somebody answers at `host:port`.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn start(host: String, port: u16) -> Result<Relay> {
        drop(connect(&host, port).await.map_err(|error| {
            Error::invalid(format!("can't connect to {host}:{port}: {error}"))
                .hint("Is the server running, and are host and port in the URL right?")
        })?);
        let local =
            |error: std::io::Error| Error::stop(format!("can't make a local socket: {error}"));
        sweep(&std::env::temp_dir());
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(local)?;
        let alive = File::create(folder.path().join(ALIVE)).map_err(local)?;
        alive.lock().map_err(local)?;
        let listener = UnixListener::bind(folder.path().join(SOCKET)).map_err(local)?;
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, host.clone(), port));
            }
        });
        Ok(Relay { folder, _alive: alive, accepting })
    }

    /// The folder of the unix socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Removes the folders of processes that were killed. Fresh ones may not be locked yet.
fn sweep(dir: &Path) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for folder in ours.map(|entry| entry.path()) {
        let Ok(alive) = File::open(folder.join(ALIVE)) else { continue };
        let age = alive.metadata().and_then(|found| found.modified()).map(|at| at.elapsed());
        let old = matches!(age, Ok(Ok(age)) if age > Duration::from_secs(60));
        if old && alive.try_lock().is_ok() {
            // Somebody else's, or just removed: nothing is lost by leaving it.
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

async fn serve(mut client: UnixStream, host: String, port: u16) {
    // A refused connection closes the client's end, which the driver reports as lost.
    if let Ok(mut server) = connect(&host, port).await {
        let _ = tokio::io::copy_bidirectional_with_sizes(
            &mut client,
            &mut server,
            64 * 1024,
            64 * 1024,
        )
        .await;
    }
}

async fn connect(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let host = host.trim_matches(['[', ']']);
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port)))
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10));
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}
