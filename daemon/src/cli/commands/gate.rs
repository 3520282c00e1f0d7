use super::super::args::GateArgs;
use super::super::client::Call;
use super::super::error::CliError;
use super::Context;
use serde::{Deserialize, Serialize};
use ureq::http::Method;

#[derive(Deserialize)]
struct Gate {
    permits: u32,
    sync_reserve: u32,
    async_reserve: u32,
    running: u32,
    queued: u32,
    calls_waiting: u32,
}

#[derive(Serialize)]
struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    permits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_reserve: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    async_reserve: Option<u32>,
}

/// Without new limits, this only reads the state of the gate.
pub(in super::super) fn run(context: &Context, args: &GateArgs) -> Result<(), CliError> {
    let GateArgs { permits, sync_reserve, async_reserve } = *args;
    let change = Change { permits, sync_reserve, async_reserve };
    let call = if permits.is_none() && sync_reserve.is_none() && async_reserve.is_none() {
        Call::new(Method::GET, "/v1/gate".to_owned())
    } else {
        let body = serde_json::to_string(&change).map_err(CliError::failed)?;
        Call::new(Method::PATCH, "/v1/gate".to_owned()).json(body)
    };
    let answer = context.target.client.call(call)?;
    context.show(&answer.body, |gate: &Gate| {
        format!(
            "{} of {} permits are in use, {} are reserved for sync calls and {} for deliveries\n\
             {} deliveries and {} sync calls wait for a permit\n",
            gate.running, gate.permits, gate.sync_reserve, gate.async_reserve, gate.queued, gate.calls_waiting
        )
    })
}
