//! The context that every scenario gets: the effort, the folder, the server and the progress line.

use crate::harness::{Cluster, Folder};
use crate::other_work::OwnProcesses;
use crate::progress::Progress;
use std::path::PathBuf;
use tokio::sync::OnceCell;

/// One run of the command.
#[derive(Debug)]
pub struct Context {
    pub effort: Effort,
    /// The program of the daemon, for scenarios that measure it as a process.
    pub daemon: PathBuf,
    pub folder: Folder,
    pub progress: Progress,
    /// The server joins them when it starts.
    pub(crate) own: OwnProcesses,
    cluster: OnceCell<Cluster>,
}

/// The amount of work in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Measures less, so that all scenarios end within five minutes on two cores. Do not quote its
    /// figures.
    pub quick: bool,
    /// The number of times to measure each figure and its limit.
    pub repeats: u32,
}

impl Effort {
    /// `full`, or `quick` in a quick run.
    #[must_use]
    pub fn choose<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

impl Context {
    /// Creates a context with its files in `folder`. The first scenario that needs Postgres starts
    /// it.
    #[must_use]
    pub fn new(effort: Effort, daemon: PathBuf, folder: Folder, progress: Progress) -> Self {
        let own = OwnProcesses::of_this_program();
        Self { effort, daemon, folder, progress, own, cluster: OnceCell::new() }
    }

    /// The Postgres server of this run. The first call starts it.
    pub async fn postgres(&self) -> anyhow::Result<&Cluster> {
        self.cluster
            .get_or_try_init(async || {
                self.progress.show("starting Postgres");
                let cluster = Cluster::start().await?;
                self.own.add(cluster.process_id().await?);
                anyhow::Ok(cluster)
            })
            .await
    }

    /// The version of the Postgres server, if a scenario started one.
    #[must_use]
    pub fn postgres_version(&self) -> Option<String> {
        self.cluster.get().map(Cluster::version)
    }
}
