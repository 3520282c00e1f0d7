//! Every route with every principal: a request without permission is refused and changes nothing.

use crate::http_api::Api;
use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tidegate::http::PERMISSIONS;
use tidegate_core::Access;

/// The name of each token, and its permissions in `shop`.
const PRINCIPALS: [(&str, &[Access]); 7] = [
    ("no-role", &[Access::Identify]),
    ("other-owner", &[Access::Identify]),
    ("viewer", &[Access::Identify, Access::Read]),
    ("editor", &[Access::Identify, Access::Read, Access::Write]),
    ("owner", &[Access::Identify, Access::Read, Access::Write, Access::Manage]),
    ("monitor", &[Access::Identify, Access::Monitor]),
    ("root", &[Access::Identify, Access::Read, Access::Write, Access::Manage, Access::Monitor, Access::Administer]),
];

/// An API with the apps `shop` and `other`, and a token for each of [`PRINCIPALS`].
fn populated() -> (Api, Vec<(&'static str, String)>) {
    let api = Api::new();
    api.put("/v1/apps/other", json!({})).expect_status(200);
    api.put("/v1/users/ann", json!({})).expect_status(201);
    let token = |(name, _): (&'static str, _)| {
        let spec = json!({ "name": name, "admin": name == "root", "monitor": name == "monitor" });
        let token = api.post("/v1/tokens", spec).expect_status(201)["token"]
            .as_str()
            .expect("the text of a new token is shown once")
            .to_owned();
        (name, token)
    };
    let tokens = PRINCIPALS.map(token).to_vec();
    for (name, app, role) in [
        ("viewer", "shop", "viewer"),
        ("editor", "shop", "editor"),
        ("owner", "shop", "owner"),
        ("other-owner", "other", "owner"),
    ] {
        api.put(&format!("/v1/apps/{app}/roles/token:{name}"), json!({ "role": role })).expect_status(204);
    }
    (api, tokens)
}

fn path(route: &str) -> String {
    let filled = [
        ("{app}", "shop"),
        ("{collection}", "c"),
        ("{*key}", "k"),
        ("{script}", "fine"),
        ("{principal}", "token:no-role"),
        ("{id}", "1"),
    ];
    let path = filled.iter().fold(route.to_owned(), |path, (param, value)| path.replace(param, value));
    path.replace("{name}", if route.starts_with("/v1/users") { "ann" } else { "fine" })
}

fn send(api: &Api, method: &str, path: &str, token: Option<&str>) -> crate::http_api::Answer {
    let request = Request::builder().method(method).uri(path);
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    api.raw(request, Body::from("{}"))
}

#[test]
fn every_route_checks_the_permission_of_each_principal() {
    let mut permitted = 0;
    for (route, methods) in PERMISSIONS {
        for (method, access) in *methods {
            let (api, tokens) = populated();
            let (method, path) = (method.as_str(), path(route));
            let state = || format!("{:?}", *api.memory.transaction());
            let before = state();
            for token in [None, Some("tg_garbage"), Some("garbage"), Some("")] {
                let answer = send(&api, method, &path, token);
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {path}");
                answer.expect_problem(401, "unauthorized");
            }
            let may = |principal: &str| {
                PRINCIPALS.iter().any(|(name, allowed)| *name == principal && allowed.contains(access))
            };
            for (name, token) in tokens.iter().filter(|(name, _)| !may(name)) {
                let answer = send(&api, method, &path, Some(token));
                assert_eq!(answer.status, 403, "{name} {method} {path}: {answer:?}");
                answer.expect_problem(403, "forbidden");
            }
            assert_eq!(state(), before, "{method} {path} changed something without permission");
            for (name, token) in tokens.iter().filter(|(name, _)| may(name)) {
                let answer = send(&api, method, &path, Some(token));
                assert!(!matches!(answer.status, 401 | 403 | 405), "{name} {method} {path}: {answer:?}");
                permitted += 1;
            }
        }
    }
    assert!(permitted > 100, "{permitted}");
}

#[test]
fn a_refusal_does_not_show_whether_the_app_exists() {
    let (api, tokens) = populated();
    let without_role = &tokens.iter().find(|(name, _)| *name == "no-role").expect("the list has this principal").1;
    let detail = |app: &str| {
        let answer = send(&api, "GET", &format!("/v1/apps/{app}/triggers"), Some(without_role));
        answer.expect_problem(403, "forbidden").replace(app, "")
    };
    assert_eq!(detail("shop"), detail("nowhere"));
    let listed = send(&api, "GET", "/v1/apps", Some(without_role)).expect_status(200);
    assert_eq!(listed, json!({"apps": []}));
    let viewer = &tokens.iter().find(|(name, _)| *name == "viewer").expect("the list has this principal").1;
    assert_eq!(send(&api, "GET", "/v1/apps", Some(viewer)).expect_status(200)["apps"][0]["name"], "shop");
}

#[test]
fn users_log_in_are_disabled_and_log_out() {
    let api = Api::new();
    let ann = json!({"password": "correct horse"});
    let made = api.put("/v1/users/ann", ann.clone()).expect_status(201);
    assert_eq!((&made["principal"], &made["admin"]), (&json!("user:ann"), &json!(false)));
    api.put("/v1/users/ann", ann).expect_problem(409, "user_exists");
    api.put("/v1/users/bob", json!({"password": "short"})).expect_problem(400, "invalid_request");
    api.put("/v1/users/a%2Fb", json!({})).expect_problem(400, "invalid_request");
    let login = |user: &str, password: &str| {
        let body = json!({ "user": user, "password": password }).to_string();
        api.raw(Request::builder().method("POST").uri("/v1/login"), Body::from(body))
    };
    let wrong = login("ann", "wrong horse").expect_problem(401, "unauthorized");
    assert_eq!(
        login("absent", "wrong horse").expect_problem(401, "unauthorized"),
        wrong,
        "the answer does not show whether the user exists"
    );
    let session = login("ann", "correct horse").expect_status(201);
    let token = session["token"].as_str().expect("the text of a new token is shown once");
    assert!(token.starts_with("tg_") && session["expires_at"].is_string(), "{session}");
    let whoami = || send(&api, "GET", "/v1/whoami", Some(token));
    assert_eq!(
        whoami().expect_status(200),
        json!({"principal": "user:ann", "admin": false, "monitor": false, "roles": {}})
    );

    api.put("/v1/apps/shop/roles/user:ann", json!({"role": "viewer"})).expect_status(204);
    assert_eq!(whoami().expect_status(200)["roles"], json!({"shop": "viewer"}), "the role is effective at once");
    assert_eq!(
        api.get("/v1/apps/shop/roles").expect_status(200)["roles"],
        json!([{"principal": "user:ann", "role": "viewer"}])
    );
    api.put("/v1/apps/none/roles/user:ann", json!({"role": "viewer"})).expect_problem(404, "unknown_app");
    api.put("/v1/apps/shop/roles/user:eve", json!({"role": "viewer"})).expect_problem(404, "principal_not_found");
    api.put("/v1/apps/shop/roles/user:ann", json!({"role": "king"})).expect_problem(400, "invalid_request");
    api.delete("/v1/apps/shop/roles/user:ann").expect_status(204);

    api.post("/v1/users/ann/disable", json!(null)).expect_status(204);
    whoami().expect_problem(401, "unauthorized");
    login("ann", "correct horse").expect_problem(401, "unauthorized");
    api.post("/v1/users/ann/enable", json!(null)).expect_status(204);
    whoami().expect_status(200);
    api.put("/v1/users/ann/password", json!({"password": "battery staple"})).expect_status(204);
    login("ann", "correct horse").expect_problem(401, "unauthorized");
    whoami().expect_problem(401, "unauthorized");
    let session = login("ann", "battery staple").expect_status(201);
    login("ann", "battery staple").expect_status(201);
    let token = session["token"].as_str().expect("the text of a new token is shown once");
    assert_eq!(send(&api, "POST", "/v1/logout", Some(token)).status, 204);
    send(&api, "GET", "/v1/whoami", Some(token)).expect_problem(401, "unauthorized");
    api.delete("/v1/users/ann").expect_status(204);
    api.delete("/v1/users/ann").expect_problem(404, "user_not_found");
    assert_eq!(api.get("/v1/tokens").expect_status(200)["tokens"], json!([]), "the sessions of the user are deleted");
}

#[test]
fn a_token_is_shown_once_and_revoked_at_once() {
    let api = Api::new();
    let made = api.post("/v1/tokens", json!({"name": "ci", "valid_for_days": 1})).expect_status(201);
    let token = made["token"].as_str().expect("the text of a new token is shown once").to_owned();
    assert_eq!(made["principal"], "token:ci");
    let listed = api.get("/v1/tokens").text;
    assert!(listed.contains("\"ci\"") && !listed.contains(&token), "{listed}");
    assert!(!format!("{:?}", *api.memory.transaction()).contains(&token), "only its digest is kept");
    for (body, status, code) in [
        (json!({"name": "ci"}), 409, "token_exists"),
        (json!({"name": "session.x"}), 400, "invalid_request"),
        (json!({"name": "a b"}), 400, "invalid_request"),
        (json!({"name": "x", "valid_for_days": 0}), 400, "invalid_request"),
        (json!({"name": "x", "user": "absent"}), 404, "user_not_found"),
        (json!({"name": "x", "user": "absent", "admin": true}), 400, "invalid_request"),
    ] {
        api.post("/v1/tokens", body).expect_problem(status, code);
    }
    assert_eq!(send(&api, "GET", "/v1/whoami", Some(&token)).status, 200);
    api.advance(25 * 3_600 * 1_000_000);
    send(&api, "GET", "/v1/whoami", Some(&token)).expect_problem(401, "unauthorized");
    api.delete("/v1/tokens/ci").expect_status(204);
    api.delete("/v1/tokens/ci").expect_problem(404, "token_not_found");
}
