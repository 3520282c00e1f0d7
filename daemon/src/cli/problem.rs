use serde::Deserialize;
use std::fmt::Write as _;

/// An error of the API: RFC 9457 problem details with a `code`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The status of the answer. The `status` in the document is ignored.
    #[serde(skip)]
    pub(crate) status: u16,
    pub(crate) title: String,
    pub(crate) code: String,
    pub(crate) detail: Option<String>,
    pub(crate) errors: Vec<ProblemPart>,
    /// The field of `/readyz`, whose answer is not a problem document.
    pub(crate) reason: Option<String>,
}

/// One of several problems of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ProblemPart {
    pub(crate) at: String,
    pub(crate) message: String,
}

impl Problem {
    /// Reads the body of an answer. A body that is not a problem document, such as the page of a
    /// proxy, becomes a problem with its first line as the detail.
    pub(crate) fn read(status: u16, body: &str) -> Self {
        match serde_json::from_str::<Self>(body) {
            Ok(problem) if !problem.code.is_empty() => Self { status, ..problem },
            Ok(Self { reason: Some(reason), .. }) => {
                Self { status, code: "unavailable".to_owned(), detail: Some(reason), ..Self::default() }
            }
            _ => {
                let line: String = body.lines().next().unwrap_or_default().chars().take(200).collect();
                let detail = format!("the answer was {status} {line}").trim_end().to_owned();
                Self { status, code: format!("http_{status}"), detail: Some(detail), ..Self::default() }
            }
        }
    }

    /// The detail, and one more line for each part.
    pub(crate) fn detail(&self) -> String {
        let mut text = self.detail.clone().unwrap_or_else(|| self.title.clone());
        for part in &self.errors {
            write!(text, "\n  {}: {}", part.at, part.message).expect("writing to a String cannot fail");
        }
        text
    }

    /// The remedy, for codes that have one.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self.code.as_str() {
            "unauthorized" => "pass --token or set TIDEGATE_TOKEN; a daemon keeps its admin token in .tidegate/token",
            "unknown_app" => "`tidegate deploy DIRECTORY` creates an app; --app names another app",
            "trigger_not_found" => "`tidegate triggers` lists the triggers",
            "dead_letter_not_found" => "`tidegate dead-letters --brief` lists the dead letters",
            "delivery_not_found" => {
                "a finished delivery leaves the outbox; `tidegate deliveries` lists the deliveries that wait or run, `tidegate dead-letters` those that failed"
            }
            "key_not_found" => "`tidegate kv list COLLECTION` lists the keys",
            "precondition_failed" => "read the value again and repeat the command with its version",
            "payload_too_large" => "the limit is a setting of the daemon, which the message names",
            "store_unavailable" => "the daemon runs but its store does not answer; `tidegate doctor` checks the store",
            "store_outcome_unknown" => "the change may be applied or not: read the state before you repeat the command",
            "not_found" => {
                "the daemon may be older than this command, or --url may name a server that is not a Tidegate daemon"
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_is_read_as_a_problem() {
        let body = r#"{"type":"about:blank","title":"Bad","status":400,"code":"invalid_request","detail":"no",
            "errors":[{"at":"triggers[0]","message":"m"}]}"#;
        let problem = Problem::read(400, body);
        assert_eq!((problem.code.as_str(), problem.detail()), ("invalid_request", "no\n  triggers[0]: m".to_owned()));
        let unready = Problem::read(503, r#"{"status":"unavailable","reason":"store: gone"}"#);
        assert_eq!((unready.code.as_str(), unready.detail()), ("unavailable", "store: gone".to_owned()));
        let proxy = Problem::read(502, "<html>\nbad gateway");
        assert_eq!((proxy.code.as_str(), proxy.detail()), ("http_502", "the answer was 502 <html>".to_owned()));
        assert_eq!(Problem::read(503, "").detail(), "the answer was 503");
    }
}
