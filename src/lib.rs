//! tablelift moves rows from legacy tables into new ones in committed batches.
//!
//! # One batch, from end to end
//! A plan ([`plan`]) is bound to both catalogs and becomes a [`job::Job`]. [`engine::worker`]
//! claims a chunk of it from the [`ledger`], asks a route for the next rows, waits for the
//! [`throttle`], opens a transaction on the target ([`db`]), proves that it still owns the
//! chunk, lets the route write the mapped rows ([`mapping`]), moves the checkpoint by
//! compare-and-set in the same transaction, commits, and tells the world ([`event`]). Every
//! error ends in "read the cursor from the ledger, seek, go on".
//!
//! # Words
//! *Source* and *target* are the two databases. A *plan* has *steps*; a step's *cut* is the rows
//! that it must move; a step is cut into *chunks* by *key*; a chunk is written in *batches*, each
//! one transaction with its *checkpoint*. What happened stands in the *ledger*, in the target. A
//! row that can't be written is a *reject*.

pub mod db;
pub mod demo;
pub mod draft;
pub mod engine;
pub mod error;
pub mod event;
pub mod fail;
pub mod job;
pub mod key;
pub mod ledger;
pub mod live;
pub mod mapping;
pub mod plan;
pub mod report;
pub mod run;
pub mod sql;
pub mod steps;
pub mod throttle;
pub mod value;
pub mod verify;
