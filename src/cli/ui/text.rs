//! Small things about text for people.

#[allow(unused_imports, reason = "the fuzz targets take this file alone")]
pub use tablelift::report::text::{clean, grouped, seconds, shortened};

/// The same as [`clean`], line by line.
pub fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// `a, b`; of many names the first ones, and how many more there are.
pub fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| clean(name)).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {} more", grouped(more as u64)),
    };
    format!("{}{more}", shown.join(", "))
}
