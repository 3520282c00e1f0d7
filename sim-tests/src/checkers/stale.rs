//! An answer is taken by the life that asked, once, and by nobody else.

use super::{Checker, Life, Moment, Scene};
use crate::probes::Probes;
use std::collections::BTreeMap;
use tidegate_core::{Disposition, OpId};

#[derive(Default)]
pub(super) struct Stale {
    /// The questions that are not answered yet, and who asked.
    asked: BTreeMap<OpId, Life>,
}

impl Checker for Stale {
    fn name(&self) -> &'static str {
        "stale"
    }

    fn see(&mut self, moment: &Moment<'_>, _: &Scene<'_>, _: &mut Probes) -> Result<(), String> {
        match moment {
            Moment::Asks { of, op: Some(op), .. } => match self.asked.insert(*op, *of) {
                Some(_) => Err(format!("{op:?} is asked twice")),
                None => Ok(()),
            },
            Moment::Answered { of, op, taken, .. } => {
                let is_asked = self.asked.get(op) == Some(of);
                if is_asked {
                    self.asked.remove(op);
                }
                match (is_asked, taken) {
                    (true, false) => Err(format!("daemon {} does not take the answer to its {op:?}", of.daemon)),
                    (false, true) => Err(format!("daemon {} takes an answer to {op:?}, not asked or twice", of.daemon)),
                    _ => Ok(()),
                }
            }
            Moment::Took { disposition: Disposition::Accepted, for_another: true, .. } => {
                Err("an answer to a dead life was taken in".to_owned())
            }
            _ => Ok(()),
        }
    }
}
