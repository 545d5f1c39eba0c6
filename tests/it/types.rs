//! PostgreSQL's types, all of them: exact from one PostgreSQL to another on every route, whatever
//! the session's settings; in JSON what to_jsonb makes of them; elsewhere their own text form.

use crate::common::{Db, Postgres, Ran, Store, World};

const TYPES: &str = "
CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE SCHEMA \"odd schema\";
CREATE TYPE mood AS ENUM ('sad', 'it''s \"ok\"', ''); CREATE TYPE \"odd schema\".\"Mixed Mood\" AS ENUM ('a,b', '(c)');
CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN best_mood AS mood CHECK (VALUE <> 'sad');
CREATE DOMAIN few AS int[] CHECK (cardinality(VALUE) < 4); CREATE DOMAIN price AS numeric(10,2);
CREATE TYPE pair AS (a text, b int); CREATE TYPE nest AS (p pair, m mood[], n numeric);
CREATE TYPE textrange AS RANGE (subtype = text);
";

/// A column's type, and values of it as SQL literals.
const COLUMNS: &[(&str, &[&str])] = &[
    ("smallint", &["'-32768'", "'32767'"]),
    ("integer", &["'-2147483648'", "'2147483647'"]),
    ("bigint", &["'-9223372036854775808'", "'9007199254740993'"]),
    (
        "numeric",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "'0.000'",
            "repeat('9', 100000)::numeric",
            "('0.' || repeat('0', 9999) || '1')::numeric",
        ],
    ),
    ("numeric(10,2)", &["'-12345678.90'", "'NaN'"]),
    ("numeric(5,-2)", &["'1234500'"]),
    (
        "real",
        &["'0.1'", "'-0'", "'3.4028235e38'", "'1e-45'", "'NaN'", "'-Infinity'", "'4601.15625'"],
    ),
    (
        "double precision",
        &["'0.1'", "'-0'", "'1.7976931348623157e308'", "'5e-324'", "'NaN'", "'Infinity'", "'1e23'"],
    ),
    ("money", &["'-92233720368547758.08'", "'12.34'"]),
    ("character(5)", &["'abc'", "''", "'é  x'"]),
    ("varchar(5)", &["'abc  '", "'é😀'"]),
    (
        "text",
        &[
            "''",
            "E'\\\\N'",
            "E'\\\\.'",
            "E'a\\tb\\r\\n\\\\.\\nc'",
            "'NULL'",
            "E'\\x01\\x7f'",
            "'😀\"''\\'",
            "repeat('é', 40000)",
        ],
    ),
    ("\"char\"", &["'x'", "''"]),
    ("name", &["'a name'"]),
    ("bytea", &["''", "'\\x00ff5c27220a'"]),
    ("boolean", &["true", "false"]),
    (
        "date",
        &[
            "'infinity'",
            "'-infinity'",
            "'4713-11-24 BC'",
            "'0044-03-15 BC'",
            "'5874897-12-31'",
            "'2024-02-29'",
        ],
    ),
    ("time", &["'24:00'", "'00:00:00.000001'"]),
    ("time(2)", &["'10:00:00.25'"]),
    ("timetz", &["'10:00+05:30'", "'24:00-15:59:59'"]),
    (
        "timestamp",
        &[
            "'294276-12-31 23:59:59.999999'",
            "'4713-11-24 BC'",
            "'infinity'",
            "'2024-02-29 10:00:00.5'",
        ],
    ),
    ("timestamp(3)", &["'2024-02-29 10:00:00.123'"]),
    (
        "timestamptz",
        &[
            "'294276-12-31 23:59:59.999999+00'",
            "'4713-11-24 00:00+00 BC'",
            "'-infinity'",
            "'2024-10-27 00:30+00'",
            "'2024-10-27 01:30+00'",
        ],
    ),
    (
        "interval",
        &[
            "'1 mon -3 days 04:05:06.789'",
            "'-178000000 years'",
            "'0'",
            "'-1 year -2 mons +3 days -04:05:06'",
        ],
    ),
    ("interval day to second(3)", &["'-838:59:59.123'"]),
    ("uuid", &["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"]),
    ("json", &["' {\"a\" : 1.10, \"a\": 1e400}'", "'[\"\\u0061\"]'", "'null'", "'\"x\"'"]),
    ("jsonb", &["'{\"b\": 1.10, \"a\": [null, \"é\\n\"]}'", "'null'", "'1e5'", "'\"s\"'"]),
    ("jsonpath", &["'$.a[*] ? (@ > 1)'"]),
    ("xml", &["'<a b=\"c\">é&amp;</a>'", "'text'"]),
    ("inet", &["'10.0.0.1'", "'10.0.0.1/8'", "'::1'"]),
    ("cidr", &["'10.0.0.0/8'", "'2001:db8::/32'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ("bit(5)", &["B'10101'"]),
    ("varbit", &["B''", "B'1'"]),
    ("point", &["'(0.1,-0)'", "'(NaN,Infinity)'"]),
    ("line", &["'{1,2,3}'"]),
    ("lseg", &["'[(1,2),(3,4)]'"]),
    ("box", &["'(3,4),(1,2)'"]),
    ("path", &["'[(1,2),(3,4)]'", "'((1,2),(3,4))'"]),
    ("polygon", &["'((1,2),(3,4),(5,6))'"]),
    ("circle", &["'<(1,2),3>'"]),
    ("tsvector", &["'''a b'':1A cat:3'"]),
    ("tsquery", &["'''a b'' & !c <-> d:*A'"]),
    ("pg_lsn", &["'16/B374D848'"]),
    ("pg_snapshot", &["'10:20:10,14'"]),
    ("txid_snapshot", &["'10:20:10,14'"]),
    ("oid", &["'4294967295'"]),
    ("xid", &["'4294967295'"]),
    ("xid8", &["'18446744073709551615'"]),
    ("cid", &["'7'"]),
    ("tid", &["'(4294967294,65535)'"]),
    ("regtype", &["'integer'"]),
    ("refcursor", &["'c\"1'"]),
    ("int2vector", &["'1 2 3'"]),
    ("oidvector", &["'1 2 3'"]),
    ("int4range", &["'empty'", "'[1,5)'", "'(,)'"]),
    ("int8range", &["'[1,)'"]),
    ("numrange", &["'(1.10,2.20]'", "'[NaN,NaN]'"]),
    ("tsrange", &["'[\"2024-01-01 00:00\",infinity]'"]),
    ("tstzrange", &["'[\"2024-01-01 00:00+00\",)'"]),
    ("daterange", &["'[2024-01-01,2024-02-01)'"]),
    ("textrange", &["'[\"a,\\\"b\",\"c)\"]'"]),
    ("int4multirange", &["'{}'", "'{[1,2),[5,)}'"]),
    ("nummultirange", &["'{[1.1,2.2]}'"]),
    ("tstzmultirange", &["'{[\"2024-01-01 00:00+00\",)}'"]),
    ("datemultirange", &["'{[2024-01-01,2024-02-01)}'"]),
    ("integer[]", &["'{}'", "'{NULL,1}'", "'{{1,2},{3,NULL}}'", "'[2:3]={1,2}'"]),
    ("text[]", &["'{}'", "ARRAY['NULL', NULL, '', 'a,b', E'q\"\\\\', '{}', ' ']"]),
    ("numeric(6,2)[]", &["'{NaN,1.10}'"]),
    ("timestamptz[]", &["'{infinity,\"2024-01-01 00:00+00\"}'"]),
    ("bytea[]", &["ARRAY['\\x00ff'::bytea, NULL]"]),
    ("jsonb[]", &["ARRAY['{\"a\": 1.10}'::jsonb, 'null', NULL]"]),
    ("interval[]", &["'{1 mon -3 days}'"]),
    ("boolean[]", &["'{t,f,NULL}'"]),
    ("mood", &["'it''s \"ok\"'", "''"]),
    ("mood[]", &["ARRAY['sad', '', NULL]::mood[]"]),
    ("\"odd schema\".\"Mixed Mood\"", &["'a,b'", "'(c)'"]),
    ("positive", &["7"]),
    ("positive[]", &["'{7,8}'"]),
    ("best_mood", &["''"]),
    ("few", &["'{1,2,3}'"]),
    ("price", &["'12.30'"]),
    ("pair", &["('a\"b, (c) \\', 1)", "(NULL, NULL)", "('', NULL)"]),
    ("pair[]", &["ARRAY[('x,y', 1)::pair, (NULL, 2)::pair, NULL]"]),
    ("nest", &["(('p', 1)::pair, ARRAY['sad']::mood[], 1.10)"]),
    ("hstore", &["'\"a b\"=>\"c\\\"d\", n=>NULL'", "''"]),
    ("citext", &["'MiXed'"]),
];

/// Types whose binary form may hold what one server alone knows: they travel as text.
const AS_TEXT: &[&str] = &[
    "money",
    "character(5)",
    "\"char\"",
    "name",
    "jsonpath",
    "xml",
    "pg_lsn",
    "pg_snapshot",
    "txid_snapshot",
    "oid",
    "xid",
    "xid8",
    "cid",
    "tid",
    "regtype",
    "refcursor",
    "int2vector",
    "oidvector",
    "textrange",
    "int4multirange",
    "nummultirange",
    "tstzmultirange",
    "datemultirange",
    "mood",
    "mood[]",
    "\"odd schema\".\"Mixed Mood\"",
    "positive[]",
    "best_mood",
    "pair",
    "pair[]",
    "nest",
    "hstore",
    "citext",
];

/// What reads values without a session's habits.
const PLAIN: &str = "SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; \
     SET bytea_output = 'hex'; SET extra_float_digits = 1; SET lc_monetary = 'C';";

/// `binary`: of the types alone that travel as bytes.
fn table(name: &str, binary: bool) -> String {
    let list: Vec<String> = COLUMNS
        .iter()
        .enumerate()
        .filter(|(_, (ty, _))| !binary || !AS_TEXT.contains(ty))
        .map(|(at, (ty, _))| format!("c{at} {ty}"))
        .collect();
    format!("CREATE TABLE {name} (id int PRIMARY KEY, {});", list.join(", "))
}

fn rows() -> String {
    let most = COLUMNS.iter().map(|(_, values)| values.len()).max().unwrap();
    let mut rows: Vec<String> = (0..most)
        .map(|row| {
            let cells: Vec<&str> =
                COLUMNS.iter().map(|(_, values)| values[row % values.len()]).collect();
            format!("INSERT INTO s VALUES ({row}, {});", cells.join(", "))
        })
        .collect();
    rows.push("INSERT INTO s (id) VALUES (99);".to_owned());
    rows.concat()
}

/// The settings of a database whose users like them otherwise.
fn odd(database: &Postgres) {
    let name = database.url.rsplit('/').next().unwrap();
    for setting in [
        "timezone = 'Asia/Tokyo'",
        "datestyle = 'SQL, DMY'",
        "intervalstyle = 'sql_standard'",
        "bytea_output = 'escape'",
        "extra_float_digits = 0",
        "xmloption = 'document'",
    ] {
        database.sql(&format!("ALTER DATABASE {name} SET {setting}"));
    }
}

fn plan(source: &str, target: &str, conflict: &str, steps: &str) -> String {
    format!(
        "name = \"types\"\n[source]\nurl = \"{source}\"\n[target]\nurl = \"{target}\"\n\
         [defaults]\nbatch_rows = 3\nmax_rejects = 50\non_conflict = \"{conflict}\"\n{steps}"
    )
}

const BOTH: &str = "[[step]]\nname = \"plain\"\ncopy = \"s\"\ninto = \"t\"\n\
     [[step]]\nname = \"fold\"\ncopy = \"s\"\ninto = \"j\"\n[step.columns]\nid = \"id\"\ndata = { json = \"*\" }\n";

#[test]
fn every_type_is_exact_on_every_route_and_in_json() {
    let source = Postgres::new();
    source.sql(&format!("{TYPES}{}", table("s", false)));
    source.sql(&format!("SET xmloption = 'content'; {}", rows()));
    odd(&source);
    let narrow: Vec<String> = (0..COLUMNS.len())
        .filter(|at| !AS_TEXT.contains(&COLUMNS[*at].0))
        .map(|at| format!("c{at}"))
        .collect();
    source.sql(&format!("CREATE VIEW b AS SELECT id, {} FROM s", narrow.join(", ")));
    let other = Postgres::new();
    other.sql(TYPES);
    odd(&other);
    for (target, from, conflict, route) in [
        (&other, "b", "fail", "pipe"),
        (&other, "s", "fail", "decode"),
        (&other, "s", "skip", "decode"),
        (&source, "s", "fail", "pushdown"),
    ] {
        let binary = from == "b";
        let world = World::new();
        let list = table("t", binary);
        target.sql(&format!("{list} CREATE TABLE j (id int PRIMARY KEY, data jsonb)"));
        let steps = BOTH.replace("copy = \"s\"", &format!("copy = \"{from}\"\nkey = \"id\""));
        world.write("p.toml", &plan(&source.url, &target.url, conflict, &steps));
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        let taken = ran.events("step_finished")[0]["route"].as_str().unwrap().to_owned();
        assert!(taken.starts_with(route), "{taken}");
        assert_eq!(ran.events("row_rejected").len(), 0, "{}", ran.out);
        let rows = |database: &Postgres, what: &str, from: &str| {
            let text = format!("{PLAIN} SELECT id, md5(({what})::text) FROM {from} ORDER BY id");
            database.rows(&text)
        };
        if rows(target, "t", "t") != rows(&source, from, from) {
            differing(&source, target, binary);
        }
        assert_eq!(rows(target, "t", "t"), rows(&source, from, from), "{taken}");
        let expected = rows(&source, &format!("to_jsonb({from}) - 'id'"), from);
        assert_eq!(rows(target, "data", "j"), expected, "{taken}");
        world.run(&["rollback", "p.toml", "--yes"]).ok();
        target.sql("DROP TABLE t, j");
    }
}

/// Says which column differs.
fn differing(source: &Postgres, target: &Postgres, binary: bool) {
    for (at, (ty, _)) in COLUMNS.iter().enumerate() {
        if binary && AS_TEXT.contains(ty) {
            continue;
        }
        let rows = |database: &Postgres, table: &str| {
            database.rows(&format!("{PLAIN} SELECT left(c{at}::text, 99) FROM {table} ORDER BY id"))
        };
        assert_eq!(rows(source, "s"), rows(target, "t"), "{ty}");
    }
}

#[test]
fn elsewhere_every_type_is_its_text() {
    let source = Postgres::new();
    source.sql(&format!("{TYPES}{}{}", table("s", false), rows()));
    odd(&source);
    let shown = |(at, (ty, _)): (usize, &(&str, &[&str]))| match *ty {
        "bytea" => format!("encode(c{at}, 'hex')"),
        // Blanks at its end are no part of such a text; true is not t.
        "character(5)" | "boolean" => format!("encode(convert_to(c{at}::text, 'UTF8'), 'hex')"),
        // A cast adds to some what the type itself doesn't print (inet).
        _ => format!(
            "CASE WHEN num_nulls(c{at}) = 0 THEN encode(convert_to(format('%s', c{at}), 'UTF8'), 'hex') END"
        ),
    };
    let list: Vec<String> = COLUMNS.iter().enumerate().map(shown).collect();
    let expected = source.rows(&format!("{PLAIN} SELECT {} FROM s ORDER BY id", list.join(", ")));
    let hex = |at: usize| format!("CASE WHEN c{at} IS NOT NULL THEN lower(hex(c{at})) END");
    let list: Vec<String> = (0..COLUMNS.len()).map(hex).collect();
    let found = format!("SELECT {} FROM t ORDER BY id", list.join(", "));
    for db in [Db::Sqlite, Db::Mariadb] {
        let world = World::new();
        let target = Store::new(db, &world);
        let list: Vec<String> = COLUMNS
            .iter()
            .enumerate()
            .map(|(at, (ty, _))| match (*ty, db) {
                ("bytea", Db::Sqlite) => format!("c{at} BLOB"),
                ("bytea", _) => format!("c{at} longblob"),
                (_, Db::Sqlite) => format!("c{at} TEXT"),
                _ => format!("c{at} longtext"),
            })
            .collect();
        target.sql(&format!("CREATE TABLE t (id integer PRIMARY KEY, {})", list.join(", ")));
        for conflict in ["fail", "skip"] {
            let steps = "[[step]]\nname = \"plain\"\ncopy = \"s\"\ninto = \"t\"\n";
            world.write("p.toml", &plan(&source.url, &target.url(), conflict, steps));
            let ran = world.run(&["run", "p.toml", "--json"]).ok();
            assert_eq!(ran.events("row_rejected").len(), 0, "{}", ran.out);
            let sides = [&expected, &target.rows(&found)];
            for (one, two) in sides[0].iter().zip(sides[1]) {
                for ((one, two), (ty, _)) in one.split('|').zip(two.split('|')).zip(COLUMNS) {
                    assert_eq!(one, two, "{db:?} {ty}");
                }
            }
            assert_eq!(sides[0].len(), sides[1].len());
            world.run(&["rollback", "p.toml", "--yes"]).ok();
        }
    }
}

fn rejects(ran: &Ran) -> Vec<String> {
    let mut all: Vec<String> = ran
        .events("row_rejected")
        .iter()
        .map(|event| format!("{} {}", event["key"], event["reason"]))
        .collect();
    all.sort();
    all
}

#[test]
fn a_label_that_the_target_has_not_is_a_reject() {
    let (world, source, target) = (World::new(), Postgres::new(), Postgres::new());
    source.sql("CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE s (id int PRIMARY KEY, m mood); INSERT INTO s VALUES (1, 'a'), (2, 'b')");
    target.sql("CREATE TYPE mood AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, m mood)");
    let steps = "[[step]]\nname = \"plain\"\ncopy = \"s\"\ninto = \"t\"\n";
    world.write("p.toml", &plan(&source.url, &target.url, "fail", steps));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    let event = &ran.events("row_rejected")[0];
    assert_eq!((event["key"].as_i64(), event["column"].as_str()), (Some(2), Some("m")), "{event}");
    assert!(event["reason"].as_str().unwrap().contains("mood"), "{event}");
    assert_eq!(target.rows("SELECT id, m FROM t"), ["1|a"]);
}

#[test]
fn partitions_parents_identities_and_generated_columns() {
    for joint in [false, true] {
        let (world, source, other) = (World::new(), Postgres::new(), Postgres::new());
        source.sql(
            "CREATE TABLE s (id int, n int, PRIMARY KEY (id, n)) PARTITION BY RANGE (n);
             CREATE TABLE s1 PARTITION OF s FOR VALUES FROM (0) TO (4); CREATE TABLE s2 PARTITION OF s DEFAULT;
             INSERT INTO s SELECT n, n FROM generate_series(1, 6) n;
             CREATE TABLE parent (id int PRIMARY KEY, v text); CREATE TABLE child (extra int) INHERITS (parent);
             INSERT INTO parent VALUES (1, 'p'); INSERT INTO child VALUES (2, 'c', 0), (3, 'd', 0);",
        );
        let target = if joint { &source } else { &other };
        target.sql(
            "CREATE TABLE t (id int, n int, twice int GENERATED ALWAYS AS (n * 2) STORED) PARTITION BY LIST (n);
             CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1, 2, 3); CREATE TABLE t2 PARTITION OF t FOR VALUES IN (6);
             CREATE TABLE flat (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);",
        );
        let steps = "[[step]]\nname = \"parts\"\ncopy = \"s\"\ninto = \"t\"\n\
             [[step]]\nname = \"family\"\ncopy = \"parent\"\ninto = \"flat\"\nexpect = { source = 3, after = 3 }\n";
        world.write("p.toml", &plan(&source.url, &target.url, "fail", steps));
        let ran = world.run(&["run", "p.toml", "--json"]).ok();
        assert_eq!(target.rows("SELECT n, twice FROM t ORDER BY n"), ["1|2", "2|4", "3|6", "6|12"]);
        let refused = rejects(&ran);
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused[0].contains("no partition"), "{refused:?}");
        assert_eq!(target.rows("SELECT id, v FROM flat ORDER BY id"), ["1|p", "2|c", "3|d"]);
        assert_eq!(target.rows("INSERT INTO flat (v) VALUES ('next') RETURNING id"), ["4"]);
    }
}
