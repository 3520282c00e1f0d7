//! Where log lines go: standard error. Deliveries of a person's own app go to standard output, one readable line each.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How a daemon tells what it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStyle {
    /// For a person who develops: one line per delivery on standard output, warnings on standard error.
    Dev {
        /// Whether the lines are coloured.
        colour: bool,
    },
    /// One readable line each.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

/// Sets up logging for the process. `filter` is a level, or directives such as `info,tidegate=debug`; what it does not
/// understand is returned, for people.
pub fn init_logs(style: LogStyle, filter: &str) -> Result<(), String> {
    // What sqlx warns of comes back to us as an error, too, and is said in our own words.
    let directives = format!("sqlx=error,sqlx_core=error,{filter}");
    let filter = EnvFilter::try_new(directives).map_err(|error| format!("{filter:?} is no log filter: {error}"))?;
    let layer = match style {
        LogStyle::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
        LogStyle::Text => fmt::layer().with_writer(std::io::stderr).with_ansi(false).boxed(),
        LogStyle::Dev { .. } => {
            let colour = std::io::stderr().is_terminal();
            fmt::layer()
                .with_ansi(colour)
                .compact()
                .without_time()
                .with_target(false)
                .with_writer(std::io::stderr)
                .boxed()
        }
    };
    // A second call in one process, as in tests, keeps the first one's subscriber.
    //
    // The filter is one for all and not the layer's own: whoever only asks whether a level is enabled, as sqlx does,
    // would leave its answer behind for the next event of a layer's own filter, and that event would be lost.
    tracing_subscriber::registry().with(filter).with(layer).try_init().ok();
    Ok(())
}
