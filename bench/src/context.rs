//! What every scenario is given: how thorough to be, where to work, and how to show that it does.

use crate::harness::{Cluster, Folder};
use crate::progress::Progress;
use std::path::PathBuf;
use tokio::sync::OnceCell;

/// One run of the command.
#[derive(Debug)]
pub struct Context {
    /// How much to measure.
    pub effort: Effort,
    /// The real daemon, for the scenarios that measure it as a process.
    pub daemon: PathBuf,
    /// Files go here.
    pub folder: Folder,
    /// Shows how far it is.
    pub progress: Progress,
    cluster: OnceCell<Cluster>,
}

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Less of everything, so that all scenarios end within five minutes on two cores. Its figures are not for quoting.
    pub quick: bool,
    /// How often each figure and its limit are measured.
    pub repeats: u32,
}

impl Effort {
    /// One amount, or another one if it has to be quick.
    #[must_use]
    pub fn of<T>(self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }
}

impl Context {
    /// Files in `folder`; the Postgres is started by the first scenario that asks for it.
    #[must_use]
    pub fn new(effort: Effort, daemon: PathBuf, folder: Folder, progress: Progress) -> Self {
        Self { effort, daemon, folder, progress, cluster: OnceCell::new() }
    }

    /// The Postgres of this run.
    pub async fn postgres(&self) -> anyhow::Result<&Cluster> {
        self.cluster
            .get_or_try_init(|| {
                self.progress.says("starting Postgres");
                Cluster::start()
            })
            .await
    }

    /// The version of the Postgres, if there was need of one.
    #[must_use]
    pub fn postgres_version(&self) -> Option<String> {
        self.cluster.get().map(Cluster::version)
    }
}
