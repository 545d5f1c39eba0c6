//! Several processes on one run.
