//! The protocol's decisions, without any I/O. The ledger asks them with what it read under its
//! locks; the model in `tests/it/model.rs` asks the same functions in every order of events that
//! can happen.

/// What a worker believes about its chunk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Believed {
    /// The epoch under which its process works.
    pub epoch: i64,
    /// The fence that its claim set.
    pub fence: i64,
    /// Batches committed.
    pub seq: i64,
    /// The checkpoint, as the ledger spells it.
    pub pos: Option<String>,
}

/// What the ledger says, read under the locks that hold until commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Found {
    /// The plan's epoch.
    pub epoch: i64,
    /// The chunk's fence.
    pub fence: i64,
    /// The chunk is not done.
    pub open: bool,
    /// Batches committed.
    pub seq: i64,
    /// The checkpoint.
    pub pos: Option<String>,
}

/// What a worker may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Write the batch.
    Pass,
    /// Another process has the plan: write nothing, now or later.
    PlanLost,
    /// Another worker has the chunk: forget it.
    ChunkLost,
    /// The ledger stands elsewhere (a COMMIT without an answer did happen, or a failover took
    /// batches back): read it and go on from there.
    Elsewhere,
}

/// The guard of a batch.
pub fn guard(believed: &Believed, found: &Found) -> Verdict {
    if found.epoch != believed.epoch {
        Verdict::PlanLost
    } else if found.fence != believed.fence {
        Verdict::ChunkLost
    } else if !found.open || found.seq != believed.seq || found.pos != believed.pos {
        Verdict::Elsewhere
    } else {
        Verdict::Pass
    }
}

/// A process as its last beat left it; all times are the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Milliseconds since it.
    pub age: i64,
    /// Milliseconds after which the process itself says it is to be taken for dead.
    pub patience: i64,
}

impl Beat {
    /// Silent for longer than it promised. Decides only who may try, never what may be written.
    pub fn is_stale(self) -> bool {
        self.age > self.patience
    }
}

/// Whether a process may take the plan. `lock`: it got the session lock; `conductor`: the last
/// beat of the process that has the plan, if it has not left; `locked`: that one had the lock.
pub fn may_take(lock: bool, conductor: Option<Beat>, locked: bool) -> bool {
    match conductor {
        // It left, or there never was one; somebody who holds the lock is just beginning.
        None => lock,
        // The lock that it held is free: its process or its connection is gone.
        Some(_) if lock && locked => true,
        // It works without the lock, or its lock is held by a process that stands still.
        Some(beat) => beat.is_stale(),
    }
}

/// An open chunk, as a claim sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenChunk {
    /// The epoch of its last claim.
    pub epoch: i64,
    /// The process that claimed it.
    pub owner: String,
    /// The worker of that process.
    pub worker: i64,
    /// That process's last beat; `None`: it left.
    pub beat: Option<Beat>,
}

/// What a worker without a chunk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Claim the chunk at this place of the list.
    Take(usize),
    /// Other processes hold what is left; one of them may die.
    Wait,
    /// Nothing is left, or only what this process's own workers hold.
    Done,
}

/// The choice among a step's open chunks, for the worker `worker` of the process `me`, which
/// holds none.
pub fn next_chunk(open: &[OpenChunk], epoch: i64, me: &str, worker: i64) -> Next {
    let free = |chunk: &OpenChunk| {
        if chunk.epoch != epoch {
            return true;
        }
        if chunk.owner == me {
            // Its own, by a claim whose answer was lost; the others' are in good hands.
            return chunk.worker == worker;
        }
        chunk.beat.is_none_or(Beat::is_stale)
    };
    match open.iter().position(free) {
        Some(at) => Next::Take(at),
        None if open.iter().any(|chunk| chunk.owner != me) => Next::Wait,
        None => Next::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Beat = Beat { age: 1, patience: 10 };
    const STALE: Beat = Beat { age: 11, patience: 10 };

    #[test]
    fn the_plan_is_taken_from_the_dead_and_the_silent_only() {
        assert!(may_take(true, None, false), "nobody ever had it");
        assert!(!may_take(false, None, false), "somebody is just beginning");
        assert!(may_take(true, Some(FRESH), true), "killed: its lock is free");
        assert!(!may_take(false, Some(FRESH), true), "at work");
        assert!(may_take(false, Some(STALE), true), "frozen with the lock in its hand");
        assert!(!may_take(true, Some(FRESH), false), "at work without the lock");
        assert!(may_take(true, Some(STALE), false));
    }

    #[test]
    fn chunks_of_the_dead_are_taken_and_those_of_the_living_waited_for() {
        let chunk = |epoch, owner: &str, beat| OpenChunk {
            epoch,
            owner: owner.to_owned(),
            worker: 1,
            beat,
        };
        let next_chunk = |open: &[OpenChunk], epoch, me| next_chunk(open, epoch, me, 0);
        assert_eq!(next_chunk(&[], 3, "me"), Next::Done);
        assert_eq!(next_chunk(&[chunk(3, "me", None)], 3, "me"), Next::Done);
        let other = [chunk(3, "me", Some(STALE)), chunk(3, "other", Some(FRESH))];
        assert_eq!(next_chunk(&other, 3, "me"), Next::Wait);
        assert_eq!(next_chunk(&[chunk(3, "other", Some(STALE))], 3, "me"), Next::Take(0));
        assert_eq!(next_chunk(&[chunk(3, "other", None)], 3, "me"), Next::Take(0));
        assert_eq!(next_chunk(&[chunk(2, "other", Some(FRESH))], 3, "me"), Next::Take(0));
    }

    #[test]
    fn a_claim_whose_answer_was_lost_is_claimed_again() {
        let beat = Some(FRESH);
        let mine = [OpenChunk { epoch: 3, owner: "me".to_owned(), worker: 1, beat }];
        assert_eq!(next_chunk(&mine, 3, "me", 1), Next::Take(0));
        assert_eq!(next_chunk(&mine, 3, "me", 0), Next::Done);
    }
}
