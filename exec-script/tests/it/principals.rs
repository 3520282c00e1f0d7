//! A script runs as a principal, and has the rights of that principal.

use crate::world::World;
use std::collections::BTreeMap;
use tidegate_core::*;

fn principal_with(role: Option<Role>) -> Option<Principal> {
    let roles = role.map(|role| (AppName::new("a").unwrap(), role)).into_iter().collect::<BTreeMap<_, _>>();
    Some(Principal { id: PrincipalId::new("admin").unwrap(), admin: false, monitor: false, roles })
}

#[tokio::test]
async fn a_script_does_not_run_for_a_principal_that_may_not_write() {
    let world = World::new("export default async (event, ctx) => { await ctx.kv.set('c', 'k', 1) }");
    for (principal, reason) in [
        (None, "no longer exists"),
        (principal_with(None), "is no longer an editor"),
        (principal_with(Some(Role::Viewer)), "is no longer an editor"),
    ] {
        world.principals.set(principal);
        let failure = world.failure().await;
        assert_eq!(failure.error, ExecError::PrincipalDenied);
        assert!(failure.message.contains(reason), "{}", failure.message);
    }
    for role in [Role::Editor, Role::Owner] {
        world.principals.set(principal_with(Some(role)));
        assert_eq!(world.effects().await.writes.len(), 1, "{role}");
    }
}

#[tokio::test]
async fn an_uncaught_principal_denied_error_is_not_retried() {
    let world =
        World::new("export default () => { throw Object.assign(new Error('no'), { code: 'principal_denied' }) }");
    assert_eq!(world.failure().await.error, ExecError::PrincipalDenied);
}
