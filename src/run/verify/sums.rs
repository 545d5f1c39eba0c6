//! A step's figures, when its rows are compared: what is extra, what was left alone, the verdict.

use super::Kept;
use super::step::OneStep;
use crate::error::Result;
use crate::event::NotCompared;
use crate::ledger::history::{StepRecord, Totals};
use crate::plan::{OnConflict, StepKind};
use crate::verify::content::Comparison;
use crate::verify::content::found::{Class, Difference, Tally};
use crate::verify::content::terms::How;

impl OneStep<'_> {
    /// Rows of the target that no step wrote, where reading by ranges did not name them.
    pub(super) async fn others(
        &self,
        comparison: &Comparison,
        record: &StepRecord,
        totals: &Totals,
        tally: &mut Tally,
        kept: &mut Kept,
    ) -> Result<()> {
        let terms = &comparison.terms;
        let is_update = matches!(self.step.kind, StepKind::Update(_));
        let ranged = matches!(terms.how, How::Joined(_) | How::Ranges);
        if is_update || ranged && terms.names_extra || terms.how == How::Sums {
            return Ok(());
        }
        let table = record.target_table.clone();
        let writers: Vec<&StepRecord> = self
            .records
            .iter()
            .filter(|other| {
                other.target_table == table
                    && other.kind != "update"
                    && other.state != "rolled back"
            })
            .collect();
        if writers.last().is_some_and(|last| last.step != record.step) {
            // The last step that writes into the table looks at all of it.
            return Ok(());
        }
        let meets = writers.iter().any(|other| {
            let step = self.context.plan.step(&other.step);
            step.is_some_and(|step| step.options.on_conflict != OnConflict::Fail)
        });
        let grows = writers.iter().any(|other| {
            self.context.plan.step(&other.step).is_some_and(|step| step.options.allow_inserts)
        });
        let before = writers.first().and_then(|first| first.before_rows).unwrap_or(0);
        let only = writers.len() > 1 && !self.owned.contains_key(&kept.proof.table);
        let because = if self.wanted.sample.is_some() {
            Some("only a sample was asked for")
        } else if grows {
            Some("allow_inserts = true: others may write to the table")
        } else if meets && writers.len() > 1 {
            Some("several steps write the same rows of the table")
        } else if only {
            Some("other steps write to the table, and only this one was asked for")
        } else {
            None
        };
        if let Some(because) = because {
            kept.proof.not_compared.push(NotCompared {
                what: format!("extra rows of {}", kept.proof.table),
                because: because.to_owned(),
            });
            return Ok(());
        }
        let stays = before.saturating_sub(totals.updated + totals.skipped);
        let earlier = self.owned.get(&kept.proof.table).copied().unwrap_or(0);
        let now = comparison.count_target().await?;
        let extra = now.saturating_sub(earlier + tally.matched + tally.restored + stays);
        if before > 0 {
            kept.proof.not_compared.push(NotCompared {
                what: format!("{stays} rows of {} that were there before", kept.proof.table),
                because:
                    "no step wrote them; they are counted, and extra ones can't be told from them"
                        .to_owned(),
            });
        }
        match before {
            0 if writers.len() == 1 => comparison.name_extra(extra, tally).await,
            _ => {
                (0..extra).for_each(|_| {
                    tally.add(Difference { class: Class::Extra, key: None, columns: Vec::new() });
                });
                Ok(())
            }
        }
    }

    /// The figures, when all is known.
    pub(super) fn sum_up(&self, totals: &Totals, mut tally: Tally, kept: &mut Kept) {
        let proof = &mut kept.proof;
        if self.step.options.on_conflict == OnConflict::Skip
            && tally.different > 0
            && tally.different <= totals.skipped
        {
            proof.skipped = tally.different;
            tally.different = 0;
            tally.listed.retain(|one| one.class != Class::Different);
            proof.not_compared.push(NotCompared {
                what: format!("content of {} rows that were there before", proof.skipped),
                because: "on_conflict = \"skip\" left them as they were".to_owned(),
            });
        }
        proof.rows = tally.rows;
        proof.compared = tally.matched;
        proof.missing = tally.missing;
        proof.extra = tally.extra;
        proof.different = tally.different;
        proof.rejected = tally.rejected;
        proof.repaired = tally.repaired;
        proof.ok = proof.missing + proof.extra + proof.different == proof.repaired;
        let is_update = matches!(self.step.kind, StepKind::Update(_));
        let wrote = totals.inserted + totals.updated;
        if is_update && proof.rows < totals.read {
            proof.not_compared.push(NotCompared {
                what: format!("{} of {} rows", totals.read - proof.rows, totals.read),
                because: "`where` doesn't select them any more".to_owned(),
            });
        } else if self.wanted.sample.is_none() && proof.rows == 0 && wrote > 0 {
            // Nothing compared is never a pass.
            proof.ok = false;
            proof.not_compared.push(NotCompared {
                what: format!("all {wrote} rows"),
                because: "the source has none of them any more".to_owned(),
            });
        }
        kept.listed = tally.listed;
    }
}
