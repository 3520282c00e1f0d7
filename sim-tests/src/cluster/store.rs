//! The store as a node. It finishes each request, even if the caller has died.

use super::{Shared, lock};
use crate::checkers::Life;
use madsim::net::Endpoint;
use madsim::net::rpc::{Deserialize, Request as Rpc, Serialize};
use madsim::runtime::Handle;
use madsim::task::NodeId;
use madsim::time::{Duration, sleep};
use std::net::SocketAddr;
use tidegate_core::{OpId, Reply, Request};

/// A store call on the wire.
#[derive(Serialize, Deserialize)]
pub(super) struct StoreCall {
    pub(super) daemon: usize,
    pub(super) life: u64,
    pub(super) op: OpId,
    pub(super) request: Request,
    /// The time that the request waits in the store before it is applied, in microseconds.
    pub(super) delay_us: u64,
}

impl Rpc for StoreCall {
    const ID: u64 = 1;
    type Response = Reply;
}

pub(super) fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 5432))
}

/// Binds the address as soon as an earlier process has released it.
pub(super) async fn bind(address: SocketAddr) -> Endpoint {
    loop {
        match Endpoint::bind(address).await {
            Ok(endpoint) => return endpoint,
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Counts a request that waits in the store, until it is applied or lost.
struct Waiting(Shared);

impl Waiting {
    fn begin(referee: &Shared) -> Self {
        lock(referee).waiting_requests += 1;
        Self(Shared::clone(referee))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Ok(mut world) = self.0.lock() {
            world.waiting_requests -= 1;
        }
    }
}

/// Starts the node. A restart loses nothing that was answered.
pub(super) fn start(referee: &Shared) -> NodeId {
    let referee = Shared::clone(referee);
    let serve = move || {
        let referee = Shared::clone(&referee);
        async move {
            let endpoint = bind(address()).await;
            endpoint.add_rpc_handler(move |call: StoreCall| {
                let referee = Shared::clone(&referee);
                async move {
                    let waiting = (call.delay_us > 0).then(|| Waiting::begin(&referee));
                    if waiting.is_some() {
                        sleep(Duration::from_micros(call.delay_us)).await;
                    }
                    let of = Life { daemon: call.daemon, life: call.life };
                    let reply = lock(&referee).apply(of, call.op, &call.request);
                    drop(waiting);
                    reply
                }
            });
            std::future::pending::<()>().await;
        }
    };
    Handle::current().create_node().name("store").ip(address().ip()).init(serve).build().id()
}
