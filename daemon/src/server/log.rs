//! Log lines on standard error.

use crate::terminal;
use std::fmt::Debug;
use std::io::IsTerminal;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStyle {
    /// For development: one line for each delivery on standard output, the log on standard error.
    Dev {
        /// Whether the lines on standard output have colours.
        colour: bool,
    },
    /// One line of text for each event.
    #[default]
    Text,
    /// One JSON object for each event.
    Json,
}

/// Sets up the log of the process. `filter` is a level, or directives such as
/// `info,tidegate=debug`. The error is a message about an invalid filter.
pub fn init_logs(style: LogStyle, filter: &str) -> Result<(), String> {
    // sqlx also returns its warnings as errors, which the daemon logs itself. Its warning about an
    // unknown parameter of a URL contains the value, which may be a password.
    let directives = format!("sqlx=error,sqlx_core=error,{filter},sqlx_postgres::options=off");
    let filter = EnvFilter::try_new(directives).map_err(|error| format!("{filter:?} is not a log filter: {error}"))?;
    let layer = match style {
        LogStyle::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
        LogStyle::Text => {
            fmt::layer().with_writer(std::io::stderr).with_ansi(false).fmt_fields(escaped_fields()).boxed()
        }
        LogStyle::Dev { .. } => {
            let colour = std::io::stderr().is_terminal();
            fmt::layer()
                .with_ansi(colour)
                .compact()
                .without_time()
                .with_target(false)
                .with_writer(std::io::stderr)
                .fmt_fields(escaped_fields())
                .boxed()
        }
    };
    // The filter is global, not a filter of the layer. sqlx checks whether a level is enabled
    // without logging an event. The filter of a layer would keep the result for the next event, and
    // lose that event.
    //
    // A second call in one process, as in tests, fails and keeps the first subscriber.
    tracing_subscriber::registry().with(filter).with(layer).try_init().ok();
    Ok(())
}

/// Writes the message, and each further field as `name=value`. A value is one line, in which no
/// character can control the terminal.
fn escaped_fields() -> impl for<'writer> FormatFields<'writer> {
    let write = |writer: &mut Writer<'_>, field: &Field, value: &dyn Debug| {
        let value = format!("{value:?}");
        match field.name() {
            "message" => write!(writer, "{}", terminal::line(&value)),
            name => write!(writer, "{name}={}", terminal::line(&value)),
        }
    };
    format::debug_fn(write).delimited(" ")
}
