//! Row by row: rejects, moved keys, before-images.

use super::chunks::Chunk;
use super::{Ledger, number, text};
use crate::db::{Image, Session};
use crate::error::{Error, Result};
use crate::key::{Key, hex_bytes};
use crate::sql::{Bind, Statement};
use crate::value::{Value, write_json_string};

/// A row that can't be written, with the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct RejectedRow {
    /// Its source key, as kept in the ledger.
    pub key: Key,
    /// The column to blame, if one is.
    pub column: Option<String>,
    /// The column's or value's type.
    pub ty: Option<String>,
    /// Why, without the value.
    pub reason: String,
    /// The source row as a JSON object, so that it can be shown and tried again.
    pub row: String,
}

/// Rows of one statement that writes many; keeps statements well under every limit on binds.
const ROWS_PER_STATEMENT: usize = 500;

impl Ledger {
    /// Writes rejects; inside the batch's transaction.
    pub async fn reject(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: &Chunk,
        rejects: &[RejectedRow],
    ) -> Result<()> {
        for (number, reject) in rejects.iter().enumerate() {
            let insert = Statement::new(format!(
                "INSERT INTO {} (run, step, chunk, seq, number, row_key, column_name, column_type, \
                 reason, row_data, rejected_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, {})",
                self.table("rejects"),
                self.dialect.now()
            ))
            .bind(self.run.as_str())
            .bind(step)
            .bind(chunk.number)
            .bind(chunk.seq)
            .bind(i64::try_from(number).unwrap_or(i64::MAX))
            .bind(reject.key.to_ledger())
            .bind(reject.column.clone())
            .bind(reject.ty.clone())
            .bind(storable(&reject.reason))
            .bind(storable(&reject.row));
            session.execute(&insert).await?;
        }
        Ok(())
    }

    /// Writes the target keys that source keys were given; inside the batch's transaction.
    pub async fn remember_moved(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: &Chunk,
        moved: &[(Key, Key)],
    ) -> Result<()> {
        for part in moved.chunks(ROWS_PER_STATEMENT) {
            let places: Vec<String> = (0..part.len())
                .map(|at| format!("($1, $2, ${}, ${}, $3, $4)", at * 2 + 5, at * 2 + 6))
                .collect();
            let mut insert = Statement::new(format!(
                "INSERT INTO {} (run, step, source_key, target_key, chunk, seq) VALUES {}",
                self.table("moved"),
                places.join(", ")
            ))
            .bind(self.run.as_str())
            .bind(step)
            .bind(chunk.number)
            .bind(chunk.seq);
            for (source, target) in part {
                insert = insert.bind(source.to_ledger()).bind(target.to_ledger());
            }
            session.execute(&insert).await?;
        }
        Ok(())
    }

    /// The target keys that `step` gave to source keys, for those that it moved.
    pub async fn moved(
        &self,
        session: &mut dyn Session,
        step: &str,
        keys: &[Key],
    ) -> Result<Vec<(Key, Key)>> {
        let mut out = Vec::new();
        for part in keys.chunks(ROWS_PER_STATEMENT) {
            let places: Vec<String> = (0..part.len()).map(|at| format!("${}", at + 3)).collect();
            let mut ask = Statement::new(format!(
                "SELECT source_key, target_key FROM {} \
                 WHERE run = $1 AND step = $2 AND source_key IN ({})",
                self.table("moved"),
                places.join(", ")
            ))
            .bind(self.run.as_str())
            .bind(step);
            for key in part {
                ask = ask.bind(key.to_ledger());
            }
            for row in session.rows(&ask).await? {
                out.push((Key::from_ledger(&text(&row[0]))?, Key::from_ledger(&text(&row[1]))?));
            }
        }
        Ok(out)
    }

    /// The target keys of one batch, for rollback.
    pub async fn moved_of_batch(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: i64,
        seq: i64,
    ) -> Result<Vec<Key>> {
        let ask = Statement::new(format!(
            "SELECT target_key FROM {} WHERE run = $1 AND step = $2 AND chunk = $3 AND seq = $4",
            self.table("moved")
        ))
        .bind(self.run.as_str())
        .bind(step)
        .bind(chunk)
        .bind(seq);
        let rows = session.rows(&ask).await?;
        rows.iter().map(|row| Key::from_ledger(&text(&row[0]))).collect()
    }

    /// Writes before-images; inside the batch's transaction.
    pub async fn remember_images(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: &Chunk,
        images: &[Image],
    ) -> Result<()> {
        for part in images.chunks(ROWS_PER_STATEMENT) {
            let places: Vec<String> = (0..part.len())
                .map(|at| {
                    format!("($1, $2, $3, $4, ${}, ${}, ${})", at * 3 + 5, at * 3 + 6, at * 3 + 7)
                })
                .collect();
            let mut insert = Statement::new(format!(
                "INSERT INTO {} (run, step, chunk, seq, target_key, image, mark) VALUES {}",
                self.table("before_images"),
                places.join(", ")
            ))
            .bind(self.run.as_str())
            .bind(step)
            .bind(chunk.number)
            .bind(chunk.seq);
            for image in part {
                insert = insert
                    .bind(image.key.to_ledger())
                    .bind(encode_image(&image.before))
                    .bind(image.mark.clone());
            }
            session.execute(&insert).await?;
        }
        Ok(())
    }

    /// The before-images of one batch.
    pub async fn images_of_batch(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: i64,
        seq: i64,
    ) -> Result<Vec<Image>> {
        let ask = Statement::new(format!(
            "SELECT target_key, image, mark FROM {} \
             WHERE run = $1 AND step = $2 AND chunk = $3 AND seq = $4 ORDER BY target_key",
            self.table("before_images")
        ))
        .bind(self.run.as_str())
        .bind(step)
        .bind(chunk)
        .bind(seq);
        let mut out = Vec::new();
        for row in session.rows(&ask).await? {
            let mark = if let Value::Bytes(bytes) = &row[2] { bytes.clone() } else { Vec::new() };
            out.push(Image {
                key: Key::from_ledger(&text(&row[0]))?,
                before: decode_image(&text(&row[1]))?,
                mark,
            });
        }
        Ok(out)
    }

    /// Notes which transaction restored images, so that rollback of an earlier step still
    /// knows the rows that it wrote (PostgreSQL: a restore changes a row's `xmin`).
    pub async fn remember_restored(
        &self,
        session: &mut dyn Session,
        step: &str,
        chunk: i64,
        seq: i64,
        keys: &[Key],
        transaction: &str,
    ) -> Result<()> {
        for key in keys {
            let update = Statement::new(format!(
                "UPDATE {} SET restored_by = $1 \
                 WHERE run = $2 AND step = $3 AND chunk = $4 AND seq = $5 AND target_key = $6",
                self.table("before_images")
            ))
            .bind(transaction)
            .bind(self.run.as_str())
            .bind(step)
            .bind(chunk)
            .bind(seq)
            .bind(key.to_ledger());
            session.execute(&update).await?;
        }
        Ok(())
    }

    /// Rows in a step's rejects.
    pub async fn reject_count(&self, session: &mut dyn Session, step: &str) -> Result<u64> {
        let ask = Statement::new(format!(
            "SELECT count(*) FROM {} WHERE run = $1 AND step = $2",
            self.table("rejects")
        ))
        .bind(self.run.as_str())
        .bind(step);
        let rows = session.rows(&ask).await?;
        Ok(rows.first().map_or(0, |row| u64::try_from(number(&row[0])).unwrap_or(0)))
    }

    /// Forgets everything row by row of a step that was rolled back.
    pub async fn forget_step_rows(&self, session: &mut dyn Session, step: &str) -> Result<()> {
        for table in ["rejects", "moved", "before_images", "batches", "chunks"] {
            let delete = Statement::new(format!(
                "DELETE FROM {} WHERE run = $1 AND step = $2",
                self.table(table)
            ))
            .bind(Bind::from(self.run.as_str()))
            .bind(step);
            session.execute(&delete).await?;
        }
        Ok(())
    }
}

/// Text columns of PostgreSQL can't hold NUL; it becomes its visible symbol.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

/// An image as JSON: `[{"t":"text"},{"i":"5"},null,{"b":"00ff"},{"f":"…bits"}]`. Exact for each
/// storage class, where plain JSON would not be.
pub fn encode_image(row: &[Value]) -> String {
    let mut out = String::from("[");
    for (at, value) in row.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let (letter, text) = match value {
            Value::Null => {
                out.push_str("null");
                continue;
            }
            Value::Int(i) => ('i', i.to_string()),
            Value::Float(f) => ('f', format!("{:016x}", f.to_bits())),
            Value::Malformed(_) => ('m', value.to_text().unwrap_or_default()[2..].to_owned()),
            Value::Bytes(_) => ('b', value.to_text().unwrap_or_default()[2..].to_owned()),
            other => ('t', other.to_text().unwrap_or_default()),
        };
        out.push_str(&format!("{{\"{letter}\":"));
        write_json_string(&text, &mut out);
        out.push('}');
    }
    out.push(']');
    out
}

/// Reads an image back.
pub fn decode_image(json: &str) -> Result<Vec<Value>> {
    let corrupt = || {
        Error::stop("the ledger holds a before-image that is not one")
            .hint("The ledger was changed by hand or damaged. Restore it from a backup.")
    };
    let list: Vec<serde_json::Value> = serde_json::from_str(json).map_err(|_| corrupt())?;
    list.iter()
        .map(|item| {
            if item.is_null() {
                return Some(Value::Null);
            }
            let (letter, text) = item.as_object()?.iter().next()?;
            let text = text.as_str()?;
            Some(match letter.as_str() {
                "i" => Value::Int(text.parse().ok()?),
                "f" => Value::Float(f64::from_bits(u64::from_str_radix(text, 16).ok()?)),
                "b" => Value::Bytes(hex_bytes(text)?),
                "m" => Value::Malformed(hex_bytes(text)?),
                "t" => Value::Text(text.to_owned()),
                _ => return None,
            })
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_round_trip_exactly() {
        let row = vec![
            Value::Null,
            Value::Int(i64::MIN),
            Value::Float(-0.0),
            Value::Bytes(vec![0, 255]),
            Value::Malformed(vec![0, 255]),
            Value::Text("a\"\n".into()),
        ];
        assert_eq!(decode_image(&encode_image(&row)).unwrap(), row);
    }

    #[test]
    fn corrupt_images_are_errors() {
        for text in
            ["", "{}", "[1]", "[{}]", "[{\"x\":\"\"}]", "[{\"b\":\"0\"}]", "[{\"i\":\"x\"}]"]
        {
            assert!(decode_image(text).is_err(), "{text}");
        }
    }
}
