//! The second look at rows that did not look equal: read again on both sides, by their keys, as
//! often as was asked for, before anybody hears of them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::canonical::same;
use super::found::{Class, Difference, Tally, shown};
use super::side::Name;
use super::stream::stopped;
use super::{Comparison, Hands};
use crate::db::Session;
use crate::engine::read_ahead::rows_of;
use crate::engine::route::decode::Mapped;
use crate::error::Result;
use crate::event::CellDifference;
use crate::key::Key;
use crate::mapping::Outcome;
use crate::sql::{Bind, Column, Flavor, Statement};
use crate::value::{Row, Value};

/// Before a row is read once more; longer each time.
const PAUSE: Duration = Duration::from_millis(100);

/// Rows of one look.
const ASKED: usize = 500;

/// What a look at a row says.
enum Verdict {
    Equal,
    Rejected,
    /// Neither side has it any more.
    Gone,
    Differs(Difference),
}

/// A pair of texts whose meaning only the target's server knows.
struct Question {
    row: usize,
    column: usize,
    expected: String,
    found: String,
}

impl Comparison {
    /// Reads the tally's suspects again; what still differs at the last look is counted.
    pub(super) async fn look_again(&self, hands: &mut Hands, tally: &mut Tally) -> Result<()> {
        let mut left = Vec::new();
        let mut seen = HashSet::new();
        for text in std::mem::take(&mut tally.suspects) {
            if !seen.contains(&text) {
                left.push(Key::from_ledger(&text)?);
                seen.insert(text);
            }
        }
        for look in 0..=self.recheck {
            if left.is_empty() {
                break;
            }
            if look > 0 {
                tokio::time::sleep(PAUSE * look).await;
            }
            let mut still = Vec::new();
            for part in left.chunks(ASKED) {
                self.admit(&mut hands.worked, part.len() as u64, 0).await?;
                let mut repairs = Vec::new();
                for (key, (verdict, mapped)) in part.iter().zip(self.look(hands, part).await?) {
                    match (&verdict, mapped) {
                        (Verdict::Differs(_), _) if look < self.recheck => {
                            still.push(key.clone());
                            continue;
                        }
                        (Verdict::Differs(one), Some(mapped)) if self.repair => {
                            repairs.push((one.class, mapped));
                        }
                        _ => {}
                    }
                    count(verdict, tally);
                }
                if !repairs.is_empty() {
                    self.repair(hands, repairs, tally).await?;
                }
            }
            left = still;
        }
        Ok(())
    }

    /// The same for rows that the source can't be asked for again: the target is.
    pub(super) async fn settle_held(
        &self,
        hands: &mut Hands,
        mut held: Vec<Mapped>,
        tally: &mut Tally,
    ) -> Result<()> {
        for look in 0..=self.recheck {
            if held.is_empty() {
                break;
            }
            if look > 0 {
                tokio::time::sleep(PAUSE * look).await;
            }
            let verdicts = self.verdicts(hands, &held).await?;
            let (mut still, mut repairs) = (Vec::new(), Vec::new());
            for (mapped, verdict) in held.into_iter().zip(verdicts) {
                match &verdict {
                    Verdict::Differs(_) if look < self.recheck => {
                        still.push(mapped);
                        continue;
                    }
                    Verdict::Differs(one) if self.repair => repairs.push((one.class, mapped)),
                    _ => {}
                }
                count(verdict, tally);
            }
            if !repairs.is_empty() {
                self.repair(hands, repairs, tally).await?;
            }
            held = still;
        }
        Ok(())
    }

    /// One look at rows by their keys of the source, or those that both sides share.
    async fn look(
        &self,
        hands: &mut Hands,
        keys: &[Key],
    ) -> Result<Vec<(Verdict, Option<Mapped>)>> {
        let source = match &mut hands.source {
            Some(source) => source,
            none => none.insert(self.shared.reader().await?),
        };
        let rows = rows_of(&self.shared, source.as_mut(), keys).await?;
        let rows = hands.judge.judge_rows(hands.session.as_mut(), rows).await?;
        let judged = self.verdicts(hands, &rows).await?;
        let named: HashSet<Name> = rows
            .iter()
            .filter_map(|row| row.key.as_ref())
            .map(|key| self.side.name_of_key(key))
            .collect();
        let mut by_key: HashMap<Key, (Verdict, Option<Mapped>)> = HashMap::new();
        for (row, verdict) in rows.into_iter().zip(judged) {
            if let Some(key) = row.key.clone() {
                by_key.insert(key, (verdict, Some(row)));
            }
        }
        // A key may have come from the target, in its own spelling.
        let lost: Vec<Key> =
            keys.iter().filter(|key| !by_key.contains_key(*key)).cloned().collect();
        if !lost.is_empty() && self.terms.aligned {
            let there = self.find(hands, lost.iter()).await?;
            for key in lost {
                let name = self.side.name_of_key(&key);
                let extra = self.terms.names_extra && there.contains_key(&name);
                let verdict = match (named.contains(&name), extra) {
                    (false, true) => {
                        let key = Some(key.to_ledger());
                        Verdict::Differs(Difference {
                            class: Class::Extra,
                            key,
                            columns: Vec::new(),
                        })
                    }
                    _ => Verdict::Gone,
                };
                by_key.insert(key, (verdict, None));
            }
        }
        Ok(keys.iter().map(|key| by_key.remove(key).unwrap_or((Verdict::Gone, None))).collect())
    }

    /// What the target says of these rows now.
    async fn verdicts(&self, hands: &mut Hands, rows: &[Mapped]) -> Result<Vec<Verdict>> {
        let asked: Vec<&Mapped> = rows.iter().collect();
        let keys = self.target_keys(hands.session.as_mut(), &asked).await?;
        let found = self.find(hands, keys.iter().flatten()).await?;
        let mut rejected: HashSet<Key> = HashSet::new();
        if self.has_rejects {
            let asked: Vec<Key> = rows.iter().map(Mapped::reject_key).collect();
            let shared = &self.shared;
            let session = hands.session.as_mut();
            rejected.extend(shared.ledger.rejected_among(session, &shared.job.step, &asked).await?);
        }
        let mut out = Vec::with_capacity(rows.len());
        let mut questions = Vec::new();
        for (at, (mapped, key)) in rows.iter().zip(&keys).enumerate() {
            let there = key.as_ref().and_then(|key| found.get(&self.side.name_of_key(key)));
            let verdict = match there {
                None if rejected.contains(&mapped.reject_key()) => Verdict::Rejected,
                None => Verdict::Differs(self.difference(Class::Missing, mapped, Vec::new())),
                Some(row) => self.compared(at, mapped, row, &mut questions)?,
            };
            out.push(verdict);
        }
        let agreed = self.agreed(hands.session.as_mut(), &questions).await?;
        for (row, column) in agreed {
            let name = self.side.columns.get(column).map(|column| &column.name);
            if let Some(Verdict::Differs(difference)) = out.get_mut(row) {
                difference.columns.retain(|cell| Some(&cell.column) != name);
                if difference.columns.is_empty() {
                    out[row] = Verdict::Equal;
                }
            }
        }
        Ok(out)
    }

    /// The row's columns that differ.
    fn compared(
        &self,
        at: usize,
        mapped: &Mapped,
        found: &Row,
        questions: &mut Vec<Question>,
    ) -> Result<Verdict> {
        let flavor = self.shared.job.mapping.flavor;
        let cells = match &mapped.outcome {
            Outcome::Cells(cells) => cells,
            Outcome::Stop(reason) => return Err(stopped(mapped, reason)),
            Outcome::Pending => return Ok(Verdict::Equal),
            Outcome::Reject(reject) => {
                let cell = CellDifference {
                    column: reject.column.clone().unwrap_or_default(),
                    source: Some(format!("(refused: {})", reject.reason)),
                    target: None,
                };
                return Ok(Verdict::Differs(self.difference(Class::Different, mapped, vec![cell])));
            }
        };
        let mut columns = Vec::new();
        let pairs = self.terms.compared.iter().zip(&self.side.columns).zip(found);
        for (column, ((position, of), value)) in pairs.enumerate() {
            let Some(cell) = cells.get(*position) else { continue };
            if same(cell, value, &of.ty, flavor) {
                continue;
            }
            columns.push(shown(&of.name, cell, value));
            if let (Some(expected), Some(found)) = (cell.to_text(), value.to_text()) {
                questions.push(Question { row: at, column, expected, found });
            }
        }
        if let Some(rebuild) = &self.rebuild {
            columns.extend(rebuild.differences(&mapped.row, &self.side.columns, found));
        }
        if columns.is_empty() {
            return Ok(Verdict::Equal);
        }
        Ok(Verdict::Differs(self.difference(Class::Different, mapped, columns)))
    }

    fn difference(
        &self,
        class: Class,
        mapped: &Mapped,
        columns: Vec<CellDifference>,
    ) -> Difference {
        Difference { class, key: Some(mapped.reject_key().to_ledger()), columns }
    }

    /// Asks PostgreSQL which of the texts it stores alike in their column: what was written by
    /// another spelling of the same value is no difference.
    async fn agreed(
        &self,
        session: &mut dyn Session,
        questions: &[Question],
    ) -> Result<Vec<(usize, usize)>> {
        let mut out = Vec::new();
        if session.dialect().flavor() != Flavor::Postgres {
            return Ok(out);
        }
        for (at, column) in self.side.columns.iter().enumerate() {
            let of: Vec<&Question> = questions.iter().filter(|one| one.column == at).collect();
            if of.is_empty() {
                continue;
            }
            let answers = match ask(session, column, &of).await {
                Ok(answers) => answers,
                // One that is no value of the type spoils the answer for all.
                Err(error) if !session.broken() => {
                    let _ = error;
                    let mut each = Vec::new();
                    for (number, one) in of.iter().enumerate() {
                        let alone = ask(session, column, &[one]).await.unwrap_or_default();
                        each.extend(alone.iter().map(|_| number));
                    }
                    each
                }
                Err(error) => return Err(error),
            };
            out.extend(answers.iter().filter_map(|n| of.get(*n)).map(|one| (one.row, one.column)));
        }
        Ok(out)
    }
}

/// The positions of the questions whose two texts are stored alike.
async fn ask(session: &mut dyn Session, column: &Column, of: &[&Question]) -> Result<Vec<usize>> {
    let ty = &column.ty.name;
    let ask = Statement::new(format!(
        "SELECT u.n::bigint FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(e, f, n) \
         WHERE u.e::{ty}::text = u.f::{ty}::text"
    ))
    .bind(Bind::TextList(of.iter().map(|one| one.expected.clone()).collect()))
    .bind(Bind::TextList(of.iter().map(|one| one.found.clone()).collect()));
    let rows = session.rows(&ask).await?;
    Ok(rows
        .iter()
        .filter_map(|row| match row.first() {
            Some(Value::Int(n)) => usize::try_from(*n - 1).ok(),
            _ => None,
        })
        .collect())
}

fn count(verdict: Verdict, tally: &mut Tally) {
    match verdict {
        Verdict::Equal => {
            tally.matched += 1;
            tally.equal += 1;
        }
        Verdict::Rejected => tally.rejected += 1,
        Verdict::Gone => {}
        Verdict::Differs(difference) => {
            tally.matched += u64::from(difference.class == Class::Different);
            tally.add(difference);
        }
    }
}
