//! Every route × everybody: who may not is told so, and nothing is changed.

use crate::http_api::Api;
use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tidegate::http::PERMISSIONS;
use tidegate_core::Access;

/// Everybody who asks: the name of their token, and what they may do in `shop`.
const PEOPLE: [(&str, &[Access]); 6] = [
    ("stranger", &[Access::Known]),
    ("elsewhere", &[Access::Known]),
    ("viewer", &[Access::Known, Access::Read]),
    ("editor", &[Access::Known, Access::Read, Access::Write]),
    ("owner", &[Access::Known, Access::Read, Access::Write, Access::Manage]),
    ("root", &[Access::Known, Access::Read, Access::Write, Access::Manage, Access::Administer]),
];

/// An API with an app, another one, and a token for each of [`PEOPLE`].
fn populated() -> (Api, Vec<(&'static str, String)>) {
    let api = Api::new();
    api.put("/v1/apps/other", json!({})).is(200);
    api.put("/v1/users/ann", json!({})).is(201);
    let token = |(name, _): (&'static str, _)| {
        let asked = json!({ "name": name, "admin": name == "root" });
        let token = api.post("/v1/tokens", asked).is(201)["token"].as_str().expect("it is shown once").to_owned();
        (name, token)
    };
    let tokens = PEOPLE.map(token).to_vec();
    for (who, app, role) in [
        ("viewer", "shop", "viewer"),
        ("editor", "shop", "editor"),
        ("owner", "shop", "owner"),
        ("elsewhere", "other", "owner"),
    ] {
        api.put(&format!("/v1/apps/{app}/roles/token:{who}"), json!({ "role": role })).is(204);
    }
    (api, tokens)
}

fn path(route: &str) -> String {
    let filled = [
        ("{app}", "shop"),
        ("{collection}", "c"),
        ("{*key}", "k"),
        ("{script}", "fine"),
        ("{principal}", "token:stranger"),
        ("{id}", "1"),
    ];
    let path = filled.iter().fold(route.to_owned(), |path, (param, value)| path.replace(param, value));
    path.replace("{name}", if route.starts_with("/v1/users") { "ann" } else { "fine" })
}

fn ask(api: &Api, method: &str, path: &str, token: Option<&str>) -> crate::http_api::Answer {
    let request = Request::builder().method(method).uri(path);
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    api.raw(request, Body::from("{}"))
}

#[test]
fn every_route_and_everybody() {
    let mut asked = 0;
    for (route, methods) in PERMISSIONS {
        for (method, access) in *methods {
            let (api, tokens) = populated();
            let (method, path) = (method.as_str(), path(route));
            let state = || format!("{:?}", *api.memory.transaction());
            let before = state();
            for token in [None, Some("tg_garbage"), Some("garbage"), Some("")] {
                let answer = ask(&api, method, &path, token);
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {path}");
                answer.refused(401, "unauthorized");
            }
            let may = |who: &str| PEOPLE.iter().any(|(name, allowed)| *name == who && allowed.contains(access));
            for (who, token) in tokens.iter().filter(|(who, _)| !may(who)) {
                let answer = ask(&api, method, &path, Some(token));
                assert_eq!(answer.status, 403, "{who} {method} {path}: {answer:?}");
                answer.refused(403, "forbidden");
            }
            assert_eq!(state(), before, "{method} {path} changed something for those who may not");
            for (who, token) in tokens.iter().filter(|(who, _)| may(who)) {
                let answer = ask(&api, method, &path, Some(token));
                assert!(!matches!(answer.status, 401 | 403 | 405), "{who} {method} {path}: {answer:?}");
                asked += 1;
            }
        }
    }
    assert!(asked > 100, "{asked}");
}

#[test]
fn an_app_that_may_not_be_read_is_not_told_from_one_that_is_not_there() {
    let (api, tokens) = populated();
    let stranger = &tokens.iter().find(|(who, _)| *who == "stranger").expect("it is one of them").1;
    let detail = |app: &str| {
        let answer = ask(&api, "GET", &format!("/v1/apps/{app}/triggers"), Some(stranger));
        answer.refused(403, "forbidden").replace(app, "")
    };
    assert_eq!(detail("shop"), detail("nowhere"));
    let listed = ask(&api, "GET", "/v1/apps", Some(stranger)).is(200);
    assert_eq!(listed, json!({"apps": []}));
    let viewer = &tokens.iter().find(|(who, _)| *who == "viewer").expect("it is one of them").1;
    assert_eq!(ask(&api, "GET", "/v1/apps", Some(viewer)).is(200)["apps"][0]["name"], "shop");
}

#[test]
fn users_log_in_are_disabled_and_log_out() {
    let api = Api::new();
    let ann = json!({"password": "correct horse"});
    let made = api.put("/v1/users/ann", ann.clone()).is(201);
    assert_eq!((&made["principal"], &made["admin"]), (&json!("user:ann"), &json!(false)));
    api.put("/v1/users/ann", ann).refused(409, "user_exists");
    api.put("/v1/users/bob", json!({"password": "short"})).refused(400, "invalid_request");
    api.put("/v1/users/a%2Fb", json!({})).refused(400, "invalid_request");
    let login = |user: &str, password: &str| {
        let body = json!({ "user": user, "password": password }).to_string();
        api.raw(Request::builder().method("POST").uri("/v1/login"), Body::from(body))
    };
    let wrong = login("ann", "wrong horse").refused(401, "unauthorized");
    assert_eq!(login("nobody", "wrong horse").refused(401, "unauthorized"), wrong, "neither is told from the other");
    let session = login("ann", "correct horse").is(201);
    let token = session["token"].as_str().expect("it is shown once");
    assert!(token.starts_with("tg_") && session["expires_at"].is_string(), "{session}");
    let whoami = || ask(&api, "GET", "/v1/whoami", Some(token));
    assert_eq!(whoami().is(200), json!({"principal": "user:ann", "admin": false, "roles": {}}));

    api.put("/v1/apps/shop/roles/user:ann", json!({"role": "viewer"})).is(204);
    assert_eq!(whoami().is(200)["roles"], json!({"shop": "viewer"}), "at once");
    assert_eq!(api.get("/v1/apps/shop/roles").is(200)["roles"], json!([{"principal": "user:ann", "role": "viewer"}]));
    api.put("/v1/apps/none/roles/user:ann", json!({"role": "viewer"})).refused(404, "unknown_app");
    api.put("/v1/apps/shop/roles/user:eve", json!({"role": "viewer"})).refused(404, "principal_not_found");
    api.put("/v1/apps/shop/roles/user:ann", json!({"role": "king"})).refused(400, "invalid_request");
    api.delete("/v1/apps/shop/roles/user:ann").is(204);

    api.post("/v1/users/ann/disable", json!(null)).is(204);
    whoami().refused(401, "unauthorized");
    login("ann", "correct horse").refused(401, "unauthorized");
    api.post("/v1/users/ann/enable", json!(null)).is(204);
    whoami().is(200);
    api.put("/v1/users/ann/password", json!({"password": "battery staple"})).is(204);
    login("ann", "correct horse").refused(401, "unauthorized");
    login("ann", "battery staple").is(201);
    assert_eq!(ask(&api, "POST", "/v1/logout", Some(token)).status, 204);
    whoami().refused(401, "unauthorized");
    api.delete("/v1/users/ann").is(204);
    api.delete("/v1/users/ann").refused(404, "user_not_found");
    assert_eq!(api.get("/v1/tokens").is(200)["tokens"], json!([]), "its sessions went with it");
}

#[test]
fn a_token_is_shown_once_and_revoked_at_once() {
    let api = Api::new();
    let made = api.post("/v1/tokens", json!({"name": "ci", "valid_for_days": 1})).is(201);
    let token = made["token"].as_str().expect("it is shown once").to_owned();
    assert_eq!(made["principal"], "token:ci");
    let listed = api.get("/v1/tokens").text;
    assert!(listed.contains("\"ci\"") && !listed.contains(&token), "{listed}");
    assert!(!format!("{:?}", *api.memory.transaction()).contains(&token), "only its digest is kept");
    for (body, status, code) in [
        (json!({"name": "ci"}), 409, "token_exists"),
        (json!({"name": "session.x"}), 400, "invalid_request"),
        (json!({"name": "a b"}), 400, "invalid_request"),
        (json!({"name": "x", "valid_for_days": 0}), 400, "invalid_request"),
        (json!({"name": "x", "user": "nobody"}), 404, "user_not_found"),
        (json!({"name": "x", "user": "nobody", "admin": true}), 400, "invalid_request"),
    ] {
        api.post("/v1/tokens", body).refused(status, code);
    }
    assert_eq!(ask(&api, "GET", "/v1/whoami", Some(&token)).status, 200);
    api.advance(25 * 3_600 * 1_000_000);
    ask(&api, "GET", "/v1/whoami", Some(&token)).refused(401, "unauthorized");
    api.delete("/v1/tokens/ci").is(204);
    api.delete("/v1/tokens/ci").refused(404, "token_not_found");
}
