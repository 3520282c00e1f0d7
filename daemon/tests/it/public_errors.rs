//! Answers to clients without a token show nothing of the inside of the daemon.

use crate::world::{App, MachineLock, StoreKind, TIDEGATE, World, client};
use serde_json::json;

const THROWS: &str = "export default async () => { throw new Error('no paper in /etc/printer') }";

#[test]
fn the_failure_of_a_public_trigger_shows_no_message() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("public", TIDEGATE, &[]);
    let app = App::new(client(&daemon), "shop");
    let trigger = |name: &str, public: bool| {
        let rule = json!({"source": "http", "method": "GET", "path": format!("/{name}"), "public": public});
        json!({"name": name, "match": rule, "handler": {"script": "throws"}})
    };
    app.deploy(&[("throws", THROWS)], &[trigger("open", true), trigger("closed", false)]);
    let failed = app.client.anonymous().get("/http/shop/open");
    assert_eq!((failed.status, failed.header("tidegate-code")), (500, Some("script_error")), "{failed:?}");
    assert!(failed.header("tidegate-execution-id").is_some(), "{failed:?}");
    assert!(!failed.text.contains("paper") && !failed.text.contains("throws"), "{failed:?}");
    let shown = app.client.get("/http/shop/closed");
    assert!(shown.status == 500 && shown.text.contains("no paper"), "an editor gets the message: {shown:?}");
}
