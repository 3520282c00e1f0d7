//! The daemon's settings, from four layers in rising order: defaults, a TOML file, environment
//! variables, flags.
//!
//! This is the only module that reads the environment. Each setting is one line in `keys.rs`. The
//! file, `TIDEGATE_<SECTION>_<KEY>` and `--set section.key=value` are all read by that line, so
//! that they accept the same values.

mod environment;
mod foreign;
mod keys;
mod layers;
mod nearest;
mod positions;
mod settings;
mod unknown;

pub use environment::Environment;
pub use layers::{ConfigErrors, Layers};
pub(crate) use nearest::{did_you_mean, nearest};
pub(crate) use positions::{Positions, parse_toml};
pub use settings::{AuthSettings, HttpSettings, LogFormat, LogSettings, Settings, StoreSettings};
