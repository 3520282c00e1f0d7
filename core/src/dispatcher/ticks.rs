//! Ticks: cron triggers whose time has come. Each daemon that sees a due schedule offers the tick; the store takes it
//! once, because the offer names the tick that it found.

use super::Dispatcher;
use crate::io::Disposition;
use crate::store::{Reply, Request, Schedule, StoreError, Tick, TickReply};
use crate::time::Timestamp;

/// A schedule past the end of the calendar: 9999-12-31T23:59:59Z.
const NEVER: Timestamp = Timestamp(253_402_300_799_000_000);

impl Dispatcher {
    /// Lets due schedules tick. Ticks that were missed while nobody ran are made up for by one.
    pub(super) fn tick(&mut self, schedules: &[Schedule], now: Timestamp) {
        let may_call = self.health.may_call(self.now);
        if schedules.is_empty() || self.ticking.is_some() || self.shutdown.is_some() || !may_call {
            return;
        }
        let tick = |schedule: &Schedule| Tick {
            trigger: schedule.trigger,
            expected: schedule.next_tick,
            next: schedule.expression.next_after(now, schedule.time_zone).unwrap_or(NEVER),
        };
        let ticks = schedules.iter().map(tick).collect();
        self.ticking = Some(self.call_store(Request::Tick { ticks }));
    }

    pub(super) fn tick_answered(&mut self, result: Result<Reply, StoreError>) -> Disposition {
        match result {
            Ok(Reply::Tick(TickReply { now, woken_lanes: woken })) => {
                self.ticking = None;
                self.answered_at(now);
                woken.into_iter().for_each(|lane| self.lanes.wake(lane));
                Disposition::Accepted
            }
            Ok(_) => Disposition::Rejected,
            Err(error) => {
                // The next discovery finds what was not taken.
                self.ticking = None;
                self.store_failed("tick", error);
                Disposition::Accepted
            }
        }
    }
}
