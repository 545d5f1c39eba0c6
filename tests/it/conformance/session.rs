//! One connection: transactions, errors, values, locks.

use std::path::Path;
use std::time::Duration;

use tablelift::db::{Access, Database, collect};
use tablelift::error::Class;
use tablelift::plan::{Consistency, Endpoint};
use tablelift::sql::Statement;
use tablelift::value::Value;

use super::{Ground, refused, table};
use crate::common::Db;

pub async fn commits_and_rolls_back(ground: &Ground) {
    let (mut one, mut two) = (ground.session().await, ground.session().await);
    let insert =
        |id: i64| Statement::new("INSERT INTO ground VALUES ($1, $2)").bind(id).bind("ü'\\?$1");
    let count = Statement::new("SELECT count(*) FROM ground");
    one.begin().await.unwrap();
    assert_eq!(one.execute(&insert(1)).await.unwrap(), 1);
    assert_eq!(two.rows(&count).await.unwrap(), [[Value::Int(0)]], "nobody sees it yet");
    one.rollback().await;
    assert_eq!(one.rows(&count).await.unwrap(), [[Value::Int(0)]]);
    one.begin().await.unwrap();
    one.execute(&insert(2)).await.unwrap();
    one.commit().await.unwrap();
    assert_eq!(two.rows(&count).await.unwrap(), [[Value::Int(1)]]);
    // Outside a transaction each statement is one.
    two.execute(&insert(3)).await.unwrap();
    assert_eq!(one.rows(&count).await.unwrap(), [[Value::Int(2)]]);
    assert_eq!(ground.store.rows("SELECT name FROM ground WHERE id = 2"), ["ü'\\?$1"]);
    // A session that is dropped in the middle leaves nothing.
    one.begin().await.unwrap();
    one.execute(&insert(4)).await.unwrap();
    drop(one);
    two.begin().await.unwrap();
    assert_eq!(two.rows(&count).await.unwrap(), [[Value::Int(2)]]);
    two.commit().await.unwrap();
}

pub async fn errors_have_their_class(ground: &Ground) {
    ground.store.sql(
        "CREATE TABLE parent (id bigint PRIMARY KEY); INSERT INTO parent VALUES (1);
         CREATE TABLE t (id bigint PRIMARY KEY, must varchar(3) NOT NULL, small int CHECK (small < 5),
             up bigint, code varchar(9), FOREIGN KEY (up) REFERENCES parent (id), UNIQUE (code));
         INSERT INTO t VALUES (1, 'x', 1, 1, 'taken')",
    );
    let mut session = ground.session().await;
    let session = session.as_mut();
    for (values, column) in [
        ("1, 'x', 1, 1, NULL", "id"),
        ("2, 'x', 1, 1, 'taken'", "code"),
        ("3, NULL, 1, 1, NULL", "must"),
        ("4, 'x', 9, 1, NULL", "small"),
        ("5, 'x', 1, 7, NULL", "up"),
        ("6, 'longer', 1, 1, NULL", "must"),
        ("7, 'x', 'word', 1, NULL", "small"),
    ] {
        if ground.db == Db::Sqlite && ["6", "7"].contains(&values.get(..1).unwrap()) {
            // SQLite takes what doesn't fit; the mapping refuses it before.
            continue;
        }
        let error = refused(session, &format!("INSERT INTO t VALUES ({values})")).await;
        assert_eq!(error.class, Class::Split, "{values}: {error}");
        assert!(error.code.is_some(), "{values}: {error}");
        if let Some(found) = &error.place.column {
            assert_eq!(found, column, "{error}");
        } else if let Some(constraint) = &error.place.constraint {
            let about = table(session, "t").await;
            let columns = session.constraint_columns(&about, constraint).await.unwrap();
            assert!(columns.is_empty() || columns == [column], "{error}: {columns:?}");
        }
        assert!(!error.to_string().contains("longer"), "no value is told: {error}");
    }
    for sql in ["SELEC 1", "INSERT INTO nowhere VALUES (1)", "UPDATE t SET nope = 1"] {
        assert_eq!(refused(session, sql).await.class, Class::Stop, "{sql}");
    }
    assert_eq!(ground.store.rows("SELECT count(*) FROM t"), ["1"]);
}

/// Two sessions want what the other one has. SQLite has one writer: the second waits, or is told
/// to try again.
pub async fn a_deadlock_is_tried_again(ground: &Ground) {
    ground.store.sql("INSERT INTO ground VALUES (1, ''), (2, '')");
    let (mut one, mut two) = (ground.session().await, ground.session().await);
    let touch = |id: i64| Statement::new("UPDATE ground SET name = 'x' WHERE id = $1").bind(id);
    one.begin().await.unwrap();
    one.execute(&touch(1)).await.unwrap();
    if ground.db == Db::Sqlite {
        let waits = tokio::spawn(async move {
            two.begin().await?;
            two.execute(&touch(2)).await?;
            two.commit().await
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        one.commit().await.unwrap();
        waits.await.unwrap().unwrap();
        return;
    }
    two.begin().await.unwrap();
    two.execute(&touch(2)).await.unwrap();
    let (touch_two, touch_one) = (touch(2), touch(1));
    let (first, second) = tokio::join!(one.execute(&touch_two), two.execute(&touch_one));
    let failed = [first.err(), second.err()].into_iter().flatten().next().unwrap();
    assert_eq!(failed.class, Class::Retry, "{failed}");
}

pub async fn values_come_back_as_they_went(ground: &Ground) {
    ground.store.sql(&format!(
        "CREATE TABLE t (id bigint PRIMARY KEY, n bigint, x {}, v {}, b {})",
        ground.ty("double precision", "REAL", "double"),
        ground.ty("text", "TEXT", "longtext"),
        ground.ty("bytea", "BLOB", "longblob"),
    ));
    let mut session = ground.session().await;
    let session = session.as_mut();
    let table = table(session, "t").await;
    let text = |text: &str| Value::Text(text.to_owned());
    let rows = vec![
        vec![
            Value::Int(1),
            Value::Int(i64::MIN),
            Value::Float(0.1),
            text(""),
            Value::Bytes(vec![]),
        ],
        vec![
            Value::Int(2),
            Value::Int(i64::MAX),
            Value::Float(-1e300),
            text("\\N\t\n\r'\"\\"),
            Value::Bytes(vec![0, 255, 10]),
        ],
        vec![Value::Int(3), Value::Null, Value::Null, Value::Null, Value::Null],
        vec![
            Value::Int(4),
            Value::Int(0),
            Value::Float(5e-324),
            text("NULL 🦀 \u{10ffff}"),
            Value::Bytes(vec![92; 300]),
        ],
        vec![
            Value::Int(5),
            Value::Int(-1),
            Value::Float(0.30000000000000004),
            text(&"é".repeat(70_000)),
            Value::Bytes(vec![7; 70_000]),
        ],
    ];
    super::tables::write(session, &table, &rows).await;
    let kinds: Vec<_> = table.columns.iter().map(|column| column.ty.kind.clone()).collect();
    let found = collect(session, "SELECT id, n, x, v, b FROM t ORDER BY id", &kinds).await.unwrap();
    assert!(found.rows == rows, "{:?}", found.rows);
}

pub async fn who_only_reads_can_not_write(ground: &Ground) {
    let mut reader = ground.database.session(Access::Read, "test").await.unwrap();
    let insert = Statement::new("INSERT INTO ground VALUES (1, '')");
    let error = reader.execute(&insert).await.unwrap_err();
    assert_eq!(error.class, Class::Stop, "{error}");
    assert_eq!(ground.store.rows("SELECT count(*) FROM ground"), ["0"]);
}

pub async fn a_database_knows_itself(ground: &Ground) {
    let other = Ground::new(ground.db);
    let (mut one, mut two) = (ground.session().await, ground.session().await);
    let own = one.identity().await.unwrap();
    assert_eq!(own, two.identity().await.unwrap());
    assert_ne!(own, other.session().await.identity().await.unwrap());
    let joint = |other: Database| async move {
        ground.database.joint_session(&other, "test").await.unwrap().is_some()
    };
    let open = |ground: &Ground| {
        let url = ground.store.url();
        let endpoint = Endpoint { url, schema: None, consistency: Consistency::Batch, line: 0 };
        Database::open(&endpoint, Path::new("."), Duration::from_secs(60)).unwrap()
    };
    assert!(joint(open(ground)).await);
    // SQLite can attach another file.
    assert_eq!(joint(open(&other)).await, ground.db == Db::Sqlite);
    assert!(!ground.database.display().contains('@'));
}

pub async fn the_lock_is_held_by_one(ground: &Ground) {
    let held = ground.database.try_lock("plan").await.unwrap();
    assert!(held.is_some());
    assert!(ground.database.try_lock("plan").await.unwrap().is_none());
    if ground.db != Db::Sqlite {
        assert!(ground.database.try_lock("another").await.unwrap().is_some());
    }
    drop(held);
    // The server needs a moment to see that the connection is gone.
    assert!(ground.database.lock("plan").await.unwrap().is_some());
}
