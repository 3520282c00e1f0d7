use super::environment::Environment;
use super::foreign::is_of_kubernetes;
use super::keys::{RawValue, SECTIONS, SETTINGS, Setting};
use super::nearest::did_you_mean;
use super::positions::{Positions, parse_toml};
use super::settings::Settings;
use super::unknown::{OTHER_VARIABLES, unknown_key, unknown_section, unknown_variable};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use tidegate_core::Config;
use toml::de::{DeTable, DeValue};

/// Builds [`Settings`] layer by layer. A later layer overrides an earlier one. Problems are
/// collected, so that one start shows all of them.
#[derive(Debug, Default)]
pub struct Layers {
    settings: Settings,
    /// The layer that set each setting last, for messages about bounds that depend on other
    /// settings.
    origins: BTreeMap<&'static str, String>,
    problems: Vec<String>,
}

/// All problems of a configuration, one line each: the place, the setting, the values that it may
/// have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Variables of the tests. They are ignored, so that a daemon starts although a developer has
/// exported them.
const TEST_PREFIX: &str = "TIDEGATE_TEST_";

impl Layers {
    /// Adds the text of the TOML file at `path`.
    #[must_use]
    pub fn file(mut self, path: &Path, text: &str) -> Self {
        let at = |line: usize| format!("{} line {line}", path.display());
        let document = match parse_toml(text) {
            Ok(document) => document,
            Err((line, message)) => {
                self.problems.push(format!("{}: {message}", at(line)));
                return self;
            }
        };
        let positions = Positions::of(text);
        for (section, value) in &document {
            let origin = at(positions.line(&section.span()));
            match value.get_ref() {
                DeValue::Table(keys) if SECTIONS.contains(&section.get_ref().as_ref()) => {
                    self.section(section.get_ref(), keys, |span| at(positions.line(&span)));
                }
                _ => self.problems.push(format!("{origin}: {}", unknown_section(section.get_ref()))),
            }
        }
        self
    }

    /// Adds the environment: `DATABASE_URL`, then each `TIDEGATE_<SECTION>_<KEY>`.
    #[must_use]
    pub fn environment(mut self, environment: &Environment) -> Self {
        if let Some(url) = environment.get("DATABASE_URL") {
            self.set(find("store.url"), &text_value(url), "DATABASE_URL".to_owned());
        }
        let settings = environment
            .tidegate_variables()
            .filter(|(name, _)| !OTHER_VARIABLES.contains(name) && !name.starts_with(TEST_PREFIX));
        for (name, value) in settings {
            match SETTINGS.iter().find(|setting| setting.variable() == name) {
                Some(setting) => self.set(Some(setting), &text_value(value), name.to_owned()),
                None if is_of_kubernetes(name, value) => {}
                None => self.problems.push(unknown_variable(name)),
            }
        }
        self
    }

    /// Adds the value of a command-line flag. Messages name `flag`. The value goes to the setting
    /// `name`.
    #[must_use]
    pub fn flag(mut self, flag: &str, name: &'static str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.set(find(name), &text_value(&value.to_string()), flag.to_owned());
        }
        self
    }

    /// Adds the arguments of `--set`, each `section.key=value`.
    #[must_use]
    pub fn assignments(mut self, assignments: &[String]) -> Self {
        for assignment in assignments {
            match assignment.split_once('=') {
                None => {
                    // The rest of the text may be a URL with a password.
                    let is_name = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
                    let name = assignment.split(|c| !is_name(c)).next().unwrap_or_default();
                    self.problems.push(format!("--set {name}: write it as section.key=value"));
                }
                Some((name, value)) => match find(name) {
                    Some(setting) => self.set(Some(setting), &text_value(value), format!("--set {name}")),
                    None => {
                        let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
                        self.problems.push(format!("--set {name}: unknown setting; {}", did_you_mean(name, &names)));
                    }
                },
            }
        }
        self
    }

    /// Returns the settings, if no layer had a problem and the core accepts all values together.
    ///
    /// A default that is out of bounds beside the values that were set is lowered to its bound.
    pub fn finish(mut self) -> Result<Settings, ConfigErrors> {
        let engine = &mut self.settings.engine;
        if !self.origins.contains_key("gate.sync_reserve") {
            engine.gate.sync_reserve = engine.gate.sync_reserve.min(engine.gate.permits.saturating_sub(1));
        }
        if !self.origins.contains_key("gate.async_reserve") {
            let eighth = (engine.gate.permits / 8).max(1);
            engine.gate.async_reserve = engine.gate.async_reserve.min(eighth).min(engine.gate.async_reserve_max());
        }
        if !self.origins.contains_key("dispatcher.queue_wait_ms_max") {
            engine.queue_wait_ms_max = engine.queue_wait_ms_max.min(engine.lease_ms / 2);
        }
        let engine = Config::try_from(self.settings.engine).map_err(|invalid| (invalid.key, invalid.to_string()));
        let scripts = self.settings.scripts.checked().map_err(|invalid| (invalid.key, invalid.to_string()));
        for (key, message) in [engine.err(), scripts.err()].into_iter().flatten() {
            let origin = self.origins.get(key).map_or("the default", String::as_str);
            self.problems.push(format!("{origin}: {message}"));
        }
        if self.problems.is_empty() { Ok(self.settings) } else { Err(ConfigErrors(self.problems)) }
    }

    fn section(&mut self, section: &str, keys: &DeTable<'_>, at: impl Fn(std::ops::Range<usize>) -> String) {
        for (key, value) in keys {
            let origin = at(key.span());
            match find(&format!("{section}.{}", key.get_ref())) {
                Some(setting) => self.set(Some(setting), &toml_value(value.get_ref()), origin),
                None => self.problems.push(format!("{origin}: {}", unknown_key(section, key.get_ref()))),
            }
        }
    }

    fn set(&mut self, setting: Option<&'static Setting>, written: &RawValue, origin: String) {
        let setting = setting.expect("every name in this file is one of SETTINGS");
        match (setting.set)(&mut self.settings, written) {
            Ok(()) => _ = self.origins.insert(setting.name, origin),
            Err(rule) => self.problems.push(format!("{origin}: {} {rule}", setting.name)),
        }
    }
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

fn text_value(text: &str) -> RawValue {
    RawValue { text: text.to_owned(), toml_type: None }
}

fn toml_value(value: &DeValue<'_>) -> RawValue {
    let text = match value {
        DeValue::String(text) => text.to_string(),
        // A number beyond i128 is out of bounds for every setting. Its message shows it as it is
        // written.
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.to_string(), |number| number.to_string()),
        _ => String::new(),
    };
    RawValue { text, toml_type: Some(value.type_str()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn layers(file: &str, variables: &[(&str, &str)], assignments: &[&str]) -> Layers {
        let assignments: Vec<_> = assignments.iter().map(|one| (*one).to_owned()).collect();
        Layers::default().file(Path::new("t.toml"), file).environment(&environment(variables)).assignments(&assignments)
    }

    #[test]
    fn later_layers_win() {
        let file = "[gate]\npermits = 10\n[http]\nlisten = \"127.0.0.1:1\"\n[dispatcher]\nbatch_max = 0x10";
        let variable = ("TIDEGATE_GATE_PERMITS", "20");
        for (file, variables, assignments, permits) in [
            ("", &[][..], &[][..], 64),
            (file, &[], &[], 10),
            (file, &[variable], &[], 20),
            (file, &[variable], &["gate.permits=30"], 30),
            ("", &[("TIDEGATE_GATE_PERMITS", "")], &[], 64),
            ("", &[("TIDEGATE_TEST_POSTGRES", "x"), ("TIDEGATE_URL", "x")], &[], 64),
            ("", &[("TIDEGATE_PORT", "tcp://10.0.0.1:8787"), ("TIDEGATE_SERVICE_PORT", "8787")], &[], 64),
        ] {
            let settings = layers(file, variables, assignments).finish().unwrap();
            assert_eq!(settings.engine.gate.permits, permits, "{file:?} {variables:?} {assignments:?}");
        }
        let settings = layers(file, &[], &[]).flag("--listen", "http.listen", Some("[::1]:2")).finish().unwrap();
        assert_eq!(settings.http.listen.to_string(), "[::1]:2");
        assert_eq!(settings.engine.batch_max, 16);
    }

    #[test]
    fn tidegate_store_url_overrides_database_url() {
        let database = ("DATABASE_URL", "postgres://a");
        let own = ("TIDEGATE_STORE_URL", "sqlite:b");
        for (variables, url) in [(&[database][..], "postgres://a"), (&[database, own], "sqlite:b")] {
            assert_eq!(layers("", variables, &[]).finish().unwrap().store.url.as_deref(), Some(url));
        }
    }

    #[test]
    fn a_default_is_lowered_to_fit_the_values_that_were_set() {
        let settings = layers("[gate]\npermits = 1\n[dispatcher]\nlease_ms = 1000", &[], &[]).finish().unwrap();
        assert_eq!((settings.engine.gate.sync_reserve, settings.engine.queue_wait_ms_max), (0, 500));
        assert_eq!(settings.engine.gate.async_reserve, 0);
        for (permits, reserve) in [(2, 1), (12, 1), (40, 5), (64, 8), (1_000, 8)] {
            let settings = layers(&format!("[gate]\npermits = {permits}"), &[], &[]).finish().unwrap();
            assert_eq!(settings.engine.gate.async_reserve, reserve, "{permits} permits");
        }
        let error = layers("[gate]\npermits = 4\nsync_reserve = 4", &[], &[]).finish().unwrap_err();
        assert_eq!(error.to_string(), "t.toml line 3: gate.sync_reserve must be from 0 to 3, it is 4");
    }

    #[test]
    fn each_setting_has_a_section_and_is_read_from_every_layer() {
        for setting in &SETTINGS {
            assert!(SECTIONS.contains(&setting.section()), "{}", setting.name);
            let value = match setting.key() {
                "listen" => "127.0.0.1:9",
                "url" => "sqlite:x",
                "format" => "json",
                "level" => "debug",
                "permits" => "100",
                "sync_reserve" | "async_reserve" => "5",
                key if key.ends_with("timeout_ms") => "7777",
                "lease_ms" | "memory_bytes_max" | "stack_bytes_max" | "body_bytes_max" | "effects_bytes_max"
                | "exchange_bytes_max" => "2000000",
                "total_memory_bytes_max" => "123000000",
                _ => "77",
            };
            let flagged = layers("", &[], &[&format!("{}={value}", setting.name)]).finish().unwrap();
            let variable = layers("", &[(&setting.variable(), value)], &[]).finish().unwrap();
            assert_eq!(flagged, variable, "{}", setting.name);
            assert_ne!(flagged, Settings::default(), "{}", setting.name);
        }
        let json = layers("[log]\nformat = \"json\"", &[], &[]).finish().unwrap();
        assert_eq!(json.log.format, LogFormat::Json);
    }

    #[test]
    fn each_problem_has_a_message() {
        for (file, variables, assignments, expected) in [
            (
                "\n[gate]\npermit = 3",
                &[][..],
                &[][..],
                "t.toml line 3: unknown key `permit` in [gate]; did you mean `permits`?",
            ),
            ("[gate]\nlisten = 3", &[], &[], "t.toml line 2: unknown key `listen` in [gate]; it belongs in [http]"),
            (
                "[store]\npath = 3",
                &[],
                &[],
                "t.toml line 2: unknown key `path` in [store]; use one of `url`, `call_timeout_ms`",
            ),
            ("[gates]\n", &[], &[], "t.toml line 1: unknown section [gates]; did you mean `gate`?"),
            ("permits = 3", &[], &[], "t.toml line 1: `permits` belongs in the section [gate]"),
            ("gate = 3", &[], &[], "t.toml line 1: `gate` is a section: write [gate]"),
            (
                "[gate]\npermits = \"3\"",
                &[],
                &[],
                "t.toml line 2: gate.permits must be a whole number, it is of the type string",
            ),
            ("[gate]\npermits = -1", &[], &[], "t.toml line 2: gate.permits must be a whole number, it is -1"),
            ("[gate]\n\npermits = 0", &[], &[], "t.toml line 3: gate.permits must be from 1 to 10000, it is 0"),
            (
                "[http]\nlisten = 8787",
                &[],
                &[],
                "t.toml line 2: http.listen must be a string, it is of the type integer",
            ),
            (
                "[http]\nbody_bytes_max = 1",
                &[],
                &[],
                "t.toml line 2: http.body_bytes_max must be from 1024 to 67108864, it is 1",
            ),
            (
                "",
                &[("TIDEGATE_GATE_PERMIT", "1")],
                &[],
                "TIDEGATE_GATE_PERMIT: unknown variable; did you mean TIDEGATE_GATE_PERMITS?",
            ),
            ("", &[("TIDEGATE_TOKN", "1")], &[], "TIDEGATE_TOKN: unknown variable; did you mean TIDEGATE_TOKEN?"),
            (
                "",
                &[("TIDEGATE_X", "1")],
                &[],
                "TIDEGATE_X: unknown variable; settings are TIDEGATE_<SECTION>_<KEY>, such as TIDEGATE_HTTP_LISTEN",
            ),
            (
                "",
                &[("DATABASE_URL", "mysql://u:p@h")],
                &[],
                "DATABASE_URL: store.url must begin with sqlite: or postgres://, it begins with \"mysql\"",
            ),
            (
                "",
                &[("TIDEGATE_DISPATCHER_LEASE_MS", "5")],
                &[],
                "TIDEGATE_DISPATCHER_LEASE_MS: dispatcher.lease_ms must be from 1000 to 3600000, it is 5",
            ),
            ("", &[], &["gate.permits"], "--set gate.permits: write it as section.key=value"),
            ("", &[], &["gate.permit=1"], "--set gate.permit: unknown setting; did you mean `gate.permits`?"),
            ("", &[], &["log.format=xml"], "--set log.format: log.format must be \"human\" or \"json\", it is \"xml\""),
        ] {
            let error = layers(file, variables, assignments).finish().unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_file_that_is_not_toml_is_refused_with_its_line() {
        let broken = layers("[gate\npermits = 1", &[], &[]).finish().unwrap_err().to_string();
        assert!(broken.starts_with("t.toml line 1: "), "{broken}");
    }

    #[test]
    fn a_secret_is_not_in_a_message_and_a_misspelled_level_is_refused() {
        for (file, variables, assignments, expected) in [
            (
                "",
                &[("TIDEGATE_STORE_URL", "host=h password=sekret")][..],
                &[][..],
                "TIDEGATE_STORE_URL: store.url must begin with sqlite: or postgres://",
            ),
            ("", &[], &["store.url:postgres://u:sekret@h"], "--set store.url: write it as section.key=value"),
            (
                "",
                &[],
                &["log.level=inof"],
                "--set log.level: log.level must be a level, or directives such as \"info,tidegate=debug\"; \"inof\" is not a level, did you mean `info`?",
            ),
            (
                "[log]\nlevel = \"info,tidegate=loud\"",
                &[],
                &[],
                "t.toml line 2: log.level must be a level, or directives such as \"info,tidegate=debug\"; \"loud\" is not a level, use one of `off`, `error`, `warn`, `info`, `debug`, `trace`",
            ),
        ] {
            let error = layers(file, variables, assignments).finish().unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn all_problems_are_reported_together() {
        let error = layers("[gate]\npermit = 3\n[log]\nlevl = 1", &[("TIDEGATE_X", "1")], &[]).finish().unwrap_err();
        assert_eq!(error.to_string().lines().count(), 3);
    }
}
