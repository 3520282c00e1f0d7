use super::problem::Problem;
use std::fmt;

/// The reason why a command failed. The variant decides the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CliError {
    /// The daemon answered with an error. Exit code 4 for status 404, else 1.
    Refused(Box<Problem>),
    /// The command failed on this machine. Exit code 1.
    Failed { message: String, hint: Option<String> },
    /// The arguments or the settings are wrong or ambiguous. Exit code 2.
    Usage { message: String, hint: Option<String> },
    /// A second signal stopped a daemon that was shutting down. Exit code 130.
    Interrupted,
    /// No daemon answers. Exit code 3.
    Unreachable { url: String, cause: String },
}

impl CliError {
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::Failed { message: message.to_string(), hint: None }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::Usage { message: message.to_string(), hint: None }
    }

    /// Adds a hint about the remedy.
    pub(crate) fn hint(self, text: impl Into<String>) -> Self {
        let text = Some(text.into());
        match self {
            Self::Failed { message, .. } => Self::Failed { message, hint: text },
            Self::Usage { message, .. } => Self::Usage { message, hint: text },
            other @ (Self::Refused(_) | Self::Interrupted | Self::Unreachable { .. }) => other,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(problem) if problem.status == 404 => 4,
            Self::Refused(_) | Self::Failed { .. } => 1,
            Self::Usage { .. } => 2,
            Self::Unreachable { .. } => 3,
            Self::Interrupted => 130,
        }
    }

    /// One JSON object, for `--json`.
    pub(crate) fn to_json(&self) -> String {
        let (code, detail, hint) = self.parts();
        serde_json::json!({ "code": code, "detail": detail, "hint": hint }).to_string()
    }

    fn parts(&self) -> (&str, String, Option<String>) {
        match self {
            Self::Refused(problem) => (&problem.code, problem.detail(), problem.hint().map(str::to_owned)),
            Self::Failed { message, hint } => ("failed", message.clone(), hint.clone()),
            Self::Usage { message, hint } => ("usage", message.clone(), hint.clone()),
            Self::Interrupted => (
                "interrupted",
                "stopped at once; the deliveries that were running are tried again when their leases expire".to_owned(),
                None,
            ),
            Self::Unreachable { url, cause } => (
                "unreachable",
                format!("no daemon answers at {url}: {cause}"),
                Some("start one with `tidegate dev DIRECTORY` or `tidegate serve`, or name another daemon with --url or TIDEGATE_URL".to_owned()),
            ),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, detail, hint) = self.parts();
        match self {
            Self::Failed { .. } | Self::Usage { .. } | Self::Interrupted => write!(f, "error: {detail}")?,
            Self::Refused(_) | Self::Unreachable { .. } => write!(f, "error[{code}]: {detail}")?,
        }
        hint.map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_exit_code_and_its_hint() {
        let refused = |status, code: &str| {
            CliError::Refused(Box::new(Problem {
                status,
                code: code.to_owned(),
                detail: Some("d".to_owned()),
                ..Problem::default()
            }))
        };
        for (error, exit_code, text) in [
            (refused(401, "unauthorized"), 1, "error[unauthorized]: d\nhint: "),
            (refused(404, "key_not_found"), 4, "error[key_not_found]: d"),
            (CliError::failed("m"), 1, "error: m"),
            (CliError::Interrupted, 130, "error: stopped at once"),
            (CliError::usage("m").hint("h"), 2, "error: m\nhint: h"),
            (
                CliError::Unreachable { url: "http://u".to_owned(), cause: "c".to_owned() },
                3,
                "error[unreachable]: no daemon answers at http://u: c\nhint: start one with `tidegate dev DIRECTORY`",
            ),
        ] {
            assert_eq!(error.exit_code(), exit_code, "{error}");
            assert!(error.to_string().starts_with(text), "{error}");
        }
    }
}
