//! A fault-injecting proxy for tests: it frames the messages of PostgreSQL and MySQL, so that a
//! fault can be put at the k-th COMMIT, or between the server's commit and its answer, which nothing that
//! sees only bytes can do. Every fault that landed is counted: a test asserts that.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Where a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// A query whose text begins with this word, before the server sees it.
    Query(&'static str),
    /// The server's answer to such a query, before the client sees it: the server has done it.
    Answer(&'static str),
    /// A piece of COPY data from the client; MySQL: a prepared statement is executed.
    CopyIn,
    /// A piece of COPY data from the server; MySQL: a part of the answer to a reader's query.
    CopyOut,
    /// Any message from the client after the session is set up.
    Client,
    /// Any message from the server after the session is set up.
    Server,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both ends are closed in order.
    Cut,
    /// Both ends are reset.
    Reset,
    /// The client's end is closed, what it sent before still reaches the server, later.
    HalfOpen,
    /// Nothing passes any more in either direction, and nobody is told.
    Stall,
    /// The message passes after a while.
    Delay(Duration),
    /// The message and all that follow pass byte by byte.
    Slice,
}

/// A fault at the `hit`-th place of its kind, counted from 1 over all connections.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub at: At,
    pub hit: u32,
    pub fault: Fault,
}

struct Shared {
    plan: Mutex<Option<Plan>>,
    hits: AtomicU32,
    landed: AtomicU32,
    server: String,
    mysql: bool,
}

/// A running proxy; it ends when dropped.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

impl Proxy {
    /// Listens on a free port, for the server of `url`: `postgres://user@host:port/name`,
    /// or `mysql://` in its place.
    pub fn before(url: &str) -> Proxy {
        let (_, host) = url.rsplit_once('@').unwrap();
        let (server, _) = host.split_once('/').unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            plan: Mutex::new(None),
            hits: AtomicU32::new(0),
            landed: AtomicU32::new(0),
            server: server.to_owned(),
            mysql: url.starts_with("mysql:"),
        });
        let for_all = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&for_all)));
            }
        });
        Proxy { port, shared, _runtime: runtime }
    }

    /// The same database, through this proxy.
    pub fn through(&self, url: &str) -> String {
        let (front, name) = url.rsplit_once('/').unwrap();
        let (user, _) = front.rsplit_once('@').unwrap();
        format!("{user}@127.0.0.1:{}/{name}", self.port)
    }

    /// Arms one fault; the count of places begins anew.
    pub fn arm(&self, plan: Plan) {
        self.shared.hits.store(0, Ordering::SeqCst);
        *self.shared.plan.lock().unwrap() = Some(plan);
    }

    /// How many faults landed so far.
    pub fn landed(&self) -> u32 {
        self.shared.landed.load(Ordering::SeqCst)
    }
}

/// One connection: what both directions know of it.
struct Connection {
    shared: Arc<Shared>,
    /// The word that the query in flight begins with.
    query: Mutex<String>,
    /// Messages of its answer so far.
    answers: AtomicU32,
    dead: AtomicBool,
    stalled: AtomicBool,
    sliced: AtomicBool,
}

async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(&shared.server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let connection = Arc::new(Connection {
        shared,
        query: Mutex::new(String::new()),
        answers: AtomicU32::new(0),
        dead: AtomicBool::new(false),
        stalled: AtomicBool::new(false),
        sliced: AtomicBool::new(false),
    });
    let (mut client_in, mut client_out) = client.into_split();
    let (mut server_in, mut server_out) = server.into_split();
    let mysql = connection.shared.mysql;
    let ready = if mysql {
        mysql_handshake(&mut client_in, &mut client_out, &mut server_in, &mut server_out).await
    } else {
        handshake(&mut client_in, &mut client_out, &mut server_in, &mut server_out).await
    };
    if ready.is_none() {
        return;
    }
    let up = pass(Arc::clone(&connection), true, client_in, server_out);
    let down = pass(Arc::clone(&connection), false, server_in, client_out);
    // When one direction ends, both do.
    let (up, down) = (tokio::spawn(up), tokio::spawn(down));
    let (abort_up, abort_down) = (up.abort_handle(), down.abort_handle());
    let half_open = tokio::select! { ended = up => ended, ended = down => ended };
    if !half_open.unwrap_or(false) {
        abort_up.abort();
        abort_down.abort();
    }
}

/// The start-up messages have no type byte: passed as they are, TLS refused.
async fn handshake(
    client_in: &mut OwnedReadHalf,
    client_out: &mut OwnedWriteHalf,
    server_in: &mut OwnedReadHalf,
    server_out: &mut OwnedWriteHalf,
) -> Option<()> {
    loop {
        let length = client_in.read_u32().await.ok()?;
        let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
        client_in.read_exact(&mut body).await.ok()?;
        if body.starts_with(&80_877_103u32.to_be_bytes()) {
            client_out.write_all(b"N").await.ok()?;
            continue;
        }
        server_out.write_u32(length).await.ok()?;
        server_out.write_all(&body).await.ok()?;
        break;
    }
    // Up to the server's first ReadyForQuery; authentication is `trust` in these tests.
    loop {
        let message = read(server_in).await?;
        client_out.write_all(&message).await.ok()?;
        if message[0] == b'Z' {
            return Some(());
        }
    }
}

/// The server speaks first; the client's answer is enough without a password.
async fn mysql_handshake(
    client_in: &mut OwnedReadHalf,
    client_out: &mut OwnedWriteHalf,
    server_in: &mut OwnedReadHalf,
    server_out: &mut OwnedWriteHalf,
) -> Option<()> {
    client_out.write_all(&read_mysql(server_in).await?).await.ok()?;
    loop {
        server_out.write_all(&read_mysql(client_in).await?).await.ok()?;
        let answer = read_mysql(server_in).await?;
        client_out.write_all(&answer).await.ok()?;
        match answer[4] {
            0x00 => return Some(()),
            // Another method is asked for.
            0xfe => {}
            _ => return None,
        }
    }
}

/// One framed message of MySQL: length in three bytes, number, body.
async fn read_mysql(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut message = vec![0; 4];
    from.read_exact(&mut message).await.ok()?;
    let length = u32::from_le_bytes([message[0], message[1], message[2], 0]) as usize;
    message.resize(4 + length, 0);
    from.read_exact(&mut message[4..]).await.ok()?;
    Some(message)
}

/// One framed message: type, length, body.
async fn read(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let kind = from.read_u8().await.ok()?;
    let length = from.read_u32().await.ok()?;
    let mut message = Vec::with_capacity(length as usize + 1);
    message.push(kind);
    message.extend(length.to_be_bytes());
    message.resize(length as usize + 1, 0);
    from.read_exact(&mut message[5..]).await.ok()?;
    Some(message)
}

/// Passes messages in one direction. `true`: the other direction goes on by itself.
async fn pass(
    connection: Arc<Connection>,
    upwards: bool,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
) -> bool {
    loop {
        let message = match connection.shared.mysql {
            true => read_mysql(&mut from).await,
            false => read(&mut from).await,
        };
        let Some(message) = message else { break };
        if connection.dead.load(Ordering::SeqCst) {
            return false;
        }
        match connection.fault(upwards, &message) {
            None => {}
            Some(Fault::Delay(wait)) => tokio::time::sleep(wait).await,
            Some(Fault::Slice) => connection.sliced.store(true, Ordering::SeqCst),
            Some(Fault::Stall) => connection.stalled.store(true, Ordering::SeqCst),
            Some(Fault::Cut) => {
                connection.dead.store(true, Ordering::SeqCst);
                return false;
            }
            Some(Fault::Reset) => {
                connection.dead.store(true, Ordering::SeqCst);
                // Closing with a zero linger sends RST.
                for half in [from.as_ref(), to.as_ref()] {
                    let _ = socket2::SockRef::from(half).set_linger(Some(Duration::ZERO));
                }
                return false;
            }
            Some(Fault::HalfOpen) => {
                // The client sees the end at once, the server gets the message later.
                drop(from);
                tokio::time::sleep(Duration::from_millis(1500)).await;
                let _ = to.write_all(&message).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                return false;
            }
        }
        if connection.stalled.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let sent = if connection.sliced.load(Ordering::SeqCst) {
            slice(&mut to, &message).await
        } else {
            to.write_all(&message).await
        };
        if sent.is_err() {
            return false;
        }
    }
    false
}

async fn slice(to: &mut OwnedWriteHalf, message: &[u8]) -> std::io::Result<()> {
    for byte in message {
        to.write_all(std::slice::from_ref(byte)).await?;
        to.flush().await?;
    }
    Ok(())
}

impl Connection {
    /// Whether MySQL's message is at such a place.
    fn is_at_mysql(&self, at: At, upwards: bool, message: &[u8]) -> bool {
        let command = message.get(4).copied().unwrap_or(0);
        if upwards && (command == 0x03 || command == 0x16) {
            // A query, or one that is prepared. A commit releases its savepoint first.
            let text = String::from_utf8_lossy(&message[5..]).to_ascii_uppercase();
            let text = text.trim_start_matches("RELEASE SAVEPOINT ALIVE; ");
            *self.query.lock().unwrap() = text.chars().take(22).collect();
            self.answers.store(0, Ordering::SeqCst);
        }
        let answers = if upwards { 0 } else { self.answers.fetch_add(1, Ordering::SeqCst) + 1 };
        let query = self.query.lock().unwrap();
        match at {
            At::Query(word) => upwards && command == 0x03 && query.starts_with(word),
            // The second answer is the commit's own.
            At::Answer(word) => answers == 2 && query.starts_with(word),
            At::CopyIn => {
                let inserts = query.starts_with("INSERT INTO") && !query.contains("TABLELIFT");
                upwards && command == 0x17 && inserts
            }
            At::CopyOut => !upwards && query.starts_with("SELECT `S`."),
            At::Client => upwards,
            At::Server => !upwards,
        }
    }

    /// Whether PostgreSQL's message is at such a place.
    fn is_at(&self, at: At, upwards: bool, message: &[u8]) -> bool {
        let kind = message[0];
        if upwards && (kind == b'Q' || kind == b'P') {
            // Q: the text; P: the statement's name, then the text.
            let body = &message[5..];
            let mut parts = body.splitn(2, |b| *b == 0);
            let text = if kind == b'Q' { body } else { parts.nth(1).unwrap_or_default() };
            let word: String =
                text.iter().take(12).map(|byte| char::from(*byte).to_ascii_uppercase()).collect();
            *self.query.lock().unwrap() = word;
        }
        let query = self.query.lock().unwrap();
        match at {
            At::Query(word) => upwards && kind == b'Q' && query.starts_with(word),
            At::Answer(word) => !upwards && kind == b'C' && query.starts_with(word),
            At::CopyIn => upwards && kind == b'd',
            At::CopyOut => !upwards && kind == b'd',
            At::Client => upwards,
            At::Server => !upwards,
        }
    }

    /// The fault that this message meets, if it is the one.
    fn fault(&self, upwards: bool, message: &[u8]) -> Option<Fault> {
        let mut plan = self.shared.plan.lock().unwrap();
        let at = plan.map_or(At::Client, |armed| armed.at);
        let is_here = match self.shared.mysql {
            true => self.is_at_mysql(at, upwards, message),
            false => self.is_at(at, upwards, message),
        };
        let armed = (*plan)?;
        if !is_here || self.shared.hits.fetch_add(1, Ordering::SeqCst) + 1 != armed.hit {
            return None;
        }
        *plan = None;
        self.shared.landed.fetch_add(1, Ordering::SeqCst);
        Some(armed.fault)
    }
}
