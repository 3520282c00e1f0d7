//! Messages about names that are not settings. Each message suggests a known name, or the right
//! section.

use super::keys::{SECTIONS, SETTINGS, Setting};
use super::nearest::{did_you_mean, nearest};

/// Variables of the command line that begin with `TIDEGATE_` and are not settings.
pub(super) const OTHER_VARIABLES: [&str; 5] =
    ["TIDEGATE_URL", "TIDEGATE_TOKEN", "TIDEGATE_APP", "TIDEGATE_CONFIG", "TIDEGATE_ADMIN_TOKEN"];

pub(super) fn unknown_section(section: &str) -> String {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.key() == section) {
        return format!("`{section}` belongs in the section [{}]", setting.section());
    }
    match nearest(section, SECTIONS) {
        Some(near) if near == section => format!("`{section}` is a section: write [{section}]"),
        _ => format!("unknown section [{section}]; {}", did_you_mean(section, &SECTIONS)),
    }
}

pub(super) fn unknown_key(section: &str, key: &str) -> String {
    let of_section: Vec<_> = SETTINGS.iter().filter(|setting| setting.section() == section).map(Setting::key).collect();
    if nearest(key, of_section.iter().copied()).is_none()
        && let Some(elsewhere) = SETTINGS.iter().find(|setting| setting.key() == key)
    {
        return format!("unknown key `{key}` in [{section}]; it belongs in [{}]", elsewhere.section());
    }
    format!("unknown key `{key}` in [{section}]; {}", did_you_mean(key, &of_section))
}

pub(super) fn unknown_variable(name: &str) -> String {
    // The distance is computed without the common prefix, with which all names would be near each
    // other.
    let tail = |name: &str| name.trim_start_matches("TIDEGATE_").to_owned();
    let tails: Vec<String> =
        SETTINGS.iter().map(Setting::variable).chain(OTHER_VARIABLES.map(str::to_owned)).map(|v| tail(&v)).collect();
    match nearest(&tail(name), tails.iter().map(String::as_str)) {
        Some(near) => format!("{name}: unknown variable; did you mean TIDEGATE_{near}?"),
        None => {
            format!("{name}: unknown variable; settings are TIDEGATE_<SECTION>_<KEY>, such as TIDEGATE_HTTP_LISTEN")
        }
    }
}
