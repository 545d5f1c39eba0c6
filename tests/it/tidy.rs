//! The house's own rules, checked.

use std::path::{Path, PathBuf};

fn sources(under: &str) -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                out.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(under), &mut files);
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

fn room(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file without its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// What each room may name. A new edge is a visible change here.
const FLOORS: &[(&str, &[&str])] = &[
    ("value", &[]),
    ("fail", &[]),
    ("error", &[]),
    ("event", &[]),
    ("key", &["error", "value"]),
    ("sql", &["key", "value", "error"]),
    ("mapping", &["key", "sql", "value"]),
    ("plan", &["mapping", "value"]),
    ("job", &["mapping", "plan", "sql"]),
    ("draft", &["mapping", "sql"]),
    ("db", &["error", "fail", "key", "mapping", "plan", "sql", "value"]),
    ("ledger", &["db", "error", "event", "key", "sql", "value"]),
    ("throttle", &["db", "error", "event", "plan", "sql"]),
    (
        "engine",
        &[
            "db", "error", "event", "fail", "job", "key", "ledger", "mapping", "plan", "sql",
            "throttle", "value",
        ],
    ),
    (
        "verify",
        &[
            "db", "engine", "error", "event", "fail", "job", "key", "ledger", "mapping", "plan",
            "sql", "throttle", "value",
        ],
    ),
    (
        "steps",
        &[
            "db", "engine", "error", "event", "fail", "job", "key", "ledger", "mapping", "plan",
            "sql", "throttle", "value",
        ],
    ),
    (
        "run",
        &[
            "db", "draft", "engine", "error", "event", "fail", "job", "key", "ledger", "plan",
            "live", "report", "sql", "steps", "throttle", "value", "verify",
        ],
    ),
    ("report", &["event"]),
    ("live", &["error", "event", "report"]),
    ("demo", &["db", "error", "plan", "sql"]),
];

#[test]
fn imports_follow_the_floors() {
    for (path, text) in sources("src") {
        let room = room(&path);
        if ["main", "lib", "cli"].contains(&room.as_str()) {
            continue;
        }
        let allowed = FLOORS.iter().find(|(name, _)| *name == room);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{} has no floor", path.display()));
        for part in code(&text).split("crate::").skip(1) {
            let name: String =
                part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            assert!(
                name.is_empty() || name == room || allowed.contains(&name.as_str()),
                "{}: {room} may not name {name}",
                path.display()
            );
        }
    }
}

#[test]
fn drivers_stay_in_db() {
    for (path, text) in sources("src") {
        for word in ["sqlx::", "rusqlite::", "AssertSqlSafe", "copy_in_raw", "copy_out_raw"] {
            assert!(room(&path) == "db" || !text.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn names_are_quoted_by_their_dialect() {
    // Double quotes are right where one database is meant.
    let own = ["sql", "db/postgres", "db/sqlite", "db/indexes.rs", "mapping/render"];
    for (path, text) in sources("src") {
        let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
        let bare = code(&text).replace(".quote(", "").replace(".quote_list(", "");
        let uses = [" quote(", "(quote(", " quote_list("].iter().any(|word| bare.contains(word));
        assert!(
            !uses || own.iter().any(|room| inside.starts_with(room)),
            "{} quotes a name without its dialect",
            path.display()
        );
    }
}

#[test]
fn the_library_never_prints_reads_the_environment_or_exits() {
    for (path, text) in sources("src") {
        if ["main", "cli"].contains(&room(&path).as_str()) {
            continue;
        }
        for word in ["println!", "eprint", "env::var", "process::exit", "todo!", "dbg!", "unsafe "]
        {
            assert!(!code(&text).contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn files_and_functions_stay_readable() {
    for (path, text) in ["src", "tests", "fuzz/src"].into_iter().flat_map(sources) {
        let lines = text.lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
        let mut begun = None;
        for (number, line) in text.lines().enumerate() {
            let head = line.trim_start();
            let is_function = ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(super) fn "]
                .iter()
                .any(|start| head.starts_with(start));
            let indent = line.len() - head.len();
            if is_function {
                begun = Some((number, indent));
            }
            if let Some((first, at)) = begun.filter(|(_, at)| head == "}" && indent == *at) {
                let _ = at;
                let length = number - first;
                assert!(length <= 100, "{}:{} is {length} lines long", path.display(), first + 1);
                begun = None;
            }
        }
    }
}

/// Names in backquotes that look like those of tests.
fn named_tests(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect()
}

#[test]
fn the_table_of_pains_names_tests_that_exist() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pains.md");
    let table = std::fs::read_to_string(table).unwrap();
    let code: String =
        ["src", "tests"].into_iter().flat_map(sources).map(|(_, text)| text).collect();
    let is_test = |name: &str| {
        code.contains(&format!("#[test]\n    fn {name}("))
            || code.contains(&format!("#[test]\nfn {name}("))
    };
    for number in 1..=25 {
        let line = table.lines().find(|line| line.starts_with(&format!("| {number} |")));
        let tests = line.unwrap_or_else(|| panic!("pain {number} is not listed"));
        let tests = tests.rsplit(" | ").next().unwrap();
        let named = named_tests(tests);
        assert!(!named.is_empty() || tests.contains("waits for: "), "pain {number}: {tests}");
        for name in named {
            assert!(is_test(name), "pain {number} names {name}, which is no test");
        }
    }
    for name in code.split("fn p").skip(1).filter_map(|rest| rest.split('(').next()) {
        let number =
            name.get(..3).is_some_and(|it| it.ends_with('_') && it[..2].parse::<u8>().is_ok());
        assert!(!number || table.contains(&format!("`p{name}`")), "p{name} is not in the table");
    }
}

#[test]
fn every_test_file_is_compiled() {
    let all = sources("tests/it");
    for (path, _) in &all {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let declared = all.iter().any(|(_, text)| text.contains(&format!("mod {name};")));
        assert!(name == "main" || declared, "{name} is forgotten");
    }
}
