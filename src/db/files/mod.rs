//! Rows of files and of the plan itself, one after the other. A first pass ([`scan`]) counts
//! them and finds all that is wrong before anything is written; later ones ([`Listing::read`])
//! stream from any row on. Values keep their exact text.

mod csv;
mod json;
mod open;
mod parquet;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::open::Stamp;
use crate::error::{Error, Kind, Result};
use crate::key::{Key, KeyRange};
use crate::mapping::{BoundMapping, Constant, InputSource};
use crate::plan::FileSource;
use crate::plan::files::{ENDINGS, Ending, FileMark};
use crate::value::{Row, Value};

pub use self::json::Wanted;

/// Bytes of one row at most: it has to fit into memory.
const ROW_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Only JSON has a place for single values.
const NO_PATHS: &str = "a `file` rule with a path needs a .json file";

/// A row as a file has it: place of the column, value.
pub type Cells = Vec<(usize, Value)>;

/// The columns that rows have shown so far, in the order of their first appearance.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Columns {
    /// The place of a column, which may be new.
    pub fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.names.len();
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        place
    }

    /// The names, by place.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Takes rows.
pub trait Sink {
    /// The columns, which rows are allowed to extend.
    fn columns(&mut self) -> &mut Columns;

    /// Takes a row. `false`: no more are wanted.
    fn row(&mut self, row: Cells) -> bool;
}

/// One file, or the rows of the plan.
#[derive(Debug)]
struct Part {
    from: From,
    /// Rows in the parts before it.
    first: u64,
    /// Rows of it.
    rows: u64,
    /// The values that `file` rules ask for, by their dotted path.
    document: Arc<HashMap<String, Value>>,
}

#[derive(Debug)]
enum From {
    File { path: PathBuf, stamp: Stamp, mark: FileMark },
    Plan(Vec<Cells>),
}

/// All rows of a step that reads no database, looked at once.
#[derive(Debug)]
pub struct Listing {
    parts: Vec<Part>,
    source: FileSource,
    wanted: Wanted,
    columns: Columns,
}

impl Listing {
    /// Rows that stand in the plan.
    pub fn of_plan(rows: &[Vec<(String, Constant)>]) -> Listing {
        let mut columns = Columns::default();
        let rows: Vec<Cells> = rows
            .iter()
            .map(|row| row.iter().map(|(key, one)| (columns.place(key), one.value())).collect())
            .collect();
        let count = rows.len() as u64;
        let from = From::Plan(rows);
        let part = Part { from, first: 0, rows: count, document: Arc::default() };
        Listing {
            parts: vec![part],
            source: FileSource::default(),
            wanted: Wanted::default(),
            columns,
        }
    }

    /// The files, in the order in which they are read.
    pub fn marks(&self) -> Vec<FileMark> {
        let marks = self.parts.iter().filter_map(|part| match &part.from {
            From::File { mark, .. } => Some(mark.clone()),
            From::Plan(_) => None,
        });
        marks.collect()
    }

    /// Whether the files are still those that were looked at.
    pub fn is_current(&self, dir: &Path) -> bool {
        let Ok(now) = all_files(&self.source, dir) else { return false };
        now.len() == self.parts.len()
            && now.iter().zip(&self.parts).all(|(now, part)| match &part.from {
                From::File { path, stamp, .. } => now == path && stamp.holds(path).is_ok(),
                From::Plan(_) => false,
            })
    }

    /// The numbers of all rows, which are their keys.
    pub fn range(&self) -> KeyRange {
        let upto = i64::try_from(self.count()).unwrap_or(i64::MAX);
        KeyRange { after: None, upto: Some(Key::int(upto)) }
    }

    /// Names of all columns, in the order of their first appearance.
    pub fn columns(&self) -> &[String] {
        self.columns.names()
    }

    /// Rows in all files.
    pub fn count(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// What `file` rules give to the row at this position, counted from 0.
    pub fn document(&self, position: u64) -> Option<Arc<HashMap<String, Value>>> {
        self.part(position).map(|part| Arc::clone(&part.document))
    }

    /// `data/people.csv, row 7`, of the row at this position; `None` for rows of the plan.
    pub fn place(&self, position: u64) -> Option<String> {
        let part = self.part(position)?;
        match &part.from {
            From::File { mark, .. } => {
                Some(format!("{}, row {}", mark.path, position - part.first + 1))
            }
            From::Plan(_) => None,
        }
    }

    fn part(&self, position: u64) -> Option<&Part> {
        let after = self.parts.partition_point(|part| part.first <= position);
        self.parts.get(after.checked_sub(1)?).filter(|part| position - part.first < part.rows)
    }

    /// Gives every row after the first `skip` to `give`, in the order of the mapping's inputs,
    /// until it says `false`. A column that a row lacks is NULL. Blocks the thread.
    ///
    /// # Errors
    /// A file that can't be read, or changed since it was looked at.
    pub fn read(
        &self,
        mut skip: u64,
        mapping: &BoundMapping,
        give: &mut dyn FnMut(Row) -> bool,
    ) -> Result<()> {
        let mut takers = vec![Vec::new(); self.columns.names.len()];
        for (at, input) in mapping.inputs.iter().enumerate() {
            if let InputSource::Column(name) = &input.source
                && let Some(place) = self.columns.places.get(name)
                && let Some(takers) = takers.get_mut(*place)
            {
                takers.push(at);
            }
        }
        let (columns, width) = (self.columns.clone(), mapping.inputs.len());
        let mut rows = Rows { columns, takers, width, give, go_on: true };
        for part in &self.parts {
            if skip >= part.rows {
                skip -= part.rows;
                continue;
            }
            match &part.from {
                From::Plan(all) => {
                    let left = all.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
                    let _ = left.cloned().all(|row| rows.row(row));
                }
                From::File { path, stamp, .. } => {
                    stamp.holds(path)?;
                    let read = self.read_file(path, skip, &mut rows);
                    // It was well formed; one that changed meanwhile says more.
                    stamp.holds(path)?;
                    read.map_err(|error| Error { kind: Kind::Failed, ..error })?;
                }
            }
            skip = 0;
            if !rows.go_on {
                break;
            }
        }
        Ok(())
    }

    fn read_file(
        &self,
        path: &Path,
        skip: u64,
        sink: &mut dyn Sink,
    ) -> Result<HashMap<String, Value>> {
        let failed = |what: String| Error::invalid(format!("{}: {what}", path.display()));
        let name = path.to_string_lossy();
        let (ending, packing) = crate::plan::files::ending(&name)
            .ok_or_else(|| failed(format!("the ending is none of {ENDINGS}")))?;
        let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        let read = match ending {
            Ending::Parquet if !self.wanted.values.is_empty() => Err(NO_PATHS.to_owned()),
            Ending::Parquet => guarded(|| parquet::read(file, skip, sink)).map(|()| HashMap::new()),
            _ => open::unpacked(file, packing)
                .map_err(|error| problem(&error))
                .and_then(|input| parse(input, ending, &self.source, &self.wanted, skip, sink)),
        };
        read.map_err(failed)
    }
}

/// Rows on their way to a mapping.
struct Rows<'g> {
    columns: Columns,
    /// The inputs that take each column's values.
    takers: Vec<Vec<usize>>,
    /// Inputs of the mapping.
    width: usize,
    give: &'g mut dyn FnMut(Row) -> bool,
    go_on: bool,
}

impl Sink for Rows<'_> {
    fn columns(&mut self) -> &mut Columns {
        &mut self.columns
    }

    fn row(&mut self, row: Cells) -> bool {
        let mut out = vec![Value::Null; self.width];
        for (place, value) in row {
            let takers = self.takers.get(place).map_or(&[][..], Vec::as_slice);
            let Some((first, others)) = takers.split_first() else { continue };
            for at in others {
                out.get_mut(*at).into_iter().for_each(|cell| cell.clone_from(&value));
            }
            if let Some(cell) = out.get_mut(*first) {
                *cell = value;
            }
        }
        self.go_on = (self.give)(out);
        self.go_on
    }
}

/// Counts rows.
#[derive(Default)]
struct Count {
    columns: Columns,
    rows: u64,
}

impl Sink for Count {
    fn columns(&mut self) -> &mut Columns {
        &mut self.columns
    }

    fn row(&mut self, _row: Cells) -> bool {
        self.rows += 1;
        true
    }
}

/// Looks at everything that the source names: every row of every file. Blocks the thread.
/// `values` are paths of `file` rules.
///
/// # Errors
/// A pattern without a file, a file that is not well formed (with line or row), no row at all.
pub fn scan(source: &FileSource, values: &[String], dir: &Path) -> Result<Listing> {
    let mut values = values.to_vec();
    values.retain(|path| !path.starts_with('$'));
    let wanted = Wanted { rows: source.at.clone().unwrap_or_default(), values };
    let mut listing =
        Listing { parts: Vec::new(), source: source.clone(), wanted, columns: Columns::default() };
    for path in all_files(source, dir)? {
        let stamp = Stamp::of(&path)?;
        let sha256 = open::sha256(&path)?;
        let mut sink = Count { columns: std::mem::take(&mut listing.columns), rows: 0 };
        let mut document = listing.read_file(&path, 0, &mut sink)?;
        stamp.holds(&path)?;
        let base = path.file_name().map(|name| name.to_string_lossy().into_owned());
        document.insert("$name".to_owned(), base.map_or(Value::Null, Value::Text));
        let seen = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
        listing.columns = sink.columns;
        let (first, document) = (listing.count(), Arc::new(document));
        let from = From::File { path, stamp, mark: FileMark { path: seen, sha256 } };
        listing.parts.push(Part { from, first, rows: sink.rows, document });
    }
    Ok(listing)
}

/// Understands the bytes of a file of this ending (Parquet excepted); apart from files so that
/// fuzzing needs none.
#[doc(hidden)]
pub fn parse(
    input: impl std::io::Read,
    ending: Ending,
    source: &FileSource,
    wanted: &Wanted,
    skip: u64,
    sink: &mut dyn Sink,
) -> std::result::Result<HashMap<String, Value>, String> {
    let input = open::without_mark(input).map_err(|error| problem(&error))?;
    match ending {
        Ending::Json => return json::array(input, wanted, skip, sink),
        _ if !wanted.values.is_empty() => {
            return Err(NO_PATHS.to_owned());
        }
        Ending::Lines => json::lines(std::io::BufReader::new(input), skip, sink)?,
        Ending::Csv { tabs } => {
            csv::read(std::io::BufReader::new(input), &source.csv, tabs, skip, sink)?;
        }
        Ending::Parquet => return Err("Parquet is read from its end".to_owned()),
    }
    Ok(HashMap::new())
}

/// The Parquet crate panics at some files that are broken.
fn guarded(
    read: impl FnOnce() -> std::result::Result<(), String>,
) -> std::result::Result<(), String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err("not a readable Parquet file".to_owned()))
}

/// What is wrong with reading.
fn problem(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the file is cut off: it ends too early".to_owned(),
        _ => error.to_string(),
    }
}

/// The first name that was there before.
fn twice<'n>(mut names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let mut seen = HashSet::new();
    names.find(|name| !seen.insert(*name))
}

/// All files of a step, in the order in which they are read.
fn all_files(source: &FileSource, dir: &Path) -> Result<Vec<PathBuf>> {
    let found: Result<Vec<Vec<PathBuf>>> =
        source.patterns.iter().map(|pattern| matching(pattern, dir)).collect();
    Ok(found?.into_iter().flatten().collect())
}

/// Files that a pattern names, sorted; relative patterns start at `dir` and may not leave it.
fn matching(pattern: &str, dir: &Path) -> Result<Vec<PathBuf>> {
    let leaves =
        Path::new(pattern).components().any(|part| matches!(part, std::path::Component::ParentDir));
    if leaves {
        return Err(Error::invalid(format!("`{pattern}` leaves the plan's folder"))
            .hint("Move the file beside the plan, or give its absolute path."));
    }
    let whole = dir.join(pattern);
    let whole = whole.to_str().ok_or_else(|| Error::invalid("a seed's path is not UTF-8"))?;
    let paths = glob::glob(whole)
        .map_err(|error| Error::invalid(format!("`{pattern}` is not a pattern: {error}")))?;
    let mut found = Vec::new();
    for path in paths {
        let path =
            path.map_err(|error| Error::invalid(format!("can't look for files: {error}")))?;
        if path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(Error::invalid(format!("no file matches `{pattern}`"))
            .hint("Paths are relative to the plan's folder."));
    }
    found.sort();
    Ok(found)
}
