//! Effects happen once: each mark is 1, and each counter is the number of its marks.

use super::ledger::{Ledger, Restore};
use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::app::app;
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{Collection, ExchangeReply, Reply, Request, Settlement, Verdict};
use tidegate_io_sim::Memory;
use tidegate_ports::KvPage;

#[derive(Default)]
pub(super) struct EffectsOnce {
    successes: Ledger<u64>,
}

fn numbers(store: &Memory, collection: &str) -> BTreeMap<String, u64> {
    let page = KvPage { prefix: String::new(), after: None, limit: u32::MAX, bytes_max: usize::MAX };
    let collection = Collection::new(collection).expect("a word");
    let entries = store.list(&app(), &collection, &page).expect("the app is there");
    entries
        .entries
        .into_iter()
        .map(|entry| (entry.key.to_string(), entry.value.as_str().parse().unwrap_or_default()))
        .collect()
}

impl Checker for EffectsOnce {
    fn name(&self) -> &'static str {
        "effects"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.successes]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::StoreApplied { request, reply, .. } => {
                let is_success = |verdict: &Verdict| match verdict {
                    Verdict::Done { .. } | Verdict::Handled { .. } => true,
                    Verdict::Executed { outcome, .. } => outcome.error.is_none(),
                    _ => false,
                };
                if let (Request::Exchange { settle, .. }, Reply::Exchange(ExchangeReply { conflicted, .. })) =
                    (request, reply)
                {
                    let only_reads = |one: &&Settlement| {
                        let effects = one.verdict.effects();
                        effects.is_none_or(|effects| effects.writes.is_empty() && effects.events.is_empty())
                    };
                    if let Some(one) = settle.iter().filter(only_reads).find(|one| conflicted.contains(&one.claim)) {
                        return Err(format!("{} only read but conflicts", one.claim));
                    }
                    let has_read = settle.iter().filter(only_reads).any(|one| match &one.verdict {
                        Verdict::Done { effects } => !effects.reads.is_empty(),
                        _ => false,
                    });
                    probes.sometimes(Probe::ReadOnly, has_read);
                }
                *self.successes += applied(request, reply).filter(|one| is_success(&one.verdict)).count() as u64;
                Ok(())
            }
            Observation::RunEnded => {
                let marks = numbers(snapshot.store, "marks");
                if let Some((mark, times)) = marks.iter().find(|(_, times)| **times != 1) {
                    return Err(format!("the effects of {mark} were applied {times} times"));
                }
                let counted: u64 = numbers(snapshot.store, "counts").values().sum();
                if counted != marks.len() as u64 {
                    return Err(format!("{counted} were counted, {} have marks", marks.len()));
                }
                // A resent `Executed` settlement is not a second success.
                if *self.successes < counted {
                    return Err(format!("{counted} were counted, {} succeeded", *self.successes));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
