//! URLs without their secrets, for messages and logs.
//!
//! Only parts that cannot hold a secret are shown. A text that is not clearly a URL is hidden
//! whole, because a password with an unescaped character can move any part of it elsewhere.

use url::Url;

/// The mark for a hidden part.
const HIDDEN: &str = "…";

/// The parameters whose values are shown. The names of other parameters may be parts of a password
/// that contains `&`, so they are hidden too.
const SHOWN: [&str; 8] =
    ["host", "hostaddr", "port", "dbname", "sslmode", "ssl-mode", "application_name", "statement-cache-capacity"];

/// `url` without user, password and parameters that may hold a secret.
pub(crate) fn shown_url(url: &str) -> String {
    match Url::parse(url) {
        Ok(parsed) if url.contains("://") && is_unambiguous(&parsed) => shown(&parsed),
        _ => scheme(url).map_or_else(|| HIDDEN.to_owned(), |scheme| format!("{scheme}://{HIDDEN}")),
    }
}

/// The scheme of a text with `://`. `None` if the text before it is not a scheme.
pub(crate) fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some(scheme)
}

/// False if the password may have ended the authority early: an unescaped `/`, `?` or `#` in a
/// password moves the `@` after it into a later part of the URL.
fn is_unambiguous(url: &Url) -> bool {
    !url.path().contains('@') && !url.query().unwrap_or_default().contains('@') && url.fragment().is_none()
}

fn shown(url: &Url) -> String {
    let user = if url.username().is_empty() && url.password().is_none() { "" } else { "…@" };
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let place = format!("{}://{user}{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
    match url.query() {
        None => place,
        Some(query) => format!("{place}?{}", query.split('&').map(parameter).collect::<Vec<_>>().join("&")),
    }
}

fn parameter(pair: &str) -> String {
    let name = form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.to_ascii_lowercase());
    match name.as_deref() {
        Some(name) if SHOWN.contains(&name) => pair.to_owned(),
        Some("password") => format!("password={HIDDEN}"),
        _ => HIDDEN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_without_secrets_are_shown() {
        for (url, expected) in [
            ("postgres://h/d", "postgres://h/d"),
            ("postgres://h:5432/d?sslmode=require", "postgres://h:5432/d?sslmode=require"),
            ("postgres://[::1]:5/d", "postgres://[::1]:5/d"),
            ("postgres:///d?host=/run/pg&user=u&password=sekret", "postgres:///d?host=/run/pg&…&password=…"),
            ("postgres://u:sekret@h/d", "postgres://…@h/d"),
            ("postgres://u@h/d", "postgres://…@h/d"),
            ("postgres://:sekret@h/d", "postgres://…@h/d"),
            ("postgres://u:sek@ret@h/d", "postgres://…@h/d"),
            ("postgres://u:sek%2fret@h/d?PASSWORD=sekret", "postgres://…@h/d?password=…"),
            ("postgres://h/d?p%61ssword=sekret&password=sekret2", "postgres://h/d?password=…&password=…"),
            ("postgres://h/d?sslpassword=sekret&sslkey=sekret", "postgres://h/d?…&…"),
            ("postgres://h/d?password=sek&ret&sekret=1", "postgres://h/d?password=…&…&…"),
            ("postgres://h/d?options=-c%20a.b%3Dsekret", "postgres://h/d?…"),
            ("https://t:sekret@example.org/x?token=sekret", "https://…@example.org/x?…"),
        ] {
            assert_eq!(shown_url(url), expected, "{url}");
        }
    }

    #[test]
    fn a_text_that_is_not_clearly_a_url_is_hidden() {
        for (text, expected) in [
            ("postgres://u:sekret", "postgres://…"),
            ("postgres://u:sek/ret@h/d", "postgres://…"),
            ("postgres://u:12/sekret@h/d", "postgres://…"),
            ("postgres://u:12?sekret@h/d", "postgres://…"),
            ("postgres://u:12#sekret@h/d", "postgres://…"),
            ("postgres://u:sekret@h:port/d", "postgres://…"),
            ("POSTGRES://u:sekret@", "POSTGRES://…"),
            ("host=h user=u password=sekret", "…"),
            ("postgres:host=h password=sekret", "…"),
            ("host=h password=sekret://x", "…"),
            ("u:sekret@h/d", "…"),
            ("sekret", "…"),
            ("", "…"),
        ] {
            assert_eq!(shown_url(text), expected, "{text}");
        }
    }
}
