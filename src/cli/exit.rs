//! The exit codes, in one place.

/// Done, and everything that was expected holds.
pub const DONE: u8 = 0;
/// Failed; what was committed stays and the next `run` resumes.
pub const FAILED: u8 = 1;
/// Wrong usage, or the plan is invalid: nothing was touched.
pub const INVALID: u8 = 2;
/// Ran, but a count, a check, a protected table or a compared row differs.
pub const DIFFERS: u8 = 3;

/// The table that `--help` shows.
pub const TABLE: &str = "\
Exit codes:
  0    done, and everything that was expected holds
  1    failed; what was committed stays and the next `run` resumes
  2    wrong usage, or the plan is invalid: nothing was touched
  3    ran, but a count, a check or a protected table differs
  4    another runner holds this plan
  5    ended before the end, as asked (window, stop_after): `run` resumes
  130  interrupted (Ctrl+C; 143 for SIGTERM, 129 for a hangup): `run` resumes";
