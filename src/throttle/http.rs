//! Asks a web server whether there is room.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::error::{Error, Result};

/// Shorter than the patience of a look, so that the reason says what happened.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nobody needs more to write a number.
const MOST_BYTES: u64 = 1024;

/// One for all signals: the system's certificates are read once.
static AGENT: LazyLock<Agent> = LazyLock::new(|| {
    // What can't be read of them is not trusted, and the answer says that it isn't.
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots = roots.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .tls_config(tls)
        // A server that went away and came back is asked anew.
        .max_idle_connections(0)
        .build();
    Agent::from(config)
});

/// The number that `url` answers with; without `number`, 0 for any success.
///
/// # Errors
/// No answer, another status than 2xx, no number.
pub async fn read(url: String, number: bool) -> Result<f64> {
    let asked = tokio::task::spawn_blocking(move || ask(&url, number)).await;
    asked.unwrap_or_else(|error| Err(Error::stop(error.to_string())))
}

fn ask(url: &str, number: bool) -> Result<f64> {
    let failed = |error: ureq::Error| Error::stop(format!("no answer: {error}"));
    let mut response = AGENT.get(url).call().map_err(failed)?;
    if !response.status().is_success() {
        return Err(Error::stop(format!("the answer is {}", response.status().as_u16())));
    }
    if !number {
        return Ok(0.0);
    }
    let text = response.body_mut().with_config().limit(MOST_BYTES).read_to_string();
    let found: Option<f64> = text.map_err(failed)?.trim().parse().ok();
    found
        .filter(|number| number.is_finite())
        .ok_or_else(|| Error::stop("the answer is not a number"))
}
