//! A script runs as somebody, and may do what they may.

use crate::world::World;
use std::collections::BTreeMap;
use tidegate_core::*;

fn with(role: Option<Role>) -> Option<Principal> {
    let roles = role.map(|role| (AppName::new("a").unwrap(), role)).into_iter().collect::<BTreeMap<_, _>>();
    Some(Principal { id: PrincipalId::new("admin").unwrap(), admin: false, roles })
}

#[tokio::test]
async fn who_may_not_run_what_they_registered_runs_nothing() {
    let world = World::new("export default async (event, ctx) => { await ctx.kv.set('c', 'k', 1) }");
    for (who, why) in [
        (None, "is not there any more"),
        (with(None), "is no longer an editor"),
        (with(Some(Role::Viewer)), "is no longer an editor"),
    ] {
        world.people.say(who);
        let failure = world.failure().await;
        assert_eq!(failure.error, ExecError::PrincipalDenied);
        assert!(failure.message.contains(why), "{}", failure.message);
    }
    for role in [Role::Editor, Role::Owner] {
        world.people.say(with(Some(role)));
        assert_eq!(world.effects().await.writes.len(), 1, "{role}");
    }
}

#[tokio::test]
async fn what_a_host_function_refuses_is_no_retryable_error() {
    let world =
        World::new("export default () => { throw Object.assign(new Error('no'), { code: 'principal_denied' }) }");
    assert_eq!(world.failure().await.error, ExecError::PrincipalDenied);
}
