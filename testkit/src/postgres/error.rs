use std::fmt;
use std::path::PathBuf;

/// Why there is no cluster.
#[derive(Debug)]
#[non_exhaustive]
pub enum PgError {
    /// Postgres's server programs are not on this machine.
    NoServer {
        /// Where they were looked for.
        searched: Vec<PathBuf>,
    },
    /// Postgres does not run as root, and there is no other user to run it as.
    NoUser,
    /// One of its programs failed.
    Program {
        /// What was run.
        command: String,
        /// What it wrote, and the end of the server's log.
        output: String,
    },
    /// A file or process could not be made.
    Io {
        /// What was attempted.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl PgError {
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Io { doing: doing.into(), source }
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoServer { searched } => {
                write!(
                    f,
                    "the Postgres server programs (initdb, pg_ctl, postgres) are not on this machine; looked in"
                )?;
                searched.iter().try_for_each(|path| write!(f, " {}", path.display()))
            }
            Self::NoUser => f.write_str(
                "Postgres does not run as root, and this machine has neither a user `postgres` nor `nobody`",
            ),
            Self::Program { command, output } => write!(f, "`{command}` failed:\n{output}"),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
        }
    }
}

impl std::error::Error for PgError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
