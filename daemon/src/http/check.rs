//! What is checked of scripts and triggers before anything of them is stored: that they can run at all.

use super::problem::{Part, Problem};
use super::state::ApiState;
use std::collections::BTreeSet;
use tidegate_core::{Handler, ScriptName, TriggerSpec};
use tidegate_ports::{Deployment, DeploymentScript};

/// All that is wrong with a deployment at once.
pub(super) async fn deployment(deployment: &Deployment, state: &ApiState) -> Result<(), Problem> {
    let (mut scripts, mut triggers, mut wrong) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for script in &deployment.scripts {
        if !scripts.insert(&script.name) {
            wrong.push(Part::new(format!("script {}", script.name), "is there twice"));
        }
    }
    for spec in &deployment.triggers {
        let at = format!("trigger {}", spec.name);
        if !triggers.insert(&spec.name) {
            wrong.push(Part::new(at.clone(), "is there twice"));
        }
        if let Err(message) = trigger(spec, state, |script| scripts.contains(script)) {
            wrong.push(Part::new(at, message));
        }
    }
    if let Some(first) = wrong.first() {
        let detail = format!("{}: {}; nothing was changed", first.at, first.message);
        return Err(Problem::invalid(detail).with_parts(wrong));
    }
    self::scripts(deployment.scripts.clone(), state).await
}

/// That a trigger can fire and its handler is there; what is wrong if not.
pub(super) fn trigger(
    spec: &TriggerSpec,
    state: &ApiState,
    has_script: impl FnOnce(&ScriptName) -> bool,
) -> Result<(), String> {
    if spec.name.as_str() == "invoke" {
        return Err("the name invoke is the engine's own: invocations run under it".to_owned());
    }
    match &spec.handler {
        Handler::Script(script) if !has_script(script) => Err(format!("there is no script {script}")),
        Handler::Native(name) if !state.native.contains(name.as_str()) => {
            Err(format!("this program has no native handler {name}"))
        }
        Handler::Webhook(_) => Err("webhooks are not supported yet".to_owned()),
        Handler::Script(_) | Handler::Native(_) => Ok(()),
    }
}

/// That each script compiles and has a handler.
pub(super) async fn scripts(scripts: Vec<DeploymentScript>, state: &ApiState) -> Result<(), Problem> {
    let limits = state.scripts;
    let check = move |script: &DeploymentScript| {
        let error = tidegate_exec_script::check(script.name.as_str(), &script.source, limits).err()?;
        let line = error.line.map_or_else(String::new, |line| format!(", line {line}"));
        Some(Part::new(format!("script {}{line}", script.name), error.message))
    };
    // It compiles and runs a module's top level, for up to two seconds each.
    let checked = tokio::task::spawn_blocking(move || scripts.iter().filter_map(check).collect::<Vec<_>>()).await;
    let wrong = checked.map_err(|_| Problem::internal("the scripts could not be checked"))?;
    match wrong.first() {
        None => Ok(()),
        Some(first) => {
            let message = first.message.lines().next().unwrap_or_default();
            let detail = format!("{}: {message}; nothing was changed", first.at);
            Err(Problem::script_invalid(detail).with_parts(wrong))
        }
    }
}
