//! Asks a web server whether there is room.

use std::time::Duration;

use crate::error::{Error, Result};

/// Shorter than the patience of a look, so that the reason says what happened.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nobody needs more to write a number.
const MOST_BYTES: u64 = 1024;

/// The number that `url` answers with; without `number`, 0 for any success.
///
/// # Errors
/// No answer, another status than 2xx, no number.
pub async fn read(url: String, number: bool) -> Result<f64> {
    let asked = tokio::task::spawn_blocking(move || ask(&url, number)).await;
    asked.unwrap_or_else(|error| Err(Error::stop(error.to_string())))
}

fn ask(url: &str, number: bool) -> Result<f64> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build();
    let failed = |error: ureq::Error| Error::stop(format!("no answer: {error}"));
    let mut response = ureq::Agent::from(config).get(url).call().map_err(failed)?;
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
