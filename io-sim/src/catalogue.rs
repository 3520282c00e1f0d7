//! The apps, and the scripts and triggers of each app.

use crate::memory::Memory;
use crate::rows::TriggerRow;
use std::collections::BTreeSet;
use tidegate_core::{AppName, PrincipalId, ScriptName, Trigger, TriggerId, TriggerName, TriggerSpec};
use tidegate_ports::{AppSummary, Change, DeployReport, Deployment, PortError, Script, TriggerRename};

impl Memory {
    /// All apps, sorted by name.
    #[must_use]
    pub fn list_apps(&self) -> Vec<AppSummary> {
        let summary = |(name, created_at): (&AppName, &_)| AppSummary { name: name.clone(), created_at: *created_at };
        self.apps.iter().map(summary).collect()
    }

    /// Replaces the scripts and triggers of the app by those of `deployment`.
    pub fn deploy(&mut self, app: &AppName, deployment: &Deployment, by: &PrincipalId) -> DeployReport {
        self.create_app(app);
        let mut report = DeployReport::default();
        let wanted: BTreeSet<&ScriptName> = deployment.scripts.iter().map(|script| &script.name).collect();
        let old: Vec<ScriptName> =
            self.scripts.keys().filter(|(a, _)| a == app).map(|(_, name)| name.clone()).collect();
        for name in old.iter().filter(|name| !wanted.contains(name)) {
            self.scripts.remove(&(app.clone(), name.clone()));
            report.scripts.push((name.to_string(), Change::Deleted));
        }
        for script in &deployment.scripts {
            let (_, change) = self.set_script(app, &script.name, &script.source);
            report.scripts.push((script.name.to_string(), change));
        }
        let renames = deployment.renames.iter().filter(|rename| self.rename_trigger(app, rename));
        let renamed: BTreeSet<&TriggerName> = renames.map(|rename| &rename.to).collect();
        let wanted: BTreeSet<&TriggerName> = deployment.triggers.iter().map(|spec| &spec.name).collect();
        let old: Vec<TriggerName> = self.triggers_of(app).into_iter().map(|trigger| trigger.spec.name).collect();
        for name in old.iter().filter(|name| !wanted.contains(name)) {
            self.delete_trigger(app, name);
            report.triggers.push((name.to_string(), Change::Deleted));
        }
        for spec in &deployment.triggers {
            let (_, change) = self.set_trigger(app, spec, by);
            let is_only_renamed = change == Change::Unchanged && renamed.contains(&spec.name);
            let change = if is_only_renamed { Change::Renamed } else { change };
            report.triggers.push((spec.name.to_string(), change));
        }
        report.scripts.sort_by(|a, b| a.0.cmp(&b.0));
        report.triggers.sort_by(|a, b| a.0.cmp(&b.0));
        report
    }

    pub(crate) fn scripts_of(&self, app: &AppName) -> Vec<Script> {
        self.scripts.iter().filter(|((a, _), _)| a == app).map(|(_, script)| script.clone()).collect()
    }

    pub(crate) fn set_script(&mut self, app: &AppName, name: &ScriptName, source: &str) -> (Script, Change) {
        let at = (app.clone(), name.clone());
        if let Some(script) = self.scripts.get(&at).filter(|script| script.source == source) {
            return (script.clone(), Change::Unchanged);
        }
        let script = Script {
            name: name.clone(),
            version: self.next_version().0,
            source: source.to_owned(),
            updated_at: self.now,
        };
        let change = if self.scripts.insert(at, script.clone()).is_some() { Change::Updated } else { Change::Created };
        (script, change)
    }

    /// All triggers of an app, sorted by name.
    #[must_use]
    pub fn triggers_of(&self, app: &AppName) -> Vec<Trigger> {
        let mut triggers: Vec<Trigger> = self
            .triggers
            .values()
            .filter(|row| !row.deleted && !row.hidden && row.trigger.app == *app)
            .map(|row| row.trigger.clone())
            .collect();
        triggers.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        triggers
    }

    /// Creates the trigger, or changes it to `spec`.
    pub fn set_trigger(&mut self, app: &AppName, spec: &TriggerSpec, by: &PrincipalId) -> (Trigger, Change) {
        if let Some(id) = self.find_trigger(app, &spec.name)
            && let Some(row) = self.triggers.get_mut(&id)
        {
            if row.trigger.spec == *spec {
                return (row.trigger.clone(), Change::Unchanged);
            }
            row.trigger.spec = spec.clone();
            row.trigger.registered_by = by.clone();
            row.trigger.version += 1;
            row.next_tick = None;
            return (row.trigger.clone(), Change::Updated);
        }
        let trigger = Trigger {
            id: TriggerId(self.next_id()),
            app: app.clone(),
            spec: spec.clone(),
            paused: false,
            registered_by: by.clone(),
            version: 1,
        };
        self.triggers.insert(trigger.id, TriggerRow::of(trigger.clone()));
        (trigger, Change::Created)
    }

    fn rename_trigger(&mut self, app: &AppName, TriggerRename { from, to }: &TriggerRename) -> bool {
        if self.find_trigger(app, to).is_some() {
            return false;
        }
        let row = self.find_trigger(app, from).and_then(|id| self.triggers.get_mut(&id));
        row.map(|row| {
            row.trigger.spec.name = to.clone();
            row.trigger.version += 1;
        })
        .is_some()
    }

    pub(crate) fn delete_trigger(&mut self, app: &AppName, name: &TriggerName) -> bool {
        let row = self.find_trigger(app, name).and_then(|id| self.triggers.get_mut(&id));
        row.map(|row| row.deleted = true).is_some()
    }

    /// Pauses or resumes a trigger.
    pub fn pause(&mut self, app: &AppName, name: &TriggerName, paused: bool) -> Result<Option<Trigger>, PortError> {
        self.require_app(app)?;
        let row = self.find_trigger(app, name).and_then(|id| self.triggers.get_mut(&id));
        Ok(row.map(|row| {
            row.trigger.paused = paused;
            row.trigger.clone()
        }))
    }
}
