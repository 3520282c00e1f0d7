use std::collections::BTreeMap;
use std::path::PathBuf;

/// The environment variables of this process, read once.
///
/// A variable that is set to nothing counts as not set, because that is how compose files and shells leave one out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Those of this process. One that is not UTF-8 is none of ours.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the only place that reads the environment")]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of `name`, if it is set to something.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Where this user's programs keep what they want to find again: `$XDG_STATE_HOME`, or `~/.local/state`.
    #[must_use]
    pub fn state_home(&self) -> Option<PathBuf> {
        // The XDG specification says to ignore a relative path.
        let named = self.get("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        named.or_else(|| self.get("HOME").map(|home| PathBuf::from(home).join(".local/state")))
    }

    /// Whether people asked for text without colours: <https://no-color.org>.
    #[must_use]
    pub fn no_colour(&self) -> bool {
        self.get("NO_COLOR").is_some()
    }

    /// All that begin with `TIDEGATE_`, by name.
    pub(super) fn ours(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(|(name, _)| name.starts_with("TIDEGATE_"))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self { variables: variables.into_iter().filter(|(_, value)| !value.is_empty()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_state_home_is_found() {
        for (variables, expected) in [
            (&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")][..], Some("/s")),
            (&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")], Some("/h/.local/state")),
            (&[("XDG_STATE_HOME", ""), ("HOME", "/h")], Some("/h/.local/state")),
            (&[], None),
        ] {
            assert_eq!(environment(variables).state_home(), expected.map(PathBuf::from), "{variables:?}");
        }
    }
}
