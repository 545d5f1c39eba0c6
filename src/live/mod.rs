//! What can be asked of a process while it works on a run: numbers for Prometheus, and the
//! report's page, which brings itself up to date. It is read only, for this machine unless
//! somebody says otherwise, and answers no page of another origin.

mod guard;
pub mod metrics;
pub mod server;

pub use self::metrics::Metrics;
pub use self::server::{Server, Serving};
