//! Principals, their roles and tokens, and the standing of the principal that registered a trigger
//! when a row of the trigger is claimed.

use crate::Store;
use crate::support::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{
    BeginCallsReply, Match, Micros, PrincipalId, Refusal, Reply, Request, Role, Standing, SyncCall, SyncTarget,
    TriggerId,
};
use tidegate_ports::{NewPrincipal, NewToken, PrincipalRecord, PrincipalStore, SESSION_PREFIX, TriggerStore};

fn id(text: &str) -> PrincipalId {
    PrincipalId::new(text).expect("a valid principal")
}

fn new(text: &str, admin: bool) -> NewPrincipal {
    NewPrincipal { id: id(text), admin, monitor: false, password_hash: None }
}

fn token(name: &str, principal: &str, digest: u8) -> NewToken {
    NewToken { name: name.to_owned(), principal: id(principal), digest: [digest; 32], valid_for: None }
}

async fn add<S: Store>(store: &S, text: &str, admin: bool) {
    assert!(store.add(&new(text, admin)).await.expect("the store answers the add"));
}

async fn role<S: Store>(app: &App<S>, text: &str, role: Option<Role>) -> bool {
    app.store.set_role(&id(text), &app.name, role).await.expect("the role is set")
}

async fn get<S: Store>(store: &S, text: &str) -> Option<PrincipalRecord> {
    PrincipalStore::get(store, &id(text)).await.expect("the principal is read")
}

pub(crate) async fn a_principal_is_created_once<S: Store>(store: Arc<S>) {
    assert_eq!(PrincipalStore::list(&*store).await.expect("the list is read"), []);
    add(&*store, "user:bob", false).await;
    add(&*store, "user:ann", true).await;
    assert!(!store.add(&new("user:ann", false)).await.expect("the store answers"), "the name is taken");
    let listed = PrincipalStore::list(&*store).await.expect("the list is read");
    let shown: Vec<_> = listed.iter().map(|one| (one.id.as_str(), one.admin, one.disabled)).collect();
    assert_eq!(shown, [("user:ann", true, false), ("user:bob", false, false)]);
    assert_eq!(get(&*store, "user:ann").await.as_ref(), Some(&listed[0]));
    assert_eq!(get(&*store, "user:eve").await, None);
    let monitor = NewPrincipal { monitor: true, ..new("token:metrics", false) };
    assert!(store.add(&monitor).await.expect("the store answers the add"));
    let monitor = get(&*store, "token:metrics").await.expect("the principal exists");
    assert_eq!((monitor.admin, monitor.monitor, listed[0].monitor), (false, true, false));
}

pub(crate) async fn a_password_is_stored_as_a_hash<S: Store>(store: Arc<S>) {
    let hashed = NewPrincipal { password_hash: Some("$a$".to_owned()), ..new("user:ann", false) };
    assert!(store.add(&hashed).await.expect("the store answers the add"));
    add(&*store, "user:bob", false).await;
    let hash = async |text| store.password_hash(&id(text)).await.expect("the principal is read");
    assert_eq!((hash("user:ann").await.as_deref(), hash("user:bob").await), (Some("$a$"), None));
    assert!(store.set_password(&id("user:bob"), "$b$").await.expect("the password is set"));
    assert_eq!((hash("user:bob").await.as_deref(), hash("user:eve").await), (Some("$b$"), None));
    assert!(!store.set_password(&id("user:eve"), "$c$").await.expect("the store answers"));
}

pub(crate) async fn a_new_password_ends_the_sessions_of_its_principal<S: Store>(store: Arc<S>) {
    add(&*store, "user:ann", false).await;
    add(&*store, "user:bob", false).await;
    let session = |name: &str| format!("{SESSION_PREFIX}{name}");
    for (name, principal, digest) in [
        (session("a"), "user:ann", 1),
        (session("b"), "user:ann", 2),
        ("laptop".to_owned(), "user:ann", 3),
        (session("c"), "user:bob", 4),
    ] {
        assert!(store.add_token(&token(&name, principal, digest)).await.expect("the store answers"));
    }
    assert!(store.set_password(&id("user:ann"), "$b$").await.expect("the password is set"));
    let left = store.tokens().await.expect("the list is read");
    let names: Vec<_> = left.into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["laptop".to_owned(), session("c")]);
    assert_eq!(store.bearer(&[1; 32]).await.expect("the token is looked up"), None);
}

pub(crate) async fn roles_are_granted_changed_and_revoked<S: Store>(store: Arc<S>) {
    let (app, other) = (App::named(&store, "a").await, App::named(&store, "b").await);
    add(&*store, "user:ann", false).await;
    let roles = async || get(&*store, "user:ann").await.expect("the principal exists").roles;
    assert!(role(&app, "user:ann", Some(Role::Viewer)).await && role(&other, "user:ann", Some(Role::Owner)).await);
    assert!(role(&app, "user:ann", Some(Role::Editor)).await);
    let expected = BTreeMap::from([(app.name.clone(), Role::Editor), (other.name.clone(), Role::Owner)]);
    assert_eq!(roles().await, expected);
    assert!(role(&other, "user:ann", None).await && role(&other, "user:ann", None).await);
    assert_eq!(roles().await, BTreeMap::from([(app.name.clone(), Role::Editor)]));
    assert!(!role(&app, "user:eve", Some(Role::Viewer)).await, "no principal has this name");
}

pub(crate) async fn a_valid_token_identifies_its_principal<S: Store>(store: Arc<S>) {
    add(&*store, "user:ann", false).await;
    add(&*store, "token:ci", false).await;
    let add_token = async |new: &NewToken| store.add_token(new).await.expect("the store answers");
    let bearer = async |digest: u8| {
        store.bearer(&[digest; 32]).await.expect("the token is looked up").map(|bearer| bearer.principal)
    };
    assert!(add_token(&token("ci", "token:ci", 1)).await && add_token(&token("laptop", "user:ann", 2)).await);
    assert!(!add_token(&token("ci", "user:ann", 3)).await, "the name is taken");
    let short = NewToken { valid_for: Some(Micros(1)), ..token("short", "user:ann", 4) };
    let long = NewToken { valid_for: Some(Micros::from_secs(600)), ..token("long", "user:ann", 5) };
    assert!(add_token(&short).await && add_token(&long).await);
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert_eq!((bearer(1).await, bearer(2).await), (Some(id("token:ci")), Some(id("user:ann"))));
    assert_eq!((bearer(3).await, bearer(4).await, bearer(5).await), (None, None, Some(id("user:ann"))));
    let listed = store.tokens().await.expect("the list is read");
    let names: Vec<_> = listed.iter().map(|one| (one.name.as_str(), one.expires_at.is_some())).collect();
    assert_eq!(names, [("ci", false), ("laptop", false), ("long", true), ("short", true)]);

    assert!(store.set_disabled(&id("user:ann"), true).await.expect("the principal is disabled"));
    assert_eq!((bearer(2).await, bearer(1).await), (None, Some(id("token:ci"))));
    assert!(store.set_disabled(&id("user:ann"), false).await.expect("the principal is enabled"));
    assert_eq!(bearer(2).await, Some(id("user:ann")));
    assert!(store.delete_token("ci").await.expect("the store answers the delete"));
    assert_eq!(
        (bearer(1).await, get(&*store, "token:ci").await),
        (None, None),
        "the principal of the token is deleted with it"
    );
    assert!(store.delete_token("laptop").await.expect("the store answers the delete"));
    assert!(get(&*store, "user:ann").await.is_some(), "a user is not deleted with its token");
    assert!(!store.delete_token("laptop").await.expect("the store answers"));
    assert!(PrincipalStore::delete(&*store, &id("user:ann")).await.expect("the store answers the delete"));
    assert_eq!((store.tokens().await.expect("the list is read"), bearer(5).await), (vec![], None));
    assert!(!PrincipalStore::delete(&*store, &id("user:ann")).await.expect("the store answers"));
}

async fn standing<S: Store>(app: &App<S>, lane: TriggerId) -> Standing {
    app.go(1).await;
    let row = app.next(lane).await;
    app.settle(&row, done()).await;
    row.standing
}

pub(crate) async fn a_claim_returns_the_standing_of_the_registrant<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let put = async |by: &str| {
        app.delete_trigger("lane").await;
        let spec = on_app("lane", "go");
        TriggerStore::put(&*app.store, &app.name, &spec, &id(by)).await.expect("the trigger is put").id
    };
    for built_in in ["admin", "system"] {
        let lane = put(built_in).await;
        assert_eq!(standing(&app, lane).await, Standing::Allowed);
    }
    let lane = put("user:ann").await;
    assert_eq!(standing(&app, lane).await, Standing::Missing);
    add(&*store, "user:ann", false).await;
    assert_eq!(standing(&app, lane).await, Standing::Denied);
    let other = App::named(&store, "other").await;
    role(&other, "user:ann", Some(Role::Owner)).await;
    assert_eq!(standing(&app, lane).await, Standing::Denied, "a role in another app gives no permission");
    for (given, expected) in
        [(Role::Viewer, Standing::Denied), (Role::Editor, Standing::Allowed), (Role::Owner, Standing::Allowed)]
    {
        role(&app, "user:ann", Some(given)).await;
        assert_eq!(standing(&app, lane).await, expected, "{given}");
    }
    store.set_disabled(&id("user:ann"), true).await.expect("the principal is disabled");
    assert_eq!(standing(&app, lane).await, Standing::Disabled);
    add(&*store, "token:root", true).await;
    let lane = put("token:root").await;
    assert_eq!(standing(&app, lane).await, Standing::Allowed);
}

pub(crate) async fn a_call_without_permission_is_refused<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    add(&*store, "user:ann", false).await;
    let spec = spec("page", http("GET", "/"));
    assert!(matches!(spec.rule, Match::Http { .. }));
    let page = TriggerStore::put(&*store, &app.name, &spec, &id("user:ann")).await.expect("the trigger is put");
    let call = |seq| SyncCall {
        inbox: tidegate_core::InboxId { incarnation: tidegate_core::Incarnation(uuid::Uuid::from_u128(1)), seq },
        target: SyncTarget::Trigger { app: page.app.clone(), id: page.id },
        event: new_event("http.request", "GET /", "null"),
        cause: outside(),
        idempotency_key: None,
    };
    let begin = async |seq| {
        let request = Request::BeginCalls { calls: vec![call(seq)], lease_for: LEASE };
        match store.call(request).await.expect("the store answers the call") {
            Reply::BeginCalls(BeginCallsReply { deliveries: begun, refused, .. }) => {
                (begun.len(), refused.first().map(|(_, refusal)| *refusal))
            }
            other => panic!("a call was answered by {other:?}"),
        }
    };
    assert_eq!(begin(1).await, (0, Some(Refusal::Denied(Standing::Denied))));
    role(&app, "user:ann", Some(Role::Editor)).await;
    assert_eq!(begin(2).await, (1, None));
}
