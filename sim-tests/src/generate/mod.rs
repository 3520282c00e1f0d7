//! Generates a plan from a seed.

mod faults;
mod steps;

use crate::draw::Draw;
use crate::plan::{Plan, Settings};
use crate::profile::Profile;
use tidegate_core::GateLimits;

const SECOND: u64 = 1_000_000;

impl Plan {
    /// The plan of `seed` with the mixed workload.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self::of(Profile::Mixed, seed)
    }

    /// The plan of `seed` for a workload.
    #[must_use]
    pub fn of(profile: Profile, seed: u64) -> Self {
        let mut draw = Draw::new(seed, "plan");
        let daemons = draw.between(1, 3) as usize;
        let settings = settings(&mut draw, profile);
        let heal_at = draw.between(SECOND, 5 * SECOND);
        let steps = steps::draw(&mut Draw::new(seed, "steps"), profile, daemons, settings.gate, heal_at);
        let faults = faults::draw(&mut Draw::new(seed, "faults"), profile, daemons, heal_at);
        Self { seed, daemons, settings, steps, faults, heal_at }
    }
}

fn settings(draw: &mut Draw, profile: Profile) -> Settings {
    // With few permits a gate is often full. With many, a lane's share leaves more than one permit
    // free.
    let permits_max = if profile == Profile::Gate { 3 } else { draw.one(&[4, 8, 8, 40]) };
    Settings {
        gate: limits(draw, permits_max),
        lease_ms: draw.one(&[1_000, 2_000, 4_000]),
        batch_max: draw.one(&[1, 3, 20, 1_000]),
    }
}

fn limits(draw: &mut Draw, permits_max: u64) -> GateLimits {
    let permits = draw.between(1, permits_max) as u32;
    let limits = GateLimits { permits, sync_reserve: draw.between(0, u64::from(permits) - 1) as u32, async_reserve: 0 };
    GateLimits { async_reserve: draw.between(0, u64::from(limits.async_reserve_max())) as u32, ..limits }
}
