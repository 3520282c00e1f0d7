//! `tidegate dev DIRECTORY`: a daemon on an embedded store that keeps up with an app directory.

mod instance;
pub(crate) mod token_file;

pub(crate) use instance::Instance;
