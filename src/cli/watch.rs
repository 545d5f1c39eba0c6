//! `--metrics`: what others see of a run while it goes on.

use std::sync::Arc;

use tablelift::error::Result;
use tablelift::event::{Event, Listener, Reading};
use tablelift::live::{Metrics, Server, Serving};
use tablelift::run::Runner;

use super::ui::Ui;

/// An address that is ours, if one was asked for.
pub struct Watched(Option<(Server, Arc<Metrics>)>);

impl Watched {
    /// Takes the address, and says where it is.
    pub async fn bind(address: Option<&str>, ui: &Ui) -> Result<Watched> {
        let Some(address) = address else { return Ok(Watched(None)) };
        let server = Server::bind(address).await?;
        let at = server.address;
        ui.say_aside(&format!("metrics: http://{at}/metrics, live page: http://{at}/"));
        if !at.ip().is_loopback() {
            ui.warn(
                "the metrics and the live page can be read by everybody who reaches this address; \
                 they name tables, keys and reasons",
            );
        }
        Ok(Watched(Some((server, Arc::new(Metrics::new())))))
    }

    /// A listener that also counts.
    pub fn also(&self, listener: Arc<dyn Listener>) -> Arc<dyn Listener> {
        match &self.0 {
            Some((_, metrics)) => Arc::new(Also { listener, metrics: Arc::clone(metrics) }),
            None => listener,
        }
    }

    /// Answers until the run ends.
    pub fn serve(self, runner: &Runner) -> Option<Serving> {
        self.0.map(|(server, metrics)| server.serve(metrics, runner.look()))
    }
}

struct Also {
    listener: Arc<dyn Listener>,
    metrics: Arc<Metrics>,
}

impl Listener for Also {
    fn event(&self, event: &Event) {
        self.metrics.event(event);
        self.listener.event(event);
    }

    fn readings(&self, readings: &[Reading]) {
        self.metrics.readings(readings);
        self.listener.readings(readings);
    }
}
