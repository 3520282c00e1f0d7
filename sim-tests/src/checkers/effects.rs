//! Effects happen once: each mark is 1, and each counter is the number of its marks.

use super::terminal::applied;
use super::{Checker, Moment, Scene};
use crate::probes::Probes;
use crate::world::app;
use std::collections::BTreeMap;
use tidegate_core::{Collection, Verdict};
use tidegate_driver::KvPage;
use tidegate_io_sim::Memory;

#[derive(Default)]
pub(super) struct EffectsOnce {
    successes: u64,
}

fn numbers(store: &Memory, collection: &str) -> BTreeMap<String, u64> {
    let page = KvPage { prefix: String::new(), after: None, limit: u32::MAX };
    let collection = Collection::new(collection).expect("a word");
    let entries = store.list(&app(), &collection, &page).expect("the app is there");
    entries.into_iter().map(|entry| (entry.key.to_string(), entry.value.as_str().parse().unwrap_or_default())).collect()
}

impl Checker for EffectsOnce {
    fn name(&self) -> &'static str {
        "effects"
    }

    fn see(&mut self, moment: &Moment<'_>, scene: &Scene<'_>, _: &mut Probes) -> Result<(), String> {
        match moment {
            Moment::Applied { request, reply, .. } => {
                let is_success = |verdict: &Verdict| match verdict {
                    Verdict::Done { .. } | Verdict::Handled { .. } => true,
                    Verdict::Executed { outcome, .. } => outcome.error.is_none(),
                    _ => false,
                };
                self.successes += applied(request, reply).filter(|one| is_success(&one.verdict)).count() as u64;
                Ok(())
            }
            Moment::Over => {
                let marks = numbers(scene.store, "marks");
                if let Some((mark, times)) = marks.iter().find(|(_, times)| **times != 1) {
                    return Err(format!("the effects of {mark} were applied {times} times"));
                }
                let counted: u64 = numbers(scene.store, "counts").values().sum();
                if counted != marks.len() as u64 {
                    return Err(format!("{counted} were counted, {} have marks", marks.len()));
                }
                // An answer to an Executed that is sent again is no second success.
                if self.successes < counted {
                    return Err(format!("{counted} were counted, {} succeeded", self.successes));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
