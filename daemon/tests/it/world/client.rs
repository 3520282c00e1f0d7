use serde_json::Value;
use std::io;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Request;

/// A client of one daemon. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    /// `None` for an anonymous client.
    authorization: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The names are in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Checks that the request succeeded, and returns its body as JSON.
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }
}

impl Client {
    pub(crate) fn new(port: u16, token: &str) -> Self {
        // A client must not wait long for a daemon that was killed during an answer.
        let config = Agent::config_builder().http_status_as_error(false).proxy(None);
        let agent = config.timeout_global(Some(Duration::from_secs(20))).build().new_agent();
        Self { agent, base: format!("http://127.0.0.1:{port}"), authorization: Some(format!("Bearer {token}")) }
    }

    /// A client of the same daemon with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self.clone() }
    }

    /// A client of the same daemon without a token.
    pub(crate) fn anonymous(&self) -> Self {
        Self { authorization: None, ..self.clone() }
    }

    /// Sends one request. After an error the outcome is unknown.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> io::Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = match body {
            Some(body) => self.agent.run(request.body(body).map_err(io::Error::other)?),
            None => self.agent.run(request.body(()).map_err(io::Error::other)?),
        };
        let mut response = sent.map_err(io::Error::other)?;
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let text = response.body_mut().with_config().limit(64 << 20).read_to_string().map_err(io::Error::other)?;
        Ok(Answer { status: response.status().as_u16(), headers, text })
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        let sent = self.send("PUT", path, &[("content-type", "application/json")], Some(body.to_string().as_bytes()));
        sent.unwrap_or_else(|error| panic!("PUT {path}: {error}"))
    }

    /// All entries of a paged list.
    pub(crate) fn list(&self, path: &str, entries: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                None => self.get(path).ok(),
                Some(cursor) => self.get(&format!("{path}{separator}cursor={cursor}")).ok(),
            };
            found.extend(page[entries].as_array().unwrap_or_else(|| panic!("no {entries} in {page}")).iter().cloned());
            match page["cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return found,
            }
        }
    }
}
