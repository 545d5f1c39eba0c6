//! One binary for all integration tests. They drive the program itself, on real databases;
//! PostgreSQL comes from `TABLELIFT_TEST_POSTGRES`, which `scripts/test` sets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod bad_input;
mod cli;
mod common;
mod digital_health;
mod faults;
mod fuzz;
mod join;
mod kill;
mod model;
mod pair;
mod pairs;
mod random;
mod readers;
mod rejects;
mod rollback;
mod sessions;
mod tidy;
mod torture;
