//! The rows that a claim answers: of each lane its trigger, then what was claimed of it.

use crate::dispatch::micros;
use crate::lane::Lane;
use sqlx::Row;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use std::collections::BTreeMap;
use tidegate_core::{Attempt, Delivery, TriggerId};
use tidegate_driver::Offer;

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
        offer: Option<&Offer>,
    ) -> Query<'q, sqlx::Postgres, PgArguments> {
        let Some(offer) = offer else { return query };
        query
            .bind(Attempt::LOST_MESSAGE)
            .bind(micros(offer.lease_for()))
            .bind(i32::try_from(offer.rows()).unwrap_or(i32::MAX))
    }

    /// Takes what such a statement has claimed out of its answer.
    pub(crate) fn split_off(answer: &mut Vec<PgRow>) -> Result<Vec<Delivery>, sqlx::Error> {
        let mut claimed = Self::default();
        // Behind what was written.
        let written =
            answer.partition_point(|row| row.try_get::<Option<&str>, _>("kind").is_ok_and(|kind| kind.is_none()));
        for row in answer.split_off(written) {
            match row.try_get("kind")? {
                "now" => {}
                kind => claimed.take(kind, &row)?,
            }
        }
        Ok(claimed.rows)
    }
}
