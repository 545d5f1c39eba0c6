//! Networks and servers that fail: the run goes on by itself or resumes, with nothing lost and
//! nothing twice, and never hangs. Every fault is proven to have landed.

pub mod proxy;

use std::time::{Duration, Instant};

use self::proxy::{At, Fault, Plan, Proxy};
use crate::pair::{Db, Pair, plan};

const ROWS: u32 = 120;

/// Which end of the copy the proxy stands before.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Source,
    Target,
}

/// Runs the copy with one fault, resumes it if it failed, and compares. Gives back the reasons
/// of the retries.
#[track_caller]
fn survives(end: End, fault: Plan) -> Vec<String> {
    survives_on(Db::Postgres, end, fault)
}

/// The same from one database of a kind to another.
#[track_caller]
fn survives_on(db: Db, end: End, fault: Plan) -> Vec<String> {
    let pair = Pair::new(ROWS, db, db);
    let proxied = if end == End::Source { &pair.source } else { &pair.target };
    let proxy = Proxy::before(proxied);
    let url = proxy.through(proxied);
    let (source, target) = match end {
        End::Source => (url.as_str(), pair.target.as_str()),
        End::Target => (pair.source.as_str(), url.as_str()),
    };
    let text = plan(source, target, "[defaults]\nbatch_rows = 25\nworkers = 2");
    pair.world.write("p.toml", &text);
    proxy.arm(fault);
    let begun = Instant::now();
    let mut reasons = Vec::new();
    let mut codes = Vec::new();
    for _ in 0..3 {
        let ran = pair.world.run(&["run", "p.toml", "--json", "--lease", "4"]);
        let retried = ran.events("batch_retried");
        reasons.extend(retried.iter().map(|event| event["reason"].to_string()));
        codes.push(ran.code);
        eprintln!("{fault:?}: exit {}, {}", ran.code, ran.err);
        if ran.code == 0 {
            break;
        }
        assert!([1, 2].contains(&ran.code), "{fault:?}: {}\n{}", ran.out, ran.err);
    }
    assert_eq!(codes.last(), Some(&0), "{fault:?}: {codes:?}");
    assert!(begun.elapsed() < Duration::from_secs(40), "{fault:?}: {:?}", begun.elapsed());
    assert_eq!(proxy.landed(), 1, "{fault:?}");
    pair.holds(ROWS, &format!("{fault:?}"));
    reasons
}

#[test]
fn commit_is_cut_off_before_and_after_the_server_did_it() {
    let mut settled = 0;
    for hit in 1..=9 {
        for at in [At::Query("COMMIT"), At::Answer("COMMIT")] {
            let reasons = survives(End::Target, Plan { at, hit, fault: Fault::Cut });
            settled += u32::from(!reasons.is_empty());
        }
    }
    assert!(settled >= 6, "only {settled} runs settled an unknown outcome by themselves");
}

#[test]
fn a_commit_that_arrives_after_the_client_has_given_up_is_not_done_twice() {
    for hit in [4, 6, 7, 8] {
        survives(End::Target, Plan { at: At::Query("COMMIT"), hit, fault: Fault::HalfOpen });
    }
}

#[test]
fn connections_are_reset_and_cut_anywhere() {
    for hit in [1, 9, 23, 41, 60, 77] {
        for (at, fault) in [(At::Client, Fault::Reset), (At::Server, Fault::Cut)] {
            survives(End::Target, Plan { at, hit, fault });
        }
    }
    for (at, hit) in [(At::Client, 3), (At::CopyOut, 7), (At::CopyOut, 70), (At::Server, 30)] {
        survives(End::Source, Plan { at, hit, fault: Fault::Reset });
    }
}

#[test]
fn slow_and_sliced_networks_change_nothing() {
    for end in [End::Source, End::Target] {
        for at in [At::Client, At::Server] {
            survives(end, Plan { at, hit: 2, fault: Fault::Slice });
        }
    }
    let wait = Fault::Delay(Duration::from_millis(2500));
    survives(End::Target, Plan { at: At::Answer("COMMIT"), hit: 6, fault: wait });
    survives(End::Source, Plan { at: At::CopyOut, hit: 40, fault: wait });
}

#[test]
fn a_network_that_swallows_everything_is_noticed_at_the_target() {
    for (at, hit) in [(At::CopyIn, 2), (At::Query("COMMIT"), 6), (At::Answer("COMMIT"), 7)] {
        let reasons = survives(End::Target, Plan { at, hit, fault: Fault::Stall });
        assert!(reasons.iter().any(|reason| reason.contains("no answer for")), "{reasons:?}");
    }
}

#[test]
fn a_network_that_swallows_everything_is_noticed_at_the_source() {
    for hit in [5, 50] {
        survives(End::Source, Plan { at: At::CopyOut, hit, fault: Fault::Stall });
    }
}

#[test]
fn a_commit_to_mariadb_is_cut_off_before_and_after_the_server_did_it() {
    let mut settled = 0;
    for hit in [1, 5, 6, 7, 8] {
        for at in [At::Query("COMMIT"), At::Answer("COMMIT")] {
            let fault = Plan { at, hit, fault: Fault::Cut };
            settled += u32::from(!survives_on(Db::Mariadb, End::Target, fault).is_empty());
        }
    }
    assert!(settled >= 4, "only {settled} runs settled an unknown outcome by themselves");
    let late = Plan { at: At::Query("COMMIT"), hit: 7, fault: Fault::HalfOpen };
    survives_on(Db::Mariadb, End::Target, late);
}

#[test]
fn connections_to_mariadb_are_reset_sliced_and_swallowed() {
    for hit in [9, 60, 120, 180] {
        for (at, fault) in [(At::Client, Fault::Reset), (At::Server, Fault::Cut)] {
            survives_on(Db::Mariadb, End::Target, Plan { at, hit, fault });
        }
    }
    for (at, hit) in [(At::CopyOut, 7), (At::CopyOut, 70)] {
        survives_on(Db::Mariadb, End::Source, Plan { at, hit, fault: Fault::Reset });
    }
    survives_on(Db::Mariadb, End::Source, Plan { at: At::Server, hit: 2, fault: Fault::Slice });
    for (end, at, hit) in [
        (End::Target, At::CopyIn, 2),
        (End::Target, At::Answer("COMMIT"), 7),
        (End::Source, At::CopyOut, 50),
    ] {
        let reasons = survives_on(Db::Mariadb, end, Plan { at, hit, fault: Fault::Stall });
        assert!(reasons.iter().any(|reason| reason.contains("no answer for")), "{reasons:?}");
    }
}
