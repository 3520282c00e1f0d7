//! A client of one daemon.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use ureq::Agent;

/// Clones share their connections.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    authorization: String,
}

/// The result of a put.
#[derive(Debug)]
pub(crate) enum Put {
    Acknowledged,
    /// The put may have been applied. It is safe to repeat.
    Unknown,
}

impl Client {
    pub(crate) fn new(port: u16, token: &str) -> Self {
        // A frozen daemon must not hold its clients until the end of the round.
        let config = Agent::config_builder().http_status_as_error(false).proxy(None);
        let agent = config.timeout_global(Some(Duration::from_secs(5))).build().new_agent();
        let base = format!("http://127.0.0.1:{port}/v1/apps/orders");
        Self { agent, base, authorization: format!("Bearer {token}") }
    }

    /// Puts an order that must not exist yet. If an earlier put was applied and its answer was
    /// lost, the answer is 412, which acknowledges the order too.
    pub(crate) fn put_order(&self, key: &str, order: &Value) -> anyhow::Result<Put> {
        let request = self.agent.put(format!("{}/kv/orders/{key}", self.base));
        let sent = request.header("authorization", &self.authorization).header("if-none-match", "*").send_json(order);
        let Ok(mut response) = sent else { return Ok(Put::Unknown) };
        match response.status().as_u16() {
            200 | 412 => Ok(Put::Acknowledged),
            503 => Ok(Put::Unknown),
            status => {
                let body = response.body_mut().read_to_string().unwrap_or_default();
                anyhow::bail!("the put of {key} was refused with status {status}: {body}")
            }
        }
    }

    /// One page of a list. `cursor` is the end of the page before it.
    fn page(&self, path: &str, cursor: Option<&str>) -> anyhow::Result<Value> {
        let mut request = self.agent.get(format!("{}{path}", self.base)).header("authorization", &self.authorization);
        if let Some(cursor) = cursor {
            request = request.query("cursor", cursor);
        }
        let mut response = request.call()?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
        ensure!(status == 200, "GET {path} answered {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// All entries of a paged list.
    pub(crate) fn list(&self, path: &str, entries: &str) -> anyhow::Result<Vec<Value>> {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.page(path, cursor.as_deref())?;
            found.extend(page[entries].as_array().context("a page has entries")?.iter().cloned());
            match page["cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(found),
            }
        }
    }

    /// Redrives the open dead letters with the reason `lost`. Returns their number.
    pub(crate) fn redrive_lost(&self) -> anyhow::Result<u64> {
        let request = self.agent.post(format!("{}/dead-letters/redrive", self.base));
        let request = request.header("authorization", &self.authorization);
        let mut response = request.send_json(json!({"filter": {"reason": "lost"}}))?;
        let (status, body) = (response.status().as_u16(), response.body_mut().read_to_string()?);
        ensure!(status == 200, "the redrive answered {status}: {body}");
        let answer: Value = serde_json::from_str(&body)?;
        answer["redriven"].as_u64().context("the answer counts the redriven letters")
    }

    /// Whether no delivery is waiting or running.
    pub(crate) fn is_drained(&self) -> anyhow::Result<bool> {
        let page = self.page("/deliveries?limit=1", None)?;
        Ok(page["deliveries"].as_array().is_some_and(Vec::is_empty))
    }
}
