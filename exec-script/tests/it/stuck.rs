//! Scripts that are stuck in a built-in function, and the bound on the threads of one app.

use crate::recycling::wait_until;
use crate::threads::{cores, run};
use crate::warm::next_delivery;
use crate::world::{World, delivery, failure, reason, stuck};
use std::time::{Duration, Instant};
use tidegate_core::*;
use tidegate_exec_script::Limits;

/// Attempt 9 is in a built-in function for many seconds, attempt 8 for about one. Attempt 7 is an
/// endless loop, which can be interrupted.
const STUCK: &str = "export default (event, ctx) => {
    if (ctx.attempt === 9) 'a'.repeat(1 << 20).indexOf('a'.repeat(1 << 13) + 'b');
    if (ctx.attempt === 8) 'a'.repeat(8 << 13).indexOf('a'.repeat(1 << 13) + 'b');
    if (ctx.attempt === 7) for (;;) {}
    return 1;
}";

fn attempt(number: u32, timeout: Duration) -> Delivery {
    Delivery { attempt: number, ..delivery(timeout) }
}

pub(crate) fn of_app(app: &str) -> Delivery {
    let delivery = next_delivery();
    Delivery { event: Event { app: AppName::new(app).unwrap(), ..delivery.event.clone() }, ..delivery }
}

fn world(app_computing_max: usize, start_wait_max: Duration) -> World {
    World::with_start_wait(STUCK, Limits { app_computing_max, ..Limits::default() }, start_wait_max)
}

/// Makes `count` threads of the app `a` stuck.
async fn get_stuck(world: &World, number: u32, count: usize) {
    for _ in 0..count {
        let outcome = run(world, attempt(number, Duration::from_millis(100))).await.unwrap();
        assert_eq!(failure(outcome).error, ExecError::Timeout);
    }
    assert_eq!(stuck(world), count);
}

#[tokio::test]
async fn an_app_with_too_many_stuck_threads_is_refused_and_other_apps_run() {
    let world = world(2, Duration::from_secs(20));
    get_stuck(&world, 9, 2).await;
    let began = Instant::now();
    let refused = reason(run(&world, next_delivery()).await.unwrap());
    assert!(refused.starts_with("2 scripts of the app a are stuck in built-in functions"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(5), "it does not wait for a thread");
    for _ in 0..5 {
        assert_eq!(world.number(of_app("b")).await, 1);
    }
    assert_eq!(world.executor.stats().stuck.into_iter().collect::<Vec<_>>(), [(AppName::new("a").unwrap(), 2)]);
}

#[tokio::test]
async fn another_thread_replaces_a_stuck_one() {
    let world = world(cores() as usize + 2, Duration::from_secs(20));
    get_stuck(&world, 9, cores() as usize + 1).await;
    assert_eq!(world.number(next_delivery()).await, 1);
}

#[tokio::test]
async fn an_app_runs_again_when_its_stuck_threads_have_ended() {
    let world = world(1, Duration::from_secs(20));
    get_stuck(&world, 8, 1).await;
    reason(run(&world, next_delivery()).await.unwrap());
    wait_until("the built-in function has ended", || stuck(&world) == 0).await;
    assert_eq!(world.number(next_delivery()).await, 1);
}

#[tokio::test]
async fn a_cancelled_script_that_is_in_a_built_in_function_is_stuck_too() {
    let world = World::new(STUCK);
    let running = run(&world, attempt(9, Duration::from_secs(60)));
    wait_until("it runs", || world.executor.stats().threads == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.abort();
    wait_until("its thread is stuck", || stuck(&world) == 1).await;
    assert_eq!(world.executor.stats().threads, 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stuck_thread_has_the_lowest_priority() {
    let world = World::new(STUCK);
    get_stuck(&world, 9, 1).await;
    let lowest = std::fs::read_dir("/proc/self/task").unwrap().filter(|entry| {
        let stat = std::fs::read_to_string(entry.as_ref().unwrap().path().join("stat")).unwrap_or_default();
        // The name of a thread is in parentheses. The priority is the 17th field after it.
        let (before, after) = stat.rsplit_once(") ").unwrap_or_default();
        before.ends_with("(tidegate-script") && after.split(' ').nth(16) == Some("19")
    });
    assert!(lowest.count() > 0, "no thread has the lowest priority");
}

#[tokio::test]
async fn computing_scripts_of_one_app_leave_threads_to_other_apps() {
    let world = world(2, Duration::from_millis(300));
    let endless: Vec<_> = (0..cores() + 20).map(|_| run(&world, attempt(7, Duration::from_secs(15)))).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..5 {
        assert_eq!(world.number(of_app("b")).await, 1);
    }
    let refused = reason(run(&world, next_delivery()).await.unwrap());
    assert_eq!(refused, "no thread became free within 300 ms");
    // A script computes for some milliseconds before it counts as one that computes for long.
    let running = endless.iter().filter(|one| !one.is_finished()).count();
    assert!((1..=2 + cores() as usize).contains(&running), "{running} endless scripts run");
    for one in endless {
        one.abort();
    }
    wait_until("cancelled scripts leave the queue", || world.executor.stats().waiting == 0).await;
}

#[tokio::test]
async fn a_cancelled_script_ends_and_frees_its_thread() {
    let world = world(1, Duration::from_secs(20));
    let endless: Vec<_> = (0..cores()).map(|_| run(&world, attempt(7, Duration::from_secs(60)))).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let queued = run(&world, next_delivery());
    wait_until("a script waits for a thread", || world.executor.stats().waiting == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!queued.is_finished(), "the endless scripts use all threads of the app");
    for one in endless {
        one.abort();
    }
    assert!(matches!(queued.await.unwrap(), Outcome::Succeeded { .. }));
}
