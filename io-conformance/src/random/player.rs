//! Plays commands against one store, and returns normalized results as text.

use super::DAY;
use super::command::{Command, GuardBy};
use super::normal::Names;
use super::verdict::verdict;
use crate::Store;
use crate::support::{
    app_name, collection, http, json as text, key, limit, new_event, on_app, on_dead_letter, on_kv, spec, trigger_name,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use tidegate_core::{
    AppName, BeginCallsReply, Cause, Claim, DeadLetterId, DiscoverReply, ExchangeReply, IdempotencyKey, InboxId,
    Incarnation, Kind, LaneQuota, Micros, PrincipalId, RenewReply, Reply, Request, RetryPolicySpec, Role, Settlement,
    SuspectClaim, SyncCall, SyncTarget, Timestamp, TriggerId, TriggerSpec, Version,
};
use tidegate_ports::{
    AppStore, DeadLetterFilter, DeadLetterStore, DeliveryFilter, DeliveryStore, Deployment, DispatchStore, Emission,
    EmittedEvent, Guard, KvPage, KvStore, LedgerStore, LetterBatch, LetterSelection, LoopEntry, NewPrincipal,
    OutboxStore, Page, PageSize, PortError, PrincipalStore, TriggerStore,
};

/// The triggers by number. Sync calls use the third trigger.
const TRIGGERS: [&str; 6] = ["go", "gone", "page", "watch", "letters", "limited"];

/// The year 2100, in microseconds.
const FAR_FUTURE: i64 = 4_102_444_800_000_000;

pub(super) struct Player<'a, S> {
    store: &'a S,
    app: AppName,
    owner: PrincipalId,
    names: Names,
    triggers: BTreeMap<usize, TriggerId>,
    held: Vec<(Claim, Kind)>,
    letters: Vec<DeadLetterId>,
    /// The version of each key at its last read or write by a command.
    versions: BTreeMap<u8, Option<Version>>,
    callers: u64,
}

fn trigger(which: usize, change: u8) -> TriggerSpec {
    let name = TRIGGERS[which];
    let base = match name {
        "go" => on_app(name, "go"),
        "gone" => on_app(name, "go*"),
        "page" => spec(name, http("GET", "/")),
        "watch" => on_kv(name, "c", "k*"),
        "letters" => on_dead_letter(name, "go*"),
        _ => TriggerSpec { max_concurrency: limit(2), ..on_app(name, "limited") },
    };
    let (max_attempts, max_lost) = (1 + u32::from(change.wrapping_add(1) % 4), 1 + u32::from(change / 4 % 3));
    let retry = RetryPolicySpec { max_attempts, max_lost, ..RetryPolicySpec::default() };
    let retry = retry.try_into().expect("a valid policy");
    TriggerSpec { retry, enabled: change % 5 != 4, ..base }
}

impl<'a, S: Store> Player<'a, S> {
    pub(super) async fn new(store: &'a S, case: u32) -> Self {
        let app = app_name(&format!("random-{case}"));
        let owner = PrincipalId::new(format!("user:owner-{case}")).expect("a valid principal");
        let triggers = (0..TRIGGERS.len()).map(|which| trigger(which, 0)).collect();
        let deployment = Deployment { scripts: Vec::new(), triggers, renames: Vec::new() };
        AppStore::deploy(store, &app, &deployment, &owner).await.expect("the app is created");
        let registrant = NewPrincipal { id: owner.clone(), admin: false, monitor: false, password_hash: None };
        PrincipalStore::add(store, &registrant).await.expect("the owner is added");
        PrincipalStore::set_role(store, &owner, &app, Some(Role::Editor)).await.expect("the owner gets a role");
        let (names, triggers, versions) = (Names::default(), BTreeMap::new(), BTreeMap::new());
        let mut player =
            Self { store, app, owner, names, triggers, held: Vec::new(), letters: Vec::new(), versions, callers: 0 };
        player.read_triggers().await;
        player
    }

    /// Plays one command, and returns its normalized result.
    pub(super) async fn play(&mut self, command: &Command) -> String {
        match command {
            Command::Put { key, guard } => self.put(*key, *guard).await,
            Command::Delete { key, guard } => self.delete(*key, *guard).await,
            Command::Get { key } => self.get(*key).await,
            Command::Emit { to, count, once, digest } => self.emit(*to, *count, *once, *digest).await,
            Command::Exchange { settle, claim, suspect, long } => self.exchange(settle, claim, *suspect, *long).await,
            Command::Begin { calls, long } => self.begin(calls, *long).await,
            Command::Renew { claims, long } => {
                let held = claims.iter().filter_map(|at| Some(pick(&self.held, *at)?.0)).collect::<BTreeSet<_>>();
                self.request(Request::Renew { held: held.into_iter().collect(), lease_for: lease(*long) }).await
            }
            Command::Discover => self.request(Request::Discover).await,
            Command::SetTrigger { which, change } => {
                let spec = trigger(usize::from(*which), *change);
                let set = TriggerStore::put(self.store, &self.app, &spec, &self.owner).await;
                self.read_triggers().await;
                self.normalized(set, "trigger")
            }
            Command::DeleteTrigger { which } => {
                let name = trigger_name(TRIGGERS[usize::from(*which)]);
                let deleted = TriggerStore::delete(self.store, &self.app, &name).await;
                self.read_triggers().await;
                self.normalized(deleted, "trigger")
            }
            Command::Pause { which, paused } => {
                let name = trigger_name(TRIGGERS[usize::from(*which)]);
                let trigger = TriggerStore::set_paused(self.store, &self.app, &name, *paused).await;
                self.normalized(trigger, "trigger")
            }
            Command::Disable { disabled } => {
                let known = PrincipalStore::set_disabled(self.store, &self.owner, *disabled).await;
                self.normalized(known, "principal")
            }
            Command::Redrive { letters, limit } => {
                let selection = self.selection(letters.as_deref(), *limit);
                let batch = DeadLetterStore::redrive(self.store, &self.app, &selection).await;
                self.batch(batch)
            }
            Command::Discard { letters, limit } => {
                let selection = self.selection(letters.as_deref(), *limit);
                let batch = DeadLetterStore::discard(self.store, &self.app, &selection).await;
                self.batch(batch)
            }
            Command::Count => {
                let selection = self.selection(None, u8::MAX);
                let batch = DeadLetterStore::count(self.store, &self.app, &selection).await;
                self.batch(batch)
            }
        }
    }

    /// Everything that the ports return for the app, normalized.
    pub(super) async fn snapshot(&mut self) -> String {
        let (store, app) = (self.store, self.app.clone());
        let filter = DeliveryFilter { size: PageSize::of(10_000), ..DeliveryFilter::default() };
        let deliveries = DeliveryStore::list(store, &app, &filter).await.map(all);
        let filter = DeadLetterFilter { size: PageSize::of(10_000), ..DeadLetterFilter::default() };
        let letters = DeadLetterStore::list(store, &app, &filter).await.map(all);
        if let Ok(letters) = &letters {
            self.letters = letters.iter().rev().map(|letter| letter.id).collect();
        }
        let loops = LedgerStore::loops(store, &app, 1_000).await;
        let mut loops: Vec<String> = match loops {
            Ok(loops) => loops.iter().map(|one| self.loop_entry(one)).collect(),
            Err(error) => vec![failed(&error)],
        };
        // Loops with the same time have no order.
        loops.sort_unstable();
        let abandoned = LedgerStore::abandoned(store, &app, None, 1_000).await;
        let abandoned = abandoned.map(|all| {
            let fields = |one: &tidegate_ports::AbandonedExecution| json!({"delivery_id": one.delivery_id, "trigger": one.trigger, "event_id": one.event_id, "cause": one.cause, "outcome": one.outcome, "status": one.status, "message": one.message});
            all.iter().map(fields).collect::<Vec<_>>()
        });
        let page = KvPage { prefix: String::new(), after: None, size: PageSize::of(1_000) };
        let values = KvStore::list(store, &app, &collection("c"), &page).await.map(all);
        let triggers = TriggerStore::list(store, &app).await;
        [
            self.normalized(deliveries, "delivery"),
            self.normalized(letters, "letter"),
            loops.join(", "),
            self.normalized(abandoned, "delivery"),
            self.normalized(values, "value"),
            self.normalized(triggers, "trigger"),
        ]
        .join("\n  ")
    }

    fn loop_entry(&mut self, one: &LoopEntry) -> String {
        let LoopEntry { trigger, root_id, count, last_event_id, .. } = one;
        let shown = json!({"trigger": trigger, "root_id": root_id, "count": count, "last_event_id": last_event_id});
        self.names.normal(shown, "loop").to_string()
    }

    async fn read_triggers(&mut self) {
        let triggers = TriggerStore::list(self.store, &self.app).await.expect("the triggers are listed");
        let number = |name: &str| TRIGGERS.iter().position(|other| *other == name);
        self.triggers =
            triggers.iter().filter_map(|trigger| Some((number(trigger.spec.name.as_str())?, trigger.id))).collect();
    }

    fn normalized<T: serde::Serialize>(&mut self, result: Result<T, PortError>, kind: &'static str) -> String {
        match result {
            Ok(value) => self.names.normal(json!(value), kind).to_string(),
            Err(PortError::PreconditionFailed { current }) => {
                self.names.normal(json!({"failed": {"version": current}}), kind).to_string()
            }
            Err(error) => failed(&error),
        }
    }

    fn batch(&mut self, batch: Result<LetterBatch, PortError>) -> String {
        let batch = batch.map(|batch| json!({"matched": batch.matched, "skipped": batch.skipped, "dead_letter_id": batch.last, "woken_lanes": sorted(batch.woken_lanes)}));
        self.normalized(batch, "letter")
    }

    fn guard(&self, key: u8, guard: GuardBy) -> Guard {
        match guard {
            GuardBy::Nothing => Guard::Any,
            GuardBy::Absence => Guard::Absent,
            GuardBy::LastRead => self.versions.get(&key).copied().flatten().map_or(Guard::Absent, Guard::Version),
        }
    }

    async fn put(&mut self, at: u8, guard: GuardBy) -> String {
        let guard = self.guard(at, guard);
        let value = text(&format!("{{\"at\": {at}}}"));
        let key = key(&format!("k{at}"));
        let put = KvStore::put(self.store, &self.app, &collection("c"), &key, value, guard, &outside()).await;
        if let Ok(put) = &put {
            self.versions.insert(at, Some(put.version));
        }
        let put = put.map(|put| json!({"version": put.version, "emitted": emitted(&[put.emitted])}));
        self.normalized(put, "value")
    }

    async fn delete(&mut self, at: u8, guard: GuardBy) -> String {
        let guard = self.guard(at, guard);
        let key = key(&format!("k{at}"));
        let deleted = KvStore::delete(self.store, &self.app, &collection("c"), &key, guard, &outside()).await;
        let deleted = deleted
            .map(|deleted| deleted.map(|one| json!({"version": one.version, "emitted": emitted(&[one.emitted])})));
        self.normalized(deleted, "value")
    }

    async fn get(&mut self, at: u8) -> String {
        let entry = KvStore::get(self.store, &self.app, &collection("c"), &key(&format!("k{at}"))).await;
        if let Ok(entry) = &entry {
            self.versions.insert(at, entry.as_ref().map(|entry| entry.version));
        }
        self.normalized(entry, "value")
    }

    async fn emit(&mut self, to: u8, count: u8, once: Option<u8>, digest: bool) -> String {
        let to = ["go", "gone", "limited", "unmatched"][usize::from(to)];
        let events = (0..count).map(|nth| new_event(to, &nth.to_string(), "{\"n\":1}")).collect();
        let idempotency_key = once.map(|once| key_of(once, if digest { "this" } else { "that" }));
        let emission = Emission { app: self.app.clone(), events, cause: outside(), idempotency_key };
        let result = OutboxStore::emit(self.store, &emission).await;
        let result = result.map(|events| emitted(&events));
        self.normalized(result, "event")
    }

    async fn exchange(&mut self, settle: &[(u8, u8)], claim: &[(u8, u8)], suspect: Option<u8>, long: bool) -> String {
        let mut settled = BTreeSet::new();
        let mut settlements = Vec::new();
        for (at, how) in settle {
            let Some((claim, kind)) = pick(&self.held, *at) else { continue };
            if settled.insert(claim.delivery) {
                settlements.push(Settlement { claim, verdict: verdict(kind, *how, &self.versions) });
            }
        }
        let mut lanes = BTreeSet::new();
        let quota = |(which, quota): &(u8, u8)| {
            let trigger = *self.triggers.get(&usize::from(*which))?;
            // No row becomes visible late, so the look-back makes no difference.
            let look_back = if quota % 2 == 0 { Timestamp::EPOCH } else { Timestamp(FAR_FUTURE) };
            lanes.insert(trigger).then(|| LaneQuota {
                trigger,
                quota: u32::from(*quota),
                starts: u32::from(*quota).min(2),
                look_back,
            })
        };
        let claim = claim.iter().filter_map(quota).collect();
        let suspect = suspect.and_then(|how| {
            let trigger = *self.triggers.get(&usize::from(how % 6))?;
            Some(SuspectClaim { trigger, quota: u32::from(how % 4), backoff: lease(how >= 192) })
        });
        self.request(Request::Exchange {
            settle: settlements,
            claim,
            suspect,
            lease_for: lease(long),
            claim_bytes_max: u64::MAX,
        })
        .await
    }

    async fn begin(&mut self, calls: &[Option<u8>], long: bool) -> String {
        let Some(page) = self.triggers.get(&2).copied() else { return "the trigger page does not exist".to_owned() };
        let app = self.app.clone();
        let mut call = |key: &Option<u8>| {
            self.callers += 1;
            let inbox = InboxId { incarnation: Incarnation(uuid::Uuid::from_u128(7)), seq: self.callers };
            SyncCall {
                inbox,
                target: SyncTarget::Trigger { app: app.clone(), id: page },
                event: new_event("http.request", "GET /", "null"),
                cause: outside(),
                idempotency_key: key.map(|key| key_of(key % 2, if key == 2 { "that" } else { "this" })),
            }
        };
        let calls = calls.iter().map(&mut call).collect();
        self.request(Request::BeginCalls { calls, lease_for: lease(long) }).await
    }

    async fn request(&mut self, request: Request) -> String {
        let reply = DispatchStore::call(self.store, request).await;
        let mut reply = match reply {
            Ok(reply) => reply,
            Err(error) => return failed(&error),
        };
        match &mut reply {
            Reply::Exchange(ExchangeReply { claimed, woken_lanes: woken, fenced, conflicted, .. }) => {
                self.held.extend(claimed.iter().map(|row| (row.claim(), row.kind())));
                fenced.sort_unstable();
                conflicted.sort_unstable();
                woken.sort_unstable();
                self.drop_old_claims();
            }
            Reply::BeginCalls(BeginCallsReply { deliveries: begun, .. }) => {
                self.held.extend(begun.iter().map(|row| (row.claim(), row.kind())))
            }
            Reply::Renew(RenewReply { fenced, .. }) => fenced.sort_unstable(),
            Reply::Discover(DiscoverReply { lanes, suspects, schedules, .. }) => {
                let ours: BTreeSet<TriggerId> = self.triggers.values().copied().collect();
                lanes.retain(|lane| ours.contains(&lane.trigger));
                suspects.retain(|lane| ours.contains(&lane.trigger));
                schedules.clear();
            }
            Reply::Tick(_) => {}
        }
        let reply: Value = self.names.normal(json!(reply), "delivery");
        reply.to_string()
    }

    /// Keeps the last 24 claims. Most settlements of older claims would be fenced.
    fn drop_old_claims(&mut self) {
        let excess = self.held.len().saturating_sub(24);
        self.held.drain(..excess);
    }

    fn selection(&self, letters: Option<&[u8]>, limit: u8) -> LetterSelection {
        let ids = letters.map(|letters| letters.iter().filter_map(|at| pick(&self.letters, *at)).collect());
        LetterSelection { ids, limit: u32::from(limit), ..LetterSelection::default() }
    }
}

fn outside() -> Cause {
    Cause::outside(PrincipalId::new("token:bob").expect("a valid principal"))
}

fn lease(long: bool) -> Micros {
    if long { DAY } else { Micros::ZERO }
}

fn key_of(key: u8, digest: &str) -> IdempotencyKey {
    IdempotencyKey { key: format!("once-{key}"), digest: digest.to_owned() }
}

fn pick<T: Copy>(from: &[T], at: u8) -> Option<T> {
    from.get(usize::from(at).checked_rem(from.len())?).copied()
}

fn sorted(mut lanes: Vec<TriggerId>) -> Vec<Value> {
    lanes.sort_unstable();
    lanes.into_iter().map(|trigger| json!({"trigger": trigger})).collect()
}

fn emitted(events: &[EmittedEvent]) -> Vec<Value> {
    events.iter().map(|one| json!({"event_id": one.event_id, "woken_lanes": sorted(one.lanes.clone())})).collect()
}

fn failed(error: &impl Debug) -> String {
    format!("failed: {error:?}")
}

/// The items of a list that one page holds.
fn all<T>(page: Page<T>) -> Vec<T> {
    assert!(!page.has_more, "the list has more than one page");
    page.items
}
