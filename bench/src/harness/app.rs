//! The app of the scenarios: triggers on the app's own events, each with a native handler.

use super::store::Store;
use anyhow::{Context as _, ensure};
use tidegate_core::{
    AppName, Cause, EventType, Handler, Isolation, Json, Match, NewEvent, Pattern, PrincipalId, RetryPolicy,
    ScriptName, Subject, TimeoutMs, TriggerId, TriggerName, TriggerSpec,
};
use tidegate_ports::{Deployment, Emission};

/// An app that is deployed on a store.
#[derive(Clone, Debug)]
pub struct App {
    name: AppName,
    by: PrincipalId,
}

/// The data of a small event.
pub(crate) const SMALL: &str = r#"{"order":1,"customer":"ada","total":12.50}"#;
/// The number of events in one emission of [`App::emit_many`].
const EVENTS_PER_EMISSION: usize = 1_000;

impl App {
    /// Deploys the app with these triggers. Each matches the events of its own name.
    pub async fn deploy<S: Store>(store: &S, triggers: &[&str]) -> anyhow::Result<Self> {
        let rules = triggers.iter().map(|name| {
            let rule = Match::App { event_type: Pattern::new(*name)?, subject: Pattern::any() };
            Ok((*name, rule))
        });
        Self::deploy_rules(store, rules.collect::<anyhow::Result<_>>()?).await
    }

    /// Deploys the app with one trigger for each rule.
    pub async fn deploy_rules<S: Store>(store: &S, rules: Vec<(&str, Match)>) -> anyhow::Result<Self> {
        let app = Self::deployed()?;
        let specs = rules.into_iter().map(|(name, rule)| {
            Ok(TriggerSpec {
                name: TriggerName::new(name)?,
                rule,
                handler: Handler::Native(ScriptName::new("handler")?),
                retry: RetryPolicy::default(),
                timeout_ms: TimeoutMs::default(),
                max_concurrency: None,
                enabled: true,
                isolation: Isolation::default(),
            })
        });
        let triggers = specs.collect::<anyhow::Result<_>>()?;
        let deployment = Deployment { scripts: Vec::new(), triggers, renames: Vec::new() };
        store.deploy(&app.name, &deployment, &app.by).await.context("the app was not deployed")?;
        Ok(app)
    }

    /// The app of an earlier deployment.
    pub fn deployed() -> anyhow::Result<Self> {
        Ok(Self { name: AppName::new("bench")?, by: PrincipalId::new("admin")? })
    }

    #[must_use]
    pub fn name(&self) -> &AppName {
        &self.name
    }

    /// The cause of an event from outside. The actor is the principal that deployed the app.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause::outside(self.by.clone())
    }

    /// The lane of a trigger of this app.
    pub async fn lane<S: Store>(&self, store: &S, trigger: &str) -> anyhow::Result<TriggerId> {
        let found = tidegate_ports::TriggerStore::get(store, &self.name, &TriggerName::new(trigger)?).await?;
        Ok(found.with_context(|| format!("the app has no trigger {trigger}"))?.id)
    }

    /// An emission with one event for each entry of `data`, all of one type.
    pub fn emission(&self, event_type: &str, data: Vec<Json>) -> anyhow::Result<Emission> {
        let (event_type, subject) = (EventType::new(event_type)?, Subject::new("order/1")?);
        let event = |data| NewEvent { event_type: event_type.clone(), subject: subject.clone(), data };
        let events = data.into_iter().map(event).collect();
        Ok(Emission { app: self.name.clone(), events, cause: self.cause(), idempotency_key: None })
    }

    /// Emits `count` events through the store, 1,000 in each transaction. It wakes no dispatcher.
    pub async fn emit_many<S: Store>(
        &self,
        store: &S,
        event_type: &str,
        count: usize,
        mut on_emitted: impl FnMut(usize),
    ) -> anyhow::Result<()> {
        let data = Json::parse(SMALL)?;
        let mut left = count;
        while left > 0 {
            let some = left.min(EVENTS_PER_EMISSION);
            let emission = self.emission(event_type, vec![data.clone(); some])?;
            let emitted = tidegate_ports::OutboxStore::emit(store, &emission).await?;
            let rows: usize = emitted.iter().map(|one| one.lanes.len()).sum();
            ensure!(rows == some, "{some} events made {rows} deliveries; each event makes one");
            on_emitted(some);
            left -= some;
        }
        Ok(())
    }
}
