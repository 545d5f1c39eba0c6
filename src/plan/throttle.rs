//! `[throttle]`: how fast a run may go, when it backs off, and when it ends for the day.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::diagnostic::{Findings, Span};
use super::reader::{Node, Reader, span, string, wrong_type};
use super::tables::list;
use super::window::Window;
use super::{Consistency, Endpoint};

/// How fast, and when; each part optional.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ThrottleSpec {
    /// Rows each second, over all workers and processes of the run.
    pub rows_per_second: Option<u32>,
    /// Bytes each second.
    pub bytes_per_second: Option<u64>,
    /// Batches each second; may be below one.
    pub batches_per_second: Option<f64>,
    /// Pause after each batch of a worker.
    pub pause_between_batches: Option<Duration>,
    /// The part of its time that a worker works, above 0 and at most 1.
    pub duty: Option<f64>,
    /// The time of day in which the run works; outside it ends with exit code 5.
    pub window: Option<Window>,
    /// The run ends with exit code 5 after this time.
    pub stop_after: Option<Duration>,
    /// What makes it back off.
    pub signals: Vec<SignalSpec>,
}

/// A load that is looked at, and its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalSpec {
    /// Its name, as reasons and events show it.
    pub name: String,
    /// What is read.
    pub reads: Reads,
    /// The limit, in `unit`.
    pub limit: f64,
    /// The unit of value and limit.
    pub unit: Unit,
    /// `pause_over`: a value that equals the limit is still fine.
    pub above: bool,
    /// It is about the source, not the target.
    pub source: bool,
}

/// What a signal reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Reads {
    /// The 95th percentile of this process's batches.
    BatchP95,
    /// How far the target's standbys are behind: those that it names itself, or these.
    ReplicaLag(Vec<Replica>),
    /// Something that the server knows.
    Gauge(Gauge),
    /// One number from a query.
    Query(String),
    /// How long a query takes.
    Latency(String),
    /// The answer of a web server: its number where there is a limit, or any success.
    Http {
        /// Its URL.
        url: String,
        /// The answer's text is a number to compare with the limit.
        number: bool,
    },
    /// A file; while it exists, the run is paused.
    File(PathBuf),
}

/// A standby by its URL.
#[derive(Debug, Clone)]
pub struct Replica(pub Endpoint);

impl PartialEq for Replica {
    fn eq(&self, other: &Replica) -> bool {
        self.0.url == other.0.url
    }
}

/// Numbers that servers know of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gauge {
    /// Used connections, as a share of all.
    Connections,
    /// Sessions that wait for a lock.
    LockWaits,
    /// Seconds since the oldest transaction of others began (PostgreSQL).
    OldestTransaction,
    /// Finished segments of the log that wait to be archived (PostgreSQL).
    ArchiveBacklog,
    /// Bytes of the log that a replication slot keeps (PostgreSQL).
    SlotRetention,
}

/// The unit of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// A part of the whole: 0.8 is 80%.
    Share,
    /// A plain number.
    Count,
    /// Bytes.
    Bytes,
}

/// Fills in variables of a URL; says what is missing.
pub type Expand<'a> = &'a dyn Fn(&str, Span) -> Option<String>;

/// Reads `[throttle]`.
pub fn throttle(node: &Node<'_>, expand: Expand<'_>, findings: &Findings) -> ThrottleSpec {
    let Some(mut reader) = Reader::of(node, findings) else {
        return ThrottleSpec::default();
    };
    let rows = reader.number("rows_per_second", 1, u64::from(u32::MAX));
    let mut spec = ThrottleSpec {
        rows_per_second: rows.and_then(|rows| u32::try_from(rows).ok()),
        bytes_per_second: reader.bytes("bytes_per_second"),
        batches_per_second: decimal(&mut reader, "batches_per_second", 0.0001, 1e6),
        pause_between_batches: reader.duration("pause_between_batches"),
        duty: decimal(&mut reader, "duty", 0.001, 1.0),
        window: window(&mut reader),
        stop_after: reader.duration("stop_after"),
        signals: Vec::new(),
    };
    if let Some(inner) = reader.take("back_off_when") {
        back_off_when(inner, expand, findings, &mut spec.signals);
    }
    if let Some(all) = reader.take("signal") {
        spec.signals.extend(list(all, findings).into_iter().filter_map(signal));
    }
    reader.finish();
    spec
}

fn back_off_when(
    node: &Node<'_>,
    expand: Expand<'_>,
    findings: &Findings,
    out: &mut Vec<SignalSpec>,
) {
    let Some(mut reader) = Reader::of(node, findings) else { return };
    let mut add = |name: &str, reads, limit, unit| {
        let name = name.to_owned();
        out.push(SignalSpec { name, reads, limit, unit, above: false, source: false });
    };
    if let Some(limit) = reader.duration("batch_p95") {
        add("batch_p95", Reads::BatchP95, limit.as_secs_f64(), Unit::Seconds);
    }
    let replicas = replicas(&mut reader, expand);
    match reader.duration("replica_lag") {
        Some(limit) => {
            let reads = Reads::ReplicaLag(replicas);
            add("replica_lag", reads, limit.as_secs_f64(), Unit::Seconds);
        }
        None if !replicas.is_empty() => {
            findings.error(reader.span, "`replicas` has no meaning without `replica_lag`", None);
        }
        None => {}
    }
    if let Some(limit) = reader.duration("oldest_transaction") {
        let reads = Reads::Gauge(Gauge::OldestTransaction);
        add("oldest_transaction", reads, limit.as_secs_f64(), Unit::Seconds);
    }
    if let Some(limit) = reader.number("archive_backlog", 1, 1_000_000) {
        add("archive_backlog", Reads::Gauge(Gauge::ArchiveBacklog), limit as f64, Unit::Count);
    }
    if let Some(limit) = reader.bytes("slot_retention") {
        add("slot_retention", Reads::Gauge(Gauge::SlotRetention), limit as f64, Unit::Bytes);
    }
    for (name, file) in
        [("file", reader.string("file")), ("shared_file", reader.string("shared_file"))]
    {
        if let Some(file) = file {
            add(name, Reads::File(PathBuf::from(file)), 0.0, Unit::Count);
        }
    }
    let limit = decimal(&mut reader, "limit", 0.0, 1e18);
    match (reader.string("query"), limit) {
        (Some(query), Some(limit)) => add("query", Reads::Query(query), limit, Unit::Count),
        (None, None) => {}
        _ => findings.error(reader.span, "`query` and `limit` stand together", None),
    }
    servers_load(&mut reader, false, out);
    if let Some(mut inner) = reader.take("source").and_then(|node| Reader::of(node, findings)) {
        servers_load(&mut inner, true, out);
        inner.finish();
    }
    reader.finish();
}

/// What is asked of either end.
fn servers_load(reader: &mut Reader<'_, '_>, source: bool, out: &mut Vec<SignalSpec>) {
    let mut add = |name: &str, gauge, limit, unit| {
        let name = if source { format!("source_{name}") } else { name.to_owned() };
        let reads = Reads::Gauge(gauge);
        out.push(SignalSpec { name, reads, limit, unit, above: false, source });
    };
    if let Some(limit) = percent(reader, "connections") {
        add("connections", Gauge::Connections, limit, Unit::Share);
    }
    if let Some(limit) = reader.number("lock_waits", 1, 1_000_000) {
        add("lock_waits", Gauge::LockWaits, limit as f64, Unit::Count);
    }
}

/// One `[[throttle.signal]]`.
fn signal(mut reader: Reader<'_, '_>) -> Option<SignalSpec> {
    let findings = reader.findings();
    let name = reader.string("name");
    let (sql, http) = (reader.string("sql"), reader.string("http"));
    let limit = decimal(&mut reader, "limit", 0.0, 1e18);
    let over = decimal(&mut reader, "pause_over", 0.0, 1e18);
    let slower = reader.duration("slower_than");
    let on = reader.word("on", &[("target", false), ("source", true)]);
    let place = reader.span;
    reader.finish();
    let reads = match (sql, http) {
        (Some(sql), None) if slower.is_some() => Reads::Latency(sql),
        (Some(sql), None) => Reads::Query(sql),
        (None, Some(url)) if !["http://", "https://"].iter().any(|one| url.starts_with(one)) => {
            findings.error(place, "`http` is a URL that begins with http:// or https://", None);
            return None;
        }
        (None, Some(url)) => Reads::Http { url, number: limit.or(over).is_some() },
        _ => {
            findings.error(place, "a signal has either `sql` or `http`", None);
            return None;
        }
    };
    let (limit, above) = match (limit, over, &reads) {
        (None, None, Reads::Latency(_)) => (slower.unwrap_or_default().as_secs_f64(), false),
        (Some(limit), None, Reads::Query(_) | Reads::Http { .. }) if slower.is_none() => {
            (limit, false)
        }
        (None, Some(over), Reads::Query(_) | Reads::Http { .. }) if slower.is_none() => {
            (over, true)
        }
        // Any success is fine then, and nothing else.
        (None, None, Reads::Http { .. }) if slower.is_none() => (1.0, false),
        _ => {
            let help = "limit = 100 waits at 100 and more, pause_over = 0 at more than 0, \
                        slower_than = \"20ms\" while the sql takes longer than that";
            let message = "a signal has one of `limit`, `pause_over` and (with sql) `slower_than`";
            findings.error(place, message, Some(help.to_owned()));
            return None;
        }
    };
    let kind = if matches!(reads, Reads::Http { .. }) { "http" } else { "sql" };
    let unit = if slower.is_some() { Unit::Seconds } else { Unit::Count };
    Some(SignalSpec {
        name: name.unwrap_or_else(|| kind.to_owned()),
        reads,
        limit,
        unit,
        above,
        source: on.unwrap_or(false),
    })
}

fn replicas(reader: &mut Reader<'_, '_>, expand: Expand<'_>) -> Vec<Replica> {
    let place = reader.peek("replicas").map_or(reader.span, span);
    let urls = reader.strings("replicas").unwrap_or_default();
    urls.iter()
        .filter_map(|url| {
            let url = expand(url, place)?;
            let schemes = ["postgres://", "postgresql://", "mysql://", "mariadb://"];
            if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
                let message = "a replica's URL begins with postgres:// or mysql://";
                reader.findings().error(place, message, None);
                return None;
            }
            let consistency = Consistency::Batch;
            Some(Replica(Endpoint { url, schema: None, consistency, line: 1 }))
        })
        .collect()
}

fn window(reader: &mut Reader<'_, '_>) -> Option<Window> {
    let findings = reader.findings();
    let node = reader.take("window")?;
    let text = string(node, findings)?;
    Window::parse(&text)
        .map_err(|help| findings.error(span(node), "this is not a window", Some(help)))
        .ok()
}

fn percent(reader: &mut Reader<'_, '_>, key: &'static str) -> Option<f64> {
    let findings = reader.findings();
    let node = reader.take(key)?;
    let text = string(node, findings)?;
    let number: Option<f64> = text.strip_suffix('%').and_then(|text| text.trim().parse().ok());
    let share = number.filter(|number| *number > 0.0 && *number <= 100.0);
    if share.is_none() {
        let help = "write a share of all connections, like \"80%\"".to_owned();
        findings.error(span(node), "this is not a share", Some(help));
    }
    share.map(|number| number / 100.0)
}

/// A number, whole or not, in a range.
fn decimal(reader: &mut Reader<'_, '_>, key: &'static str, low: f64, high: f64) -> Option<f64> {
    let findings = reader.findings();
    let node = reader.take(key)?;
    let number: Option<f64> = match node.get_ref() {
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number as f64)
        }
        DeValue::Float(float) => float.as_str().parse().ok(),
        other => {
            wrong_type(findings, span(node), "a number", other);
            return None;
        }
    };
    let fine = number.filter(|number| (low..=high).contains(number));
    if fine.is_none() {
        findings.error(span(node), format!("`{key}` must be between {low} and {high}"), None);
    }
    fine
}

/// Refuses signals that an end of the plan does not have.
pub fn fits(
    spec: &ThrottleSpec,
    source: &Endpoint,
    target: &Endpoint,
    place: Span,
    findings: &Findings,
) {
    for signal in &spec.signals {
        let end = if signal.source { source } else { target };
        let is = |scheme: &str| end.url.starts_with(scheme);
        let mysql = is("mysql:") || is("mariadb:");
        let postgres_only = matches!(
            signal.reads,
            Reads::Gauge(Gauge::OldestTransaction | Gauge::ArchiveBacklog | Gauge::SlotRetention)
        );
        let asks_server = matches!(signal.reads, Reads::Gauge(_) | Reads::ReplicaLag(_));
        let nothing =
            end.url.is_empty() && matches!(signal.reads, Reads::Query(_) | Reads::Latency(_));
        let message = if nothing || (asks_server && (end.url.is_empty() || is("sqlite:"))) {
            format!("`{}` needs a server, and there is none at that end", signal.name)
        } else if postgres_only && mysql {
            format!("`{}` needs PostgreSQL", signal.name)
        } else if mysql && matches!(&signal.reads, Reads::ReplicaLag(urls) if urls.is_empty()) {
            "`replica_lag` needs the URLs of the `replicas`: the primary does not know how far \
             they are behind"
                .to_owned()
        } else {
            continue;
        };
        findings.error(place, message, None);
    }
}
