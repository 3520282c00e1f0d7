//! `…/deliveries` and `…/dead-letters`: lists, filters and pages.

use crate::http_api::{Api, NOW, NOW_TEXT};
use serde_json::{Value, json};
use std::sync::Arc;
use tidegate_core::{
    Attempt, DeadReason, Delivery, DiscoverReply, ExchangeReply, ExecError, LaneQuota, Micros, Reply, Request,
    Settlement, Timestamp, Verdict,
};

const DELIVERIES: &str = "/v1/apps/shop/deliveries";
const LETTERS: &str = "/v1/apps/shop/dead-letters";

/// An API with the triggers `a` and `b`, and three deliveries for each.
fn with_rows() -> Api {
    let api = Api::new();
    for name in ["a", "b"] {
        let spec = json!({"match": {"source": "app", "type": "t"}, "handler": {"script": "fine"}});
        api.put(&format!("/v1/apps/shop/triggers/{name}"), spec).expect_status(200);
    }
    let event = json!({"specversion": "1.0", "type": "t", "subject": "s"});
    api.post("/v1/apps/shop/events", json!([event, event, event])).expect_status(202);
    api
}

/// Claims and settles as a dispatcher does.
fn exchange(api: &Api, settle: Vec<Settlement>, claim: u32) -> Vec<Arc<Delivery>> {
    let mut memory = api.memory.transaction();
    let Reply::Discover(DiscoverReply { lanes, .. }) = memory.call(Request::Discover) else {
        panic!("the reply belongs to the request")
    };
    let lane = lanes.first().map(|lane| LaneQuota {
        trigger: lane.trigger,
        quota: claim,
        starts: claim,
        look_back: Timestamp::EPOCH,
    });
    let claim = lane.into_iter().collect();
    let request = Request::Exchange {
        settle,
        claim,
        suspect: None,
        lease_for: Micros::from_millis(10_000),
        claim_bytes_max: u64::MAX,
    };
    let Reply::Exchange(ExchangeReply { claimed, fenced, .. }) = memory.call(request) else {
        panic!("the reply belongs to the request")
    };
    assert_eq!(fenced, []);
    claimed
}

fn failed(attempt: u32) -> Attempt {
    let (started_at, duration) = (NOW, Some(Micros(1_500)));
    Attempt { attempt, started_at, duration, error: ExecError::ScriptError, message: "it failed".to_owned() }
}

fn settlement(delivery: &Delivery, verdict: Verdict) -> Settlement {
    let claim = tidegate_core::Claim { delivery: delivery.id, lease: delivery.lease };
    Settlement { claim, verdict }
}

/// The ids of each page of a list.
fn pages(api: &Api, path: &str, name: &str) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("{path}{cursor}")).expect_status(200);
        pages.push(page[name].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

#[test]
fn deliveries_are_shown_with_their_state_and_their_failures() {
    let api = with_rows();
    let claimed = exchange(&api, vec![], 2);
    let retry = Verdict::Retry { delay: Micros::from_millis(500), failed: failed(1) };
    exchange(&api, vec![settlement(&claimed[0], retry)], 0);
    let by_state =
        |state: &str| api.get(&format!("{DELIVERIES}?state={state}")).expect_status(200)["deliveries"].clone();
    assert_eq!(by_state("leased").as_array().unwrap().len(), 1);
    assert_eq!(by_state("ready").as_array().unwrap().len(), 4);
    let row = by_state("scheduled")[0].clone();
    let (id, event) = (row["id"].as_i64().unwrap(), row["event"].clone());
    assert_eq!((&event["type"], &event["specversion"], &event["time"]), (&json!("t"), &json!("1.0"), &json!(NOW_TEXT)));
    let expected = json!({
        "id": id, "trigger": "a", "state": "scheduled", "attempt": 1, "lost": 0, "max_attempts": 5,
        "due_at": "2026-01-02T03:04:05.500006Z", "enqueued_at": NOW_TEXT, "event": event,
        "failed": [{
            "attempt": 1, "started_at": NOW_TEXT, "duration_ms": 1.5, "error": "script_error", "message": "it failed",
        }],
    });
    assert_eq!(row, expected);
    assert_eq!(api.get(&format!("{DELIVERIES}/{id}")).expect_status(200), expected);
    api.advance(500_000);
    assert_eq!(by_state("scheduled"), json!([]), "the retry is due");
}

#[test]
fn deliveries_come_in_pages_and_by_trigger() {
    let api = with_rows();
    let all = pages(&api, &format!("{DELIVERIES}?limit=4"), "deliveries");
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
    assert!(all.concat().is_sorted());
    assert_eq!(
        pages(&api, &format!("{DELIVERIES}?trigger=a&limit=3"), "deliveries").iter().map(Vec::len).collect::<Vec<_>>(),
        [3]
    );
    assert_eq!(
        api.get(&format!("{DELIVERIES}?trigger=none")).expect_status(200),
        json!({"deliveries": [], "cursor": null})
    );
}

/// An API with three dead letters of trigger `a`. The first has another fingerprint.
fn with_letters() -> Api {
    let api = with_rows();
    let claimed = exchange(&api, vec![], 3);
    let dead = |(at, delivery): (usize, &Arc<Delivery>)| {
        let verdict = Verdict::Dead {
            reason: DeadReason::Permanent,
            attempts: 1,
            failed: Some(failed(1)),
            fingerprint: if at == 0 { "f0" } else { "f1" }.to_owned(),
            disable_trigger: false,
        };
        settlement(delivery, verdict)
    };
    exchange(&api, claimed.iter().enumerate().map(dead).collect(), 0);
    api
}

#[test]
fn a_dead_letter_is_shown_with_its_event_and_its_attempts() {
    let api = with_letters();
    let letter = api.get(&format!("{LETTERS}?fingerprint=f0")).expect_status(200)["dead_letters"][0].clone();
    let (id, delivery, event) = (&letter["id"], &letter["delivery_id"], &letter["event"]);
    assert!(id.is_i64() && delivery.is_i64() && event["subject"] == "s", "{letter}");
    let expected = json!({
        "id": id, "delivery_id": delivery, "trigger": "a", "trigger_version": 1, "handler": {"script": "fine"},
        "script_version": letter["script_version"], "principal": "admin", "event": event, "reason": "permanent",
        "attempts": 1, "fingerprint": "f0", "enqueued_at": NOW_TEXT, "created_at": NOW_TEXT, "resolution": null,
        "redrive_generation": 0, "handler_failure": null, "previous_letter_id": null,
        "failed": [{
            "attempt": 1, "started_at": NOW_TEXT, "duration_ms": 1.5, "error": "script_error", "message": "it failed",
        }],
    });
    assert_eq!(letter, expected);
    assert!(letter["script_version"].is_i64());
    assert_eq!(api.get(&format!("{LETTERS}/{id}")).expect_status(200), expected);
}

#[test]
fn dead_letters_come_newest_first_in_pages_and_by_filter() {
    let api = with_letters();
    let all = pages(&api, &format!("{LETTERS}?limit=2"), "dead_letters");
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    assert!(all.concat().iter().rev().is_sorted());
    let count = |query: &str| pages(&api, &format!("{LETTERS}?{query}"), "dead_letters").concat().len();
    for (query, expected) in
        [("trigger=a", 3), ("trigger=b", 0), ("fingerprint=f1", 2), ("open=true", 3), ("open=false", 3)]
    {
        assert_eq!(count(query), expected, "{query}");
    }
}

#[test]
fn the_open_filter_lists_only_open_letters() {
    let api = with_letters();
    let handler = json!({"match": {"source": "dead_letter", "trigger": "b"}, "handler": {"script": "fine"}});
    api.put("/v1/apps/shop/triggers/handler", handler).expect_status(200);
    let claimed = exchange(&api, vec![], 1);
    assert_eq!(claimed[0].trigger_name.as_str(), "b");
    let dead = Verdict::Dead {
        reason: DeadReason::Permanent,
        attempts: 1,
        failed: None,
        fingerprint: "f2".to_owned(),
        disable_trigger: false,
    };
    exchange(&api, vec![settlement(&claimed[0], dead)], 0);
    // The other rows of `b` are due before the row of the dead-letter handler.
    let others = exchange(&api, vec![], 9);
    let done = |delivery: &Arc<Delivery>| settlement(delivery, Verdict::Done { effects: Default::default() });
    exchange(&api, others.iter().map(done).collect(), 0);
    let handling = exchange(&api, vec![], 1);
    exchange(&api, vec![settlement(&handling[0], Verdict::Handled { effects: Default::default() })], 0);
    let list =
        |query: &str| api.get(&format!("{LETTERS}?fingerprint=f2{query}")).expect_status(200)["dead_letters"].clone();
    assert_eq!(list("")[0]["resolution"], json!("handled"));
    assert_eq!((list("&open=false").as_array().map(Vec::len), list("&open=true")), (Some(1), Value::Array(vec![])));
}
