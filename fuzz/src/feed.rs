//! Bytes as decisions. What an input lacks at its end reads as zero, so every input is complete
//! and a shorter one makes a smaller case.

use tablelift::value::{Scalar, Value};

/// Texts that have been trouble somewhere: escapes, numbers at the edges, JSON in pieces.
const TEXTS: [&str; 24] = [
    "",
    " ",
    "a",
    "\\N",
    "\\.",
    "\\",
    "\t\r\n\u{8}\u{b}\u{c}",
    "\0",
    "\u{1}\u{7f}\u{85}\u{2028}",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "{\"a\":[1.10,1e2,null],\"a\":{}}",
    "[1,2",
    "null",
    "-0",
    "1e400",
    "99999999999999999999",
    "\\x00ff",
    "é😀ключ",
    "\u{feff}a",
    "true",
    "2024-02-29 24:00:00+15:59:59 BC",
    "838:59:59",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
];

/// The rest of an input.
pub struct Feed<'a>(pub &'a [u8]);

impl Feed<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number below `end`, which is 256 at most.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of the list.
    pub fn pick<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }

    /// Eight bytes.
    pub fn eight(&mut self) -> [u8; 8] {
        std::array::from_fn(|_| self.byte())
    }

    /// Up to 255 bytes.
    pub fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken.to_vec()
    }

    /// A text: a known one, or bytes of the input.
    pub fn text(&mut self) -> String {
        match self.below(40) {
            known if known < TEXTS.len() => TEXTS[known].to_owned(),
            _ => String::from_utf8_lossy(&self.bytes()).into_owned(),
        }
    }

    /// A decimal as PostgreSQL prints one, or as JSON spells one when `json`.
    pub fn number(&mut self, json: bool) -> String {
        let mut digits = |most: usize| -> String {
            let length = self.below(most) + 1;
            (0..length).map(|_| char::from(b'0' + self.byte() % 10)).collect()
        };
        let (whole, fraction) = (digits(30), digits(30));
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let sign = if self.flag() { "-" } else { "" };
        match self.below(4) {
            0 if json => {
                let mark = *self.pick(&["e", "E", "e+", "e-"]);
                format!(
                    "{sign}{whole}.{fraction}{mark}{}",
                    i64::from_le_bytes(self.eight()).abs_diff(0)
                )
            }
            1 if !json => (*self.pick(&["NaN", "Infinity", "-Infinity"])).to_owned(),
            2 => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{fraction}"),
        }
    }

    /// A valid JSON text: nested containers, escapes and numbers that no float can hold.
    pub fn json(&mut self, depth: usize) -> String {
        match self.below(if depth > 4 { 5 } else { 8 }) {
            0 => "null".to_owned(),
            1 => (*self.pick(&["true", " false "])).to_owned(),
            2 => self.number(true),
            3 => (*self.pick(&["\"\\ud83d\\ude00\"", "\"\\u0000\"", "\"\\ud800x\"", "\"\\/\""]))
                .to_owned(),
            4 => quoted(&self.text()),
            5 => {
                let levels = self.below(200);
                format!("{}{}{}", "[".repeat(levels), self.json(depth + 1), "]".repeat(levels))
            }
            6 => {
                let items: Vec<_> = (0..self.below(4)).map(|_| self.json(depth + 1)).collect();
                format!("[{}]", items.join(" ,\n"))
            }
            _ => {
                let entries: Vec<_> = (0..self.below(4))
                    .map(|_| format!("{} :{}", quoted(&self.text()), self.json(depth + 1)))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
        }
    }

    /// Any value that a source can deliver.
    pub fn value(&mut self) -> Value {
        match self.below(12) {
            0 => Value::Null,
            1 => Value::Bool(self.flag()),
            2 => Value::Int(i64::from_le_bytes(self.eight())),
            3 => Value::Int(*self.pick(&[0, 1, -1, i64::MIN, i64::MAX, 1 << 53])),
            4 => Value::Float(f64::from_le_bytes(self.eight())),
            5 => Value::Real(f32::from_le_bytes(std::array::from_fn(|_| self.byte()))),
            6 => Value::Number(self.number(false)),
            7 => Value::Bytes(self.bytes()),
            8 => Value::Json(self.json(0)),
            9 => {
                let scalars = [
                    Scalar::Date,
                    Scalar::Time,
                    Scalar::TimeTz,
                    Scalar::Timestamp,
                    Scalar::TimestampTz,
                    Scalar::Interval,
                    Scalar::Uuid,
                    Scalar::Opaque,
                ];
                Value::Typed(*self.pick(&scalars), self.text())
            }
            _ => Value::Text(self.text()),
        }
    }
}

/// The text as a JSON string, made by code that is not ours.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
