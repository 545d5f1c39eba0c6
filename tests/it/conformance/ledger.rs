//! The ledger's compare-and-set and its lease, on the driver's own transactions.

use std::time::Duration;

use tablelift::error::{Class, Kind};
use tablelift::key::{Key, KeyPart, KeyRange};
use tablelift::ledger::chunks::{Checkpoint, ChunkKind};
use tablelift::ledger::claims::Claimed;
use tablelift::ledger::{Ledger, tables};

use super::Ground;

fn ledger(ground: &Ground, runner: &'static str) -> Ledger {
    Ledger {
        dialect: ground.database.flavor().dialect(),
        plan: "conformance".to_owned(),
        run: "run".to_owned(),
        epoch: 0,
        runner,
        patience: Duration::from_secs(60),
    }
}

fn key(id: i64) -> Key {
    Key(vec![KeyPart::Int(id)])
}

pub async fn a_checkpoint_is_where_it_should_be_or_refused(ground: &Ground) {
    let mut session = ground.session().await;
    let session = session.as_mut();
    tables::install(session).await.unwrap();
    let mut ledger = ledger(ground, "one");
    ledger.take_lease(session, "run", true).await.unwrap();
    session.begin().await.unwrap();
    ledger.guard(session).await.unwrap();
    ledger.start_run(session, "source", "target", "sum").await.unwrap();
    let range = KeyRange { after: None, upto: Some(key(100)) };
    ledger.store_chunks(session, "copy", &[(ChunkKind::Range, range)]).await.unwrap();
    session.commit().await.unwrap();
    let Claimed::Chunk(chunk) = ledger.claim(session, "copy", 1).await.unwrap() else {
        panic!("the chunk is free")
    };
    assert_eq!((chunk.seq, &chunk.pos, &chunk.range.upto), (0, &None, &Some(key(100))));

    let batch = |upto: i64| Checkpoint { upto: Some(key(upto)), read: 10, ..Checkpoint::default() };
    session.begin().await.unwrap();
    ledger.guard_chunk(session, "copy", &chunk).await.unwrap();
    ledger.checkpoint(session, "copy", &chunk, &batch(10)).await.unwrap();
    session.rollback().await;
    let stands = |seq: i64| {
        let now = ledger.clone();
        let chunk = chunk.clone();
        async move {
            let mut other = ground.session().await;
            other.begin().await.unwrap();
            let moved = tablelift::ledger::chunks::Chunk { seq, ..chunk };
            let answer = now.guard_chunk(other.as_mut(), "copy", &moved).await;
            other.rollback().await;
            answer.err()
        }
    };
    assert!(stands(0).await.is_none(), "what was rolled back did not move it");

    session.begin().await.unwrap();
    ledger.guard_chunk(session, "copy", &chunk).await.unwrap();
    ledger.checkpoint(session, "copy", &chunk, &batch(10)).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(stands(0).await.unwrap().class, Class::Retry, "the ledger stands elsewhere");
    // The same batch again finds nothing to set.
    session.begin().await.unwrap();
    let again = ledger.checkpoint(session, "copy", &chunk, &batch(10)).await.unwrap_err();
    assert_eq!(again.class, Class::Retry, "{again}");
    session.rollback().await;
    // Who claimed it since has another fence.
    let Claimed::Chunk(found) = ledger.claim(session, "copy", 1).await.unwrap() else {
        panic!("it is still this worker's")
    };
    assert_eq!((found.seq, &found.pos), (1, &Some(key(10))));
    let Claimed::Chunk(held) = ledger.claim(session, "copy", 1).await.unwrap() else {
        panic!("it is still this worker's")
    };
    if held.fence != found.fence {
        session.begin().await.unwrap();
        let lost = ledger.guard_chunk(session, "copy", &found).await.unwrap_err();
        assert_eq!(lost.class, Class::Lost, "{lost}");
        session.rollback().await;
    }
    session.begin().await.unwrap();
    ledger.guard_chunk(session, "copy", &held).await.unwrap();
    let last = Checkpoint { last: true, ..batch(100) };
    ledger.checkpoint(session, "copy", &held, &last).await.unwrap();
    session.commit().await.unwrap();
    assert!(matches!(ledger.claim(session, "copy", 1).await.unwrap(), Claimed::Done));
    let sums = format!("SELECT sum(read_rows), count(*) FROM {}", ledger.table("batches"));
    assert_eq!(ground.store.rows(&sums), ["20|2"]);
}

pub async fn a_lease_is_taken_by_one_and_its_guard_keeps_the_others_out(ground: &Ground) {
    let (mut one, mut two) = (ground.session().await, ground.session().await);
    let (one, two) = (one.as_mut(), two.as_mut());
    tables::install(one).await.unwrap();
    let (mut first, mut second) = (ledger(ground, "one"), ledger(ground, "two"));
    first.take_lease(one, "run", true).await.unwrap();
    let held = second.take_lease(two, "run", false).await.unwrap_err();
    assert_eq!(held.kind, Kind::Held, "{held}");
    // The lock tells that the first one is gone.
    second.take_lease(two, "run", true).await.unwrap();
    assert_eq!(second.epoch, first.epoch + 1);
    one.begin().await.unwrap();
    let lost = first.guard(one).await.unwrap_err();
    assert_eq!(lost.kind, Kind::Held, "{lost}");
    one.rollback().await;
    two.begin().await.unwrap();
    second.guard(two).await.unwrap();
    two.commit().await.unwrap();
    second.leave(two).await.unwrap();
    assert!(second.lease(two).await.unwrap().unwrap().beat.is_none());
}
