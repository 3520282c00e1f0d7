//! The table `claims`. A claim is one row that lists the rows of the outbox that it took, each with
//! its turn. It holds a listed row as long as the row exists and has that turn.

use crate::query::Query;
use crate::rows;
use crate::sql;
use crate::writer::Tx;
use rusqlite::{Row, params};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{Claim, Delivery, DeliveryId, Lease, Micros, Timestamp, TriggerId};
use tidegate_ports::PortError;

/// A row that a claim takes.
#[derive(Debug)]
pub(crate) struct ClaimedRow {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) turn: i64,
    /// Whether the row counts against the `max_concurrency` of its lane. An executed row does not.
    pub(crate) has_slot: bool,
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct StoredClaim {
    lease: Lease,
    pub(crate) claimed_at: Timestamp,
    rows_left: i64,
    slots: i64,
    /// The rows of the claim, sorted by id.
    pub(crate) deliveries: Vec<ListedRow>,
    is_changed: bool,
}

/// A row in the list of a claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListedRow {
    pub(crate) id: i64,
    pub(crate) turn: i64,
    /// Whether the claim holds the row ahead.
    pub(crate) is_ahead: bool,
}

/// The claims that a request names. Each is read once, and written once at the end.
#[derive(Debug, Default)]
pub(crate) struct NamedClaims(BTreeMap<Lease, Option<StoredClaim>>);

impl StoredClaim {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            lease: Lease(row.get("lease")?),
            claimed_at: rows::time(row, "claimed_at")?,
            rows_left: row.get("rows_left")?,
            slots: row.get("slots")?,
            deliveries: listed_rows(row)?,
            is_changed: false,
        })
    }

    /// The turn that a row has if the claim holds it. `None` if the claim does not list the row.
    pub(crate) fn turn_of(&self, id: DeliveryId) -> Option<i64> {
        let at = self.deliveries.binary_search_by_key(&id.0, |listed| listed.id).ok()?;
        self.deliveries.get(at).map(|listed| listed.turn)
    }

    /// Whether the claim holds every row that it lists.
    pub(crate) fn is_whole(&self) -> bool {
        usize::try_from(self.rows_left).is_ok_and(|left| left == self.deliveries.len())
    }

    /// A row left the claim.
    pub(crate) fn leave(&mut self, had_slot: bool) {
        self.rows_left -= 1;
        self.slots -= i64::from(had_slot);
        self.is_changed = true;
    }

    /// A row was executed. It stays in the claim until its reply is delivered.
    pub(crate) fn free_slot(&mut self) {
        self.slots -= 1;
        self.is_changed = true;
    }
}

fn listed_rows(row: &Row<'_>) -> rusqlite::Result<Vec<ListedRow>> {
    let starts: u32 = row.get("starts")?;
    let in_order: Vec<(i64, i64)> = rows::json(row, "deliveries")?;
    let listed = |(nth, (id, turn)): (usize, (i64, i64))| ListedRow { id, turn, is_ahead: nth >= starts as usize };
    let mut deliveries: Vec<ListedRow> = in_order.into_iter().enumerate().map(listed).collect();
    deliveries.sort_unstable_by_key(|listed| listed.id);
    Ok(deliveries)
}

impl NamedClaims {
    /// The claim that `claim` names, if it exists.
    pub(crate) fn get(&mut self, tx: &Tx<'_>, claim: Claim) -> Result<Option<&mut StoredClaim>, PortError> {
        use std::collections::btree_map::Entry;
        let stored = match self.0.entry(claim.lease) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                unknown.insert(tx.connection.maybe(sql::claim_get, [claim.lease.0], StoredClaim::read)?)
            }
        };
        Ok(stored.as_mut())
    }

    pub(crate) fn store(self, tx: &Tx<'_>) -> Result<(), PortError> {
        self.0.into_values().flatten().try_for_each(|claim| tx.store_claim(&claim))
    }
}

impl Tx<'_> {
    /// A number that no claim has had. The store's clock makes it, so that it is new even if the
    /// file was restored to an earlier state.
    pub(crate) fn new_lease(&self) -> Lease {
        Lease(self.clock.tick().0)
    }

    /// Adds the claim of `rows`, which are rows of one lane and have the number of the claim. The
    /// first `starts` rows start at once.
    pub(crate) fn add_claim(
        &self,
        trigger: TriggerId,
        rows: &[ClaimedRow],
        starts: u32,
        lease_for: Micros,
    ) -> Result<(), PortError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let listed: Vec<(i64, i64)> = rows.iter().map(|row| (row.delivery.id.0, row.turn)).collect();
        let slots = rows.iter().filter(|row| row.has_slot).count();
        let params = params![
            first.delivery.lease.0,
            trigger.0,
            self.now.plus(lease_for).0,
            self.now.0,
            rows.len() as i64,
            slots as i64,
            serde_json::to_string(&listed).unwrap_or_default(),
            starts,
        ];
        self.connection.run(sql::claim_add, params).map(drop)
    }

    /// The claims of a lane whose lease has expired.
    pub(crate) fn expired_claims(&self, trigger: TriggerId) -> Result<Vec<StoredClaim>, PortError> {
        self.connection.all(sql::claims_expired, [trigger.0, self.now.0], StoredClaim::read)
    }

    /// Writes what the claim still holds. A claim that holds nothing is deleted.
    pub(crate) fn store_claim(&self, claim: &StoredClaim) -> Result<(), PortError> {
        if !claim.is_changed {
            return Ok(());
        }
        if claim.rows_left == 0 {
            self.delete_claim(claim)?;
        } else {
            self.connection.run(sql::claim_left, [claim.lease.0, claim.rows_left, claim.slots])?;
        }
        Ok(())
    }

    pub(crate) fn delete_claim(&self, claim: &StoredClaim) -> Result<(), PortError> {
        self.connection.run(sql::claim_delete, [claim.lease.0]).map(drop)
    }

    /// The slots that the live claims of a lane have taken.
    pub(crate) fn slots_taken(&self, trigger: TriggerId) -> Result<u32, PortError> {
        self.connection.one(sql::slots, [trigger.0, self.now.0], |row| row.get(0))
    }
}
