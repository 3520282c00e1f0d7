use std::collections::BTreeMap;
use std::path::PathBuf;

/// The environment variables of this process, read once.
///
/// An empty variable counts as not set, because compose files and shells set a variable to an empty
/// text to leave it out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of this process. A variable that is not UTF-8 is ignored: no setting has such
    /// a value.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the only place that reads the environment")]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of the variable `name`. `None` if it is empty or not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The folder for state of this user's programs: `$XDG_STATE_HOME`, or `~/.local/state`.
    #[must_use]
    pub fn state_home(&self) -> Option<PathBuf> {
        // The XDG specification says to ignore a relative path.
        let named = self.get("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        named.or_else(|| self.get("HOME").map(|home| PathBuf::from(home).join(".local/state")))
    }

    /// True if `NO_COLOR` requests text without colours: <https://no-color.org>.
    #[must_use]
    pub fn no_colour(&self) -> bool {
        self.get("NO_COLOR").is_some()
    }

    /// The variables whose names begin with `TIDEGATE_`, in the order of their names.
    pub(super) fn tidegate_variables(&self) -> impl Iterator<Item = (&str, &str)> {
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
