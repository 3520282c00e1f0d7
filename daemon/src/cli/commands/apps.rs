use super::super::args::AppsCommand;
use super::super::client::{Call, Client, segment};
use super::super::error::CliError;
use super::super::text;
use super::Context;
use crate::cli::target::AppList;
use serde::Deserialize;
use ureq::http::Method;

#[derive(Deserialize)]
struct Triggers {
    triggers: Vec<TriggerState>,
}

#[derive(Deserialize)]
struct TriggerState {
    name: String,
    paused: bool,
    enabled: bool,
}

pub(in super::super) fn run(context: &Context, command: AppsCommand) -> Result<(), CliError> {
    let client = &context.target.client;
    match command {
        AppsCommand::List => list(context),
        AppsCommand::Disable { name } => {
            let changed = switch(client, &name, true)?;
            context.print(&format!("paused {} of {name}; deliveries wait\n", text::count(changed, "trigger")))
        }
        AppsCommand::Enable { name } => {
            let changed = switch(client, &name, false)?;
            context.print(&format!("resumed {} of {name}\n", text::count(changed, "trigger")))
        }
        AppsCommand::Delete { name, yes } => {
            let count = triggers(client, &name)?.len() as u64;
            if !yes {
                let message = format!(
                    "this deletes the scripts and {} of {name}, and their waiting deliveries become dead letters; nothing was changed",
                    text::count(count, "trigger")
                );
                return Err(CliError::usage(message).hint("repeat the command with --yes"));
            }
            let path = format!("/v1/apps/{}?dead_letter_waiting=true", segment(&name));
            client.call(Call::new(Method::PUT, path).json("{}".to_owned()))?;
            let deleted = text::count(count, "trigger");
            context.print(&format!("deleted the scripts and {deleted} of {name}; its values and dead letters stay\n"))
        }
    }
}

/// The apps of the daemon, each with the number of its triggers that are not disabled.
pub(crate) fn with_triggers(client: &Client) -> Result<Vec<(String, u64)>, CliError> {
    let list: AppList = read(client, "/v1/apps")?;
    let count = |name: String| {
        let enabled = triggers(client, &name)?.iter().filter(|trigger| trigger.enabled).count();
        Ok((name, enabled as u64))
    };
    list.names().into_iter().map(count).collect()
}

fn list(context: &Context) -> Result<(), CliError> {
    let client = &context.target.client;
    let answer = client.call(Call::get("/v1/apps"))?;
    let mut rows = Vec::new();
    if !context.json {
        let list: AppList = serde_json::from_str(&answer.body).map_err(CliError::failed)?;
        for name in list.names() {
            let triggers = triggers(client, &name)?;
            let paused = triggers.iter().filter(|trigger| trigger.paused).count();
            rows.push(vec![name, triggers.len().to_string(), paused.to_string()]);
        }
    }
    context.show(&answer.body, |_: &serde_json::Value| {
        if rows.is_empty() {
            return "no apps; `tidegate deploy DIRECTORY` creates one\n".to_owned();
        }
        text::table(&["APP", "TRIGGERS", "PAUSED"], &rows)
    })
}

/// Pauses or resumes all triggers of an app. Returns the number of triggers that changed.
fn switch(client: &Client, app: &str, paused: bool) -> Result<u64, CliError> {
    let action = if paused { "pause" } else { "resume" };
    let mut changed = 0;
    for trigger in triggers(client, app)?.iter().filter(|trigger| trigger.paused != paused) {
        let path = format!("/v1/apps/{}/triggers/{}/{action}", segment(app), segment(&trigger.name));
        client.call(Call::new(Method::POST, path))?;
        changed += 1;
    }
    Ok(changed)
}

fn triggers(client: &Client, app: &str) -> Result<Vec<TriggerState>, CliError> {
    let list: Triggers = read(client, &format!("/v1/apps/{}/triggers", segment(app)))?;
    Ok(list.triggers)
}

fn read<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<T, CliError> {
    serde_json::from_str(&client.call(Call::get(path))?.body).map_err(CliError::failed)
}
