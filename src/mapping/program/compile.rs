//! Which way each column of a program takes.

use super::{Node, Op, Program};
use crate::mapping::bind::{BoundMapping, BoundRule, Form, Input, InputSource};
use crate::mapping::cast::exact_in_sql;
use crate::mapping::values::is_year;
use crate::mapping::wire::encode::{self, Format};
use crate::sql::{Affinity, ColumnType, Flavor, Kind};
use crate::value::write_json_string;

impl Program {
    /// Makes the program for rows that come from `source` and go to `target`.
    ///
    /// # Errors
    /// Why rows have to be looked at one by one instead.
    pub fn new(mapping: &BoundMapping, source: Flavor, target: Flavor) -> Result<Program, String> {
        let format = match target {
            Flavor::Postgres => Format::Copy,
            Flavor::Sqlite => Format::Sqlite,
            Flavor::Mysql => return Err("MySQL takes rows as values of a statement".to_owned()),
        };
        let mut columns = Vec::with_capacity(mapping.columns.len());
        for column in &mapping.columns {
            if column.rule.any(&looks_outside) {
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
            if format == Format::Copy
                && !matches!(op, Op::Same(_))
                && !encode::is_known(&column.ty.kind)
            {
                return Err(format!("column {} travels as text: {}", column.name, column.ty.name));
            }
            columns.push(op);
        }
        let identity = columns.iter().all(|op| matches!(op, Op::Same(_)));
        let kinds = mapping.inputs.iter().map(Input::kind_read).collect();
        Ok(Program { format, columns, kinds, identity })
    }
}

/// What a plain column becomes without a look at its rule, if that is certain.
fn plain(which: usize, from: &ColumnType, to: &ColumnType, source: Flavor) -> Option<Op> {
    use Affinity::{Blob, Bool, Integer, Json, Numeric, Text};
    if is_year(from) {
        return None;
    }
    Some(match (&from.kind, &to.kind) {
        _ if source == Flavor::Postgres && same_bytes(from, to) => Op::Same(which),
        // A stored value is stored again as it is; booleans and documents are looked at.
        (Kind::Dynamic(a), Kind::Dynamic(b)) if a == b && !matches!(a, Bool | Json) => {
            Op::Same(which)
        }
        (Kind::Text { padded: false, .. }, Kind::Text { max, padded: false })
            if source == Flavor::Mysql =>
        {
            Op::Text(which, *max)
        }
        (Kind::Int(_), Kind::Dynamic(Integer | Numeric)) => Op::Int(which, 8),
        (Kind::Text { padded: false, .. }, Kind::Dynamic(Text | Blob)) => Op::Text(which, None),
        (Kind::Int(_) | Kind::Dynamic(Integer), Kind::Int(width)) => Op::Int(which, *width),
        (Kind::Dynamic(Text | Blob | Numeric), Kind::Timestamp(digits)) => {
            Op::Moment(which, *digits, false)
        }
        (Kind::Dynamic(Text | Blob | Numeric), Kind::TimestampTz(digits)) => {
            Op::Moment(which, *digits, true)
        }
        (Kind::Dynamic(Text | Blob | Numeric | Integer), Kind::Text { max, padded: false }) => {
            Op::Text(which, *max)
        }
        _ => return None,
    })
}

fn op(mapping: &BoundMapping, rule: &BoundRule, to: &ColumnType, source: Flavor) -> Op {
    if let BoundRule::Input(which) = rule
        && mapping.inputs[*which].form == Form::Value
        && !matches!(mapping.inputs[*which].source, InputSource::Children(_))
    {
        let op = plain(*which, &mapping.inputs[*which].ty, to, source);
        if let Some(op) = op {
            return op;
        }
    }
    let binary = to.kind == Kind::Jsonb;
    let holds_text = matches!(
        to.kind,
        Kind::Json | Kind::Jsonb | Kind::Dynamic(Affinity::Json | Affinity::Text | Affinity::Blob)
    );
    if holds_text
        && matches!(rule, BoundRule::Object { .. } | BoundRule::Array(_))
        && let Some(node) = node(mapping, rule, binary, source)
    {
        return Op::Json(node, binary);
    }
    let mut inputs = Vec::new();
    inputs_of(rule, &mut inputs);
    Op::Rule(inputs)
}

/// The JSON of a rule that is made of columns and constants only.
fn node(mapping: &BoundMapping, rule: &BoundRule, binary: bool, source: Flavor) -> Option<Node> {
    match rule {
        // One of them is no year.
        BoundRule::Input(which) if is_year(&mapping.inputs[*which].ty) => None,
        // SQLite's arrays of rows have marks where a value has no JSON.
        BoundRule::Input(which)
            if source == Flavor::Sqlite
                && matches!(mapping.inputs[*which].source, InputSource::Children(_)) =>
        {
            Some(Node::Checked(*which, binary))
        }
        BoundRule::Input(which)
            if mapping.inputs[*which].form == Form::Value
                && match mapping.inputs[*which].kind_read() {
                    Kind::Dynamic(Affinity::Json) => true,
                    // Children that have no JSON are marked inside of the document.
                    Kind::Json if source != Flavor::Postgres => true,
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
                    Some((text, node(mapping, rule, binary, source)?))
                })
                .collect::<Option<_>>()?;
            Some(Node::Object { entries, drop_nulls: *drop_nulls })
        }
        BoundRule::Array(rules) => rules
            .iter()
            .map(|rule| node(mapping, rule, binary, source))
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
pub(super) fn passes_unread(kind: &Kind) -> bool {
    matches!(kind, Kind::Opaque { .. } | Kind::Interval | Kind::TimeTz(_))
}

/// The rule asks the target, the ledger or a file.
fn looks_outside(rule: &BoundRule) -> bool {
    matches!(rule, BoundRule::Lookup { .. } | BoundRule::Moved { .. } | BoundRule::File(_))
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
