//! Proof: checks of the plan, protected tables. Errors while verifying are failures.

pub mod checks;
pub mod protect;
