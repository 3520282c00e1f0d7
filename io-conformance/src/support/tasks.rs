//! Concurrent tasks for cases.

use std::future::Future;
use tokio::task::JoinSet;

/// Runs `task` in `count` tasks at the same time. A panic of a task fails the case.
pub(crate) async fn at_once<T, F>(count: usize, mut task: impl FnMut(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for n in 0..count {
        tasks.spawn(task(n));
    }
    tasks.join_all().await
}
