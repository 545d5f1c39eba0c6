//! Why something waits, in one form everywhere: `replica-lag 12.4s >= 10s`.

use std::fmt;

use crate::event::Reading;
use crate::plan::throttle::Unit;

/// What a signal said last.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number in the signal's unit.
    Number(f64),
    /// It could not be read; why.
    Unreadable(String),
    /// No reading came for too long.
    Frozen,
    /// Something that is only on or off, and is on.
    On,
}

/// Why a batch waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// The signal, as the plan spells it: `replica_lag`.
    pub signal: String,
    /// Its value.
    pub value: Value,
    /// Its limit, in the same unit.
    pub limit: f64,
    /// The unit of both.
    pub unit: Unit,
    /// Only a value above the limit waits, not one that equals it.
    pub above: bool,
}

impl Reason {
    /// A number at its limit or beyond.
    pub fn number(signal: &str, value: f64, limit: f64, unit: Unit) -> Reason {
        let signal = signal.to_owned();
        Reason { signal, value: Value::Number(value), limit, unit, above: false }
    }

    /// Something that is on.
    pub fn on(signal: &str) -> Reason {
        let signal = signal.to_owned();
        Reason { signal, value: Value::On, limit: 0.0, unit: Unit::Count, above: false }
    }

    /// The signal as it stands, over its limit or not: `replica-lag 0.4s, limit 10s`.
    pub fn reading(&self) -> String {
        let limit = match (&self.value, self.limit > 0.0 || self.above) {
            (Value::On, _) | (_, false) => String::new(),
            _ => format!(", limit {}", spell(self.limit, self.unit)),
        };
        let value = match &self.value {
            Value::On => "on".to_owned(),
            Value::Number(0.0) if limit.is_empty() => "off".to_owned(),
            Value::Number(value) => spell(*value, self.unit),
            Value::Frozen => "frozen".to_owned(),
            Value::Unreadable(why) => format!("unreadable ({why})"),
        };
        format!("{} {value}{limit}", self.signal.replace('_', "-"))
    }

    /// The same as numbers.
    pub fn into_reading(self) -> Reading {
        Reading { value: self.value(), signal: self.signal, limit: self.limit }
    }

    /// The value as a number, where there is one.
    pub fn value(&self) -> Option<f64> {
        match self.value {
            Value::Number(number) => Some(number),
            Value::On => Some(1.0),
            Value::Unreadable(_) | Value::Frozen => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.signal.replace('_', "-"))?;
        let sign = if self.above { ">" } else { ">=" };
        let limit = spell(self.limit, self.unit);
        match &self.value {
            Value::On => f.write_str("on"),
            Value::Number(value) => write!(f, "{} {sign} {limit}", spell(*value, self.unit)),
            Value::Frozen => write!(f, "frozen {sign} {limit}"),
            Value::Unreadable(why) => write!(f, "unreadable {sign} {limit} ({why})"),
        }
    }
}

/// A number with its unit: `128ms`, `12.4s`, `80%`, `20MB`, `5`.
pub fn spell(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds if value.abs() < 1.0 => format!("{}ms", short(value * 1000.0, 0)),
        Unit::Seconds => format!("{}s", short(value, 1)),
        Unit::Share => format!("{}%", short(value * 100.0, 1)),
        Unit::Count => short(value, 2),
        Unit::Bytes => {
            let steps = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
            let (by, name) =
                steps.into_iter().find(|(by, _)| value.abs() >= *by).unwrap_or((1.0, "B"));
            format!("{}{name}", short(value / by, 1))
        }
    }
}

/// At most `places` digits after the point, and no zeros at the end.
fn short(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_form() {
        let lag =
            |value| Reason { value, ..Reason::number("replica_lag", 0.0, 10.0, Unit::Seconds) };
        let texts = [
            (lag(Value::Number(12.43)), "replica-lag 12.4s >= 10s"),
            (lag(Value::Frozen), "replica-lag frozen >= 10s"),
            (lag(Value::Unreadable("gone".into())), "replica-lag unreadable >= 10s (gone)"),
            (Reason::number("batch_p95", 0.128, 0.1, Unit::Seconds), "batch-p95 128ms >= 100ms"),
            (Reason::number("connections", 0.855, 0.8, Unit::Share), "connections 85.5% >= 80%"),
            (Reason::number("lock_waits", 7.0, 5.0, Unit::Count), "lock-waits 7 >= 5"),
            (
                Reason::number("slot_retention", 2.5e10, 1e10, Unit::Bytes),
                "slot-retention 25GB >= 10GB",
            ),
            (Reason::on("pause"), "pause on"),
            (Reason { above: true, ..Reason::number("q", 3.0, 0.0, Unit::Count) }, "q 3 > 0"),
        ];
        for (reason, text) in texts {
            assert_eq!(reason.to_string(), text);
        }
    }
}
