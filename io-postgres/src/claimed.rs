//! The rows that a claim answers: of each lane its trigger, then what was claimed of it.

use crate::dispatch::micros;
use crate::lane::Lane;
use sqlx::Row;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use std::collections::BTreeMap;
use tidegate_core::{Attempt, Delivery, TriggerId};
use tidegate_ports::InlineClaimGuard;

#[derive(Default)]
pub(crate) struct Claimed {
    lanes: BTreeMap<TriggerId, Lane>,
    pub(crate) rows: Vec<Delivery>,
}

impl Claimed {
    /// Takes a row of this kind.
    pub(crate) fn take(&mut self, kind: &str, row: &PgRow) -> Result<(), sqlx::Error> {
        let trigger = TriggerId(row.try_get("trigger_id")?);
        if kind == "lane" {
            self.lanes.insert(trigger, Lane::of(row)?);
        } else {
            let lane = self.lanes.get(&trigger).ok_or(sqlx::Error::RowNotFound)?;
            self.rows.push(lane.delivery(row, trigger)?);
        }
        Ok(())
    }

    /// What a statement that writes rows needs to claim them, too.
    pub(crate) fn bind<'q>(
        query: Query<'q, sqlx::Postgres, PgArguments>,
        offer: Option<&InlineClaimGuard>,
    ) -> Query<'q, sqlx::Postgres, PgArguments> {
        let Some(offer) = offer else { return query };
        query
            .bind(Attempt::LOST_MESSAGE)
            .bind(micros(offer.lease_for()))
            .bind(i32::try_from(offer.room().rows).unwrap_or(i32::MAX))
            .bind(offer.room().closed_lanes.iter().map(|lane| lane.0).collect::<Vec<_>>())
    }

    /// Takes what such a statement has claimed out of its answer. What cannot be read is no failure of what was written: it is
    /// left to the claim that finds it when its lease is over.
    pub(crate) fn split_off(answer: &mut Vec<PgRow>) -> Vec<Delivery> {
        let mut claimed = Self::default();
        let is_written = |row: &PgRow| row.try_get::<Option<&str>, _>("kind").is_ok_and(|kind| kind.is_none());
        for row in answer.split_off(answer.partition_point(is_written)) {
            let taken = match row.try_get("kind") {
                Ok("now") => Ok(()),
                Ok(kind) => claimed.take(kind, &row),
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                tracing::error!("a row that was claimed as it was written cannot be read: {error}");
            }
        }
        claimed.rows
    }
}
