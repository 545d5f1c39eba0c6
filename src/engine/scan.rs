//! Reads and maps all rows of a step and writes none: what the target's types would refuse is
//! known before the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Shared;
use super::route::Route as _;
use super::route::decode::Decode;
use crate::db::Session;
use crate::error::{Error, Result};
use crate::key::KeyRange;
use crate::ledger::chunks::{Chunk, ChunkKind};
use crate::ledger::rows::RejectedRow;
use crate::throttle::Worked;

/// Kinds of refusals that are told apart; rows of further ones are only counted.
const MOST_KINDS: usize = 50;

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Rows looked at.
    pub rows: u64,
    /// Rows that would be rejected.
    pub rejected: u64,
    /// Column and reason → how many rows, and the first of them.
    pub kinds: BTreeMap<(String, String), (u64, RejectedRow)>,
}

/// Maps the rows of all chunks. `target` answers lookups.
///
/// # Errors
/// A database that fails; interrupted, when `stop` was cancelled.
pub async fn scan(
    shared: &Arc<Shared>,
    chunks: &[(ChunkKind, KeyRange)],
    target: &mut dyn Session,
) -> Result<Scanned> {
    let mut found = Scanned::default();
    let mut worked = Worked::default();
    for (number, (kind, range)) in (0_i64..).zip(chunks) {
        let mut route = Decode::new(Arc::clone(shared));
        let range = range.clone();
        route.seek(&Chunk { number, kind: *kind, range, pos: None, seq: 0, fence: 0 }).await?;
        loop {
            if shared.stop.is_cancelled() {
                return Err(super::retry::interrupted());
            }
            let waiting = route.fetch(target, u64::MAX).await?;
            if waiting.rows == 0 {
                break;
            }
            let step = &shared.job.step;
            tokio::select! {
                _ = shared.throttle.admit(
                    &mut worked, &shared.emitter, step, waiting.rows, waiting.bytes
                ) => {}
                () = shared.stop.cancelled() => return Err(super::retry::interrupted()),
            }
            found.rows += waiting.rows;
            let judged = route.judge(target).await.map_err(|error: Error| error.in_step(step))?;
            for (reason, row) in judged {
                found.add(reason, row);
            }
        }
    }
    Ok(found)
}

impl Scanned {
    fn add(&mut self, reason: String, row: RejectedRow) {
        self.rejected += 1;
        let kind = (row.column.clone().unwrap_or_default(), reason);
        if let Some((count, _)) = self.kinds.get_mut(&kind) {
            *count += 1;
        } else if self.kinds.len() < MOST_KINDS {
            self.kinds.insert(kind, (1, row));
        }
    }
}
