//! numeric in PostgreSQL's binary form: groups of four decimal digits, the weight of the first,
//! a sign, and how many digits are shown after the point.

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const MINUS_INFINITY: u16 = 0xf000;

fn header(bytes: &[u8]) -> Option<(i64, i64, u16, usize)> {
    let field = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let groups = i64::from(field(0)?);
    let weight = i64::from(field(2)? as i16);
    Some((groups, weight, field(4)?, usize::from(field(6)?)))
}

/// Neither NaN nor infinite: its text is a JSON number.
pub(super) fn is_finite(bytes: &[u8]) -> bool {
    matches!(header(bytes), Some((_, _, 0 | NEGATIVE, _)))
}

/// Appends the text form, every digit and every zero at the end kept.
pub(super) fn write_text(bytes: &[u8], out: &mut String) -> Option<()> {
    let (groups, weight, sign, scale) = header(bytes)?;
    let digits = bytes.get(8..)?;
    if digits.len() as i64 != groups * 2 {
        return None;
    }
    match sign {
        0 => {}
        NEGATIVE => out.push('-'),
        NAN => {
            out.push_str("NaN");
            return Some(());
        }
        INFINITY => {
            out.push_str("Infinity");
            return Some(());
        }
        MINUS_INFINITY => {
            out.push_str("-Infinity");
            return Some(());
        }
        _ => return None,
    }
    // The group of weight `w`; those that are not sent are zero.
    let group = |w: i64| -> i64 {
        usize::try_from(weight - w)
            .ok()
            .and_then(|at| digits.get(at * 2..at * 2 + 2))
            .map_or(0, |two| i64::from(u16::from_be_bytes([two[0], two[1]])))
    };
    if weight < 0 {
        out.push('0');
    } else {
        super::write_int(group(weight), out);
        for w in (0..weight).rev() {
            four(group(w), 4, out);
        }
    }
    if scale > 0 {
        out.push('.');
        let mut left = scale;
        let mut w = -1;
        while left > 0 {
            four(group(w), left.min(4), out);
            left = left.saturating_sub(4);
            w -= 1;
        }
    }
    Some(())
}

/// The first `most` of the group's four digits.
fn four(group: i64, most: usize, out: &mut String) {
    let mut unit = 1000;
    for _ in 0..most {
        out.push(char::from(b'0' + (group / unit % 10) as u8));
        unit /= 10;
    }
}

/// Appends the binary form of a plain decimal (`-12.50`, `NaN`, no exponent); `None` where the
/// text is something else or out of range.
pub(super) fn write_binary(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let special = match text {
        "NaN" => Some(NAN),
        "Infinity" => Some(INFINITY),
        "-Infinity" => Some(MINUS_INFINITY),
        _ => None,
    };
    if let Some(sign) = special {
        push(out, &[0, 0, sign, 0]);
        return Some(());
    }
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    let scale = u16::try_from(fraction.len()).ok().filter(|scale| *scale < 0x4000)?;
    // Groups of four, aligned at the point.
    let mut groups: Vec<u16> = Vec::with_capacity((whole.len() + fraction.len()) / 4 + 2);
    let first = whole.len() % 4;
    let (head, rest) = whole.split_at(first);
    if !head.is_empty() {
        groups.push(head.parse().ok()?);
    }
    for four in rest.as_bytes().chunks(4) {
        groups.push(group_of(four));
    }
    let mut weight = i64::try_from(groups.len()).ok()? - 1;
    for four in fraction.as_bytes().chunks(4) {
        groups.push(group_of(four));
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    weight -= i64::try_from(zeros).ok()?;
    if groups.is_empty() {
        weight = 0;
    }
    let sign = if negative && !groups.is_empty() { NEGATIVE } else { 0 };
    let weight = i16::try_from(weight).ok()?;
    push(out, &[u16::try_from(groups.len()).ok()?, weight as u16, sign, scale]);
    push(out, &groups);
    Some(())
}

/// Up to four digits as a group, zeros after the last.
fn group_of(digits: &[u8]) -> u16 {
    let read = digits.iter().fold(0, |group, digit| group * 10 + u16::from(digit - b'0'));
    read * [1000, 100, 10, 1][digits.len() - 1]
}

fn push(out: &mut Vec<u8>, fields: &[u16]) {
    for field in fields {
        out.extend_from_slice(&field.to_be_bytes());
    }
}
