//! The limit of open files, which bounds the connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The files that the daemon opens itself: the store, its connections to Postgres, logs. Half of
/// the limit is enough for them if the limit is very low.
const OWN_FILES: u64 = 128;

/// Raises the soft limit of open files to the hard limit. Returns the most connections for which
/// files remain.
pub(super) fn raise_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // A system may refuse the raise. Then the daemon works with the limit that it has.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = if raised.is_ok() { maximum } else { current };
    let connections = files.map_or(u64::MAX, |files| files.saturating_sub(OWN_FILES).max(files / 2));
    usize::try_from(connections).unwrap_or(usize::MAX)
}
