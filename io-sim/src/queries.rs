//! Lists deliveries, queues and dead letters.

use crate::memory::Memory;
use crate::rows::Row;
use tidegate_core::{AppName, DeadLetterId, DeliveryId};
use tidegate_ports::{
    DeadLetter, DeadLetterFilter, DeliveryFilter, DeliveryState, DeliverySummary, Page, PortError, QueueState,
};

impl Memory {
    /// The deliveries of an app, in the order of their ids.
    pub fn deliveries(&self, app: &AppName, filter: &DeliveryFilter) -> Result<Page<DeliverySummary>, PortError> {
        self.require_app(app)?;
        let summaries = self.outbox.values().filter(|row| row.event.app == *app).filter_map(|row| self.summary(row));
        let wanted = summaries.filter(|summary| {
            filter.trigger.as_ref().is_none_or(|trigger| *trigger == summary.trigger)
                && filter.state.is_none_or(|state| state == summary.state)
                && filter.after.is_none_or(|after| summary.id > after)
        });
        Page::read(wanted.map(Ok), filter.size, DeliverySummary::bytes)
    }

    pub(crate) fn delivery(&self, app: &AppName, id: DeliveryId) -> Result<Option<DeliverySummary>, PortError> {
        self.require_app(app)?;
        Ok(self.outbox.get(&id).filter(|row| row.event.app == *app).and_then(|row| self.summary(row)))
    }

    fn summary(&self, row: &Row) -> Option<DeliverySummary> {
        let trigger = &self.triggers.get(&row.trigger)?.trigger;
        let state = if row.is_leased() && row.lease_until > self.now {
            DeliveryState::Leased
        } else if row.due_at > self.now {
            DeliveryState::Scheduled
        } else {
            DeliveryState::Ready
        };
        Some(DeliverySummary {
            id: row.id,
            trigger: trigger.spec.name.clone(),
            state,
            event: row.event.clone(),
            attempt: row.attempt + u32::from(row.is_leased()),
            lost: row.lost,
            max_attempts: row.policy.max_attempts(),
            due_at: row.due_at,
            enqueued_at: row.enqueued_at,
            failed: row.failed.clone(),
        })
    }

    pub(crate) fn queues(&self, count_max: u32) -> Vec<QueueState> {
        let mut queues = Vec::new();
        for (id, lane) in &self.triggers {
            let depth = self.lane(*id).take(count_max as usize).count() as u32;
            if depth > 0 {
                queues.push(QueueState {
                    app: lane.trigger.app.clone(),
                    trigger: lane.trigger.spec.name.clone(),
                    depth,
                    oldest_due: self.lane(*id).find(|row| row.can_be_claimed(self.now)).map(|row| row.due_at),
                });
            }
        }
        queues.sort_by(|a, b| (&a.app, &a.trigger).cmp(&(&b.app, &b.trigger)));
        queues
    }

    /// The dead letters of an app, newest first.
    pub fn letters(&self, app: &AppName, filter: &DeadLetterFilter) -> Result<Page<DeadLetter>, PortError> {
        self.require_app(app)?;
        let of_app = self.letters.values().rev().filter(|letter| letter.app == *app).map(|letter| &letter.letter);
        let wanted = of_app.filter(|letter| {
            filter.trigger.as_ref().is_none_or(|trigger| *trigger == letter.trigger)
                && filter.fingerprint.as_ref().is_none_or(|fingerprint| *fingerprint == letter.fingerprint)
                && filter.reason.is_none_or(|reason| reason == letter.reason)
                && filter.resolution.is_none_or(|resolution| letter.resolution == Some(resolution))
                && (!filter.open_only || letter.resolution.is_none())
                && filter.before.is_none_or(|before| letter.id < before)
        });
        Page::read(wanted.cloned().map(Ok), filter.size, DeadLetter::bytes)
    }

    pub(crate) fn letter(&self, app: &AppName, id: DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        self.require_app(app)?;
        Ok(self.letters.get(&id).filter(|letter| letter.app == *app).map(|letter| letter.letter.clone()))
    }
}
