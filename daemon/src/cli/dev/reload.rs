use super::banner::Banner;
use super::watch::Watch;
use crate::cli::client::{Call, Client};
use crate::cli::commands::apps;
use crate::cli::commands::deploy::{self, Report};
use crate::cli::error::CliError;
use crate::cli::output::{note, print};
use crate::cli::text;
use crate::manifest::{self, App};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Deploys an app directory to a running daemon, at the start and after each change.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) directory: PathBuf,
    pub(super) token_file: PathBuf,
    pub(super) url: String,
    pub(super) token: String,
    /// The store's URL without a password, for messages.
    pub(super) store: String,
    /// The content of the directory when the daemon started.
    pub(super) app: App,
}

/// The result of the last attempt to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Attempt {
    Deployed(App),
    /// The message about the problem.
    Failed(String),
}

const READY_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// After this time a note says that the store is slow to open.
const SLOW_START: Duration = Duration::from_secs(3);

impl Reload {
    pub(super) fn run(self) {
        let client = match Client::new(&self.url, Some(self.token.clone())) {
            Ok(client) => client,
            Err(error) => return note(&error.to_string()),
        };
        // The watch begins before the first deployment, so that no change is missed.
        let watch = Watch::start(&self.directory);
        self.wait_until_ready(&client);
        let first = self.first_deployment(&client);
        match watch {
            Ok(watch) => self.follow_changes(&client, watch, first),
            Err(error) => note(&format!("cannot watch the directory; restart after each change: {error}")),
        }
    }

    /// Waits until the daemon has opened its store.
    fn wait_until_ready(&self, client: &Client) {
        let begin = Instant::now();
        let mut is_noted = false;
        while let Err(error) = client.call(Call::get("/readyz")) {
            if !is_noted && begin.elapsed() > SLOW_START {
                is_noted = true;
                note(&format!("still waiting for the store {}: {error}", self.store));
            }
            std::thread::sleep(READY_POLL_INTERVAL);
        }
    }

    fn first_deployment(&self, client: &Client) -> Attempt {
        let attempt = match deploy(client, &self.app) {
            Ok(_) => Attempt::Deployed(self.app.clone()),
            Err(error) => Attempt::Failed(error.to_string()),
        };
        let banner = Banner {
            url: &self.url,
            app: &self.app.name,
            store: &self.store,
            token_file: &self.token_file,
            triggers: &self.app.deployment.triggers,
        };
        say(&format!("{}\n", banner.render()));
        self.note_other_apps(client);
        if let Attempt::Failed(error) = &attempt {
            note(&format!("not deployed; the next saved change is deployed:\n{error}"));
        }
        attempt
    }

    /// An app that was renamed in the manifest goes on in the store under its old name.
    fn note_other_apps(&self, client: &Client) {
        for (name, triggers) in apps::with_triggers(client).unwrap_or_default() {
            if triggers > 0 && name != self.app.name.as_str() {
                let triggers = text::count(triggers, "trigger");
                note(&format!(
                    "the store also has the app {name}, which has no manifest here and goes on with {triggers}; \
                     `tidegate apps disable {name}` pauses it, `tidegate apps delete {name} --yes` deletes it"
                ));
            }
        }
    }

    fn follow_changes(&self, client: &Client, mut watch: Watch, mut last: Attempt) {
        let mut deployed = matches!(last, Attempt::Deployed(_)).then(|| self.app.clone());
        while watch.wait_for_change() {
            let attempt = self.deploy_directory(client, deployed.as_ref());
            if attempt == last {
                continue;
            }
            match &attempt {
                Attempt::Deployed(app) if deployed.as_ref() == Some(app) => {
                    say("the directory matches the deployed app again\n")
                }
                Attempt::Deployed(app) => deployed = Some(app.clone()),
                Attempt::Failed(error) => {
                    note(&format!("not deployed; the last good deployment stays active:\n{error}"))
                }
            }
            last = attempt;
        }
    }

    fn deploy_directory(&self, client: &Client, deployed: Option<&App>) -> Attempt {
        let app = match manifest::load(&self.directory) {
            Ok(app) => app,
            Err(error) => return Attempt::Failed(error.to_string()),
        };
        if app.name != self.app.name {
            return Attempt::Failed(format!("the app is now called {}; restart to run it under this name", app.name));
        }
        if deployed == Some(&app) {
            return Attempt::Deployed(app);
        }
        match deploy(client, &app) {
            Ok(report) => {
                say(&format!("deployed: {}\n", report.summary().unwrap_or_else(|| "nothing changed".to_owned())));
                Attempt::Deployed(app)
            }
            Err(error) => Attempt::Failed(error.to_string()),
        }
    }
}

fn deploy(client: &Client, app: &App) -> Result<Report, CliError> {
    let answer = client.call(deploy::call(app)?)?;
    serde_json::from_str(&answer.body).map_err(CliError::failed)
}

fn say(text: &str) {
    // Deployment goes on if standard output is closed.
    let _ = print(text);
}
