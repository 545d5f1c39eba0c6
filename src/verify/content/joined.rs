//! Inside one PostgreSQL database: the server joins a range of the mapped source with the same
//! range of the target and compares the stored forms of both, byte by byte. Nothing travels but
//! counts, and the keys of rows that look different.

use std::time::Instant;

use super::found::Tally;
use super::{Comparison, Hands};
use crate::db::Session;
use crate::engine::chunker::key_of;
use crate::error::{Error, Result};
use crate::key::{Key, KeyRange};
use crate::ledger::unsigned;
use crate::ledger::verified::Verified;
use crate::sql::{Flavor, Statement};
use crate::value::Value;

/// Rows of one statement: enough to be worth it, few enough for the server's memory.
const ROWS: u64 = 20_000;

impl Comparison {
    pub(super) async fn join_chunk(
        &self,
        hands: &mut Hands,
        chunk: &mut Verified,
        list: &[String],
        tally: &mut Tally,
    ) -> Result<()> {
        hands.marked = Instant::now();
        let mut rest = KeyRange {
            after: chunk.pos.clone().or_else(|| chunk.range.after.clone()),
            upto: chunk.range.upto.clone(),
        };
        loop {
            let next = self.boundary(hands.session.as_mut(), &rest).await?;
            let range = KeyRange {
                after: rest.after.clone(),
                upto: next.clone().or_else(|| rest.upto.clone()),
            };
            self.admit(&mut hands.worked, ROWS, 0).await?;
            let rows = self.join(hands.session.as_mut(), &range, list, tally).await?;
            self.after_batch(hands, chunk, next.clone(), rows, tally).await?;
            match next {
                Some(_) => rest.after = next,
                None => return Ok(()),
            }
        }
    }

    /// The key of the row that ends the next batch; `None`: the range has fewer rows.
    async fn boundary(&self, session: &mut dyn Session, rest: &KeyRange) -> Result<Option<Key>> {
        let source = &self.shared.job.source;
        let Some(key) = &source.key else { return Err(no_key()) };
        let dialect = session.dialect();
        let within = key.within(dialect, "s", rest);
        let conditions: Vec<String> =
            key.no_null(dialect, "s").into_iter().chain([within]).collect();
        let find = format!(
            "SELECT {} FROM {} ORDER BY {} LIMIT 1 OFFSET {}",
            dialect.key_list("s", &key.0),
            source.joint_from_where(&conditions),
            key.ascending(dialect, "s"),
            ROWS - 1,
        );
        let rows = session.rows(&Statement::new(find)).await?;
        rows.first().map(|row| key_of(Flavor::Postgres, row, &source.name)).transpose()
    }

    /// Compares one range; the rows of the source.
    async fn join(
        &self,
        session: &mut dyn Session,
        range: &KeyRange,
        list: &[String],
        tally: &mut Tally,
    ) -> Result<u64> {
        let from = self.joined_from(session, range, list)?;
        let width = self.side.key.0.len();
        let counts = format!(
            "SELECT count(q.k0), count(*) FILTER (WHERE q.k0 IS NOT NULL AND t.k0 IS NOT NULL \
             AND q.r *= t.r), count(*) FILTER (WHERE t.k0 IS NULL), \
             count(*) FILTER (WHERE q.k0 IS NULL) FROM {from}"
        );
        let counted = session.rows(&Statement::new(counts)).await?;
        let counted = counted.first().ok_or_else(|| Error::stop("a comparison gave no counts"))?;
        let [rows, equal, missing, extra] =
            [0, 1, 2, 3].map(|at| counted.get(at).map_or(0, unsigned));
        tally.rows += rows;
        tally.equal += equal;
        tally.matched += equal;
        if rows == equal && missing == 0 && (extra == 0 || !self.terms.names_extra) {
            return Ok(rows);
        }
        let keys: Vec<String> =
            (0..width).map(|at| format!("coalesce(q.k{at}::text, t.k{at}::text)")).collect();
        let extra = if self.terms.names_extra { "q.k0 IS NULL OR " } else { "" };
        let suspects = format!(
            "SELECT {}, q.k0 IS NULL FROM {from} WHERE {extra}q.k0 IS NOT NULL AND \
             (t.k0 IS NULL OR NOT q.r *= t.r)",
            keys.join(", ")
        );
        let found = session.rows(&Statement::new(suspects)).await?;
        let mut ours = 0;
        for row in &found {
            let table = &self.side.table.name.name;
            tally.suspect(&key_of(Flavor::Postgres, row.get(..width).unwrap_or(row), table)?);
            ours += u64::from(row.get(width) == Some(&Value::Bool(false)));
        }
        // Others have become equal between the two questions.
        let become_equal = rows.saturating_sub(equal + ours);
        tally.equal += become_equal;
        tally.matched += become_equal;
        Ok(rows)
    }

    /// Both sides of a range: their keys, and the compared columns as one record.
    fn joined_from(
        &self,
        session: &dyn Session,
        range: &KeyRange,
        list: &[String],
    ) -> Result<String> {
        let source = &self.shared.job.source;
        let dialect = session.dialect();
        let Some(key) = &source.key else { return Err(no_key()) };
        let columns = self.columns();
        let cast = |value: &str, at: usize| match columns.get(at) {
            Some(column) => format!("CAST({value} AS {})", column.ty.name),
            None => value.to_owned(),
        };
        let ours: Vec<String> =
            list.iter().enumerate().map(|(at, value)| cast(value, at)).collect();
        let theirs: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| cast(&format!("t.{}", dialect.quote(&column.name)), at))
            .collect();
        let named = |alias: &str, key: &crate::sql::keyset::KeyColumns| -> String {
            let each = key.0.iter().enumerate();
            let each: Vec<String> = each
                .map(|(at, column)| format!("{alias}.{} AS k{at}", dialect.quote(&column.name)))
                .collect();
            each.join(", ")
        };
        let within = key.within(dialect, "s", range);
        let conditions: Vec<String> =
            key.no_null(dialect, "s").into_iter().chain([within]).collect();
        let on: Vec<String> = (0..key.0.len()).map(|at| format!("q.k{at} = t.k{at}")).collect();
        Ok(format!(
            "(SELECT {}, ROW({}) AS r FROM {}) q FULL JOIN (SELECT {}, ROW({}) AS r FROM {} WHERE {}) t \
             ON {}",
            named("s", key),
            ours.join(", "),
            source.joint_from_where(&conditions),
            named("t", &self.side.key),
            theirs.join(", "),
            self.side.from(),
            self.side.key.within(dialect, "t", range),
            on.join(" AND "),
        ))
    }
}

fn no_key() -> Error {
    Error::stop("a join of both sides needs a key")
}
