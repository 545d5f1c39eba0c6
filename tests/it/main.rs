//! One binary for all integration tests. They drive the program itself, on real databases;
//! PostgreSQL comes from `TABLELIFT_TEST_POSTGRES`, which `scripts/test` sets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod bad_input;
mod chunks;
mod cli;
mod common;
mod conformance;
mod corpora;
mod digital_health;
mod endings;
mod faults;
mod files;
mod fuzz;
mod init;
mod join;
mod keyset;
mod kill;
mod live;
mod logs;
mod mariadb;
mod metrics;
mod model;
mod pains;
mod pair;
mod pairs;
mod patterns;
mod policies;
mod protect_detects;
mod random;
mod readers;
mod rejects;
mod report;
mod rollback;
mod routes;
mod rules;
mod scan;
mod servers;
mod sessions;
mod shape;
mod signals;
mod soak;
mod stateful;
mod throttle;
mod tidy;
mod torture;
mod tune;
mod types;
mod types_page;
mod values;
mod verify;
