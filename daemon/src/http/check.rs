//! Checks scripts and triggers before they are stored.

use super::problem::{Part, Problem};
use super::state::ApiState;
use crate::trigger_rules::{self, BrokenRule};
use crate::wall_clock;
use std::collections::BTreeSet;
use tidegate_core::{Handler, ScriptName, Trigger, TriggerSpec};
use tidegate_ports::{Deployment, DeploymentScript};

/// Refuses a deployment that has errors, and lists all of them.
pub(super) async fn deployment(deployment: &Deployment, state: &ApiState) -> Result<(), Problem> {
    let (mut scripts, mut triggers, mut errors) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for script in &deployment.scripts {
        if !scripts.insert(&script.name) {
            errors.push(Part::new(format!("script {}", script.name), "appears twice in the deployment"));
        }
    }
    for spec in &deployment.triggers {
        let at = format!("trigger {}", spec.name);
        if !triggers.insert(&spec.name) {
            errors.push(Part::new(at.clone(), "appears twice in the deployment"));
        }
        let broken = trigger(spec, state, |script| scripts.contains(script));
        errors.extend(broken.into_iter().map(|message| Part::new(at.clone(), message)));
    }
    let specs: Vec<&TriggerSpec> = deployment.triggers.iter().collect();
    for (index, rule) in trigger_rules::check_together(&specs) {
        errors.push(Part::new(format!("trigger {}", specs[index].name), message(&rule)));
    }
    if let Some(first) = errors.first() {
        let detail = format!("{}: {}; nothing was changed", first.at, first.message);
        return Err(Problem::invalid(detail).with_parts(errors));
    }
    self::scripts(deployment.scripts.clone(), state).await
}

/// Checks that a trigger can fire and that its handler exists. Returns the reasons against it.
pub(super) fn trigger(
    spec: &TriggerSpec,
    state: &ApiState,
    has_script: impl FnOnce(&ScriptName) -> bool,
) -> Vec<String> {
    if spec.name.as_str() == "invoke" {
        return vec!["the name invoke is reserved for invocations of scripts".to_owned()];
    }
    let broken = trigger_rules::check(spec, wall_clock::now());
    handler(&spec.handler, state, has_script).err().into_iter().chain(broken.iter().map(message)).collect()
}

/// Checks a trigger beside the `others` of its app. Returns the reasons against it.
pub(super) fn trigger_beside(spec: &TriggerSpec, others: &[Trigger]) -> Vec<String> {
    let others = others.iter().map(|trigger| &trigger.spec).filter(|other| other.name != spec.name);
    let specs: Vec<&TriggerSpec> = others.chain([spec]).collect();
    let broken = trigger_rules::check_together(&specs).into_iter();
    broken.filter(|(index, _)| index + 1 == specs.len()).map(|(_, rule)| message(&rule)).collect()
}

fn message(rule: &BrokenRule) -> String {
    format!("{}: {}", rule.field, rule.message)
}

fn handler(handler: &Handler, state: &ApiState, has_script: impl FnOnce(&ScriptName) -> bool) -> Result<(), String> {
    match handler {
        Handler::Script(script) if !has_script(script) => Err(format!("there is no script {script}")),
        Handler::Native(name) if !state.native.contains(name.as_str()) => {
            Err(format!("this program has no native handler {name}"))
        }
        Handler::Webhook(_) => Err("webhooks are not supported yet".to_owned()),
        Handler::Script(_) | Handler::Native(_) => Ok(()),
    }
}

/// Refuses scripts that do not compile or do not export a handler.
pub(super) async fn scripts(scripts: Vec<DeploymentScript>, state: &ApiState) -> Result<(), Problem> {
    let limits = state.scripts;
    let check = move |script: &DeploymentScript| {
        let error = tidegate_exec_script::check(script.name.as_str(), &script.source, limits).err()?;
        let line = error.line.map_or_else(String::new, |line| format!(", line {line}"));
        Some(Part::new(format!("script {}{line}", script.name), error.message))
    };
    // The check compiles each script and runs its top level for up to two seconds.
    let checked = tokio::task::spawn_blocking(move || scripts.iter().filter_map(check).collect::<Vec<_>>()).await;
    let errors = checked.map_err(|_| Problem::internal("the check of the scripts failed; nothing was changed"))?;
    match errors.first() {
        None => Ok(()),
        Some(first) => {
            let message = first.message.lines().next().unwrap_or_default();
            let detail = format!("{}: {message}; nothing was changed", first.at);
            Err(Problem::script_invalid(detail).with_parts(errors))
        }
    }
}
