//! What is checked of a deployment before anything of it is stored: that it can run at all.

use super::problem::Problem;
use super::state::ApiState;
use std::collections::BTreeSet;
use tidegate_core::{Handler, Match, ScriptName, TriggerName, TriggerSpec};
use tidegate_driver::{Deployment, DeploymentScript};

pub(super) async fn deployment(deployment: &Deployment, state: &ApiState) -> Result<(), Problem> {
    let mut scripts = BTreeSet::new();
    for script in &deployment.scripts {
        if !scripts.insert(&script.name) {
            return Err(Problem::invalid(format!("the script {} is there twice", script.name)));
        }
    }
    let mut names: BTreeSet<&TriggerName> = BTreeSet::new();
    for spec in &deployment.triggers {
        if !names.insert(&spec.name) {
            return Err(Problem::invalid(format!("the trigger {} is there twice", spec.name)));
        }
        trigger(spec, state, |script| scripts.contains(script))?;
    }
    self::scripts(deployment.scripts.clone(), state).await
}

/// That a trigger can fire and its handler is there.
pub(super) fn trigger(
    spec: &TriggerSpec,
    state: &ApiState,
    has_script: impl FnOnce(&ScriptName) -> bool,
) -> Result<(), Problem> {
    let refused = |why: String| Err(Problem::invalid(format!("the trigger {}: {why}; nothing was changed", spec.name)));
    if let Match::Http { .. } = spec.rule {
        return refused("this version has no http triggers".to_owned());
    }
    match &spec.handler {
        Handler::Script(script) if !has_script(script) => refused(format!("there is no script {script}")),
        Handler::Native(name) if !state.native.contains(name.as_str()) => {
            refused(format!("this program has no native handler {name}"))
        }
        Handler::Webhook(_) => refused("this version has no webhooks".to_owned()),
        Handler::Script(_) | Handler::Native(_) => Ok(()),
    }
}

/// That each script compiles and has a handler.
pub(super) async fn scripts(scripts: Vec<DeploymentScript>, state: &ApiState) -> Result<(), Problem> {
    let limits = state.scripts;
    let checked = tokio::task::spawn_blocking(move || {
        scripts.iter().try_for_each(|script| {
            tidegate_exec_script::check(script.name.as_str(), &script.source, limits)
                .map_err(|error| format!("the script {} {}; nothing was changed", script.name, error.message))
        })
    });
    match checked.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(detail)) => Err(Problem::new(422, "script_invalid", detail)),
        Err(_) => Err(Problem::new(500, "internal", "the scripts could not be checked")),
    }
}
