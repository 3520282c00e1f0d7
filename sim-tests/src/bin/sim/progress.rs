//! A progress bar for terminals.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

pub(crate) fn bar(of: u64, what: &str) -> ProgressBar {
    let style = format!("{{bar:40}} {{pos}}/{{len}} {what}, {{per_sec}}, {{eta}} left{{msg}}");
    let bar = ProgressBar::new(of);
    bar.set_style(ProgressStyle::with_template(&style).expect("a constant template"));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
