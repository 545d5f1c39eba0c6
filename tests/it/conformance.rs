//! What the rest of the program asks of a driver, as one list that runs unchanged on each of them.
//! What whole commands must do on all of them stands elsewhere: `keyset` (reading in the order of
//! keys), `kill` (resume), `rollback`, `protect_detects` (digests), `join` (takeover), `pains`.

mod ledger;
mod session;
mod tables;

use std::path::Path;
use std::time::Duration;

use tablelift::db::{Access, Database, Session};
use tablelift::error::{Class, Error};
use tablelift::plan::{Consistency, Endpoint};
use tablelift::sql::{Statement, Table, TableName};

use crate::common::{Db, Store, World};

/// A database of a test, and the driver's way to it.
struct Ground {
    db: Db,
    store: Store,
    database: Database,
    _world: World,
}

impl Ground {
    fn new(db: Db) -> Ground {
        let world = World::new();
        let store = Store::new(db, &world);
        // A file that is not there is made by whoever writes first.
        store.sql("CREATE TABLE ground (id bigint PRIMARY KEY, name varchar(9))");
        let endpoint =
            Endpoint { url: store.url(), schema: None, consistency: Consistency::Batch, line: 0 };
        let database = Database::open(&endpoint, Path::new("."), Duration::from_secs(60)).unwrap();
        Ground { db, store, database, _world: world }
    }

    async fn session(&self) -> Box<dyn Session> {
        self.database.session(Access::Write, "test").await.unwrap()
    }

    /// The type for such a value here.
    fn ty(
        &self,
        postgres: &'static str,
        sqlite: &'static str,
        mariadb: &'static str,
    ) -> &'static str {
        match self.db {
            Db::Postgres => postgres,
            Db::Sqlite => sqlite,
            Db::Mariadb => mariadb,
        }
    }
}

async fn table(session: &mut dyn Session, name: &str) -> Table {
    session.table(&TableName::bare(name)).await.unwrap().unwrap_or_else(|| panic!("no {name}"))
}

/// The error of a statement in a transaction of its own; the session is as good as new.
async fn refused(session: &mut dyn Session, sql: &str) -> Error {
    session.begin().await.unwrap();
    let statement = Statement::new(sql);
    // Deferred constraints speak at the end.
    let answer = match session.execute(&statement).await {
        Ok(_) => session.commit().await,
        Err(error) => Err(error),
    };
    session.rollback().await;
    match answer {
        Err(error) if error.class != Class::Retry => {
            assert!(!session.broken(), "{sql}: {error}");
            error
        }
        other => panic!("{sql}: {other:?}"),
    }
}

/// Each scenario on each driver, as a test of its own.
macro_rules! on_every_driver {
    ($($room:ident :: $name:ident),* $(,)?) => {
        on_every_driver!(@ sqlite, Sqlite, $($room :: $name),*);
        on_every_driver!(@ postgres, Postgres, $($room :: $name),*);
        on_every_driver!(@ mariadb, Mariadb, $($room :: $name),*);
    };
    (@ $module:ident, $db:ident, $($room:ident :: $name:ident),*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$room::$name(&super::Ground::new(super::Db::$db)).await;
                }
            )*
        }
    };
}

on_every_driver! {
    session::commits_and_rolls_back,
    session::errors_have_their_class,
    session::a_deadlock_is_tried_again,
    session::values_come_back_as_they_went,
    session::who_only_reads_can_not_write,
    session::a_database_knows_itself,
    session::the_lock_is_held_by_one,
    tables::the_catalog_says_what_is_there,
    tables::names_are_just_names,
    tables::conflicts_fail_skip_or_update,
    tables::updates_leave_images_of_what_changed,
    tables::sequences_move_above_the_highest_and_never_back,
    tables::triggers_are_listed,
    ledger::a_checkpoint_is_where_it_should_be_or_refused,
    ledger::a_lease_is_taken_by_one_and_its_guard_keeps_the_others_out,
}
