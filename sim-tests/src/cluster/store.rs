//! The store as a node of its own: what it was asked it finishes, whatever becomes of who asked.

use super::Shared;
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
pub(super) struct Asked {
    pub(super) daemon: usize,
    pub(super) life: u64,
    pub(super) op: OpId,
    pub(super) request: Request,
}

impl Rpc for Asked {
    const ID: u64 = 1;
    type Response = Reply;
}

pub(super) fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 5432))
}

/// Takes the address, as soon as whoever had it before a restart is gone.
pub(super) async fn bind(address: SocketAddr) -> Endpoint {
    loop {
        match Endpoint::bind(address).await {
            Ok(endpoint) => return endpoint,
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Starts the node; restarted, it has forgotten nothing that it answered.
pub(super) fn start(referee: &Shared) -> NodeId {
    let referee = Shared::clone(referee);
    let serve = move || {
        let referee = Shared::clone(&referee);
        async move {
            let endpoint = bind(address()).await;
            endpoint.add_rpc_handler(move |asked: Asked| {
                let referee = Shared::clone(&referee);
                async move {
                    let of = Life { daemon: asked.daemon, life: asked.life };
                    referee.lock().expect("nobody panicked").apply(of, asked.op, &asked.request)
                }
            });
            std::future::pending::<()>().await;
        }
    };
    Handle::current().create_node().name("store").ip(address().ip()).init(serve).build().id()
}
