//! All executions together stay within `scripts.total_memory_bytes_max`.

use crate::stuck::of_app;
use crate::threads::run;
use crate::warm::next_delivery;
use crate::world::{World, reason};
use std::time::Duration;
use tidegate_core::*;
use tidegate_exec_script::Limits;

const SLEEPER: &str = "export default async (event, ctx) => { await ctx.sleep(ctx.attempt === 9 ? 3000 : 1) }";

/// A world in which `executions` may run at once.
fn world_for(executions: u64, start_wait_max: Duration) -> World {
    let limits = Limits::default();
    let total_memory_bytes_max = executions * limits.memory_bytes_max as u64;
    World::with_start_wait(SLEEPER, Limits { total_memory_bytes_max, ..limits }, start_wait_max)
}

fn long() -> Delivery {
    Delivery { attempt: 9, ..next_delivery() }
}

#[tokio::test]
async fn scripts_that_hold_the_memory_of_their_app_leave_room_for_another_app() {
    let world = world_for(4, Duration::from_millis(200));
    let held: Vec<_> = (0..3).map(|_| run(&world, long())).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = reason(run(&world, next_delivery()).await.unwrap());
    assert!(refused.contains("scripts.total_memory_bytes_max") && refused.contains("200 ms"), "{refused}");
    for _ in 0..3 {
        let other = run(&world, of_app("b")).await.unwrap();
        assert!(matches!(other, Outcome::Succeeded { .. }), "{other:?}");
    }
    for one in held {
        assert!(matches!(one.await.unwrap(), Outcome::Succeeded { .. }));
    }
    assert!(matches!(run(&world, next_delivery()).await.unwrap(), Outcome::Succeeded { .. }), "there is room again");
}

#[tokio::test]
async fn waiting_scripts_run_when_others_end() {
    let world = world_for(3, Duration::from_secs(20));
    let waiting: Vec<_> = (0..50).map(|_| run(&world, next_delivery())).collect();
    let mut threads_max = 0;
    for one in waiting {
        assert!(matches!(one.await.unwrap(), Outcome::Succeeded { .. }));
        threads_max = threads_max.max(world.executor.stats().threads);
    }
    assert!(threads_max <= 3, "{threads_max} threads for two executions and a watch");
}
