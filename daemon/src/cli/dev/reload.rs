use super::banner::Banner;
use super::watch::Watch;
use crate::cli::client::{Call, Client};
use crate::cli::commands::deploy::{self, Report};
use crate::cli::error::CliError;
use crate::cli::output::{note, print};
use crate::manifest::{self, App};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Keeps a running daemon's app as its directory is.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) directory: PathBuf,
    pub(super) token_file: PathBuf,
    pub(super) url: String,
    pub(super) token: String,
    /// As people are told of it.
    pub(super) store: String,
    /// As the directory was when the daemon was started.
    pub(super) app: App,
}

/// What a directory was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Deployed(App),
    /// What was said about it.
    Refused(String),
}

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// When to say that the store is slow to open.
const PATIENCE: Duration = Duration::from_secs(3);

impl Reload {
    pub(super) fn run(self) {
        let client = match Client::new(&self.url, Some(self.token.clone())) {
            Ok(client) => client,
            Err(error) => return note(&error.to_string()),
        };
        // Watched from before the first deployment on, so that no change falls between.
        let watch = Watch::start(&self.directory);
        self.wait_until_ready(&client);
        let seen = self.begin(&client);
        match watch {
            Ok(watch) => self.keep_up(&client, watch, seen),
            Err(error) => note(&format!("changes are not seen, restart after each: {error}")),
        }
    }

    /// The store may take a while to open, or be down.
    fn wait_until_ready(&self, client: &Client) {
        let begin = Instant::now();
        let mut told = false;
        while let Err(error) = client.call(Call::get("/readyz")) {
            if !told && begin.elapsed() > PATIENCE {
                told = true;
                note(&format!("still waiting for the store {}: {error}", self.store));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn begin(&self, client: &Client) -> Seen {
        let seen = match deploy(client, &self.app) {
            Ok(_) => Seen::Deployed(self.app.clone()),
            Err(error) => Seen::Refused(error.to_string()),
        };
        let banner = Banner {
            url: &self.url,
            app: &self.app.name,
            store: &self.store,
            token_file: &self.token_file,
            triggers: &self.app.deployment.triggers,
        };
        say(&format!("{}\n", banner.render()));
        if let Seen::Refused(error) = &seen {
            note(&format!("not deployed; change it and save, it is tried again:\n{error}"));
        }
        seen
    }

    fn keep_up(&self, client: &Client, mut watch: Watch, mut seen: Seen) {
        let mut deployed = matches!(seen, Seen::Deployed(_)).then(|| self.app.clone());
        while watch.changed() {
            let now = self.look(client, deployed.as_ref());
            if now == seen {
                continue;
            }
            match &now {
                Seen::Deployed(app) if deployed.as_ref() == Some(app) => say("as it is deployed again\n"),
                Seen::Deployed(app) => deployed = Some(app.clone()),
                Seen::Refused(error) => note(&format!("not deployed, the last good deployment stays:\n{error}")),
            }
            seen = now;
        }
    }

    fn look(&self, client: &Client, deployed: Option<&App>) -> Seen {
        let app = match manifest::load(&self.directory) {
            Ok(app) => app,
            Err(error) => return Seen::Refused(error.to_string()),
        };
        if app.name != self.app.name {
            return Seen::Refused(format!("the app is now called {}; restart to run it as that", app.name));
        }
        if deployed == Some(&app) {
            return Seen::Deployed(app);
        }
        match deploy(client, &app) {
            Ok(report) => {
                say(&format!("deployed: {}\n", report.summary().unwrap_or_else(|| "nothing changed".to_owned())));
                Seen::Deployed(app)
            }
            Err(error) => Seen::Refused(error.to_string()),
        }
    }
}

fn deploy(client: &Client, app: &App) -> Result<Report, CliError> {
    let answer = client.call(deploy::call(app)?)?;
    serde_json::from_str(&answer.body).map_err(CliError::failed)
}

fn say(text: &str) {
    // A closed standard output is the reader's decision.
    let _ = print(text);
}
