//! Bugs in deployments, in the restart of the store after an outage, and in the end of the claims
//! of a daemon that starts again.

use super::Bug;
use crate::app::{redeploy, trigger_id};
use crate::plan::TriggerChange;
use std::collections::BTreeSet;
use tidegate_core::{DeliveryId, Lease, Timestamp, TriggerId};
use tidegate_io_sim::{Memory, Row};

/// Deploys the app with a change, like a store with the bug. `sabotage_memory` is the bug's memory.
pub(crate) fn deploy(
    bug: Option<Bug>,
    store: &mut Memory,
    change: &TriggerChange,
    sabotage_memory: &mut BTreeSet<i64>,
) {
    let lane = changed_trigger(change).and_then(|name| trigger_id(store, name));
    redeploy(store, change);
    match (bug, change) {
        (Some(Bug::DeployFreesRows), _) => free_rows(store),
        (Some(Bug::DisabledLosesRows), TriggerChange::Disabled(_)) => {
            for row in rows_of(store, lane).iter().filter(|row| row.waits()) {
                store.lose(row.id);
            }
        }
        (Some(Bug::DeletedWaits), TriggerChange::Deleted(_)) => {
            for row in rows_of(store, lane).iter().filter(|row| row.waits()) {
                store.spoil(row.id, |row| row.due_at = Timestamp(i64::MAX));
            }
        }
        (Some(Bug::ChangedPolicy), TriggerChange::Changed(_)) => {
            let triggers = store.triggers_of(&crate::app::app());
            let policy = triggers.iter().find(|one| Some(one.id) == lane).map(|one| one.spec.retry);
            for row in rows_of(store, lane) {
                store.spoil(row.id, |row| row.policy = policy.unwrap_or(row.policy));
            }
        }
        (Some(Bug::LimitForgetsHeld), TriggerChange::Limit(_)) => _ = sabotage_memory.insert(store.now().0),
        _ => {}
    }
}

/// Restarts the store, like a store with the bug.
pub(crate) fn restart_store(bug: Option<Bug>, store: &mut Memory) {
    if bug == Some(Bug::OutageFreesRows) {
        free_rows(store);
    }
}

/// Ends the claims of a daemon that starts again, like a store with the bug. Returns whether they
/// held rows.
pub(crate) fn end_claims(bug: Option<Bug>, store: &mut Memory, claims: &BTreeSet<Lease>) -> bool {
    let rows = store.rows_after(DeliveryId(i64::MIN)).filter(|row| row.lease_until > store.now());
    let held: BTreeSet<Lease> = rows.map(|row| row.lease).collect();
    match bug {
        Some(Bug::SuccessorForgets) => {}
        Some(Bug::SuccessorEndsAll) => store.end_claims(&held),
        _ => store.end_claims(claims),
    }
    !held.is_disjoint(claims)
}

/// The trigger that a change names.
fn changed_trigger(change: &TriggerChange) -> Option<&str> {
    match change {
        TriggerChange::Disabled(name) | TriggerChange::Deleted(name) | TriggerChange::Changed(name) => Some(name),
        TriggerChange::None | TriggerChange::Limit(_) => None,
    }
}

fn rows_of(store: &Memory, lane: Option<TriggerId>) -> Vec<Row> {
    lane.into_iter().flat_map(|lane| store.lane(lane).cloned()).collect()
}

/// Ends all claims as if their rows were free.
fn free_rows(store: &mut Memory) {
    let held = store.rows_after(DeliveryId(i64::MIN)).filter(|row| row.is_leased() && row.reply_to.is_none());
    let held: Vec<DeliveryId> = held.map(|row| row.id).collect();
    held.into_iter().for_each(|id| store.spoil(id, |row| row.lease_until = Timestamp::EPOCH));
}
