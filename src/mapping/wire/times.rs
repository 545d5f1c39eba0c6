//! Dates and times in PostgreSQL's binary form: days or microseconds since 2000-01-01.

use crate::mapping::cast::{civil, days};

/// 2000-01-01 in days since 1970-01-01.
pub(super) const EPOCH: i64 = 10_957;
pub(super) const MICROS_A_DAY: i64 = 86_400_000_000;

fn two(n: i64, out: &mut String) {
    out.push(char::from(b'0' + (n / 10 % 10) as u8));
    out.push(char::from(b'0' + (n % 10) as u8));
}

/// `2024-01-31`; true for years before 1, whose ` BC` stands at the very end.
fn day(day: i64, out: &mut String) -> bool {
    let (year, month, day) = civil(day);
    let (shown, bc) = if year < 1 { (1 - year, true) } else { (year, false) };
    if shown < 10_000 {
        two(shown / 100, out);
        two(shown % 100, out);
    } else {
        super::write_int(shown, out);
    }
    out.push('-');
    two(month, out);
    out.push('-');
    two(day, out);
    bc
}

/// `10:00:00.5`
fn clock(micros: i64, out: &mut String) {
    let (seconds, mut fraction) = (micros / 1_000_000, micros % 1_000_000);
    two(seconds / 3600, out);
    out.push(':');
    two(seconds / 60 % 60, out);
    out.push(':');
    two(seconds % 60, out);
    if fraction > 0 {
        out.push('.');
        let mut unit = 100_000;
        while fraction > 0 {
            out.push(char::from(b'0' + (fraction / unit) as u8));
            fraction %= unit;
            unit /= 10;
        }
    }
}

/// Appends the text of a date.
pub(super) fn write_date(bytes: &[u8], out: &mut String) -> Option<()> {
    let days = i32::from_be_bytes(bytes.try_into().ok()?);
    match days {
        i32::MAX => out.push_str("infinity"),
        i32::MIN => out.push_str("-infinity"),
        days => {
            if day(i64::from(days) + EPOCH, out) {
                out.push_str(" BC");
            }
        }
    }
    Some(())
}

/// Appends the text of a time without time zone.
pub(super) fn write_time(bytes: &[u8], out: &mut String) -> Option<()> {
    let micros = i64::from_be_bytes(bytes.try_into().ok()?);
    if !(0..=MICROS_A_DAY).contains(&micros) {
        return None;
    }
    clock(micros, out);
    Some(())
}

/// Appends the text of a timestamp, with `between` date and time and `zone` after the time.
pub(super) fn write_timestamp(
    bytes: &[u8],
    between: char,
    zone: &str,
    out: &mut String,
) -> Option<()> {
    let micros = i64::from_be_bytes(bytes.try_into().ok()?);
    match micros {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        micros => {
            let bc = day(micros.div_euclid(MICROS_A_DAY) + EPOCH, out);
            out.push(between);
            clock(micros.rem_euclid(MICROS_A_DAY), out);
            out.push_str(zone);
            if bc {
                out.push_str(" BC");
            }
        }
    }
    Some(())
}

/// Microseconds since 2000-01-01 of a text like `2024-01-31 10:00:00.5`, whether it names UTC
/// (`Z`, `+00` or `+00:00`), and its digits after the second. `None`: it is written otherwise,
/// or is no such moment.
pub(super) fn read_plain(text: &str) -> Option<(i64, bool, usize)> {
    let (fixed, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let marks = [fixed[4], fixed[7], fixed[10], fixed[13], fixed[16]];
    if marks != *b"-- ::" && marks != *b"--T::" {
        return None;
    }
    let number = |at: usize, width: usize| {
        fixed[at..at + width].iter().try_fold(0, |all, byte| {
            byte.is_ascii_digit().then(|| all * 10 + i64::from(byte - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let date = days(year, month, day);
    let is_date = (1..=12).contains(&month) && year > 0 && civil(date) == (year, month, day);
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let digits = match rest.strip_prefix(b".") {
        Some(fraction) => fraction.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        None => 0,
    };
    let (fraction, zone) = match (digits, rest) {
        (0, zone) => (&[][..], zone),
        (1..=6, rest) => (&rest[1..=digits], &rest[1 + digits..]),
        _ => return None,
    };
    let mut micros = fraction.iter().fold(0, |all, byte| all * 10 + i64::from(byte - b'0'));
    micros *= 10_i64.pow(6 - digits as u32);
    let zoned = match zone {
        b"" => false,
        b"Z" | b"+00" | b"+00:00" => true,
        _ => return None,
    };
    let seconds = (hour * 60 + minute) * 60 + second;
    Some(((date - EPOCH) * MICROS_A_DAY + seconds * 1_000_000 + micros, zoned, digits))
}
