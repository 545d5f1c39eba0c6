//! Digests of rows before they are stored, where it is certain that SQLite stores every value as
//! it is bound: asking for the stored row costs more than storing it.

use sha2::{Digest as _, Sha256};

use super::functions::DIGEST_BYTES;
use crate::mapping::wire::stored::{self, BLOB, INT, NULL, Part, REAL, TEXT};
use crate::sql::sqlite::DIGEST_ARGUMENTS;
use crate::sql::{Affinity, Column, Kind, Table};

/// How the rows of one table are foreseen.
pub struct Foresight {
    /// The written columns, in the order in which the table has them.
    order: Vec<usize>,
    /// What is known of each written column.
    columns: Vec<Known>,
}

struct Known {
    affinity: Affinity,
    /// NULL stays NULL.
    holds_null: bool,
}

impl Foresight {
    /// For rows of the columns `written`; `digest` names the columns that a digest covers.
    /// `None`: the table fills columns by itself.
    pub fn new(table: &Table, written: &[Column], digest: &[String]) -> Option<Foresight> {
        if digest.len() > DIGEST_ARGUMENTS {
            return None;
        }
        let place = |name: &String| written.iter().position(|column| column.name == *name);
        let order = digest.iter().map(place).collect::<Option<Vec<usize>>>()?;
        let key = table.primary_key();
        let known = |column: &Column| match column.ty.kind {
            Kind::Dynamic(affinity) if !column.generated => Some(Known {
                affinity,
                // SQLite numbers a key that is NULL.
                holds_null: !column.not_null && !key.contains(&column.name),
            }),
            _ => None,
        };
        let columns = written.iter().map(known).collect::<Option<Vec<Known>>>()?;
        Some(Foresight { order, columns })
    }

    /// The digest of one encoded row; `None`: SQLite might change a value.
    pub fn digest(&self, mut row: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
        let mut parts = [Part { tag: NULL, bytes: &[], whole: &[] }; DIGEST_ARGUMENTS];
        for (known, place) in self.columns.iter().zip(&mut parts) {
            let part = stored::next(&mut row)?;
            if !stays(known, &part) {
                return None;
            }
            *place = part;
        }
        let mut hash = Sha256::new();
        for at in &self.order {
            hash.update(parts.get(*at)?.whole);
        }
        let mut out = [0; DIGEST_BYTES];
        out.copy_from_slice(&hash.finalize()[..DIGEST_BYTES]);
        Some(out)
    }
}

/// The column's affinity leaves the value alone. See SQLite's "Datatypes", section 3.
fn stays(known: &Known, part: &Part<'_>) -> bool {
    use Affinity::{Blob, Bool, Integer, Json, Numeric, Real, Text};
    match (part.tag, known.affinity) {
        (NULL, _) => known.holds_null,
        (BLOB, _) | (TEXT, Text | Blob) => true,
        (TEXT, Integer | Real | Numeric | Bool | Json) => part
            .bytes
            .first()
            .is_none_or(|first| !first.is_ascii_digit() && !b"+-. \t\n\x0b\x0c\r".contains(first)),
        (INT, Integer | Numeric | Bool | Json | Blob) => true,
        // Zero has one sign only.
        (REAL, Real | Blob) => part.number().is_some_and(|bits| bits << 1 != 0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::wire::Cell;
    use crate::sql::{ColumnType, TableName};

    fn foreseen(affinity: Affinity, cell: Cell<'_>) -> bool {
        let ty = ColumnType { kind: Kind::Dynamic(affinity), name: String::new() };
        let column = Column {
            name: "a".into(),
            ty,
            not_null: false,
            has_default: false,
            generated: false,
            identity: false,
            identity_always: false,
        };
        let columns = vec![column];
        let table = Table { name: TableName::bare("t"), columns, unique: Vec::new() };
        let mut row = Vec::new();
        stored::cell(cell, &mut row);
        let foresight = Foresight::new(&table, &table.columns, &["a".to_owned()]);
        foresight.is_some_and(|foresight| foresight.digest(&row).is_some())
    }

    #[test]
    fn what_an_affinity_may_change_is_not_foreseen() {
        use Affinity::{Blob, Integer, Json, Numeric, Real, Text};
        for text in ["12", " 12", "+1", "-1", ".5", "1e3", "\t7", "\u{b}7"] {
            for affinity in [Integer, Numeric, Real, Json] {
                assert!(!foreseen(affinity, Cell::Text(text)), "{text:?} {affinity:?}");
            }
            assert!(foreseen(Text, Cell::Text(text)) && foreseen(Blob, Cell::Text(text)));
        }
        assert!(foreseen(Integer, Cell::Text("abc")) && foreseen(Json, Cell::Text("{}")));
        assert!(!foreseen(Text, Cell::Int(1)) && !foreseen(Real, Cell::Int(1)));
        assert!(foreseen(Integer, Cell::Int(1)) && foreseen(Real, Cell::Float(1.5)));
        assert!(!foreseen(Integer, Cell::Float(1.0)) && !foreseen(Real, Cell::Float(-0.0)));
    }

    #[test]
    fn a_column_that_the_table_fills_itself_is_not_foreseen() {
        let table = Table { name: TableName::bare("t"), columns: Vec::new(), unique: Vec::new() };
        assert!(Foresight::new(&table, &[], &["filled".to_owned()]).is_none());
    }
}
