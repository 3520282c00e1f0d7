//! What a peer's program reports: one line of JSON, believed only if it adds up.

use super::list::{Peer, Setting};
use serde::{Deserialize, Serialize};

/// One peer in one setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerResult {
    /// Its name.
    pub peer: String,
    /// What was installed; unknown if it never ran.
    pub version: Option<String>,
    /// What ran it, if that is not the machine itself: `node 22.23.3`.
    pub runtime: Option<String>,
    /// In words; the setting's name if it never ran.
    pub settings: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// Figures, or why there are none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran to the end, and everything that was checked was right.
    Measured(Measured),
    /// It could not be installed, failed, did not end, or its figures do not add up.
    Failed {
        /// As it is shown.
        reason: String,
    },
}

/// A backlog of no-op jobs, drained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Enqueued before the clock started, and handled once each.
    pub jobs: u64,
    /// From the workers' start until the database had none left.
    pub seconds: f64,
    /// Jobs by seconds.
    pub per_second: f64,
    /// From before a single job was enqueued into the idle queue until its handler ran; `None` if nothing wakes it.
    pub latency_ms: Option<Latency>,
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
}

/// The line. A field that is not known here is a program that is not the one this was written for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    peer: String,
    version: String,
    runtime: Option<String>,
    settings: String,
    jobs: u64,
    seconds: f64,
    per_second: f64,
    handled: u64,
    latency_ms: Option<Latency>,
}

impl PeerResult {
    /// Reads what the program of `peer` wrote, which was to drain `jobs`.
    pub(super) fn parse(output: &str, peer: &Peer, jobs: u64) -> Result<Self, String> {
        let mut lines = output.lines();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(format!("it wrote {} lines, where one line of JSON is the result", output.lines().count()));
        };
        let line: Line = serde_json::from_str(line).map_err(|error| format!("its result cannot be read: {error}"))?;
        line.check(peer, jobs)?;
        let Line { peer, version, runtime, settings, jobs, seconds, per_second, latency_ms, .. } = line;
        let outcome = Outcome::Measured(Measured { jobs, seconds, per_second, latency_ms });
        Ok(Self { peer, version: Some(version), runtime, settings, outcome })
    }

    /// A row for what gave no figures.
    pub(super) fn failed(peer: &Peer, setting: &Setting, reason: String) -> Self {
        Self {
            peer: peer.name.to_owned(),
            version: None,
            runtime: None,
            settings: setting.name.to_owned(),
            outcome: Outcome::Failed { reason },
        }
    }

    /// Its figures, if there are any.
    #[must_use]
    pub fn measured(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Measured(measured) => Some(measured),
            Outcome::Failed { .. } => None,
        }
    }
}

impl Line {
    fn check(&self, peer: &Peer, jobs: u64) -> Result<(), String> {
        let Self { seconds, per_second, latency_ms, .. } = *self;
        if self.peer != peer.name {
            return Err(format!("its result is one of {}", self.peer));
        }
        if self.jobs != jobs || self.handled != jobs {
            return Err(format!("{jobs} jobs were asked for, it had {} and handled {}", self.jobs, self.handled));
        }
        let rate = jobs as f64 / seconds;
        if !(seconds > 0.0 && (per_second / rate - 1.0).abs() < 0.001) {
            return Err(format!("{jobs} jobs in {seconds} s are not {per_second} per second"));
        }
        match latency_ms {
            Some(Latency { p50, p99 }) if !(p50 > 0.0 && p50 <= p99) => {
                Err(format!("a median latency of {p50} ms and a 99th percentile of {p99} ms cannot be"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::list::Program;

    const PEER: Peer = Peer {
        name: "swift",
        program: Program::Node("swift.mjs"),
        settings: &[Setting { name: "defaults", jobs_max: None }],
    };

    const LINE: &str = r#"{"peer":"swift","version":"1.2.3","runtime":"node 22.1.0","settings":"batch 9","jobs":100,"seconds":0.5,"per_second":200.0,"handled":100,"latency_ms":{"p50":1.5,"p99":4.0}}"#;

    #[test]
    fn a_line_is_a_result() {
        let measured =
            |latency_ms| Outcome::Measured(Measured { jobs: 100, seconds: 0.5, per_second: 200.0, latency_ms });
        let mut expected = PeerResult {
            peer: "swift".to_owned(),
            version: Some("1.2.3".to_owned()),
            runtime: Some("node 22.1.0".to_owned()),
            settings: "batch 9".to_owned(),
            outcome: measured(Some(Latency { p50: 1.5, p99: 4.0 })),
        };
        assert_eq!(PeerResult::parse(&format!("{LINE}\n"), &PEER, 100), Ok(expected.clone()));
        let without = LINE.replace(r#"{"p50":1.5,"p99":4.0}"#, "null").replace(r#""runtime":"node 22.1.0","#, "");
        expected.runtime = None;
        expected.outcome = measured(None);
        assert_eq!(PeerResult::parse(&without, &PEER, 100), Ok(expected));
    }

    #[test]
    fn what_does_not_add_up_is_no_result() {
        let check = |change: (&str, &str), expected: &str| {
            let line = LINE.replace(change.0, change.1);
            assert_ne!(line, LINE, "{change:?}");
            let reason = PeerResult::parse(&line, &PEER, 100).unwrap_err();
            assert!(reason.starts_with(expected), "{change:?}: {reason}");
        };
        check((r#""peer":"swift""#, r#""peer":"swallow""#), "its result is one of swallow");
        check((r#""jobs":100"#, r#""jobs":10"#), "100 jobs were asked for, it had 10 and handled 100");
        check((r#""handled":100"#, r#""handled":101"#), "100 jobs were asked for, it had 100 and handled 101");
        check((r#""per_second":200.0"#, r#""per_second":400.0"#), "100 jobs in 0.5 s are not 400 per second");
        check((r#""seconds":0.5"#, r#""seconds":0.0"#), "100 jobs in 0 s are not 200 per second");
        check((r#""p99":4.0"#, r#""p99":1.0"#), "a median latency of 1.5 ms and a 99th percentile of 1 ms");
        check((r#""version":"1.2.3","#, ""), "its result cannot be read: missing field `version`");
        check((r#""version""#, r#""guess":1,"version""#), "its result cannot be read: unknown field `guess`");
        check((LINE, ""), "it wrote 0 lines, where one line of JSON is the result");
        check((LINE, "{}\n{}"), "it wrote 2 lines, where one line of JSON is the result");
    }

    #[test]
    fn a_failure_is_a_row() {
        let row = PeerResult::failed(&PEER, &PEER.settings[0], "npm is not there".to_owned());
        assert_eq!((row.peer.as_str(), row.settings.as_str(), row.measured()), ("swift", "defaults", None));
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<PeerResult>(&json).unwrap(), row);
        assert!(json.contains(r#""outcome":{"failed":{"reason":"npm is not there"}}"#), "{json}");
    }
}
