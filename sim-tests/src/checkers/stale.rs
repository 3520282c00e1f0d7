//! An answer to a dead life changes nothing in the next one.

use super::{Checker, Moment, Scene};
use crate::probes::Probes;

#[derive(Default)]
pub(super) struct Stale;

impl Checker for Stale {
    fn name(&self) -> &'static str {
        "stale"
    }

    fn see(&mut self, moment: &Moment<'_>, _: &Scene<'_>, _: &mut Probes) -> Result<(), String> {
        match moment {
            Moment::TakenByAnother => Err("an answer to a dead life was taken in".to_owned()),
            _ => Ok(()),
        }
    }
}
