//! What the daemon is told before it starts: defaults, a TOML file, environment variables, flags, in rising order.
//!
//! This is the only module that reads the environment. Every setting is one line in `keys.rs`, from which the file,
//! `TIDEGATE_<SECTION>_<KEY>` and `--set section.key=value` are all read, so that they cannot disagree.

mod environment;
mod keys;
mod layers;
mod nearest;
mod positions;
mod settings;

pub use environment::Environment;
pub use layers::{ConfigErrors, Layers};
pub(crate) use nearest::{did_you_mean, nearest};
pub(crate) use positions::{Positions, parse_toml};
pub use settings::{AuthSettings, HttpSettings, LogFormat, LogSettings, Settings, StoreSettings};
