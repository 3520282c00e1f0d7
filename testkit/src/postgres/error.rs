use std::fmt;
use std::path::PathBuf;

/// The reason why a cluster could not be created, started or stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum PgError {
    /// The server programs of Postgres are not installed.
    NoServer {
        /// The folders that were searched.
        searched: Vec<PathBuf>,
    },
    /// Postgres does not run as root, and the machine has no other user to run it as.
    NoUser,
    /// A program of Postgres failed.
    Program {
        /// The program with its arguments.
        command: String,
        /// The output of the program, and the end of the server log.
        output: String,
    },
    /// A file or a process could not be created.
    Io {
        /// The operation that failed.
        doing: String,
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
                f.write_str(
                    "the Postgres server programs (initdb, pg_ctl, postgres) were not found; install the server \
                     package of Postgres. Searched:",
                )?;
                searched.iter().try_for_each(|path| write!(f, " {}", path.display()))
            }
            Self::NoUser => f.write_str(
                "Postgres does not run as root, and this machine has no user `postgres` or `nobody`; create one of them",
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
