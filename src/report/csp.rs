//! What a page may load: its own style, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The one style sheet of all pages.
pub const STYLE: &str = include_str!("style.css");

/// A Content-Security-Policy that allows the style sheet by its digest, and `more`.
pub fn policy(more: &str) -> String {
    let digest = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'{more}"
    )
}
