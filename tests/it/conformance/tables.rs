//! The catalog, and what is written into tables.

use tablelift::db::{Insert, Inserted, RowUpdate, Session};
use tablelift::key::{Key, KeyPart};
use tablelift::plan::OnConflict;
use tablelift::sql::survey::TableKind;
use tablelift::sql::{Statement, Table, TableName};
use tablelift::value::{Row, Value};

use super::{Ground, table};
use crate::common::Db;

/// Writes rows of all columns, each of which is new.
pub async fn write(session: &mut dyn Session, table: &Table, rows: &[Row]) {
    session.begin().await.unwrap();
    let inserted = insert(session, table, OnConflict::Fail, rows).await.unwrap();
    assert_eq!(inserted.inserted, rows.len() as u64);
    session.commit().await.unwrap();
}

async fn insert(
    session: &mut dyn Session,
    table: &Table,
    conflict: OnConflict,
    rows: &[Row],
) -> tablelift::error::Result<Inserted> {
    let digest: Vec<String> = table.column_names().map(str::to_owned).collect();
    let insert = Insert {
        table,
        columns: &table.columns,
        key: table.primary_key(),
        conflict,
        digest: &digest,
        want_keys: true,
        rows,
    };
    session.insert(&insert).await
}

/// The form of an integer key here.
fn key(ground: &Ground, id: i64) -> Key {
    Key(vec![match ground.db {
        Db::Postgres => KeyPart::Text(id.to_string()),
        _ => KeyPart::Int(id),
    }])
}

pub async fn the_catalog_says_what_is_there(ground: &Ground) {
    ground.store.sql(&format!(
        "CREATE TABLE parent (id bigint PRIMARY KEY);
         CREATE TABLE t (a bigint, b varchar(9) NOT NULL DEFAULT 'x', c bigint,
             twice bigint GENERATED ALWAYS AS (c * 2) STORED, up bigint, PRIMARY KEY (b, a), UNIQUE (c),
             FOREIGN KEY (up) REFERENCES parent (id));
         CREATE TABLE keyless (v varchar(9));
         CREATE TABLE counts (id {});
         CREATE VIEW looks AS SELECT a FROM t",
        ground.ty("bigserial PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT", "bigint AUTO_INCREMENT PRIMARY KEY")
    ));
    let mut session = ground.session().await;
    let session = session.as_mut();
    let t = table(session, "t").await;
    assert_eq!(t.column_names().collect::<Vec<_>>(), ["a", "b", "c", "twice", "up"]);
    assert_eq!(t.primary_key(), ["b", "a"]);
    assert!(t.unique.iter().any(|key| !key.primary && key.columns == ["c"]));
    let flags = |name: &str| {
        let column = t.column(name).unwrap();
        (column.not_null, column.has_default, column.generated)
    };
    assert_eq!((flags("b"), flags("c")), ((true, true, false), (false, false, false)));
    assert!(flags("twice").2, "the server makes it");
    let details = session.details(&t, false).await.unwrap();
    let [one] = details.foreign_keys.as_slice() else { panic!("{:?}", details.foreign_keys) };
    assert_eq!(
        (one.columns.concat(), one.table.name.clone()),
        ("up".to_owned(), "parent".to_owned())
    );
    let counts = table(session, "counts").await;
    assert!(counts.column("id").unwrap().identity || ground.db != Db::Postgres);
    assert!(table(session, "keyless").await.primary_key().is_empty());
    assert!(session.table(&TableName::bare("nothing")).await.unwrap().is_none());
    // The ledger is none of the user's tables.
    tablelift::ledger::tables::install(session).await.unwrap();
    let all = session.tables().await.unwrap();
    let names: Vec<String> =
        all.iter().map(|(name, kind)| format!("{} {}", name.name, kind.word())).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        ["counts table", "ground table", "keyless table", "looks view", "parent table", "t table"]
    );
    assert!(all.iter().filter(|(_, kind)| *kind == TableKind::View).count() == 1);
    assert_eq!(session.tables().await.unwrap(), all, "in a stable order");
}

pub async fn names_are_just_names(ground: &Ground) {
    let name = "a\"; drop table `ground`; --";
    let mut session = ground.session().await;
    let session = session.as_mut();
    let dialect = session.dialect();
    let column = "sel'ect \\ $1 ?";
    let create = format!(
        "CREATE TABLE {} ({} bigint PRIMARY KEY, {} varchar(9))",
        dialect.quote(name),
        dialect.quote("i\"d"),
        dialect.quote(column)
    );
    session.script(&create).await.unwrap();
    let found = table(session, name).await;
    assert_eq!(found.column_names().collect::<Vec<_>>(), ["i\"d", column]);
    assert_eq!(found.primary_key(), ["i\"d"]);
    assert!(session.tables().await.unwrap().iter().any(|(listed, _)| listed.name == name));
    let row = vec![Value::Int(7), Value::Text("v".to_owned())];
    write(session, &found, std::slice::from_ref(&row)).await;
    session.begin().await.unwrap();
    let skipped = insert(session, &found, OnConflict::Skip, &[row]).await.unwrap();
    assert_eq!((skipped.inserted, skipped.skipped), (0, 1));
    let updates = [RowUpdate { key: key(ground, 7), cells: vec![Value::Text("w".to_owned())] }];
    let columns = [found.column(column).unwrap().clone()];
    let digest: Vec<String> = found.column_names().map(str::to_owned).collect();
    let images =
        session.update(&found, found.primary_key(), &columns, &digest, &updates).await.unwrap();
    assert_eq!(images.len(), 1);
    session.commit().await.unwrap();
    assert!(session.triggers(&found).await.unwrap().is_empty());
    session.details(&found, true).await.unwrap();
    assert_eq!(ground.store.rows("SELECT count(*) FROM ground"), ["0"], "it is still there");
}

pub async fn conflicts_fail_skip_or_update(ground: &Ground) {
    ground.store.sql("INSERT INTO ground VALUES (2, 'old'), (4, 'same')");
    let mut session = ground.session().await;
    let session = session.as_mut();
    let t = table(session, "ground").await;
    let row = |id: i64, name: &str| vec![Value::Int(id), Value::Text(name.to_owned())];
    let rows = [row(1, "one"), row(2, "two"), row(3, "three"), row(4, "same")];

    session.begin().await.unwrap();
    let error = insert(session, &t, OnConflict::Fail, &rows).await.unwrap_err();
    assert_eq!(error.class, tablelift::error::Class::Split, "{error}");
    session.rollback().await;
    assert_eq!(ground.store.rows("SELECT count(*) FROM ground"), ["2"]);

    session.begin().await.unwrap();
    let done = insert(session, &t, OnConflict::Skip, &rows).await.unwrap();
    assert_eq!((done.inserted, done.skipped, done.images.len()), (2, 2, 0));
    assert_eq!(done.keys, [1, 2, 3, 4].map(|id| key(ground, id)));
    let marks = if ground.db == Db::Postgres { 0 } else { 2 * 16 };
    assert_eq!(done.digests.len(), marks, "one for each new row");
    session.rollback().await;

    session.begin().await.unwrap();
    let done = insert(session, &t, OnConflict::Update, &rows).await.unwrap();
    assert_eq!(done.inserted, 2);
    let changed = done.images.iter().find(|image| image.key == key(ground, 2)).unwrap();
    assert!(changed.before.contains(&Value::Text("old".to_owned())), "{changed:?}");
    assert!(!changed.mark.is_empty());
    session.commit().await.unwrap();
    let rows = ground.store.rows("SELECT id, name FROM ground ORDER BY id");
    assert_eq!(rows, ["1|one", "2|two", "3|three", "4|same"]);
}

pub async fn updates_leave_images_of_what_changed(ground: &Ground) {
    ground.store.sql("INSERT INTO ground VALUES (1, 'a'), (2, 'b'), (3, NULL)");
    let mut session = ground.session().await;
    let session = session.as_mut();
    let t = table(session, "ground").await;
    let columns = [t.column("name").unwrap().clone()];
    let digest = ["id".to_owned(), "name".to_owned()];
    let update = |id: i64, cell: Value| RowUpdate { key: key(ground, id), cells: vec![cell] };
    let text = |text: &str| Value::Text(text.to_owned());
    // 1 changes, 2 is so already, 3 was nothing, 9 is not there.
    let updates =
        [update(1, Value::Null), update(2, text("b")), update(3, text("c")), update(9, text("d"))];
    session.begin().await.unwrap();
    let images = session.update(&t, t.primary_key(), &columns, &digest, &updates).await.unwrap();
    session.commit().await.unwrap();
    let mut before: Vec<(String, Vec<Value>)> =
        images.iter().map(|image| (image.key.to_string(), image.before.clone())).collect();
    before.sort_by(|one, two| one.0.cmp(&two.0));
    assert_eq!(before.len(), 2, "{before:?}");
    assert_eq!(before[0].1, [text("a")]);
    assert_eq!(before[1].1, [Value::Null]);
    assert_eq!(ground.store.rows("SELECT id, name FROM ground ORDER BY id"), ["1|∅", "2|b", "3|c"]);
}

pub async fn sequences_move_above_the_highest_and_never_back(ground: &Ground) {
    let id = ground.ty(
        "bigserial PRIMARY KEY",
        "INTEGER PRIMARY KEY AUTOINCREMENT",
        "bigint AUTO_INCREMENT PRIMARY KEY",
    );
    ground.store.sql(&format!(
        "CREATE TABLE t (id {id}, v varchar(9)); CREATE TABLE none (id {id}, v varchar(9))"
    ));
    let mut session = ground.session().await;
    let session = session.as_mut();
    let (t, none) = (table(session, "t").await, table(session, "none").await);
    write(session, &t, &[vec![Value::Int(41), Value::Null]]).await;
    let next = |name: &str| {
        ground.store.rows(&format!("INSERT INTO {name} (v) VALUES ('') RETURNING id")).concat()
    };
    for table in [&t, &none] {
        session.begin().await.unwrap();
        session.advance_sequences(table).await.unwrap();
        session.commit().await.unwrap();
    }
    assert_eq!((next("t"), next("none")), ("42".to_owned(), "1".to_owned()));
    // The row goes, its number stays taken.
    session.execute(&Statement::new("DELETE FROM t WHERE id > 41")).await.unwrap();
    session.advance_sequences(&t).await.unwrap();
    assert_eq!(next("t"), "43");
}

pub async fn triggers_are_listed(ground: &Ground) {
    let body = match ground.db {
        Db::Postgres => {
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
             CREATE TRIGGER \"Zweiter\" BEFORE INSERT ON ground FOR EACH ROW EXECUTE FUNCTION f();"
        }
        Db::Sqlite => "CREATE TRIGGER \"Zweiter\" BEFORE INSERT ON ground BEGIN SELECT 1; END;",
        Db::Mariadb => {
            "CREATE TRIGGER `Zweiter` BEFORE INSERT ON ground FOR EACH ROW SET NEW.name = NEW.name;"
        }
    };
    let mut session = ground.session().await;
    let session = session.as_mut();
    let t = table(session, "ground").await;
    assert!(session.triggers(&t).await.unwrap().is_empty());
    ground.store.sql(body);
    assert_eq!(session.triggers(&t).await.unwrap(), ["Zweiter"]);
}
