//! Proof: checks of the plan, protected tables, the content of copied rows. Errors while verifying are failures.

pub mod checks;
pub mod content;
pub mod protect;
