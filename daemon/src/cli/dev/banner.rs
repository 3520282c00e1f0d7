use crate::cli::commands::triggers::table;
use std::path::Path;
use tidegate_core::{AppName, Match, TriggerSpec};

/// The text that `dev` prints when the daemon answers.
#[derive(Debug)]
pub(crate) struct Banner<'a> {
    pub(crate) url: &'a str,
    pub(crate) app: &'a AppName,
    pub(crate) store: &'a str,
    pub(crate) token_file: &'a Path,
    pub(crate) triggers: &'a [TriggerSpec],
}

impl Banner<'_> {
    /// The banner, with a command to paste that fires a trigger.
    pub(crate) fn render(&self) -> String {
        format!(
            "tidegate {} runs the app {}\n  url    {}\n  store  {}\n  token  {}\n\n{}\ntry it:\n  {}\n",
            env!("CARGO_PKG_VERSION"),
            self.app,
            self.url,
            self.store,
            self.token_file.display(),
            table(self.triggers),
            self.curl(),
        )
    }

    fn curl(&self) -> String {
        let (method, path, content_type, data) = self.sample();
        format!(
            "curl -X {method} {}/v1/apps/{}{path} -H \"authorization: Bearer $(cat {})\" -H 'content-type: {content_type}' -d '{data}'",
            self.url,
            self.app,
            quote(&self.token_file.display().to_string()),
        )
    }

    /// A request that fires a trigger: the first one that a put or an event can fire.
    fn sample(&self) -> (&'static str, String, &'static str, String) {
        let put = |collection: &str, key: &str| {
            let path = format!("/kv/{collection}/{key}");
            ("PUT", path, "application/json", "{\"hello\": \"world\"}".to_owned())
        };
        for trigger in self.triggers {
            match &trigger.rule {
                Match::Kv { ops, collection, key } if ops.set => {
                    return put(&example_of(collection.as_str()), &example_of(key.as_str()));
                }
                Match::App { event_type, subject } => {
                    let event = serde_json::json!({
                        "specversion": "1.0",
                        "type": example_of(event_type.as_str()),
                        "subject": example_of(subject.as_str()),
                        "data": {"hello": "world"},
                    });
                    let event = event.to_string().replace('\'', "\\u0027");
                    return ("POST", "/events".to_owned(), "application/cloudevents+json", event);
                }
                Match::Kv { .. } | Match::Http { .. } | Match::Cron { .. } | Match::DeadLetter { .. } => {}
            }
        }
        put("things", "1")
    }
}

/// A text that `pattern` matches and that needs no quotes in a shell.
fn example_of(pattern: &str) -> String {
    pattern.replace('*', "1").replace(|c: char| !(c.is_ascii_alphanumeric() || "._-/".contains(c)), "_")
}

/// Quotes `text` as one word of a shell, for use in `$(…)` within double quotes.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curl(rule: serde_json::Value, token_file: &str) -> String {
        let trigger = serde_json::json!({"name": "t", "match": rule, "handler": {"script": "s"}});
        let triggers = [serde_json::from_value(trigger).unwrap()];
        let app = AppName::new("a").unwrap();
        let banner =
            Banner { url: "http://u", app: &app, store: "s", token_file: Path::new(token_file), triggers: &triggers };
        banner.curl()
    }

    #[test]
    fn the_banner_has_a_command_that_fires_a_trigger() {
        let kv = serde_json::json!({"source": "kv", "collection": "orders", "key": "o-*"});
        assert_eq!(
            curl(kv.clone(), "/t/token"),
            "curl -X PUT http://u/v1/apps/a/kv/orders/o-1 -H \"authorization: Bearer $(cat /t/token)\" -H 'content-type: application/json' -d '{\"hello\": \"world\"}'"
        );
        assert!(curl(kv, "/my app/token").contains("$(cat '/my app/token')"));
        let app = serde_json::json!({"source": "app", "type": "order.*"});
        assert!(curl(app, "/t").ends_with(
            "-H 'content-type: application/cloudevents+json' -d '{\"specversion\":\"1.0\",\"type\":\"order.1\",\"subject\":\"1\",\"data\":{\"hello\":\"world\"}}'"
        ));
    }
}
