//! A bound mapping made ready to write rows of PostgreSQL's binary COPY straight from the cells
//! that a driver holds: the third reader of the rule tree, for speed alone.
//!
//! It only does what is certain. Whatever is not (a NULL in a NOT NULL column, a text that is no
//! number, bytes that it doesn't know) it leaves to [`eval`](super::eval()), whose word is final:
//! both then write the same row, or give the same reject.

use super::bind::{BoundMapping, BoundRule, Form, Input, InputSource};
use super::cast::exact_in_sql;
use super::cast::json::refusal as json_refusal;
use super::eval::{Context, Found, Outcome, column_value, eval};
use super::wire::{Cell, encode};
use crate::sql::{Affinity, ColumnType, Flavor, Kind};
use crate::value::{Row, Value, write_json_string};

/// How the rows of one step are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    columns: Vec<Op>,
    /// In which form each input comes.
    kinds: Vec<Kind>,
    /// Every column passes as it is.
    identity: bool,
}

/// How one column is written.
#[derive(Debug, Clone, PartialEq)]
enum Op {
    /// PostgreSQL's bytes of this input, unread.
    Same(usize),
    /// An integer of this input, in a column of so many bytes.
    Int(usize, u8),
    /// A SQLite text, of at most so many characters.
    Text(usize, Option<u32>),
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
    /// Makes the program for rows that come from `source` and go to PostgreSQL.
    ///
    /// # Errors
    /// Why rows have to be looked at one by one instead.
    pub fn new(mapping: &BoundMapping, source: Flavor) -> Result<Program, String> {
        let mut columns = Vec::with_capacity(mapping.columns.len());
        for column in &mapping.columns {
            if outside(&column.rule) {
                return Err(format!("a rule of column {} looks outside of its row", column.name));
            }
            let op = op(mapping, &column.rule, &column.ty, source);
            if let Op::Same(which) = op
                && passes_unread(mapping.inputs[which].kind())
                && uses(mapping, which) > 1
            {
                let name = &mapping.inputs[which].name;
                return Err(format!("{name} is read by a rule and passes unread in another"));
            }
            if !matches!(op, Op::Same(_)) && !encode::is_known(&column.ty.kind) {
                return Err(format!("column {} travels as text: {}", column.name, column.ty.name));
            }
            columns.push(op);
        }
        let identity = columns.iter().all(|op| matches!(op, Op::Same(_)));
        let kinds = mapping.inputs.iter().map(Input::kind_read).collect();
        Ok(Program { columns, kinds, identity })
    }

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
                unread[*which] = passes_unread(mapping.inputs[*which].kind());
            }
        }
        unread
    }

    /// Appends the row as COPY wants it.
    pub fn write(
        &self,
        mapping: &BoundMapping,
        row: &[Cell<'_>],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Written {
        let start = out.len();
        encode::begin_row(self.columns.len(), out);
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
        encode::begin_row(self.columns.len(), out);
        for (cell, column) in cells.iter().zip(&mapping.columns) {
            if !encode::value(cell, &column.ty.kind, out) {
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
            Op::Same(input) | Op::Int(input, _) | Op::Text(input, _) if cell(input)?.is_null() => {
                encode::null(out);
                !column.not_null
            }
            Op::Same(input) => match cell(input)? {
                Cell::Wire(bytes) => encode::bytes(bytes, out),
                _ => false,
            },
            Op::Int(input, width) => match cell(input)? {
                Cell::Int(i) => encode::int(i, *width, out),
                cell => match cell.value(&self.kinds[*input]) {
                    Ok(Value::Int(i)) => encode::int(i, *width, out),
                    _ => false,
                },
            },
            Op::Text(input, max) => match cell(input)? {
                // Bytes bound characters from above.
                Cell::Text(text)
                    if max.is_none_or(|max| text.len() <= max as usize)
                        && !text.as_bytes().contains(&0) =>
                {
                    encode::bytes(text.as_bytes(), out)
                }
                _ => false,
            },
            Op::Json(node, binary) => {
                scratch.json.clear();
                match json(&self.kinds, node, row, &mut scratch.json) {
                    Some(_) => encode::json(&scratch.json, *binary, out),
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
            Some(value) => encode::value(&value, &mapping.columns[which].ty.kind, out),
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

fn op(mapping: &BoundMapping, rule: &BoundRule, to: &ColumnType, source: Flavor) -> Op {
    if let BoundRule::Input(which) = rule
        && mapping.inputs[*which].form == Form::Value
        && !matches!(mapping.inputs[*which].source, InputSource::Children(_))
    {
        let from = &mapping.inputs[*which].ty;
        if source == Flavor::Postgres && same_bytes(from, to) {
            return Op::Same(*which);
        }
        match (&from.kind, &to.kind) {
            (Kind::Int(_) | Kind::Dynamic(Affinity::Integer), Kind::Int(width)) => {
                return Op::Int(*which, *width);
            }
            (
                Kind::Dynamic(
                    Affinity::Text | Affinity::Blob | Affinity::Numeric | Affinity::Integer,
                ),
                Kind::Text { max, padded: false },
            ) => return Op::Text(*which, *max),
            _ => {}
        }
    }
    if matches!(to.kind, Kind::Json | Kind::Jsonb)
        && matches!(rule, BoundRule::Object { .. } | BoundRule::Array(_))
        && let Some(node) = node(mapping, rule, to.kind == Kind::Jsonb)
    {
        return Op::Json(node, to.kind == Kind::Jsonb);
    }
    let mut inputs = Vec::new();
    inputs_of(rule, &mut inputs);
    Op::Rule(inputs)
}

/// The JSON of a rule that is made of columns and constants only.
fn node(mapping: &BoundMapping, rule: &BoundRule, binary: bool) -> Option<Node> {
    match rule {
        BoundRule::Input(which)
            if mapping.inputs[*which].form == Form::Value
                && match mapping.inputs[*which].kind_read() {
                    Kind::Dynamic(Affinity::Json) => true,
                    Kind::Json => {
                        binary && !matches!(mapping.inputs[*which].source, InputSource::Children(_))
                    }
                    _ => false,
                } =>
        {
            Some(Node::Checked(*which, binary))
        }
        BoundRule::Input(which) => Some(Node::Input(*which)),
        BoundRule::Constant(value) => {
            let mut text = String::new();
            value.write_json(&mut text);
            Some(Node::Fixed(text, value.is_null()))
        }
        BoundRule::Object { entries, drop_nulls } => {
            let entries = entries
                .iter()
                .map(|(key, rule)| {
                    let mut text = String::new();
                    write_json_string(key, &mut text);
                    text.push(':');
                    Some((text, node(mapping, rule, binary)?))
                })
                .collect::<Option<_>>()?;
            Some(Node::Object { entries, drop_nulls: *drop_nulls })
        }
        BoundRule::Array(rules) => rules
            .iter()
            .map(|rule| node(mapping, rule, binary))
            .collect::<Option<_>>()
            .map(Node::Array),
        _ => None,
    }
}

/// The binary forms are equal, so that the server at the other end takes the bytes as they are.
fn same_bytes(from: &ColumnType, to: &ColumnType) -> bool {
    match (&from.kind, &to.kind) {
        (Kind::Text { padded: false, .. }, Kind::Text { padded: false, .. })
        | (Kind::Numeric(_), Kind::Numeric(_))
        | (Kind::Time(_), Kind::Time(_))
        | (Kind::Timestamp(_), Kind::Timestamp(_))
        | (Kind::TimestampTz(_), Kind::TimestampTz(_)) => exact_in_sql(from, to),
        (Kind::Opaque { portable, .. }, Kind::Opaque { .. }) => *portable && from.name == to.name,
        (Kind::TimeTz(a), Kind::TimeTz(b)) => a == b,
        (Kind::Interval, Kind::Interval) => from.name == to.name,
        (a, b) => a == b && encode::is_known(a),
    }
}

/// Kinds that are asked for as text elsewhere, because nothing here reads their bytes.
fn passes_unread(kind: &Kind) -> bool {
    matches!(kind, Kind::Opaque { .. } | Kind::Interval | Kind::TimeTz(_))
}

/// The rule asks the target, the ledger or a file.
fn outside(rule: &BoundRule) -> bool {
    let mut found =
        matches!(rule, BoundRule::Lookup { .. } | BoundRule::Moved { .. } | BoundRule::File(_));
    rule.nested(&mut |inner| found |= outside(inner));
    found
}

/// Columns whose rule reads the input.
fn uses(mapping: &BoundMapping, which: usize) -> usize {
    let reads = |rule: &BoundRule| {
        let mut inputs = Vec::new();
        inputs_of(rule, &mut inputs);
        inputs.contains(&which)
    };
    mapping.columns.iter().filter(|column| reads(&column.rule)).count()
}

fn inputs_of(rule: &BoundRule, inputs: &mut Vec<usize>) {
    if let BoundRule::Input(which) = rule
        && !inputs.contains(which)
    {
        inputs.push(*which);
    }
    rule.nested(&mut |inner| inputs_of(inner, inputs));
}
