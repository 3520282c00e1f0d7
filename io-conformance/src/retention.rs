//! Old records are removed in batches, and no other record.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{AbandonCause, Micros, PrincipalId, Verdict};
use tidegate_ports::{LetterSelection, NewPrincipal, NewToken, RecordKind, SESSION_PREFIX};

/// All records of the cases are older than this. No record is older than [`A_DAY`].
const NO_AGE: Micros = Micros(0);
const A_DAY: Micros = Micros::from_secs(24 * 3_600);

impl<S: Store> App<S> {
    async fn prune(&self, kind: RecordKind, age: Micros, limit: u32) -> u32 {
        self.store.prune(kind, age, limit).await.expect("the records are removed")
    }

    async fn old(&self, kind: RecordKind, age: Micros) -> u32 {
        self.store.count_old(kind, age, 100).await.expect("the records are counted")
    }

    /// Settles `count` new deliveries of the lane `lane` with this verdict.
    async fn settle_new(&self, count: u32, verdict: impl Fn() -> Verdict) {
        let lane = self.trigger_named("lane").await.expect("the trigger exists");
        self.go(count).await;
        for row in self.claim(lane.id, count).await {
            self.settle(&row, verdict()).await;
        }
    }
}

/// Lets the clock of the store pass the newest record.
async fn age() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

pub(crate) async fn old_letters_are_removed_by_their_resolution<S: Store>(store: Arc<S>) {
    let (app, _) = App::with_lane(&store).await;
    let died = || dead(threw(1, tidegate_core::Timestamp(1), "it broke"));
    app.settle_new(2, died).await;
    let all = LetterSelection { limit: 100, ..LetterSelection::default() };
    app.store.discard(&app.name, &all).await.expect("the letters are discarded");
    app.settle_new(3, died).await;
    age().await;
    let [open, handled, discarded] =
        [RecordKind::OpenLetters, RecordKind::HandledLetters, RecordKind::DiscardedLetters];
    for (kind, count) in [(open, 3), (handled, 0), (discarded, 2)] {
        assert_eq!((app.old(kind, NO_AGE).await, app.old(kind, A_DAY).await), (count, 0), "{kind:?}");
        assert_eq!(app.prune(kind, A_DAY, 100).await, 0, "{kind:?} is too young");
    }
    assert_eq!(app.prune(discarded, NO_AGE, 100).await, 2);
    assert_eq!(app.letters().await.len(), 3, "the open letters stay");
    let newest = app.letters().await[0].id;
    assert_eq!(app.prune(open, NO_AGE, 2).await, 2);
    let left = app.letters().await;
    assert_eq!(left.iter().map(|letter| letter.id).collect::<Vec<_>>(), [newest], "the oldest are removed first");
    assert_eq!((app.prune(open, NO_AGE, 2).await, app.prune(open, NO_AGE, 2).await), (1, 0));
}

pub(crate) async fn old_ledger_entries_are_removed<S: Store>(store: Arc<S>) {
    let (app, _) = App::with_lane(&store).await;
    app.settle_new(3, || Verdict::Dropped).await;
    app.settle_new(3, || Verdict::Abandoned { cause: AbandonCause::NodeLost }).await;
    age().await;
    for kind in [RecordKind::Loops, RecordKind::AbandonedExecutions] {
        assert_eq!((app.old(kind, NO_AGE).await, app.old(kind, A_DAY).await), (3, 0), "{kind:?}");
        assert_eq!(app.prune(kind, A_DAY, 100).await, 0, "{kind:?}");
        assert_eq!([app.prune(kind, NO_AGE, 2).await, app.prune(kind, NO_AGE, 2).await], [2, 1], "{kind:?}");
        assert_eq!(app.old(kind, NO_AGE).await, 0, "{kind:?}");
    }
}

pub(crate) async fn expired_sessions_are_removed_and_no_other_token<S: Store>(store: Arc<S>) {
    let app = App::named(&store, "a").await;
    let ann = PrincipalId::new("user:ann").expect("a valid principal");
    let new = NewPrincipal { id: ann.clone(), admin: false, monitor: false, password_hash: None };
    assert!(store.add(&new).await.expect("the store answers the add"));
    for (digest, name, valid_for) in [
        (1, format!("{SESSION_PREFIX}old"), Some(Micros(1))),
        (2, format!("{SESSION_PREFIX}valid"), Some(A_DAY)),
        (3, "expired".to_owned(), Some(Micros(1))),
        (4, "forever".to_owned(), None),
    ] {
        let new = NewToken { name, principal: ann.clone(), digest: [digest; 32], valid_for };
        assert!(store.add_token(&new).await.expect("the store answers the add"));
    }
    age().await;
    assert_eq!((app.old(RecordKind::Sessions, NO_AGE).await, app.old(RecordKind::Sessions, A_DAY).await), (1, 0));
    assert_eq!(app.prune(RecordKind::Sessions, NO_AGE, 100).await, 1);
    let names: Vec<_> = store.tokens().await.expect("the list is read").into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["expired".to_owned(), "forever".to_owned(), format!("{SESSION_PREFIX}valid")]);
}
