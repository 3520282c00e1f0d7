//! What an event becomes: one row for each enabled trigger that matches, in the event's own transaction.

use crate::Store;
use crate::support::*;
use std::sync::Arc;

pub(crate) async fn a_put_makes_one_row_for_each_matching_trigger<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let first = app.trigger(&on_kv("first", "carts", "a*")).await;
    let second = app.trigger(&on_kv("second", "*", "*")).await;
    app.trigger(&on_kv("other-key", "carts", "b*")).await;
    app.trigger(&on_app("other-source", "*")).await;

    let put = app.put("carts", "a1", "1").await;

    assert_eq!(woken(&put.emitted), [first.id, second.id]);
    assert_eq!(app.waiting().await, ["first", "second"]);
}
