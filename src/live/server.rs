//! The web server of `run --metrics`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;

use super::guard;
use super::metrics::Metrics;
use crate::error::{Error, Result};
use crate::report::page::{self, Live};
use crate::report::{Report, policy};

/// Gives the report as it is now.
pub type Look = Box<dyn Fn() -> BoxFuture<'static, Result<Report>> + Send + Sync>;

type Made = Arc<Result<Report>>;

const SCRIPT: &str = include_str!("live.js");
const SCRIPT_AT: &str = "/live.js";

/// Connections at a time.
const CONNECTIONS: usize = 32;
/// A client that is slower than this to say what it wants is cut off.
const PATIENCE: Duration = Duration::from_secs(5);
/// A report is made anew after this time at the earliest …
const FRESH: Duration = Duration::from_secs(1);
/// … and takes no more than this part of the time.
const SHARE: u32 = 10;
/// Somebody who asked so lately is still looking …
const WATCHED: Duration = Duration::from_secs(6);
/// … and is shown the end, if they ask within this time.
const LINGER: Duration = Duration::from_secs(3);

/// An address that is ours, before anything else is begun.
pub struct Server {
    listener: TcpListener,
    /// The host as it was typed.
    host: String,
    /// Where it is.
    pub address: SocketAddr,
}

/// A server that answers until this is dropped.
pub struct Serving {
    task: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    host: String,
    metrics: Arc<Metrics>,
    look: Look,
    /// The last report, when it was made, and how long that took.
    made: Mutex<Option<(Instant, Duration, Made)>>,
    /// When somebody last saw the page; and whether they saw it after the run's end.
    seen: Lock<(Option<Instant>, bool)>,
    ending: AtomicBool,
}

impl Server {
    /// Takes `address`: HOST:PORT, or a port of this machine alone.
    ///
    /// # Errors
    /// Invalid: it is no address, or somebody else has it.
    pub async fn bind(address: &str) -> Result<Server> {
        let port = address.strip_prefix(':').unwrap_or(address);
        let (host, port) = match (port.parse::<u16>(), address.rsplit_once(':')) {
            (Ok(port), _) => ("127.0.0.1", Some(port)),
            (_, Some((host, port))) => (host.trim_matches(['[', ']']), port.parse().ok()),
            _ => ("", None),
        };
        let hint = "Write HOST:PORT, as in 127.0.0.1:9464; port 0 takes a free one.";
        let shown = address.escape_debug();
        let Some(port) = port.filter(|_| !host.is_empty()) else {
            return Err(Error::invalid(format!("`{shown}` is no address for metrics")).hint(hint));
        };
        let listener = TcpListener::bind((host, port)).await.map_err(|error| {
            let why = match error.kind() {
                std::io::ErrorKind::AddrInUse => "another process has it".to_owned(),
                _ => error.to_string(),
            };
            Error::invalid(format!("metrics can't be served on {shown}: {why}")).hint(hint)
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| Error::stop(format!("metrics can't be served: {error}")))?;
        Ok(Server { listener, host: host.to_owned(), address })
    }

    /// Answers from now on.
    pub fn serve(self, metrics: Arc<Metrics>, look: Look) -> Serving {
        let shared = Arc::new(Shared {
            host: self.host,
            metrics,
            look,
            made: Mutex::new(None),
            seen: Lock::default(),
            ending: AtomicBool::new(false),
        });
        let task = tokio::spawn(accept(self.listener, Arc::clone(&shared)));
        Serving { task, shared }
    }
}

impl Serving {
    /// The run has ended: whoever has the page open may see how, for a moment.
    pub async fn end(self) {
        let seen = || *self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.ending.store(true, Ordering::SeqCst);
        let is_watched = seen().0.is_some_and(|at| at.elapsed() < WATCHED);
        let begun = Instant::now();
        while is_watched && !seen().1 && begun.elapsed() < LINGER {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if is_watched {
            // The answer is on its way.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(|request| answer(Arc::clone(&shared), request));
            // A client that goes away is no trouble of ours.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

/// One answer. A body that a client sends is not read.
async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    if let Some((code, why)) = guard::refusal(method, uri, headers, &shared.host) {
        return Ok(response(code, "text/plain; charset=utf-8", Bytes::from(format!("{why}\n"))));
    }
    const HTML: &str = "text/html; charset=utf-8";
    let (code, kind, body) = match uri.path() {
        "/" => (StatusCode::OK, HTML, shared.page().await),
        "/body" => (StatusCode::OK, HTML, shared.body().await),
        "/metrics" => {
            let accepts = headers.get("accept").and_then(|value| value.to_str().ok());
            let open = accepts.is_some_and(|list| list.contains("application/openmetrics-text"));
            let (text, kind) = shared.metrics.text(open);
            (StatusCode::OK, kind, Bytes::from(text))
        }
        "/healthz" => (StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(b"ok\n")),
        SCRIPT_AT => (
            StatusCode::OK,
            "text/javascript; charset=utf-8",
            Bytes::from_static(SCRIPT.as_bytes()),
        ),
        _ => {
            let text = "there is / and /metrics\n";
            (
                StatusCode::NOT_FOUND,
                "text/plain; charset=utf-8",
                Bytes::from_static(text.as_bytes()),
            )
        }
    };
    // Where only the head was asked for, hyper leaves the body out.
    Ok(response(code, kind, body))
}

fn response(code: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let policy = policy("; script-src 'self'; connect-src 'self'; frame-ancestors 'none'");
    let policy =
        HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = code;
    let fixed = [
        ("content-type", kind),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert("content-security-policy", policy);
    if code == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert("allow", HeaderValue::from_static("GET, HEAD"));
    }
    response
}

impl Shared {
    async fn page(&self) -> Bytes {
        let live = Some(Live { script: SCRIPT_AT });
        Bytes::from(match self.report().await.as_ref() {
            Ok(report) => page::page(report, live),
            Err(error) => page::waiting(&error.to_string(), live),
        })
    }

    /// The inside of the page.
    async fn body(&self) -> Bytes {
        let ending = self.ending.load(Ordering::SeqCst);
        let body = match self.report().await.as_ref() {
            Ok(report) => page::body(report),
            Err(error) => page::nothing(&error.to_string()),
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = (Some(Instant::now()), ending);
        Bytes::from(body.into_string())
    }

    /// The report, made anew now and then, however many ask.
    async fn report(&self) -> Made {
        let ending = self.ending.load(Ordering::SeqCst);
        let mut made = self.made.lock().await;
        if let Some((at, took, report)) = made.as_ref()
            && !ending
            && at.elapsed() < FRESH.max(took.saturating_mul(SHARE))
        {
            return Arc::clone(report);
        }
        let begun = Instant::now();
        let report = Arc::new((self.look)().await);
        *made = Some((Instant::now(), begun.elapsed(), Arc::clone(&report)));
        report
    }
}
