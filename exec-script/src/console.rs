//! The output of `console`: it goes to the daemon's log, up to `scripts.log_bytes_max` per
//! execution.

use tidegate_core::Delivery;

#[derive(Default)]
pub(crate) struct Console {
    logged_bytes: usize,
}

impl Console {
    /// Logs one line. The line that exceeds `bytes_max` is cut, and later lines are discarded.
    pub(crate) fn log(&mut self, delivery: &Delivery, bytes_max: usize, level: &str, mut text: String) {
        if self.logged_bytes > bytes_max {
            return;
        }
        let left = bytes_max - self.logged_bytes;
        self.logged_bytes += text.len() + 1;
        if text.len() > left {
            let end = (0..=left).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            text.push_str(" … (cut: this execution has logged scripts.log_bytes_max; its further output is discarded)");
        }
        let app = delivery.event.app.as_str();
        let (trigger, delivery) = (delivery.trigger_name.as_str(), delivery.id.0);
        match level {
            "error" => tracing::error!(target: "tidegate::script", app, trigger, delivery, "{text}"),
            "warn" => tracing::warn!(target: "tidegate::script", app, trigger, delivery, "{text}"),
            "debug" => tracing::debug!(target: "tidegate::script", app, trigger, delivery, "{text}"),
            _ => tracing::info!(target: "tidegate::script", app, trigger, delivery, "{text}"),
        }
    }
}
