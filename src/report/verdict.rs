//! What a report comes to, and why.

use serde::Serialize;

use super::text::{grouped, shortened};
use super::{Report, Verdict};

/// Characters of a name or a value in a reason.
const SHOWN: usize = 160;

/// How a run stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything that was expected holds.
    Good,
    /// It holds, and there is something to look at.
    Attention,
    /// Something failed or differs.
    Bad,
    /// Not at its end, or taken back.
    #[default]
    Open,
}

impl Report {
    /// Fills in the verdict, from everything else.
    pub fn judge(&mut self) {
        let failures = self.failures();
        let concerns = self.concerns();
        let open = self.steps.iter().filter(|step| step.state != "done").count();
        let left = match (open, self.steps.len()) {
            (0, _) => Vec::new(),
            (open, all) => vec![format!("{open} of {all} steps are not done")],
        };
        let error = self.run.error.iter().map(|error| shortened(error, 600));
        let (level, title, reasons) = match self.run.state.as_str() {
            "done" if self.content.iter().any(|one| !one.proof.ok) => {
                let title = "Done, but a later `verify` found rows that differ";
                (Level::Bad, title.to_owned(), failures.into_iter().chain(concerns).collect())
            }
            "done" if concerns.is_empty() => {
                (Level::Good, "Done: everything that was expected holds".to_owned(), Vec::new())
            }
            "done" => (
                Level::Attention,
                "Done: everything that was expected holds, with something to look at".to_owned(),
                concerns,
            ),
            "differs" => {
                let many = failures.len().max(1);
                let things = if many == 1 { "one thing differs" } else { "things differ" };
                let title = match many {
                    1 => format!("The run came to its end, but {things}"),
                    _ => format!("The run came to its end, but {many} {things}"),
                };
                let why = if failures.is_empty() { error.collect() } else { failures };
                (Level::Bad, title, why.into_iter().chain(concerns).collect())
            }
            "failed" => {
                let title = "Failed: what was committed stays, and `tablelift run` goes on";
                (Level::Bad, title.to_owned(), error.chain(left).chain(failures).collect())
            }
            "running" => (Level::Open, "Running".to_owned(), failures),
            "rolling back" => {
                let title = "A rollback was begun and is not finished";
                (Level::Bad, title.to_owned(), Vec::new())
            }
            "rolled back" => {
                (Level::Open, "Rolled back: the run was taken back".to_owned(), failures)
            }
            state => {
                let how = if state == "interrupted" { "interrupted" } else { "stopped" };
                let title = format!("Not finished: {how} before the end; `tablelift run` goes on");
                (Level::Open, title, left.into_iter().chain(failures).collect())
            }
        };
        self.verdict = Verdict { level, title, reasons };
    }

    /// What does not hold, one line each.
    fn failures(&self) -> Vec<String> {
        let mut out = Vec::new();
        for one in &self.expectations {
            out.push(format!(
                "step {}, table {}: expected {} = {}, found {}",
                shortened(&one.step, SHOWN),
                shortened(&one.table, SHOWN),
                shortened(&one.what, SHOWN),
                grouped(one.expected),
                grouped(one.actual)
            ));
        }
        for one in self.protected.iter().filter(|one| one.ok == Some(false)) {
            let rows = match one.difference_count {
                1 => "one row differs".to_owned(),
                many => format!("{} rows differ", grouped(many)),
            };
            let table = shortened(&one.table, SHOWN);
            out.push(format!("protected table {table}: {rows} from the baseline"));
        }
        for proof in self.content.iter().map(|one| &one.proof).filter(|proof| !proof.ok) {
            out.push(format!(
                "step {}, compared with its source: {} missing, {} extra, {} different, {} of them \
                 copied again",
                shortened(&proof.step, SHOWN),
                grouped(proof.missing),
                grouped(proof.extra),
                grouped(proof.different),
                grouped(proof.repaired)
            ));
        }
        for one in self.checks.iter().filter(|one| one.ok == Some(false)) {
            out.push(format!(
                "check {}: expected {}, found {}",
                shortened(&one.check, SHOWN),
                shortened(&one.expected, SHOWN),
                shortened(&one.actual, SHOWN)
            ));
        }
        out
    }

    /// What holds and should be looked at all the same.
    fn concerns(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.rejects.count > 0 {
            let rows = match self.rejects.count {
                1 => "one row was rejected".to_owned(),
                many => format!("{} rows were rejected", grouped(many)),
            };
            out.push(format!("{rows}, within the plan's max_rejects"));
        }
        for one in self.checks.iter().filter(|one| one.slow && one.ok == Some(true)) {
            out.push(format!(
                "check {} is slower than its warn_over",
                shortened(&one.check, SHOWN)
            ));
        }
        out
    }
}
