//! Files that a step reads: their names, and how a CSV file is written.

use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::diagnostic::{Findings, Span};
use super::reader::{Node, Reader, span, wrong_type};

/// Files that a `seed` or a `copy` reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSource {
    /// Paths or globs, as written; relative to the plan's folder.
    pub patterns: Vec<String>,
    /// Dotted path of the nested array that holds the rows, inside each JSON file.
    pub at: Option<String>,
    /// How the CSV files are written.
    pub csv: CsvFormat,
}

/// How a CSV file is written (`format = { … }`). Signs are single ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvFormat {
    /// Between two fields; `None`: a tab in `.tsv`, else a comma.
    pub delimiter: Option<u8>,
    /// Around a field; `None`: no field is quoted.
    pub quote: Option<u8>,
    /// Makes the next character a plain one; `None`: a quote is doubled.
    pub escape: Option<u8>,
    /// The first record names the columns.
    pub header: bool,
    /// Names of the columns; empty: those of the header.
    pub columns: Vec<String>,
    /// Fields that are NULL when they stand without quotes.
    pub null: Vec<String>,
    /// A line that begins with it is no record.
    pub comment: Option<u8>,
}

impl Default for CsvFormat {
    fn default() -> Self {
        CsvFormat {
            delimiter: None,
            quote: Some(b'"'),
            escape: None,
            header: true,
            columns: Vec::new(),
            null: vec![String::new()],
            comment: None,
        }
    }
}

/// What the ledger keeps of a file, to know it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark {
    /// Its path, as seen from the plan's folder.
    pub path: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// What a file's ending says about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// `.json`: an array, or an object that holds one.
    Json,
    /// `.ndjson`, `.jsonl`: one object a line.
    Lines,
    /// `.csv`, `.tsv`.
    Csv {
        /// Tabs stand between the fields.
        tabs: bool,
    },
    /// `.parquet`.
    Parquet,
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

/// Endings that are known, for messages.
pub const ENDINGS: &str =
    ".json, .ndjson, .jsonl, .csv, .tsv (each also .gz and .zst) and .parquet";

/// What the end of a file's name or of a pattern says; `None`: nothing known.
pub fn ending(name: &str) -> Option<(Ending, Packing)> {
    let name = name.to_ascii_lowercase();
    let (bare, packing) = match (name.strip_suffix(".gz"), name.strip_suffix(".zst")) {
        (Some(bare), _) => (bare, Packing::Gzip),
        (_, Some(bare)) => (bare, Packing::Zstd),
        _ => (name.as_str(), Packing::Plain),
    };
    let ending = match bare.rsplit_once('.')?.1 {
        "json" => Ending::Json,
        "ndjson" | "jsonl" => Ending::Lines,
        "csv" => Ending::Csv { tabs: false },
        "tsv" => Ending::Csv { tabs: true },
        // It packs its own pages, and is read from its end.
        "parquet" if packing == Packing::Plain => Ending::Parquet,
        _ => return None,
    };
    Some((ending, packing))
}

/// Reads `at` and `format` beside the names of files.
pub fn source(reader: &mut Reader<'_, '_>, patterns: Vec<String>) -> Option<FileSource> {
    let findings = reader.findings();
    let place = reader.span;
    let at = reader.string("at");
    let format = reader.take("format");
    let kinds = || patterns.iter().filter_map(|name| ending(name)).map(|(ending, _)| ending);
    if at.is_some() && kinds().any(|ending| ending != Ending::Json) {
        findings.error(place, "`at` is a path inside .json files", None);
    }
    if let Some(node) = format
        && kinds().any(|ending| !matches!(ending, Ending::Csv { .. }))
    {
        findings.error(span(node), "`format` says how .csv and .tsv files are written", None);
    }
    let csv = match format {
        Some(node) => csv(node, findings)?,
        None => CsvFormat::default(),
    };
    Some(FileSource { patterns, at, csv })
}

fn csv(node: &Node<'_>, findings: &Findings) -> Option<CsvFormat> {
    let mut reader = Reader::of(node, findings)?;
    let usual = CsvFormat::default();
    let delimiter = sign(&mut reader, "delimiter", false).flatten();
    let quote = sign(&mut reader, "quote", true).unwrap_or(usual.quote);
    let escape = sign(&mut reader, "escape", true).flatten();
    let comment = sign(&mut reader, "comment", true).flatten();
    let header = reader.boolean("header").unwrap_or(true);
    let columns = reader.strings("columns").unwrap_or_default();
    let null = reader.strings("null").unwrap_or(usual.null);
    reader.finish();
    let place = span(node);
    if !header && columns.is_empty() {
        let help = "name them in their order: columns = [\"id\", \"name\"]".to_owned();
        findings.error(place, "without a header the file's columns need names", Some(help));
    }
    let mut signs: Vec<u8> = [delimiter, quote, comment].into_iter().flatten().collect();
    // A quote may escape itself.
    signs.extend(escape.filter(|escape| Some(*escape) != quote));
    signs.sort_unstable();
    if signs.windows(2).any(|two| two.first() == two.last()) {
        findings.error(place, "two signs of the format are one character", None);
    }
    let escape = escape.filter(|escape| Some(*escape) != quote);
    Some(CsvFormat { delimiter, quote, escape, header, columns, null, comment })
}

/// One ASCII character; an empty text is none, where `may_miss`.
fn sign(reader: &mut Reader<'_, '_>, key: &'static str, may_miss: bool) -> Option<Option<u8>> {
    let findings = reader.findings();
    let node = reader.take(key)?;
    let DeValue::String(text) = node.get_ref() else {
        wrong_type(findings, span(node), "one character", node.get_ref());
        return None;
    };
    match text.as_bytes() {
        [] if may_miss => Some(None),
        [sign] if sign.is_ascii() && !b"\r\n\0".contains(sign) => Some(Some(*sign)),
        _ => {
            not_a_sign(findings, span(node), key);
            None
        }
    }
}

fn not_a_sign(findings: &Findings, place: Span, key: &str) {
    let help = "such as delimiter = \";\" or delimiter = \"\\t\"".to_owned();
    findings.error(place, format!("`{key}` must be one ASCII character"), Some(help));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings() {
        let csv = Ending::Csv { tabs: false };
        assert_eq!(ending("a/b.CSV"), Some((csv, Packing::Plain)));
        assert_eq!(ending("*.csv.gz"), Some((csv, Packing::Gzip)));
        assert_eq!(ending("x.jsonl.zst"), Some((Ending::Lines, Packing::Zstd)));
        assert_eq!(ending("x.parquet"), Some((Ending::Parquet, Packing::Plain)));
        for other in ["people", "a.b", "x.parquet.gz", "x.gz", ".gz", "public.csv_import", ""] {
            assert_eq!(ending(other), None, "{other}");
        }
    }
}
