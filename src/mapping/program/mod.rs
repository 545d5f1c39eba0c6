//! A bound mapping made ready to write rows as a target takes them straight from the cells that
//! a driver holds: the third reader of the rule tree, for speed alone.
//!
//! It only does what is certain. Whatever is not (a NULL in a NOT NULL column, a text that is no
//! number, bytes that it doesn't know) it leaves to [`eval`](super::eval()), whose word is final:
//! both then write the same row, or give the same reject.

mod compile;

use super::bind::BoundMapping;
use super::cast::json::refusal as json_refusal;
use super::eval::{Context, Found, Outcome, column_value, eval};
use super::wire::Cell;
use super::wire::encode::{self, Format};
use crate::sql::Kind;
use crate::value::{Row, Value};

/// Bytes of a buffer that is worth keeping.
const KEPT_BYTES: usize = 1024 * 1024;

/// How the rows of one step are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    format: Format,
    columns: Vec<Op>,
    /// In which form each input comes.
    kinds: Vec<Kind>,
    /// Every column passes as it is.
    identity: bool,
}

/// How one column is written.
#[derive(Debug, Clone, PartialEq)]
enum Op {
    /// This input as it is, unread.
    Same(usize),
    /// An integer of this input, in a column of so many bytes.
    Int(usize, u8),
    /// A text, of at most so many characters.
    Text(usize, Option<u32>),
    /// A text that names a moment, for a column that keeps so many digits of a second; `true`
    /// for timestamptz.
    Moment(usize, u8, bool),
    /// A JSON document; `true` for jsonb.
    Json(Node, bool),
    /// What the rule's value is; these inputs go into it.
    Rule(Vec<usize>),
}

/// How JSON is written.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Input(usize),
    /// A document that is not known to be one, or on its way into jsonb (`true`), which holds
    /// less than json.
    Checked(usize, bool),
    /// A constant's JSON, and whether it is null.
    Fixed(String, bool),
    /// `"key":` and what follows it.
    Object {
        entries: Vec<(String, Node)>,
        drop_nulls: bool,
    },
    Array(Vec<Node>),
}

/// What a row became.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// It stands in the output.
    Row,
    /// Nothing was written: the row needs the route that knows everything.
    Unknown,
    /// Nothing was written: [`eval`](super::eval()) gives no cells, but this.
    Refused(Row, Outcome),
}

/// What one row needs while it is written; kept from row to row.
#[derive(Debug, Default)]
pub struct Scratch {
    json: String,
    values: Row,
}

/// Why a column was not written.
struct Uncertain;

/// A program's rules look at their row only.
struct Nothing;

impl Context for Nothing {
    fn lookup(&mut self, _: usize, _: &[Value]) -> Found {
        Found::Unknown
    }
    fn moved(&mut self, _: usize, _: &Value) -> Found {
        Found::Unknown
    }
    fn file(&mut self, _: &str) -> Found {
        Found::Unknown
    }
}

impl Program {
    /// No column needs a change.
    pub fn is_identity(&self) -> bool {
        self.identity
    }

    /// Inputs that pass unread and whose bytes nothing here could read: they are asked for in
    /// their own binary form.
    pub fn unread(&self, mapping: &BoundMapping) -> Vec<bool> {
        let mut unread = vec![false; mapping.inputs.len()];
        for op in &self.columns {
            if let Op::Same(which) = op {
                unread[*which] = compile::passes_unread(mapping.inputs[*which].kind());
            }
        }
        unread
    }

    /// Appends the row as the target wants it.
    pub fn write(
        &self,
        mapping: &BoundMapping,
        row: &[Cell<'_>],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Written {
        let start = out.len();
        self.format.begin_row(self.columns.len(), out);
        for (which, op) in self.columns.iter().enumerate() {
            if self.column(mapping, which, op, row, scratch, out).is_err() {
                out.truncate(start);
                return self.by_rules(mapping, row, out);
            }
        }
        Written::Row
    }

    /// The whole row, by the reader whose word is final.
    fn by_rules(&self, mapping: &BoundMapping, row: &[Cell<'_>], out: &mut Vec<u8>) -> Written {
        let start = out.len();
        let Some(values) = values(mapping, row) else {
            return Written::Unknown;
        };
        let cells = match eval(mapping, &values, &mut Nothing) {
            Outcome::Cells(cells) => cells,
            other => return Written::Refused(values, other),
        };
        self.format.begin_row(self.columns.len(), out);
        for (cell, column) in cells.iter().zip(&mapping.columns) {
            if !self.format.value(cell, &column.ty.kind, out) {
                out.truncate(start);
                return Written::Unknown;
            }
        }
        Written::Row
    }

    fn column(
        &self,
        mapping: &BoundMapping,
        which: usize,
        op: &Op,
        row: &[Cell<'_>],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), Uncertain> {
        let column = &mapping.columns[which];
        let cell = |input: &usize| row.get(*input).copied().ok_or(Uncertain);
        let written = match op {
            Op::Same(input) | Op::Int(input, _) | Op::Text(input, _) | Op::Moment(input, ..)
                if cell(input)?.is_null() =>
            {
                self.format.null(out);
                !column.not_null
            }
            Op::Same(input) => self.format.cell(cell(input)?, out),
            Op::Int(input, width) => match cell(input)? {
                Cell::Int(i) => self.format.int(i, *width, out),
                cell => match cell.value(&self.kinds[*input]) {
                    Ok(Value::Int(i)) => self.format.int(i, *width, out),
                    _ => false,
                },
            },
            Op::Text(input, max) => match cell(input)? {
                // Bytes bound characters from above.
                Cell::Text(text)
                    if max.is_none_or(|max| text.len() <= max as usize)
                        && !text.as_bytes().contains(&0) =>
                {
                    self.format.text(text, out)
                }
                Cell::Wire(bytes) => {
                    str::from_utf8(bytes).is_ok_and(|text| self.format.text(text, out))
                }
                _ => false,
            },
            Op::Moment(input, digits, zoned) => match cell(input)? {
                Cell::Text(text) => encode::plain_moment(text, *digits, *zoned, out),
                _ => false,
            },
            Op::Json(node, binary) => {
                // What a wide row needed would stay for good.
                match scratch.json.capacity() > KEPT_BYTES {
                    true => scratch.json = String::new(),
                    false => scratch.json.clear(),
                }
                match json(&self.kinds, node, row, &mut scratch.json) {
                    Some(_) => self.format.json(&scratch.json, *binary, out),
                    None => false,
                }
            }
            Op::Rule(inputs) => self.rule(mapping, which, inputs, row, scratch, out),
        };
        if written { Ok(()) } else { Err(Uncertain) }
    }

    /// One column by its rule alone.
    fn rule(
        &self,
        mapping: &BoundMapping,
        which: usize,
        inputs: &[usize],
        row: &[Cell<'_>],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> bool {
        scratch.values.resize(mapping.inputs.len(), Value::Null);
        for input in inputs {
            let Some(Ok(value)) = row.get(*input).map(|cell| cell.value(&self.kinds[*input]))
            else {
                return false;
            };
            scratch.values[*input] = value;
        }
        match column_value(mapping, which, &scratch.values, &mut Nothing) {
            Some(value) => self.format.value(&value, &mapping.columns[which].ty.kind, out),
            None => false,
        }
    }
}

/// Appends the node's JSON; whether its value is NULL. `None`: not certain.
fn json(kinds: &[Kind], node: &Node, row: &[Cell<'_>], out: &mut String) -> Option<bool> {
    match node {
        Node::Input(which) => {
            let cell = row.get(*which)?;
            cell.write_json(&kinds[*which], out).then(|| cell.is_null())
        }
        Node::Checked(which, binary) => {
            let cell = row.get(*which)?;
            let start = out.len();
            let written = match cell {
                Cell::Text(text) => {
                    out.push_str(text);
                    true
                }
                cell => cell.write_json(&kinds[*which], out),
            };
            // Numbers and blobs of a SQLite column are JSON already.
            let document = matches!(cell, Cell::Text(_) | Cell::Wire(_));
            let taken = !document || json_refusal(&out[start..], *binary).is_none();
            (written && taken).then(|| cell.is_null())
        }
        Node::Fixed(text, null) => {
            out.push_str(text);
            Some(*null)
        }
        Node::Object { entries, drop_nulls } => {
            out.push('{');
            let mut comma = false;
            for (key, node) in entries {
                let start = out.len();
                if comma {
                    out.push(',');
                }
                out.push_str(key);
                if json(kinds, node, row, out)? && *drop_nulls {
                    out.truncate(start);
                } else {
                    comma = true;
                }
            }
            out.push('}');
            Some(false)
        }
        Node::Array(nodes) => {
            out.push('[');
            for (at, node) in nodes.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                json(kinds, node, row, out)?;
            }
            out.push(']');
            Some(false)
        }
    }
}

/// The row's values, one for each input; `None` where the driver's bytes can't be read here.
pub fn values(mapping: &BoundMapping, row: &[Cell<'_>]) -> Option<Row> {
    let inputs = mapping.inputs.iter().zip(row);
    inputs.map(|(input, cell)| cell.value(&input.kind_read()).ok()).collect()
}
