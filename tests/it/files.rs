//! Files as sources of `copy` and `seed`: every format and packing, resumed in the middle,
//! refused before anything is written.

mod make;
mod memory;
mod types;

use std::process::Stdio;

use crate::common::{Db, Store, World};

/// A plan without a source.
fn plan(target: &str, rest: &str) -> String {
    format!("name = \"files\"\n[target]\nurl = \"{target}\"\n{rest}\n")
}

fn copy(name: &str, files: &str, into: &str) -> String {
    format!("[[step]]\nname = \"{name}\"\ncopy = \"{files}\"\ninto = \"{into}\"\n")
}

#[track_caller]
fn refused(world: &World, text: &str, words: &[&str]) {
    world.write("p.toml", text);
    let before = std::fs::read(world.path("t.db")).unwrap();
    for command in ["check", "run"] {
        let ran = world.run(&[command, "p.toml"]).code(2);
        let all = format!("{}{}", ran.out, ran.err);
        for word in words {
            assert!(all.contains(word), "{command}: `{word}` is missing in:\n{all}");
        }
    }
    assert!(before == std::fs::read(world.path("t.db")).unwrap(), "nothing was touched");
}

#[test]
fn every_format_and_packing_arrives_equal_in_postgres() {
    every_format_and_packing(Db::Postgres);
}

#[test]
fn every_format_and_packing_arrives_equal_in_sqlite() {
    every_format_and_packing(Db::Sqlite);
}

#[test]
fn every_format_and_packing_arrives_equal_in_mariadb() {
    every_format_and_packing(Db::Mariadb);
}

fn every_format_and_packing(db: Db) {
    let rows = make::rows(200);
    let world = World::new();
    let store = Store::new(db, &world);
    let texts = [
        ("csv", make::csv(&rows, ',')),
        ("tsv", make::csv(&rows, '\t').replace('\n', "\r\n").replace("two\r\n", "two\n")),
        ("ndjson", make::ndjson(&rows)),
        ("json", format!("\u{feff}{}", make::json(&rows))),
    ];
    let mut names = vec!["rows.parquet".to_owned()];
    make::parquet(&world.path("rows.parquet"), &rows);
    for (ending, text) in &texts {
        let plain = text.as_bytes().to_vec();
        for (packing, bytes) in
            [("", plain.clone()), (".gz", make::gzip(&plain)), (".zst", make::zstd(&plain))]
        {
            let name = format!("rows.{ending}{packing}");
            std::fs::write(world.path(&name), bytes).unwrap();
            names.push(name);
        }
    }
    let mut text = String::from("[defaults]\nbatch_rows = 70\n");
    for (number, name) in names.iter().enumerate() {
        store.sql(&match db {
            Db::Postgres => format!("CREATE TABLE t{number} (id bigint PRIMARY KEY, name text, amount numeric(18,3), data jsonb)"),
            Db::Sqlite => format!("CREATE TABLE t{number} (id INTEGER PRIMARY KEY, name TEXT, amount TEXT, data JSON)"),
            Db::Mariadb => format!("CREATE TABLE t{number} (id bigint PRIMARY KEY, name text, amount decimal(18,3), data json)"),
        });
        let kind = if number % 2 == 0 { "copy" } else { "seed" };
        text += &format!(
            "[[step]]\nname = \"{name}\"\n{kind} = \"{name}\"\ninto = \"t{number}\"\n\
             expect = {{ source = 200, before = 0, after = 200, files = 1 }}\n"
        );
    }
    world.write("p.toml", &plan(&store.url(), &text));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    assert_eq!(ran.events("step_finished").len(), names.len());
    let expected = make::shown(&rows, |data| match db {
        Db::Postgres => data.replace("1e2", "100"),
        _ => data.to_owned(),
    });
    for (number, name) in names.iter().enumerate() {
        let cells = "id, replace(replace(name, '\n', '~'), '\t', '^'), amount, data";
        let mut found = store.rows(&format!("SELECT {cells} FROM t{number} ORDER BY id"));
        if db == Db::Mariadb {
            // Its client shows the text `NULL` as NULL.
            for (found, expected) in found.iter_mut().zip(&expected) {
                if expected.contains("|NULL|") {
                    found.clone_from(expected);
                }
            }
        }
        assert_eq!(found, expected, "{db:?} {name}");
    }
    world.run(&["verify", "p.toml"]).ok();
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert_eq!(store.rows("SELECT count(*) FROM t0"), ["0"]);
}

/// Rows of a CSV text under a format, in SQLite: each as `id|a|b`.
fn read_csv(format: &str, bytes: &[u8]) -> Vec<String> {
    let world = World::new();
    world.sqlite("t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT)");
    std::fs::write(world.path("f.csv"), bytes).unwrap();
    let text = format!("{}{format}", copy("f", "f.csv", "t"));
    world.write("p.toml", &plan("sqlite:t.db", &text));
    world.run(&["run", "p.toml"]).ok();
    let rows = world.sqlite_rows("t.db", "SELECT * FROM t ORDER BY id");
    rows.into_iter().map(|row| row.replace('\n', "~").replace('\r', "^")).collect()
}

#[test]
fn nothing_empty_and_the_word_null_are_told_apart() {
    let text = b"id,a,b\n1,,\"\"\n2,NULL,\"NULL\"\n3,\\N,\"\\N\"\n";
    assert_eq!(read_csv("", text), ["1|∅|", "2|NULL|NULL", "3|\\N|\\N"]);
    let one = "format = { null = \"\\\\N\" }";
    assert_eq!(read_csv(one, text), ["1||", "2|NULL|NULL", "3|∅|\\N"]);
    let two = "format = { null = [\"\", \"NULL\"] }";
    assert_eq!(read_csv(two, text), ["1|∅|", "2|∅|NULL", "3|\\N|\\N"]);
    assert_eq!(read_csv("format = { null = [] }", text)[0], "1||");
}

#[test]
fn dialects_of_csv() {
    let same = ["1|x;y|say \"it's\"", "2|two~lines|∅", "3| blank |,"];
    for (format, text) in [
        ("", "id,a,b\n1,x;y,\"say \"\"it's\"\"\"\n2,\"two\nlines\",\n3, blank ,\",\"\n"),
        // A mark, CR LF, empty lines, no line's end at the end.
        (
            "",
            "\u{feff}id,a,b\r\n1,x;y,\"say \"\"it's\"\"\"\r\n\r\n2,\"two\nlines\",\r\n3, blank ,\",\"",
        ),
        (
            "format = { delimiter = \";\", quote = \"'\", comment = \"#\" }",
            "# by hand\nid;a;b\n1;'x;y';'say \"it''s\"'\n# 9;9;9\n2;'two\nlines';\n3; blank ;,\n",
        ),
        (
            "format = { escape = \"\\\\\", header = false, columns = [\"id\", \"a\", \"b\"] }",
            "1,x;y,\"say \\\"it's\\\"\"\n2,two\\\nlines,\n3, blank ,\\,\n",
        ),
        (
            "format = { delimiter = \"|\", quote = \"\", columns = [\"id\", \"a\", \"b\"] }",
            "ID|Alpha|Beta\n1|x;y|say \"it's\"\n3| blank |,\n",
        ),
        (
            "format = { delimiter = \"\\t\" }",
            "b\tid\ta\n\"say \"\"it's\"\"\"\t1\tx;y\n\t2\t\"two\nlines\"\n,\t3\t blank \n",
        ),
    ] {
        let found = read_csv(format, text.as_bytes());
        let same: Vec<&str> = match format.contains("quote = \"\"") {
            true => vec![same[0], same[2]],
            false => same.to_vec(),
        };
        assert_eq!(found, same, "{format}\n{text}");
    }
}

#[test]
fn killed_in_mid_file_it_goes_on_at_the_row() {
    let rows = make::rows(200);
    let points = ["chunks_stored", "fetched:4", "mapped:3", "before_commit:4", "after_commit:7"];
    for (at, point) in points.iter().chain(&["chunk_done"]).enumerate() {
        let db = Db::ALL[at % 2];
        let (world, from) = (World::new(), ["a.csv.gz", "b.json.zst", "c.parquet"][at % 3]);
        let store = Store::new(db, &world);
        store.sql("CREATE TABLE t (n integer PRIMARY KEY, name text)");
        std::fs::write(world.path("a.csv.gz"), make::gzip(make::csv(&rows, ',').as_bytes()))
            .unwrap();
        std::fs::write(world.path("b.json.zst"), make::zstd(make::json(&rows).as_bytes())).unwrap();
        make::parquet(&world.path("c.parquet"), &rows);
        let text = format!(
            "[defaults]\nbatch_rows = 13\n{}[step.columns]\nn = \"id\"\nname = \"name\"\n",
            copy("f", from, "t")
        );
        world.write("p.toml", &plan(&store.url(), &text));
        let mut command = world.command(&["run", "p.toml"]);
        let killed = command.env("TABLELIFT_FAIL_POINT", point).output().unwrap();
        assert_eq!(killed.status.code(), None, "{point}: the kill landed");
        if point.starts_with("after_commit") {
            assert_eq!(store.rows("SELECT count(*) FROM t"), ["91"], "{point}: half of it");
        }
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        let done = &ran.events("step_finished")[0];
        assert_eq!((&done["source_rows"], &done["copied"]), (&200.into(), &200.into()), "{point}");
        let expected: Vec<String> = make::shown(&rows, |_| String::new())
            .iter()
            .map(|row| row.rsplitn(3, '|').last().unwrap().to_owned())
            .collect();
        let cells = "n, replace(replace(name, '\n', '~'), '\t', '^')";
        let found = store.rows(&format!("SELECT {cells} FROM t ORDER BY n"));
        assert_eq!(found, expected, "{point} {from}");
    }
}

#[test]
fn a_file_that_changed_before_the_resume_is_refused() {
    let world = World::new();
    world.sqlite("t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
    std::fs::create_dir(world.path("data")).unwrap();
    let file = |from: u32| -> String {
        let lines = (from..from + 50).map(|id| format!("{id},n{id}\n"));
        format!("id,name\n{}", lines.collect::<String>())
    };
    world.write("data/a.csv", &file(1));
    world.write("data/b.csv", &file(51));
    let text = format!("[defaults]\nbatch_rows = 20\n{}", copy("f", "data/*.csv", "t"));
    world.write("p.toml", &plan("sqlite:t.db", &text));
    let mut command = world.command(&["run", "p.toml"]);
    let killed = command.env("TABLELIFT_FAIL_POINT", "after_commit:3").output().unwrap();
    assert_eq!(killed.status.code(), None);
    let refused = |words: &[&str]| {
        let before = std::fs::read(world.path("t.db")).unwrap();
        let ran = world.run(&["run", "p.toml"]).code(2);
        for word in words.iter().chain(&["rollback --step", "p.toml:6"]) {
            assert!(ran.err.contains(word), "`{word}` is missing in {}", ran.err);
        }
        assert!(before == std::fs::read(world.path("t.db")).unwrap(), "nothing was touched");
    };
    world.write("data/b.csv", &file(51).replace("n77", "n78"));
    refused(&["data/b.csv changed"]);
    world.write("data/b.csv", &file(51));
    world.write("data/c.csv", &file(201));
    refused(&["data/c.csv is new"]);
    std::fs::remove_file(world.path("data/c.csv")).unwrap();
    std::fs::rename(world.path("data/b.csv"), world.path("b.csv")).unwrap();
    refused(&["data/b.csv is gone"]);
    std::fs::rename(world.path("b.csv"), world.path("data/b.csv")).unwrap();
    world.run(&["run", "p.toml"]).ok();
    let rows = world.sqlite_rows("t.db", "SELECT count(*), count(DISTINCT name), max(id) FROM t");
    assert_eq!(rows, ["100|100|100"]);
    // What is done is not read again.
    std::fs::remove_file(world.path("data/a.csv")).unwrap();
    world.run(&["run", "p.toml"]).ok();
}

#[test]
fn what_is_malformed_is_found_before_the_first_write() {
    let world = World::new();
    world.sqlite("t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
    let good: String = (1..=900).map(|id| format!("{id},\"two\nlines {id}\"\n")).collect();
    let csv = |bad: &[u8]| [b"id,name\n".as_slice(), good.as_bytes(), bad].concat();
    let whole = csv(b"");
    let lines = |bad: &[u8]| [b"{\"id\":1}\n\n{\"id\":2}\n".as_slice(), bad].concat();
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 9].to_vec();
    make::parquet(&world.path("whole.parquet"), &make::rows(99));
    let parquet = std::fs::read(world.path("whole.parquet")).unwrap();
    let mut torn = parquet.clone();
    torn[200..900].fill(0x5a);
    for (name, bytes, words) in [
        ("f.csv", csv(b"901\n"), "line 1802: 1 fields, there are 2 columns"),
        ("f.csv", csv(b"901,a,b\n"), "line 1802: 3 fields"),
        ("f.csv", csv(b"901,\"a\n902,b\n"), "line 1802: a quoted field never ends"),
        ("f.csv", csv(b"901,a\"b\n"), "line 1802: a quote inside"),
        ("f.csv", csv(b"901,a\xff\n"), "line 1802: field 2 is not UTF-8"),
        ("f.csv", b"id,id\n1,2\n".to_vec(), "`id` stands twice"),
        ("f.csv", Vec::new(), "the header line is missing"),
        ("f.csv.gz", cut(make::gzip(&whole)), "cut off"),
        ("f.csv.zst", cut(make::zstd(&whole)), "cut off"),
        ("f.csv.gz", whole.clone(), "f.csv.gz"),
        ("f.ndjson", lines(b"{\"id\":3,}\n"), "line 4"),
        ("f.ndjson", lines(b"{\"id\":3,\"id\":4}\n"), "line 4: the key `id` stands twice"),
        ("f.ndjson", lines(b"[3]\n"), "line 4"),
        ("f.ndjson", lines(b"\"\xff\"\n"), "line 4: not UTF-8"),
        ("f.json", b"[\n{\"id\":1},\n{\"id\":2}\n".to_vec(), "line 4"),
        ("f.json", b"[{\"id\":1},\n7]".to_vec(), "row 2"),
        ("f.json", b"[{\"id\":1}] x".to_vec(), "trailing"),
        ("f.json", b"{\"id\":1}".to_vec(), "array"),
        ("f.parquet", cut(parquet.clone()), "Parquet"),
        ("f.parquet", torn, "Parquet"),
        ("f.ndjson", b"\n".to_vec(), "there is no row"),
    ] {
        std::fs::write(world.path(name), bytes).unwrap();
        refused(&world, &plan("sqlite:t.db", &copy("f", name, "t")), &[name, words]);
    }
    refused(&world, &plan("sqlite:t.db", &copy("f", "nope-*.csv", "t")), &["nope-*.csv", "folder"]);
    world.write("f.csv", "id,nmae\n1,x\n");
    refused(&world, &plan("sqlite:t.db", &copy("f", "f.csv", "t")), &["nmae"]);
    let expect = format!("{}expect = {{ source = 3 }}", copy("f", "f.csv", "t"));
    world.write("f.csv", "id,name\n1,x\n");
    world.write("p.toml", &plan("sqlite:t.db", &expect));
    world.run(&["run", "p.toml"]).code(3);
    assert!(world.sqlite_rows("t.db", "SELECT * FROM t").is_empty());
}

#[test]
fn what_makes_no_sense_for_files_is_refused_by_name() {
    let world = World::new();
    world.sqlite("t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
    world.write("f.csv", "id,name\n1,x\n");
    let step = |more: &str| plan("sqlite:t.db", &format!("{}{more}", copy("f", "f.csv", "t")));
    let columns = |rule: &str| step(&format!("[step.columns]\nid = \"id\"\nname = {rule}"));
    refused(&world, &step("where = \"id > 1\""), &["`where`", "p.toml:8"]);
    refused(&world, &step("key = \"id\""), &["`key`", "p.toml:8"]);
    refused(&world, &columns("{ sql = \"id\" }"), &["`sql`", "column name"]);
    let children = "{ children = \"c\", match = { a = \"id\" }, json = \"*\" }";
    refused(&world, &columns(children), &["`children`", "column name"]);
    refused(&world, &step("format = { delimeter = \";\" }"), &["delimeter", "delimiter"]);
    refused(&world, &step("format = { delimiter = \";;\" }"), &["one ASCII character"]);
    refused(&world, &step("format = { delimiter = \"\\\"\" }"), &["one character"]);
    refused(&world, &step("format = { header = false }"), &["columns"]);
    refused(&world, &step("format = { columns = [\"id\"] }"), &["the header has 2 columns"]);
    refused(&world, &step("at = \"rows\""), &["`at`", ".json"]);
    let mixed = step("").replace("\"f.csv\"", "[\"f.csv\", \"t\"]");
    refused(&world, &mixed, &["`t` is no file", ".parquet"]);
    refused(&world, &step("").replace("f.csv", "t"), &["`source` is missing"]);
    let moved = format!(
        "{}[[step]]\nname = \"two\"\ncopy = \"f.csv\"\ninto = \"u\"\n[step.columns]\nid = {{ moved = \"t\", from = \"id\" }}\n",
        copy("f", "f.csv", "t")
    );
    refused(&world, &plan("sqlite:t.db", &moved), &["`moved`", "reads files"]);
    let table = "[source]\nurl = \"sqlite:t.db\"\n[[step]]\nname = \"f\"\ncopy = \"t\"\ninto = \"t\"\nformat = {}";
    refused(
        &world,
        &plan("sqlite:t.db", table),
        &["`format` belongs into a step that reads files"],
    );
}

#[test]
fn rules_of_a_copy_work_on_files() {
    let (world, db) = (World::new(), Db::Postgres);
    let store = Store::new(db, &world);
    store.sql(
        "CREATE TABLE kinds (id serial PRIMARY KEY, code text UNIQUE);
         INSERT INTO kinds (code) VALUES ('a'), ('b');
         CREATE TABLE people (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), old integer);
         CREATE TABLE notes (id integer PRIMARY KEY, kind integer NOT NULL REFERENCES kinds, person uuid,
           dark boolean, at timestamptz, file text, title text, rest jsonb);",
    );
    world.sqlite("s.db", "CREATE TABLE people (id INTEGER PRIMARY KEY, n TEXT); INSERT INTO people VALUES (7, 'x'), (8, 'y');");
    let note = |id: u32, kind: &str| {
        format!(
            "{{\"id\":{id},\"kind\":\"{kind}\",\"person\":{},\"theme\":\"D\",\"at\":\"2024-01-31 10:00:00\",\"extra\":[{id}.50]}}",
            id % 2 + 7
        )
    };
    let document = |title: &str, notes: &[String]| {
        format!("{{\"lib\":{{\"title\":\"{title}\",\"notes\":[{}]}}}}", notes.join(","))
    };
    world.write("n1.json", &document("one", &[note(1, "a"), note(2, "b")]));
    world.write("n2.json", &document("two", &[note(3, "b"), note(4, "none"), note(5, "a")]));
    let text = format!(
        "name = \"rules\"\n[source]\nurl = \"sqlite:s.db\"\n[target]\nurl = \"{}\"\n\
         [[step]]\nname = \"people\"\ncopy = \"people\"\ninto = \"people\"\n[step.columns]\nold = \"id\"\n\
         [[step]]\nname = \"notes\"\ncopy = \"n?.json\"\nat = \"lib.notes\"\ninto = \"notes\"\nmax_rejects = 1\n\
         expect = {{ source = 5, after = 4, files = 2 }}\n[step.columns]\nid = \"id\"\n\
         kind = {{ lookup = \"kinds\", match = {{ code = \"kind\" }}, take = \"id\" }}\n\
         person = {{ moved = \"people\", from = \"person\" }}\n\
         dark = {{ from = \"theme\", map = {{ D = true, L = false }} }}\n\
         at = {{ from = \"at\", cast = \"timestamptz\" }}\n\
         file = {{ file = \"$name\" }}\ntitle = {{ file = \"lib.title\" }}\nrest = {{ json = \"*\" }}\n",
        store.url()
    );
    world.write("p.toml", &text);
    let preview = world.run(&["run", "p.toml", "--dry-run"]).ok();
    assert!(preview.out.contains("notes (copy, 5 rows"), "{}", preview.out);
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    let reject = &ran.events("row_rejected")[0];
    assert!(reject["reason"].as_str().unwrap().ends_with("(n2.json, row 2)"), "{reject}");
    let ask = "SELECT n.id, k.code, p.old, dark, at AT TIME ZONE 'UTC', file, title, rest \
               FROM notes n JOIN kinds k ON k.id = n.kind JOIN people p ON p.id = n.person ORDER BY 1";
    let row = |id: u32, kind: &str, file: &str, title: &str| {
        let old = id % 2 + 7;
        format!("{id}|{kind}|{old}|t|2024-01-31 10:00:00|{file}|{title}|{{\"extra\": [{id}.50]}}")
    };
    let expected = [
        row(1, "a", "n1.json", "one"),
        row(2, "b", "n1.json", "one"),
        row(3, "b", "n2.json", "two"),
        row(5, "a", "n2.json", "two"),
    ];
    assert_eq!(store.rows(ask), expected);
    world.run(&["status", "p.toml"]).ok();
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    assert_eq!(store.rows("SELECT count(*) FROM notes"), ["0"]);
}

#[test]
fn a_file_without_rows_is_fine_where_its_header_names_them() {
    let world = World::new();
    world.sqlite("t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
    world.write("a.csv", "id,name\n");
    let step = format!("{}expect = {{ source = 0, after = 0 }}", copy("f", "a.csv", "t"));
    world.write("p.toml", &plan("sqlite:t.db", &step));
    world.run(&["run", "p.toml"]).ok();
    let mut child = world.command(&["status", "p.toml"]).stdout(Stdio::null()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
}
