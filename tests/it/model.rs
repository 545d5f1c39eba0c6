//! The ledger's protocol, searched exhaustively for small sizes: two processes, a rollback,
//! crashes, lost connections, transactions that live on without their client, COMMITs that are
//! seen or not, helpers that take a chunk from one that stands still. The decisions are those of
//! `ledger::protocol`, which production runs; three mutants must fail, with a trace.

use std::collections::{HashSet, VecDeque};

use tablelift::ledger::protocol::{Believed, Found, Verdict, guard};

/// Batches of the one chunk.
const BATCHES: i64 = 2;

/// What is searched, and what is left out of the protocol.
#[derive(Clone, Copy)]
struct Search {
    starts: u8,
    transactions: u8,
    helps: u8,
    compare_epoch: bool,
    compare_seq: bool,
    takeover_waits: bool,
}

const FULL: Search = Search {
    starts: 2,
    transactions: 3,
    helps: 1,
    compare_epoch: true,
    compare_seq: true,
    takeover_waits: true,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    Copy,
    Rollback,
}

/// A transaction on the server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Phase {
    /// BEGIN and the guard are on their way.
    Asked,
    /// The guard passed: lease and chunk are locked, rows are written.
    Held,
    /// COMMIT has reached the server.
    CommitSent,
    Committed,
    Aborted,
    Refused(Verdict),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Transaction {
    kind: Kind,
    epoch: i64,
    fence: i64,
    seq: i64,
    phase: Phase,
    /// Its client still listens.
    heard: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    Off,
    /// Between batches.
    Ready,
    /// Waits for the guard's answer, or for COMMIT's.
    Guarding,
    Committing,
    Finished,
    Fenced,
}

/// A process, and what it believes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Process {
    state: State,
    kind: Kind,
    epoch: i64,
    fence: i64,
    seq: i64,
    transaction: Option<usize>,
}

const OFF: Process =
    Process { state: State::Off, kind: Kind::Copy, epoch: 0, fence: 0, seq: 0, transaction: None };

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    epoch: i64,
    fence: i64,
    seq: i64,
    /// How often the target holds each batch's rows.
    rows: [i64; BATCHES as usize],
    /// The epoch under which a rollback finished; 0: none.
    rolled_back: i64,
    transactions: Vec<Transaction>,
    processes: [Process; 2],
    starts: u8,
    begun: u8,
    helps: u8,
}

impl World {
    fn first() -> World {
        World {
            epoch: 0,
            fence: 0,
            seq: 0,
            rows: [0; BATCHES as usize],
            rolled_back: 0,
            transactions: Vec::new(),
            processes: [OFF; 2],
            starts: 0,
            begun: 0,
            helps: 0,
        }
    }

    /// What must never be.
    fn wrong(&self) -> Option<&'static str> {
        if self.rows.iter().any(|times| !(0..=1).contains(times)) {
            return Some("rows are there twice, or were removed twice");
        }
        let agrees = |(at, times): (i64, &i64)| (*times == 1) == (at < self.seq);
        if !(0..BATCHES).zip(&self.rows).all(agrees) {
            return Some("ledger and rows disagree");
        }
        if self.rolled_back != 0 && self.rolled_back == self.epoch && self.seq != 0 {
            return Some("rows appeared after a finished rollback");
        }
        None
    }

    /// Some transaction but `except` holds lease and chunk.
    fn locked(&self, except: Option<usize>) -> bool {
        let holds = |phase| matches!(phase, Phase::Held | Phase::CommitSent);
        (0..self.transactions.len())
            .any(|at| Some(at) != except && holds(self.transactions[at].phase))
    }

    fn verdict(&self, search: Search, transaction: &Transaction) -> Verdict {
        let pos = |seq: i64| Some(seq.to_string());
        let Transaction { epoch, fence, seq, .. } = *transaction;
        let believed = Believed { epoch, fence, seq, pos: pos(seq) };
        // A mutant is told what it wants to hear.
        let found_seq = if search.compare_seq { self.seq } else { seq };
        let found = Found {
            epoch: if search.compare_epoch { self.epoch } else { epoch },
            fence: if search.compare_epoch { self.fence } else { fence },
            open: true,
            seq: found_seq,
            pos: pos(found_seq),
        };
        guard(&believed, &found)
    }

    /// Forgets transactions that nobody listens to and that can do nothing more.
    fn tidy(mut self) -> World {
        let mut at = 0;
        while at < self.transactions.len() {
            let one = self.transactions[at];
            let over = matches!(one.phase, Phase::Committed | Phase::Aborted | Phase::Refused(_));
            if one.heard || !over {
                at += 1;
                continue;
            }
            self.transactions.remove(at);
            for process in &mut self.processes {
                process.transaction = match process.transaction {
                    Some(other) if other == at => None,
                    Some(other) if other > at => Some(other - 1),
                    other => other,
                };
            }
        }
        self
    }
}

type Next = Vec<(String, World)>;

/// What process `at` may do next.
fn process_steps(world: &World, search: Search, at: usize, next: &mut Next) {
    let process = world.processes[at];
    let mut add = |name: &str, change: &dyn Fn(&mut World)| {
        let mut after = world.clone();
        change(&mut after);
        next.push((format!("{name}{at}"), after));
    };
    let free = !(search.takeover_waits && world.locked(None));
    match process.state {
        State::Off if world.starts < search.starts && free => {
            for kind in [Kind::Copy, Kind::Rollback] {
                add(if kind == Kind::Copy { "start" } else { "rollback" }, &|after| {
                    after.epoch += 1;
                    after.fence += 1;
                    after.rolled_back = 0;
                    after.starts += 1;
                    let (epoch, fence, seq) = (after.epoch, after.fence, after.seq);
                    after.processes[at] =
                        Process { state: State::Ready, kind, epoch, fence, seq, transaction: None };
                });
            }
        }
        // Joins the run that goes on, and takes the chunk: its owner may only stand still.
        State::Off if world.helps < search.helps && !world.locked(None) => {
            let other = world.processes[1 - at];
            if other.kind == Kind::Copy && other.state != State::Off && other.epoch == world.epoch {
                add("help", &|after| {
                    after.fence += 1;
                    after.helps += 1;
                    let (epoch, fence, seq) = (after.epoch, after.fence, after.seq);
                    let (state, kind) = (State::Ready, Kind::Copy);
                    after.processes[at] =
                        Process { state, kind, epoch, fence, seq, transaction: None };
                });
            }
        }
        State::Ready => ready_steps(world, search, at, &mut add),
        State::Guarding | State::Committing => answer_steps(world, at, &mut add),
        _ => {}
    }
    if !matches!(process.state, State::Off | State::Finished | State::Fenced) {
        add("crash", &|after| {
            if let Some(lost) = after.processes[at].transaction {
                after.transactions[lost].heard = false;
            }
            after.processes[at] = OFF;
        });
    }
}

type Add<'a> = dyn FnMut(&str, &dyn Fn(&mut World)) + 'a;

fn ready_steps(world: &World, search: Search, at: usize, add: &mut Add<'_>) {
    let process = world.processes[at];
    let end = if process.kind == Kind::Copy { BATCHES } else { 0 };
    if process.seq == end {
        // The end is a guarded write of its own.
        if process.epoch == world.epoch || !search.compare_epoch {
            add("finish", &|after| {
                if process.kind == Kind::Rollback && after.seq == 0 {
                    after.rolled_back = after.epoch;
                }
                after.processes[at].state = State::Finished;
            });
        }
    } else if world.begun < search.transactions {
        add("begin", &|after| {
            let Process { kind, epoch, fence, seq, .. } = process;
            let phase = Phase::Asked;
            after.transactions.push(Transaction { kind, epoch, fence, seq, phase, heard: true });
            after.begun += 1;
            after.processes[at].state = State::Guarding;
            after.processes[at].transaction = Some(after.transactions.len() - 1);
        });
    }
}

fn answer_steps(world: &World, at: usize, add: &mut Add<'_>) {
    let process = world.processes[at];
    let Some(mine) = process.transaction else { return };
    let back = |after: &mut World, state: State, seq: i64| {
        after.transactions[mine].heard = false;
        after.processes[at] = Process { state, seq, transaction: None, ..process };
    };
    match world.transactions[mine].phase {
        Phase::Held if process.state == State::Guarding => add("commit", &|after| {
            after.transactions[mine].phase = Phase::CommitSent;
            after.processes[at].state = State::Committing;
        }),
        Phase::Committed => add("done", &|after| {
            let step = if process.kind == Kind::Copy { 1 } else { -1 };
            back(after, State::Ready, process.seq + step);
        }),
        Phase::Aborted => add("aborted", &|after| back(after, State::Ready, process.seq)),
        Phase::Refused(verdict) => add("refused", &|after| {
            let state = match verdict {
                Verdict::PlanLost | Verdict::ChunkLost => State::Fenced,
                Verdict::Elsewhere | Verdict::Pass => State::Ready,
            };
            // It reads the ledger and believes it.
            let seq = after.seq;
            back(after, state, seq);
        }),
        _ => {}
    }
    add("lost", &|after| back(after, State::Ready, process.seq));
}

/// What the server may do next.
fn server_steps(world: &World, search: Search, next: &mut Next) {
    for (at, one) in world.transactions.iter().enumerate() {
        let mut add = |name: &str, change: &dyn Fn(&mut World)| {
            let mut after = world.clone();
            change(&mut after);
            next.push((format!("server {name} {at}"), after));
        };
        if one.phase == Phase::Asked && !world.locked(Some(at)) {
            let verdict = world.verdict(search, one);
            let phase = match verdict {
                Verdict::Pass => Phase::Held,
                other => Phase::Refused(other),
            };
            add("guards", &|after| after.transactions[at].phase = phase);
            if verdict == Verdict::Pass && !one.heard {
                // The whole batch and its COMMIT were in the socket when the client vanished.
                add("guards all of", &|after| after.transactions[at].phase = Phase::CommitSent);
            }
        }
        if one.phase == Phase::CommitSent {
            add("commits", &|after| {
                let (from, step, rows) = match one.kind {
                    Kind::Copy => (one.seq, 1, 1),
                    Kind::Rollback => (one.seq - 1, -1, -1),
                };
                if let Some(slot) = usize::try_from(from).ok().and_then(|at| after.rows.get_mut(at))
                {
                    *slot += rows;
                }
                after.seq = one.seq + step;
                after.transactions[at].phase = Phase::Committed;
            });
        }
        if matches!(one.phase, Phase::Asked | Phase::Held | Phase::CommitSent) {
            add("aborts", &|after| after.transactions[at].phase = Phase::Aborted);
        }
    }
}

/// Breadth first: the number of states, or what went wrong and the shortest way there.
fn search(search: Search) -> Result<usize, (&'static str, Vec<String>)> {
    let first = World::first();
    let mut all = vec![(first.clone(), 0usize, String::new())];
    let mut seen = HashSet::from([first]);
    let mut queue = VecDeque::from([0usize]);
    while let Some(at) = queue.pop_front() {
        let world = all[at].0.clone();
        if let Some(wrong) = world.wrong() {
            let mut trace = Vec::new();
            let mut back = at;
            while back != 0 {
                trace.push(all[back].2.clone());
                back = all[back].1;
            }
            trace.reverse();
            return Err((wrong, trace));
        }
        let mut next = Next::new();
        for process in 0..world.processes.len() {
            process_steps(&world, search, process, &mut next);
        }
        server_steps(&world, search, &mut next);
        for (name, after) in next {
            let after = after.tidy();
            if seen.insert(after.clone()) {
                all.push((after, at, name));
                queue.push_back(all.len() - 1);
            }
        }
    }
    Ok(all.len())
}

/// 168,471 states by default; TABLELIFT_MODEL_TRANSACTIONS=6 searches about ten times as many.
#[test]
fn the_full_protocol_holds_in_every_state() {
    let transactions = std::env::var("TABLELIFT_MODEL_TRANSACTIONS").ok();
    let transactions = transactions.and_then(|n| n.parse().ok()).unwrap_or(4);
    let wide = Search { starts: 3, transactions, ..FULL };
    let states = search(wide).unwrap_or_else(|(wrong, trace)| panic!("{wrong}: {trace:?}"));
    eprintln!("{states} states");
    assert!(states > 100_000, "only {states} states: the search is cut short");
}

#[track_caller]
fn refuted(mutant: Search) {
    let (wrong, trace) = search(mutant).expect_err("the mutant must fail");
    eprintln!("{wrong}: {}", trace.join(", "));
    assert!(!trace.is_empty());
}

#[test]
fn without_comparing_the_batch_number_it_fails() {
    refuted(Search { compare_seq: false, ..FULL });
}

#[test]
fn without_comparing_the_epoch_it_fails() {
    refuted(Search { compare_epoch: false, takeover_waits: false, ..FULL });
}

#[test]
fn without_waiting_for_batches_in_flight_it_fails() {
    refuted(Search { takeover_waits: false, ..FULL });
}
