//! `[[step]]` and `[defaults]`.

use sha2::{Digest as _, Sha256};
use toml::de::DeValue;

use super::diagnostic::{Findings, Lines};
use super::expand::template_problem;
use super::reader::{Node, Reader, constant, span, strings, wrong_type};
use super::{
    Copy, CopySource, Expect, NewColumns, OnConflict, OnFailure, Options, Seed, SeedSource,
    SqlStep, Step, StepKind, Triggers, Tune, Update,
};
use super::{files, rules, tune, values};
use crate::mapping::{Constant, Rule, ValueOptions, each_rule};

/// Keys that name a step's kind.
const KINDS: &[&str] = &[
    "copy",
    "copy_query",
    "seed",
    "rows",
    "update",
    "sql",
    "migrate",
    "backup",
    "swap",
    "gate",
    "delete",
];

/// What holds where neither the plan nor the step says otherwise.
pub fn built_in() -> Options {
    Options {
        batch_rows: 10_000,
        batch_bytes: None,
        batch_time: None,
        workers: 2,
        on_conflict: OnConflict::Fail,
        max_rejects: 0,
        lossy: false,
        values: ValueOptions::default(),
        on_failure: OnFailure::Stop,
        retries: 5,
        allow_inserts: false,
        triggers: Triggers::Fire,
        new_columns: NewColumns::Stop,
        advance_sequences: true,
        tune: Tune::default(),
    }
}

/// Reads the options that stand in `reader`, over `base`.
pub fn options(reader: &mut Reader<'_, '_>, base: &Options) -> Options {
    let small = |number: Option<u64>, old: u32| {
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(old)
    };
    let conflict =
        [("fail", OnConflict::Fail), ("skip", OnConflict::Skip), ("update", OnConflict::Update)];
    let triggers =
        [("fire", Triggers::Fire), ("refuse", Triggers::Refuse), ("skip", Triggers::Skip)];
    let new = [
        ("stop", NewColumns::Stop),
        ("absorb", NewColumns::Absorb),
        ("ignore", NewColumns::Ignore),
    ];
    let failure = [("stop", OnFailure::Stop), ("rollback", OnFailure::Rollback)];
    Options {
        batch_rows: small(reader.number("batch_rows", 1, 1_000_000), base.batch_rows),
        batch_bytes: reader.bytes("batch_bytes").or(base.batch_bytes),
        batch_time: reader.duration("batch_time").or(base.batch_time),
        workers: small(reader.number("workers", 1, 64), base.workers),
        on_conflict: reader.word("on_conflict", &conflict).unwrap_or(base.on_conflict),
        max_rejects: reader.number("max_rejects", 0, i64::MAX as u64).unwrap_or(base.max_rejects),
        lossy: reader.word("lossy", &[("reject", false), ("allow", true)]).unwrap_or(base.lossy),
        values: values::read(reader, base.values),
        on_failure: reader.word("on_failure", &failure).unwrap_or(base.on_failure),
        retries: small(reader.number("retries", 0, 100), base.retries),
        allow_inserts: base.allow_inserts,
        triggers: reader.word("triggers", &triggers).unwrap_or(base.triggers),
        new_columns: reader.word("new_columns", &new).unwrap_or(base.new_columns),
        advance_sequences: reader
            .word("sequences", &[("advance", true), ("keep", false)])
            .unwrap_or(base.advance_sequences),
        tune: base.tune,
    }
}

/// Reads one `[[step]]`.
pub fn step(mut reader: Reader<'_, '_>, defaults: &Options, lines: &Lines) -> Option<Step> {
    let place = reader.span;
    let findings = reader.findings();
    let name = reader.required_string("name");
    if name.as_deref().is_some_and(str::is_empty) {
        findings.error(place, "a step needs a name", None);
    }
    let mut kinds: Vec<&str> = KINDS.iter().copied().filter(|key| reader.has(key)).collect();
    if kinds.contains(&"update") || kinds.contains(&"copy") {
        // `rows` has no meaning there; the key itself is reported below.
        kinds.retain(|key| *key != "rows");
    }
    let kind = match kinds.as_slice() {
        [one] => *one,
        [] => {
            let help = "one of: copy, copy_query, seed, rows, update, sql".to_owned();
            findings.error(place, "the step says nothing to do", Some(help));
            return None;
        }
        several => {
            findings.error(
                place,
                format!("{} can't stand in one step", several.join(" and ")),
                None,
            );
            return None;
        }
    };
    let bound = match kind {
        "copy" if names_files(&reader) => copy_files(&mut reader),
        "copy" | "copy_query" => copy(&mut reader),
        "seed" | "rows" => seed(&mut reader),
        "update" => update(&mut reader),
        "sql" => sql(&mut reader),
        later => {
            findings.error(place, format!("`{later}` steps are not supported yet"), None);
            return None;
        }
    };
    let files = matches!(&bound, Some(StepKind::Seed(_)));
    let expect = expect(&mut reader, kind, files);
    let mut options = options(&mut reader, defaults);
    if let Some(StepKind::Copy(copy)) = &bound {
        let only_one = matches!(copy.from, CopySource::Tables { .. })
            && [expect.source, expect.before, expect.after].iter().any(Option::is_some);
        if only_one {
            let help = "for patterns, expect = { tables = N }; numbers of rows go into checks";
            findings.error(place, "these numbers are those of one table", Some(help.to_owned()));
        }
        if !copy.later.is_empty() && options.on_conflict != OnConflict::Fail {
            findings.error(place, "`later` needs on_conflict = \"fail\"", None);
        }
    }
    options.allow_inserts = reader.boolean("allow_inserts").unwrap_or(false);
    if !matches!(kind, "update" | "sql") {
        options.tune = tune::read(&mut reader);
        // The same by its short name.
        options.tune.analyze = reader.boolean("analyze").or(options.tune.analyze);
    }
    reader.finish();
    let (name, kind) = name.zip(bound)?;
    let checksum = checksum(&kind, &options);
    let line = lines.line(place);
    Some(Step { name, kind, expect, options, line, checksum })
}

/// SHA-256 of the parsed step, less what is free to change between runs.
pub fn checksum(kind: &StepKind, options: &Options) -> String {
    let mut fixed = format!("{kind:?} {:?} {}", options.on_conflict, options.lossy);
    if options.values != ValueOptions::default() {
        // Only then, so that steps that were begun before there was such a table resume.
        fixed.push_str(&format!(" {:?}", options.values));
    }
    Sha256::digest(fixed.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn columns(reader: &mut Reader<'_, '_>) -> Result<Option<crate::mapping::Mapping>, ()> {
    let findings = reader.findings();
    match reader.take("columns") {
        None => Ok(None),
        Some(node) => rules::mapping(node, findings).map(Some).ok_or(()),
    }
}

fn copy(reader: &mut Reader<'_, '_>) -> Option<StepKind> {
    let findings = reader.findings();
    let tables = match reader.has("copy") {
        true => reader.strings("copy"),
        false => None,
    };
    let query = reader.string("copy_query");
    let into = reader.required_string("into");
    let key = match reader.has("key") {
        true => reader.strings("key"),
        false => None,
    };
    if query.is_some() && key.is_none() {
        let help = "name the columns that are unique in the query's rows: key = \"id\"".to_owned();
        findings.error(reader.span, "`copy_query` needs a `key`", Some(help));
    }
    let filter = reader.string("where");
    let columns = columns(reader).ok()?;
    let from = tables.map(|tables| tables_of(reader, tables)).or(query.map(CopySource::Query))?;
    if matches!(from, CopySource::Tables { .. })
        && let Some(problem) = into.as_deref().and_then(template_problem)
    {
        findings.error(reader.span, format!("`into`: {problem}"), None);
    }
    let later = match reader.has("later") {
        true => reader.strings("later")?,
        false => Vec::new(),
    };
    if !later.is_empty() && matches!(from, CopySource::Tables { .. }) {
        let help = "leave it out: for patterns it follows from the foreign keys".to_owned();
        findings.error(reader.span, "`later` names columns of one table", Some(help));
    }
    let only_with = Vec::new();
    Some(StepKind::Copy(Copy { from, into: into?, key, filter, columns, later, only_with }))
}

/// One table by its name, or what names and patterns will mean.
fn tables_of(reader: &mut Reader<'_, '_>, mut patterns: Vec<String>) -> CopySource {
    let is_one = |name: &String| !name.contains(['*', '?']);
    match patterns.as_mut_slice() {
        [one] if is_one(one) => CopySource::Table(std::mem::take(one)),
        _ => {
            let except = match reader.has("except") {
                true => reader.strings("except").unwrap_or_default(),
                false => Vec::new(),
            };
            CopySource::Tables { patterns, except }
        }
    }
}

fn seed(reader: &mut Reader<'_, '_>) -> Option<StepKind> {
    let from = match reader.has("seed") {
        true => reader
            .strings("seed")
            .and_then(|patterns| files::source(reader, patterns))
            .map(SeedSource::Files),
        false => inline_rows(reader).map(SeedSource::Rows),
    };
    let into = reader.required_string("into");
    let columns = columns(reader).ok()?;
    let (from, into) = from.zip(into)?;
    Some(StepKind::Seed(Seed { is_copy: false, from, into, columns }))
}

/// Whether `copy` names files: by their endings, as no table is called.
fn names_files(reader: &Reader<'_, '_>) -> bool {
    let is_file = |node: &Node<'_>| match node.get_ref() {
        DeValue::String(text) => files::ending(text).is_some(),
        _ => false,
    };
    match reader.peek("copy").map(|node| (node, node.get_ref())) {
        Some((_, DeValue::Array(items))) => items.iter().any(is_file),
        Some((node, _)) => is_file(node),
        None => false,
    }
}

fn copy_files(reader: &mut Reader<'_, '_>) -> Option<StepKind> {
    let findings = reader.findings();
    let place = reader.peek("copy").map_or(reader.span, span);
    let patterns = reader.strings("copy")?;
    if let Some(other) = patterns.iter().find(|name| files::ending(name).is_none()) {
        let help = format!("the endings are {}", files::ENDINGS);
        findings.error(place, format!("`{other}` is no file that can be read"), Some(help));
    }
    for (key, why) in [
        ("where", "files have no SQL; leave rows out in the file"),
        ("key", "the number of a row is its key in a file"),
    ] {
        if let Some(node) = reader.take(key) {
            let message = format!("`{key}` makes no sense in a copy of files");
            findings.error(span(node), message, Some(why.to_owned()));
        }
    }
    let from = files::source(reader, patterns).map(SeedSource::Files);
    let into = reader.required_string("into");
    let columns = columns(reader).ok()?;
    let (from, into) = from.zip(into)?;
    Some(StepKind::Seed(Seed { is_copy: true, from, into, columns }))
}

fn inline_rows(reader: &mut Reader<'_, '_>) -> Option<Vec<Vec<(String, Constant)>>> {
    let findings = reader.findings();
    let node = reader.take("rows")?;
    let DeValue::Array(rows) = node.get_ref() else {
        wrong_type(findings, span(node), "a list of rows, like [{ id = 1 }]", node.get_ref());
        return None;
    };
    rows.iter()
        .map(|row| {
            let row = Reader::of(row, findings)?;
            row.entries()
                .into_iter()
                .map(|(name, _, node)| {
                    constant(node, findings).map(|value| (name.to_owned(), value))
                })
                .collect::<Option<Vec<_>>>()
        })
        .collect()
}

fn update(reader: &mut Reader<'_, '_>) -> Option<StepKind> {
    let findings = reader.findings();
    let table = reader.string("update");
    let filter = reader.string("where");
    let key = match reader.take("key") {
        Some(node) => strings(node, findings),
        None => None,
    };
    let set = reader.required("set").and_then(|node| rules::mapping(node, findings));
    let (table, set) = table.zip(set)?;
    if set.columns.is_empty() {
        findings.error(reader.span, "[step.set] is empty", None);
    }
    Some(StepKind::Update(Update { table, filter, key, set }))
}

fn sql(reader: &mut Reader<'_, '_>) -> Option<StepKind> {
    let sql = reader.string("sql");
    let undo = reader.string("undo");
    let transaction = reader.boolean("transaction").unwrap_or(true);
    Some(StepKind::Sql(SqlStep { sql: sql?, undo, transaction }))
}

fn expect(reader: &mut Reader<'_, '_>, kind: &str, files: bool) -> Expect {
    let findings = reader.findings();
    let Some(node) = reader.take("expect") else {
        return Expect::default();
    };
    let Some(mut inner) = Reader::of(node, findings) else {
        return Expect::default();
    };
    let most = i64::MAX as u64;
    let mut expect = Expect::default();
    if kind != "sql" {
        expect.source = inner.number("source", 0, most);
        expect.before = inner.number("before", 0, most);
        expect.after = inner.number("after", 0, most);
    }
    if kind == "copy" {
        expect.tables = inner.number("tables", 0, most);
    }
    if kind == "update" {
        expect.changed = inner.number("changed", 0, most);
    }
    if files {
        expect.files = inner.number("files", 0, most);
    }
    inner.finish();
    expect
}

/// Rules that make no sense in this kind of step.
pub fn misplaced(step: &Step, node: &Node<'_>, findings: &Findings) {
    for (column, rule) in step.kind.mapping().iter().flat_map(|mapping| &mapping.columns) {
        each_rule(rule, &mut |rule| {
            let problem = match (rule, &step.kind) {
                (Rule::File(_), StepKind::Copy(_) | StepKind::Update(_)) => {
                    "`file` belongs into a seed, or a copy of files"
                }
                (Rule::Children { .. }, StepKind::Seed(_) | StepKind::Update(_)) => {
                    "`children` belongs into a copy of a table"
                }
                (Rule::Sql(_), StepKind::Seed(_)) => {
                    "`sql` has no database to run in: the rows come from files or the plan"
                }
                _ => return,
            };
            findings.error(span(node), format!("column {column}: {problem}"), None);
        });
    }
}
