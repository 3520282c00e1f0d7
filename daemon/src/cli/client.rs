use super::error::CliError;
use super::problem::Problem;
use crate::secrets::shown_url;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use std::time::Duration;
use ureq::http::{HeaderMap, Method, Request, Uri};

/// A client of one daemon. Its calls block, so it must not be used on a thread of an async runtime.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret and is left out.
        f.debug_struct("Client").field("base", &self.shown_base()).finish_non_exhaustive()
    }
}

/// An answer with a status below 300.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) body: String,
    headers: HeaderMap,
}

impl Answer {
    /// The value of a header. Empty if the answer does not have it.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

/// An overloaded daemon refuses at once. The slowest call deploys many scripts, which takes
/// seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A probe requests `/healthz` or `/readyz`. For `/readyz` the daemon pings its store, for at most
/// a second.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Far more than the longest list that the API returns.
const ANSWER_BYTES_MAX: u64 = 512 << 20;

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: None }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn header(mut self, name: &'static str, value: Option<String>) -> Self {
        self.headers.extend(value.map(|value| (name, value)));
        self
    }

    /// Sets a JSON body.
    pub(crate) fn json(self, body: String) -> Self {
        self.body("application/json", body)
    }

    pub(crate) fn body(mut self, content_type: &str, body: String) -> Self {
        self.body = Some(body);
        self.header("content-type", Some(content_type.to_owned()))
    }

    /// Adds a parameter to the query, if it has a value.
    pub(crate) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            let separator = if self.path.contains('?') { '&' } else { '?' };
            self.path.push_str(&format!("{separator}{name}={}", segment(&value.to_string())));
        }
        self
    }
}

impl Client {
    /// A client of the daemon at `base`, such as `http://127.0.0.1:8787`.
    pub(crate) fn new(base: &str, token: Option<String>) -> Result<Self, CliError> {
        Self::with_timeout(base, token, ANSWER_TIMEOUT)
    }

    /// A client for `/healthz` and `/readyz`, with a short timeout and without a token.
    pub(crate) fn probe(base: &str) -> Result<Self, CliError> {
        Self::with_timeout(base, None, PROBE_TIMEOUT)
    }

    fn with_timeout(base: &str, token: Option<String>, timeout: Duration) -> Result<Self, CliError> {
        let base = base.trim_end_matches('/').to_owned();
        let uri = base.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        let uri = uri.ok_or_else(|| {
            let shown = shown_url(&base);
            CliError::usage(format!("{shown} is not the URL of a daemon: write http://HOST:PORT or https://HOST"))
        })?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(timeout))
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")));
        // A proxy that the environment names cannot reach loopback addresses of this machine.
        let config = if is_loopback(uri.host()) { config.proxy(None) } else { config };
        Ok(Self { agent: config.build().into(), base, token })
    }

    /// A client of the same daemon with a token.
    pub(crate) fn with_token(&self, token: String) -> Self {
        Self { token: Some(token), ..self.clone() }
    }

    /// The URL of the daemon, for messages.
    pub(crate) fn shown_base(&self) -> String {
        shown_url(&self.base).trim_end_matches('/').to_owned()
    }

    /// Makes a call. A status of 300 or above is [`CliError::Refused`].
    pub(crate) fn call(&self, call: Call) -> Result<Answer, CliError> {
        let mut request = Request::builder().method(call.method).uri(format!("{}{}", self.base, call.path));
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let result = match call.body {
            None => self.agent.run(request.body(()).map_err(CliError::usage)?),
            Some(body) => self.agent.run(request.body(body).map_err(CliError::usage)?),
        };
        let mut response = result.map_err(|error| self.unreachable(&error))?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).lossy_utf8(true).read_to_string();
        let body = body.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        if status >= 300 {
            return Err(CliError::Refused(Box::new(Problem::read(status, &body))));
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer { body, headers })
    }

    fn unreachable(&self, error: &ureq::Error) -> CliError {
        let cause = match error {
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::HostNotFound => "the host name does not resolve".to_owned(),
            other => other.to_string(),
        };
        CliError::Unreachable { url: self.shown_base(), cause }
    }
}

/// True if the host of a URL is a loopback address.
pub(crate) fn is_loopback(host: Option<&str>) -> bool {
    let host = host.unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// All characters but the unreserved ones of RFC 3986: letters, digits, `-`, `.`, `_` and `~`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');

/// Percent-encodes one segment of a path, or one value of a query.
pub(crate) fn segment(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, SEGMENT)
}

/// Percent-encodes several segments of a path, with the `/` between them.
pub(crate) fn segments(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, SEGMENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_encoded() {
        assert_eq!(segment("a/b c").to_string(), "a%2Fb%20c");
        assert_eq!(segments("a/b cé").to_string(), "a/b%20c%C3%A9");
        let call = Call::get("/x").query("prefix", Some("a&b")).query("cursor", None::<&str>).query("limit", Some(3));
        assert_eq!(call.path, "/x?prefix=a%26b&limit=3");
    }

    #[test]
    fn only_http_urls_are_accepted() {
        for (url, ok) in [
            ("http://127.0.0.1:8787/", true),
            ("https://example.org", true),
            ("127.0.0.1:8787", false),
            ("ftp://x", false),
            ("", false),
        ] {
            assert_eq!(Client::new(url, None).is_ok(), ok, "{url}");
        }
        for (host, expected) in [("localhost", true), ("127.0.0.1", true), ("[::1]", true), ("10.0.0.1", false)] {
            assert_eq!(is_loopback(Some(host)), expected, "{host}");
        }
    }

    #[test]
    fn a_closed_port_is_reported_as_unreachable() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Client::new(&format!("http://{free}"), None).unwrap().call(Call::get("/")).unwrap_err();
        assert_eq!(error.exit_code(), 3, "{error}");
    }
}
