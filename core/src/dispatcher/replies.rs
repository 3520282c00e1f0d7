//! Replies on their way to their callers. A row stays until it is known whether its reply was handed over, so that no
//! crash leaves a caller of whom nothing is known.

use super::Dispatcher;
use super::claims::Stage;
use crate::claim::Claim;
use crate::delivery::{AbandonCause, Kind, Verdict};
use crate::io::{Action, Disposition};
use crate::names::{InboxId, OpId};
use crate::sync::SyncReply;
use std::collections::BTreeMap;

/// What is being handed over, by the number of the action. `None` for a call of which nothing was written.
#[derive(Clone, Debug, Default)]
pub(super) struct Replies {
    under_way: BTreeMap<u64, Option<Claim>>,
}

impl Replies {
    pub(super) fn len(&self) -> u32 {
        self.under_way.len() as u32
    }
}

impl Dispatcher {
    /// Hands a reply over. The row of `claim` is settled when that is answered.
    pub(super) fn reply(&mut self, inbox: InboxId, reply: SyncReply, claim: Option<Claim>) {
        let op = self.next_op();
        self.replies.under_way.insert(op.seq, claim);
        self.act(Action::Reply { op, inbox, reply });
    }

    /// The settlement of a sync execution was applied: its caller may know.
    pub(super) fn reply_executed(&mut self, claim: Claim) {
        let Some(held) = self.claims.get_mut(claim) else { return };
        held.stage = Stage::Replying;
        let (kind, reply) = (held.delivery.kind(), held.reply.take());
        if let (Kind::Sync(inbox), Some(reply)) = (kind, reply) {
            self.reply(inbox, reply, Some(claim));
        }
    }

    pub(super) fn reply_delivered(&mut self, op: OpId, delivered: bool) -> Disposition {
        if op.incarnation != self.boot.incarnation {
            return Disposition::Stale;
        }
        let Some(claim) = self.replies.under_way.remove(&op.seq) else { return Disposition::Stale };
        let gone = Verdict::Abandoned { cause: AbandonCause::CallerGone };
        if let Some(claim) = claim {
            self.conclude_with(claim, if delivered { Verdict::Replied } else { gone });
        }
        Disposition::Accepted
    }
}
