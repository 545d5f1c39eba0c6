//! The ledger's protocol.
