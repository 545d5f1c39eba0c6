//! What is fuzzed: functions over bytes that panic when a promise is broken. cargo-fuzz runs
//! them without end; `tests/it/fuzz.rs` compiles the same files and replays the corpus on stable.

pub mod csv;
mod feed;
pub mod key;
pub mod mapping_json;
pub mod plan;
mod rules;
pub mod wire;

/// A target's body.
pub type Target = fn(&[u8]);

/// All targets, by the names of their folders in `corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("csv", csv::run),
    ("key", key::run),
    ("mapping_json", mapping_json::run),
    ("plan", plan::run),
    ("wire", wire::run),
];
