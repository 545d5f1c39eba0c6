//! Reads the signals, each in a task of its own, so that one that hangs holds up no other.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lag::Lag;
use super::reason::{Reason, Value};
use super::state::p95;
use crate::db::{Access, Database, Session, gauges};
use crate::error::{Error, Result};
use crate::plan::throttle::{Reads, Replica, SignalSpec};
use crate::sql::Statement;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Between two looks at how long a query takes: one look says little of what users feel.
const LATENCY_LOOK: Duration = Duration::from_millis(50);

/// Looks of which the 95th percentile is how long a query takes: those of a second.
const LATENCIES: usize = 20;

/// A look that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Without a reading for so long, a signal is frozen: nobody knows what it would say. Longer than
/// a look that fails and the pause before the next one.
const FROZEN: Duration = Duration::from_secs(5);

const NOT_READ: &str = "not read yet";

/// One signal with its last reading.
pub struct Slot {
    /// What it is.
    pub spec: SignalSpec,
    last: Mutex<(Instant, Result<f64, String>)>,
}

impl Slot {
    /// A signal that nobody has read yet: over its limit until somebody has.
    pub fn new(spec: SignalSpec) -> Slot {
        Slot { spec, last: Mutex::new((Instant::now(), Err(NOT_READ.to_owned()))) }
    }

    /// Somebody has looked, whatever was seen.
    pub fn is_read(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(&last.1, Err(why) if why == NOT_READ)
    }

    /// Writes a reading down.
    pub fn set(&self, reading: Result<f64, String>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), reading);
    }

    /// The last reading as a reason.
    pub fn reason(&self) -> Reason {
        let (at, reading) = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let value = match reading {
            _ if at.elapsed() > FROZEN => Value::Frozen,
            Err(why) => Value::Unreadable(why),
            Ok(number) if matches!(self.spec.reads, Reads::File(_)) && number > 0.0 => Value::On,
            Ok(number) => Value::Number(number),
        };
        let (signal, limit) = (self.spec.name.clone(), self.spec.limit);
        Reason { signal, value, limit, unit: self.spec.unit, above: self.spec.above }
    }
}

impl Reason {
    /// How close to its limit it is: 1.0 is the limit. What nobody knows is over it.
    pub fn utilization(&self) -> f64 {
        match &self.value {
            Value::On | Value::Unreadable(_) | Value::Frozen => 2.0,
            Value::Number(value) if self.above && *value <= self.limit => {
                (value / self.limit.max(1e-9)).min(0.99)
            }
            Value::Number(value) if self.above => (value / self.limit.max(1e-9)).max(1.0),
            // A file that is not there has no limit to come close to.
            Value::Number(value) if self.limit <= 0.0 => f64::from(u8::from(*value > 0.0)) * 2.0,
            Value::Number(value) => value / self.limit,
        }
    }
}

/// What the signals are read from.
#[derive(Clone)]
pub struct Ends {
    /// Where rows come from.
    pub source: Arc<Database>,
    /// Where rows go.
    pub target: Arc<Database>,
    /// The plan's folder, where relative paths start.
    pub dir: PathBuf,
    /// What servers show for the sessions.
    pub label: String,
}

/// Reads one signal for ever. What can't be read is written down as such, and tried again.
pub async fn watch(slot: Arc<Slot>, ends: Ends) {
    let mut probe = Probe::new(slot.spec.clone(), ends);
    loop {
        slot.set(probe.look().await);
        let is_latency = matches!(slot.spec.reads, Reads::Latency(_));
        tokio::time::sleep(if is_latency { LATENCY_LOOK } else { LOOK }).await;
    }
}

/// Reads each signal once, and says of each how that went.
pub async fn try_all(specs: &[SignalSpec], ends: &Ends) -> Vec<(Reason, bool)> {
    let tries = specs.iter().filter(|spec| spec.reads != Reads::BatchP95).map(|spec| async {
        let slot = Slot::new(spec.clone());
        let reading = Probe::new(spec.clone(), ends.clone()).look().await;
        let is_read = reading.is_ok();
        slot.set(reading);
        (slot.reason(), is_read)
    });
    futures::future::join_all(tries).await
}

struct Probe {
    spec: SignalSpec,
    ends: Ends,
    /// Its own connections: the end's, then those of the replicas.
    sessions: Vec<Box<dyn Session>>,
    lag: Lag,
    /// What the last looks took, in seconds.
    latencies: VecDeque<f64>,
}

impl Probe {
    fn new(spec: SignalSpec, ends: Ends) -> Probe {
        Probe { spec, ends, sessions: Vec::new(), lag: Lag::default(), latencies: VecDeque::new() }
    }

    /// One look, with patience; the text of a failure is for people.
    async fn look(&mut self) -> Result<f64, String> {
        let reading = match tokio::time::timeout(PATIENCE, self.read()).await {
            Ok(Ok(number)) => Ok(number),
            Ok(Err(error)) => Err(error.message),
            Err(_) => Err(format!("no answer within {}s", PATIENCE.as_secs())),
        };
        if reading.is_err() {
            // One that was left in the middle of an answer can't be used again.
            self.sessions.clear();
        }
        reading
    }

    async fn read(&mut self) -> Result<f64> {
        let reads = self.spec.reads.clone();
        match &reads {
            Reads::File(path) => exists(self.ends.dir.join(path)).await,
            // The throttle itself knows it.
            Reads::BatchP95 => Ok(0.0),
            Reads::Http { url, number } => super::http::read(url.clone(), *number).await,
            Reads::Gauge(gauge) => gauges::read(self.server().await?, *gauge).await,
            Reads::Query(sql) => gauges::number(self.server().await?, sql).await,
            Reads::Latency(sql) => self.latency(sql).await,
            Reads::ReplicaLag(replicas) => self.replica_lag(replicas).await,
        }
    }

    async fn server(&mut self) -> Result<&mut dyn Session> {
        if self.sessions.is_empty() {
            let Ends { source, target, label, .. } = &self.ends;
            let end = if self.spec.source { source } else { target };
            let access = if self.spec.source { Access::Read } else { Access::Look };
            let mut session = end.session(access, label).await?;
            gauges::prepare(session.as_mut()).await?;
            self.sessions.push(session);
        }
        let first = self.sessions.first_mut();
        first
            .map(|session| session.as_mut() as &mut dyn Session)
            .ok_or_else(|| Error::stop("no session"))
    }

    /// Seconds that a query takes, of the slowest of the last ones.
    async fn latency(&mut self, sql: &str) -> Result<f64> {
        let session = self.server().await?;
        let begun = Instant::now();
        session.rows(&Statement::new(sql)).await?;
        let took = begun.elapsed().as_secs_f64();
        if self.latencies.len() == LATENCIES {
            self.latencies.pop_front();
        }
        self.latencies.push_back(took);
        Ok(p95(self.latencies.iter().copied().collect()))
    }

    /// Seconds that the slowest standby is behind.
    async fn replica_lag(&mut self, replicas: &[Replica]) -> Result<f64> {
        if self.ends.target.flavor() == crate::sql::Flavor::Mysql {
            let mut most = 0.0_f64;
            for (at, replica) in replicas.iter().enumerate() {
                let session = self.replica(at, replica).await?;
                most = most.max(gauges::seconds_behind(session).await?);
            }
            return Ok(most);
        }
        let (head, mut replayed) = gauges::positions(self.server().await?).await?;
        if !replicas.is_empty() {
            replayed.clear();
            for (at, replica) in replicas.iter().enumerate() {
                // The first session is the primary's.
                let session = self.replica(at + 1, replica).await?;
                replayed.push(gauges::replayed(session).await?);
            }
        }
        let lag = self.lag.look(Instant::now(), head, &replayed);
        lag.map(|lag| lag.as_secs_f64()).ok_or_else(|| {
            Error::stop(match replayed.len() {
                0 => "no standby is connected that this role can see (pg_monitor sees all)",
                _ => "a standby is gone",
            })
        })
    }

    async fn replica(&mut self, at: usize, replica: &Replica) -> Result<&mut dyn Session> {
        if self.sessions.len() <= at {
            let database = Database::open(&replica.0, &self.ends.dir, Duration::from_secs(60))?;
            let mut session = database.session(Access::Read, &self.ends.label).await?;
            gauges::prepare(session.as_mut()).await?;
            self.sessions.push(session);
        }
        let found = self.sessions.get_mut(at);
        found
            .map(|session| session.as_mut() as &mut dyn Session)
            .ok_or_else(|| Error::stop("no session"))
    }
}

/// Whether a file is there, without waiting for a file system that hangs.
async fn exists(path: PathBuf) -> Result<f64> {
    let looked = tokio::task::spawn_blocking(move || path.try_exists()).await;
    match looked {
        Ok(Ok(there)) => Ok(f64::from(u8::from(there))),
        Ok(Err(error)) => Err(Error::stop(format!("the file can't be looked for: {error}"))),
        Err(error) => Err(Error::stop(format!("the file can't be looked for: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::throttle::Unit;

    #[test]
    fn a_frozen_signal_is_told_from_a_slow_one() {
        assert!(FROZEN > PATIENCE + LOOK);
    }

    #[test]
    fn what_nobody_knows_is_over_the_limit() {
        let spec = SignalSpec {
            name: "q".to_owned(),
            reads: Reads::Query(String::new()),
            limit: 10.0,
            unit: Unit::Count,
            above: false,
            source: false,
        };
        let slot = Slot::new(spec.clone());
        assert!(slot.reason().utilization() >= 1.0, "nothing was read yet");
        slot.set(Ok(5.0));
        assert!((slot.reason().utilization() - 0.5).abs() < 1e-9);
        slot.set(Ok(10.0));
        assert!(slot.reason().utilization() >= 1.0);
        slot.set(Err("gone".to_owned()));
        assert!(slot.reason().utilization() >= 1.0);
        let over = Slot::new(SignalSpec { above: true, limit: 0.0, ..spec });
        over.set(Ok(0.0));
        assert!(over.reason().utilization() < 1.0);
        over.set(Ok(1.0));
        assert!(over.reason().utilization() >= 1.0);
    }
}
