//! CSV, record by record. The csv crate does not tell a quoted empty field from nothing at all,
//! and one is text, the other NULL: hence this reader.

use std::io::BufRead;

use super::{ROW_BYTES_MAX, Sink, problem, twice};
use crate::plan::CsvFormat;
use crate::value::Value;

/// Gives each record after the first `skip` to the sink.
///
/// # Errors
/// What is wrong, with the line on which the record begins.
pub fn read(
    input: impl BufRead,
    format: &CsvFormat,
    tabs: bool,
    mut skip: u64,
    sink: &mut dyn Sink,
) -> Result<(), String> {
    let mut records = Records::new(input, format, tabs);
    let header = match format.header {
        true => Some(records.next()?.ok_or("the header line is missing")?),
        false => None,
    };
    let names: Vec<String> = match (header, format.columns.as_slice()) {
        (Some(names), wanted) if !wanted.is_empty() && names.len() != wanted.len() => {
            return Err(format!(
                "line {}: the header has {} columns, `columns` names {}",
                records.parser.begun,
                names.len(),
                wanted.len()
            ));
        }
        (Some(names), []) => names.into_iter().map(Option::unwrap_or_default).collect(),
        (_, wanted) => wanted.to_vec(),
    };
    if let Some(name) = twice(names.iter().map(String::as_str)) {
        return Err(format!("the column `{name}` stands twice in the header"));
    }
    records.parser.width = Some(names.len());
    let places: Vec<usize> = names.iter().map(|name| sink.columns().place(name)).collect();
    while let Some(record) = records.next()? {
        if record.len() != places.len() {
            return Err(format!(
                "line {}: {} fields, there are {} columns",
                records.parser.begun,
                record.len(),
                places.len()
            ));
        }
        if skip > 0 {
            skip -= 1;
            continue;
        }
        let values = record.into_iter().map(|field| field.map_or(Value::Null, Value::Text));
        if !sink.row(places.iter().copied().zip(values).collect()) {
            return Ok(());
        }
    }
    Ok(())
}

/// Where in a record the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first character of a field.
    Start,
    /// In a field, outside of quotes.
    Plain,
    /// Inside quotes.
    Quoted,
    /// After a quote inside quotes: the end, or the first of two.
    Closing,
    /// In a line that is a comment.
    Comment,
}

/// Records of an input.
struct Records<'f, R> {
    input: R,
    parser: Parser<'f>,
}

impl<'f, R: BufRead> Records<'f, R> {
    fn new(input: R, format: &'f CsvFormat, tabs: bool) -> Self {
        let parser = Parser {
            format,
            delimiter: format.delimiter.unwrap_or(if tabs { b'\t' } else { b',' }),
            width: (!format.columns.is_empty()).then_some(format.columns.len()),
            line: 1,
            begun: 1,
            state: State::Start,
            quoted: false,
            escaped: false,
            has_escape: false,
            returned: false,
            field: Vec::new(),
            fields: Vec::new(),
            size: 0,
        };
        Records { input, parser }
    }

    /// The next record; `None` at the end.
    fn next(&mut self) -> Result<Option<Vec<Option<String>>>, String> {
        self.parser.size = 0;
        self.parser.begun = self.parser.line;
        loop {
            let bytes = match self.input.fill_buf() {
                Ok([]) => return self.parser.end(),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(format!("line {}: {}", self.parser.line, problem(&error)));
                }
            };
            let mut ended = None;
            for (at, byte) in bytes.iter().enumerate() {
                if self.parser.take(*byte)? {
                    ended = Some(at + 1);
                    break;
                }
            }
            let taken = ended.unwrap_or(bytes.len());
            self.input.consume(taken);
            if ended.is_some() {
                return Ok(Some(std::mem::take(&mut self.parser.fields)));
            }
            self.parser.size += taken as u64;
            if self.parser.size > ROW_BYTES_MAX {
                let begun = self.parser.begun;
                return Err(format!("line {begun}: a record of more than {ROW_BYTES_MAX} bytes"));
            }
        }
    }
}

/// Bytes to fields. All signs are ASCII, which is never a part of another UTF-8 character.
struct Parser<'f> {
    format: &'f CsvFormat,
    delimiter: u8,
    /// Fields of a record, once that is known.
    width: Option<usize>,
    /// The line that is being read, and the one on which the record begins; from 1.
    line: u64,
    begun: u64,
    state: State,
    /// The field was quoted, so it is never NULL.
    quoted: bool,
    /// The character before makes this one plain.
    escaped: bool,
    /// An escape stands in this field, outside of quotes.
    has_escape: bool,
    /// A carriage return waits for what follows it.
    returned: bool,
    field: Vec<u8>,
    fields: Vec<Option<String>>,
    /// Bytes of the record that were read in earlier pieces.
    size: u64,
}

impl Parser<'_> {
    /// Takes one byte; `true`: a record is complete.
    fn take(&mut self, byte: u8) -> Result<bool, String> {
        if std::mem::take(&mut self.returned) && byte != b'\n' {
            self.push(b'\r');
        }
        if byte == b'\n' {
            self.line += 1;
        }
        match self.state {
            State::Comment => {
                if byte == b'\n' {
                    self.state = State::Start;
                    self.begun = self.line;
                }
            }
            State::Quoted if std::mem::take(&mut self.escaped) => self.field.push(byte),
            State::Quoted if Some(byte) == self.format.escape => self.escaped = true,
            State::Quoted if Some(byte) == self.format.quote => self.state = State::Closing,
            State::Quoted => self.field.push(byte),
            State::Closing if Some(byte) == self.format.quote && self.format.escape.is_none() => {
                self.field.push(byte);
                self.state = State::Quoted;
            }
            _ => return self.outside(byte),
        }
        Ok(false)
    }

    /// A byte outside of quotes.
    fn outside(&mut self, byte: u8) -> Result<bool, String> {
        if std::mem::take(&mut self.escaped) {
            self.push(byte);
        } else if Some(byte) == self.format.escape {
            // Kept until the field ends: `\N` is what it is as a whole.
            self.escaped = true;
            self.has_escape = true;
            self.push(byte);
        } else if Some(byte) == self.format.quote {
            if self.state != State::Start {
                return Err(format!("line {}: a quote inside an unquoted field", self.line));
            }
            self.state = State::Quoted;
            self.quoted = true;
        } else if byte == self.delimiter {
            self.end_field()?;
        } else if byte == b'\r' {
            self.returned = true;
        } else if byte == b'\n' {
            return self.end_record();
        } else if Some(byte) == self.format.comment && self.is_empty() {
            self.state = State::Comment;
        } else {
            self.push(byte);
        }
        Ok(false)
    }

    fn push(&mut self, byte: u8) {
        self.field.push(byte);
        self.state = State::Plain;
    }

    /// Nothing of a record was read.
    fn is_empty(&self) -> bool {
        self.state == State::Start && self.fields.is_empty()
    }

    fn end_field(&mut self) -> Result<(), String> {
        let mut bytes = std::mem::take(&mut self.field);
        let is_null = !self.quoted && self.format.null.iter().any(|null| null.as_bytes() == bytes);
        if self.has_escape {
            bytes = unescaped(&bytes, self.format.escape);
        }
        let text = String::from_utf8(bytes).map_err(|_| {
            format!("line {}: field {} is not UTF-8", self.begun, self.fields.len() + 1)
        })?;
        self.fields.push((!is_null).then_some(text));
        self.state = State::Start;
        self.quoted = false;
        self.has_escape = false;
        Ok(())
    }

    fn end_record(&mut self) -> Result<bool, String> {
        // An empty line is no record, but for a file of one column: there PostgreSQL writes
        // NULL so, and a row must not vanish.
        if self.is_empty() && self.width != Some(1) {
            self.begun = self.line;
            return Ok(false);
        }
        self.end_field()?;
        Ok(true)
    }

    /// What the end of the file leaves.
    fn end(&mut self) -> Result<Option<Vec<Option<String>>>, String> {
        if self.state == State::Quoted {
            return Err(format!("line {}: a quoted field never ends", self.begun));
        }
        if std::mem::take(&mut self.returned) {
            self.push(b'\r');
        }
        if self.state == State::Comment || self.is_empty() {
            return Ok(None);
        }
        self.end_field()?;
        Ok(Some(std::mem::take(&mut self.fields)))
    }
}

fn unescaped(bytes: &[u8], escape: Option<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        let plain = if Some(*byte) == escape { rest.next() } else { None };
        out.push(*plain.unwrap_or(byte));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Cells, Columns};
    use super::*;

    #[derive(Default)]
    struct Kept(Columns, Vec<Cells>);

    impl Sink for Kept {
        fn columns(&mut self) -> &mut Columns {
            &mut self.0
        }

        fn row(&mut self, row: Cells) -> bool {
            self.1.push(row);
            true
        }
    }

    /// The values of all records, read through buffers of every small size.
    fn values(text: &str) -> Result<Vec<Vec<Value>>, String> {
        let read = |size: usize| {
            let mut kept = Kept::default();
            let input = std::io::BufReader::with_capacity(size, text.as_bytes());
            read(input, &CsvFormat::default(), false, 0, &mut kept)?;
            let rows = kept.1.into_iter();
            Ok(rows.map(|row| row.into_iter().map(|(_, value)| value).collect()).collect())
        };
        let whole = read(1 << 16);
        (1..4).for_each(|size| assert_eq!(read(size), whole, "{text:?}, {size}"));
        whole
    }

    #[test]
    fn null_and_empty_are_told_apart() {
        let rows = values("a,b,c\n1,,\"\"\n\"x, \"\"y\"\"\",\"two\nlines\",\\N\r\n").unwrap();
        assert_eq!(rows[0][1..], [Value::Null, Value::Text(String::new())]);
        assert_eq!(rows[1][0], Value::Text("x, \"y\"".into()));
        assert_eq!(rows[1][1], Value::Text("two\nlines".into()));
        assert_eq!(rows[1][2], Value::Text("\\N".into()));
        for bad in ["a,b\n1", "a\n\"x", "a,a\n1,2", ""] {
            assert!(values(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_empty_line_of_a_one_column_file_is_null() {
        let one = || vec![Value::Text("1".into())];
        let null = || vec![Value::Null];
        assert_eq!(values("a\n1\n\n1\n").unwrap(), [one(), null(), one()]);
        assert_eq!(values("a\r\n\r\n1").unwrap(), [null(), one()]);
        assert_eq!(values("\n\na\n1\n\n").unwrap(), [one(), null()]);
        assert_eq!(values("a\n1\r").unwrap(), [[Value::Text("1\r".into())]]);
        let two = vec![Value::Text("1".into()), Value::Text("2".into())];
        assert_eq!(values("a,b\n\n1,2\n\n").unwrap(), [two]);
    }
}
