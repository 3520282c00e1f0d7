//! The report of a peer's program: one line of JSON with consistent figures.

use super::list::{Peer, Setting};
use serde::{Deserialize, Serialize};

/// The result of one peer in one setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerResult {
    pub peer: String,
    /// The installed version. `None` if the program never ran.
    pub version: Option<String>,
    /// The language runtime, such as `node 22.23.3`. `None` for a native program.
    pub runtime: Option<String>,
    /// A description of the settings. The name of the setting if the program never ran.
    pub settings: String,
    pub outcome: Outcome,
}

/// The figures of a peer, or the reason for having none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The program ended and all checks passed.
    Measured(PeerFigures),
    /// The program could not be installed, failed, did not end, or reported inconsistent figures.
    Failed { reason: String },
}

/// The figures of a drained backlog of no-op jobs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerFigures {
    /// The number of jobs. All were enqueued before the clock started and handled once.
    pub jobs: u64,
    /// The time from the start of the workers until the database had no job left.
    pub seconds: f64,
    /// Jobs divided by seconds.
    pub per_second: f64,
    /// The time from before the enqueue of a single job in an idle queue until its handler ran.
    /// `None` if the queue polls.
    pub latency_ms: Option<Latency>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
}

/// The line of JSON. An unknown field means that the program does not fit this version of the
/// benchmark.
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
    /// Parses the output of the program of `peer`, which had to drain `jobs`.
    pub(super) fn parse(output: &str, peer: &Peer, jobs: u64) -> Result<Self, String> {
        let mut lines = output.lines();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(format!("it wrote {} lines; the result is one line of JSON", output.lines().count()));
        };
        let line: Line = serde_json::from_str(line).map_err(|error| format!("its result cannot be read: {error}"))?;
        line.check(peer, jobs)?;
        let Line { peer, version, runtime, settings, jobs, seconds, per_second, latency_ms, .. } = line;
        let outcome = Outcome::Measured(PeerFigures { jobs, seconds, per_second, latency_ms });
        Ok(Self { peer, version: Some(version), runtime, settings, outcome })
    }

    /// The result of a peer without figures.
    pub(super) fn failed(peer: &Peer, setting: &Setting, reason: String) -> Self {
        Self {
            peer: peer.name.to_owned(),
            version: None,
            runtime: None,
            settings: setting.name.to_owned(),
            outcome: Outcome::Failed { reason },
        }
    }

    /// The figures, if the run succeeded.
    #[must_use]
    pub fn figures(&self) -> Option<&PeerFigures> {
        match &self.outcome {
            Outcome::Measured(figures) => Some(figures),
            Outcome::Failed { .. } => None,
        }
    }
}

impl Line {
    fn check(&self, peer: &Peer, jobs: u64) -> Result<(), String> {
        let Self { seconds, per_second, latency_ms, .. } = *self;
        if self.peer != peer.name {
            return Err(format!("its result names the peer {}", self.peer));
        }
        if self.jobs != jobs || self.handled != jobs {
            return Err(format!("{jobs} jobs were expected, it had {} and handled {}", self.jobs, self.handled));
        }
        let rate = jobs as f64 / seconds;
        if !(seconds > 0.0 && (per_second / rate - 1.0).abs() < 0.001) {
            return Err(format!("{jobs} jobs in {seconds} s are not {per_second} per second"));
        }
        match latency_ms {
            Some(Latency { p50, p99 }) if !(p50 > 0.0 && p50 <= p99) => {
                Err(format!("a median latency of {p50} ms and a 99th percentile of {p99} ms are impossible"))
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
    fn a_consistent_line_is_a_result() {
        let measured =
            |latency_ms| Outcome::Measured(PeerFigures { jobs: 100, seconds: 0.5, per_second: 200.0, latency_ms });
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
    fn inconsistent_figures_are_refused() {
        let check = |change: (&str, &str), expected: &str| {
            let line = LINE.replace(change.0, change.1);
            assert_ne!(line, LINE, "{change:?}");
            let reason = PeerResult::parse(&line, &PEER, 100).unwrap_err();
            assert!(reason.starts_with(expected), "{change:?}: {reason}");
        };
        check((r#""peer":"swift""#, r#""peer":"swallow""#), "its result names the peer swallow");
        check((r#""jobs":100"#, r#""jobs":10"#), "100 jobs were expected, it had 10 and handled 100");
        check((r#""handled":100"#, r#""handled":101"#), "100 jobs were expected, it had 100 and handled 101");
        check((r#""per_second":200.0"#, r#""per_second":400.0"#), "100 jobs in 0.5 s are not 400 per second");
        check((r#""seconds":0.5"#, r#""seconds":0.0"#), "100 jobs in 0 s are not 200 per second");
        check((r#""p99":4.0"#, r#""p99":1.0"#), "a median latency of 1.5 ms and a 99th percentile of 1 ms");
        check((r#""version":"1.2.3","#, ""), "its result cannot be read: missing field `version`");
        check((r#""version""#, r#""guess":1,"version""#), "its result cannot be read: unknown field `guess`");
        check((LINE, ""), "it wrote 0 lines; the result is one line of JSON");
        check((LINE, "{}\n{}"), "it wrote 2 lines; the result is one line of JSON");
    }

    #[test]
    fn a_failure_has_a_row() {
        let row = PeerResult::failed(&PEER, &PEER.settings[0], "npm is not there".to_owned());
        assert_eq!((row.peer.as_str(), row.settings.as_str(), row.figures()), ("swift", "defaults", None));
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<PeerResult>(&json).unwrap(), row);
        assert!(json.contains(r#""outcome":{"failed":{"reason":"npm is not there"}}"#), "{json}");
    }
}
