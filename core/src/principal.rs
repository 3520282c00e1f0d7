//! Principals and permissions. Every decision about a permission is made here, from a principal
//! alone.

use crate::names::{AppName, PrincipalId};
use crate::outcome::{ExecError, Failure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The role of a principal in one app. Each role includes the roles before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May read everything of the app.
    Viewer,
    /// May write values, emit events, invoke scripts, deploy scripts and triggers, and redrive or
    /// discard dead letters. A trigger runs only while the principal that registered it is an
    /// editor.
    Editor,
    /// May grant and revoke roles of the app.
    Owner,
}

impl Role {
    /// Every role with its name in SQL and the API.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Viewer, "viewer"), (Self::Editor, "editor"), (Self::Owner, "owner")];

    /// The name in SQL and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name)
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(role, _)| *role)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A kind of access that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Allowed for every known principal: to look up its own identity.
    Identify,
    /// Read data of an app.
    Read,
    /// Change data of an app, or run a handler of it.
    Write,
    /// Grant and revoke roles of an app.
    Manage,
    /// Read the metrics, which name all apps and triggers.
    Monitor,
    /// Change or read something that belongs to no app.
    Administer,
}

impl Access {
    /// The least role that allows this access. `None` if no role of an app decides about it.
    #[must_use]
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Identify | Self::Monitor | Self::Administer => None,
            Self::Read => Some(Role::Viewer),
            Self::Write => Some(Role::Editor),
            Self::Manage => Some(Role::Owner),
        }
    }
}

/// A principal that exists and is not disabled, with its current roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    pub id: PrincipalId,
    /// An admin may do everything.
    pub admin: bool,
    /// The principal may read the metrics.
    #[serde(default)]
    pub monitor: bool,
    pub roles: BTreeMap<AppName, Role>,
}

impl Principal {
    /// A principal that may do everything.
    #[must_use]
    pub fn admin(id: PrincipalId) -> Self {
        Self { id, admin: true, monitor: true, roles: BTreeMap::new() }
    }

    /// Whether the principal may do this to `app`. `None` means the whole instance.
    #[must_use]
    pub fn may(&self, access: Access, app: Option<&AppName>) -> bool {
        let role = app.and_then(|app| self.roles.get(app));
        match access {
            Access::Identify => true,
            Access::Monitor => self.admin || self.monitor,
            Access::Administer => self.admin,
            Access::Read | Access::Write | Access::Manage => {
                self.admin || role.is_some_and(|role| access.role().is_some_and(|least| *role >= least))
            }
        }
    }
}

/// The state of a trigger's principal at the time of a claim. It decides whether the handler runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The principal may run the handler.
    #[default]
    Allowed,
    /// The principal no longer exists.
    Missing,
    /// The principal is disabled.
    Disabled,
    /// The principal is no longer an editor of the app.
    Denied,
}

impl Standing {
    /// Every standing with its name in SQL.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Allowed, "allowed"),
        (Self::Missing, "missing"),
        (Self::Disabled, "disabled"),
        (Self::Denied, "denied"),
    ];

    /// The standing with this name. An unknown name allows nothing: it counts as `Missing`.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == name).map_or(Self::Missing, |(standing, _)| *standing)
    }

    /// The standing of `principal` for a trigger of `app`. The stores have the same rule in SQL.
    #[must_use]
    pub fn of(principal: Option<&Principal>, is_disabled: bool, app: &AppName) -> Self {
        match principal {
            None => Self::Missing,
            Some(_) if is_disabled => Self::Disabled,
            Some(principal) if principal.may(Access::Write, Some(app)) => Self::Allowed,
            Some(_) => Self::Denied,
        }
    }

    /// The failure of a handler that must not run as `id`. `None` if it may run.
    #[must_use]
    pub fn refusal(self, id: &PrincipalId) -> Option<Failure> {
        let state = match self {
            Self::Allowed => return None,
            Self::Missing => "no longer exists",
            Self::Disabled => "is disabled",
            Self::Denied => "is no longer an editor of the app",
        };
        let advice = "register the trigger as another principal or restore this one, then redrive";
        let message = format!("{id}, which registered the trigger, {state}; the handler did not run; {advice}");
        Some(Failure::new(ExecError::PrincipalDenied, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(admin: bool, roles: &[(&str, Role)]) -> Principal {
        let roles = roles.iter().map(|(app, role)| (AppName::new(*app).unwrap(), *role)).collect();
        Principal { id: PrincipalId::new("user:ann").unwrap(), admin, monitor: false, roles }
    }

    #[test]
    fn each_role_allows_the_accesses_of_the_table() {
        use Access::{Administer, Identify, Manage, Read, Write};
        let (a, b) = (AppName::new("a").unwrap(), AppName::new("b").unwrap());
        for (principal, allowed) in [
            (principal(false, &[]), &[Identify][..]),
            (principal(false, &[("b", Role::Owner)]), &[Identify]),
            (principal(false, &[("a", Role::Viewer)]), &[Identify, Read]),
            (principal(false, &[("a", Role::Editor)]), &[Identify, Read, Write]),
            (principal(false, &[("a", Role::Owner)]), &[Identify, Read, Write, Manage]),
            (principal(true, &[]), &[Identify, Read, Write, Manage, Administer]),
        ] {
            for access in [Identify, Read, Write, Manage, Administer] {
                assert_eq!(principal.may(access, Some(&a)), allowed.contains(&access), "{principal:?} {access:?}");
            }
            assert_eq!(principal.may(Read, None), principal.admin);
        }
        assert!(!principal(false, &[("a", Role::Owner)]).may(Read, Some(&b)));
    }

    #[test]
    fn a_refusal_names_the_principal_and_its_standing() {
        let (app, id) = (AppName::new("a").unwrap(), PrincipalId::new("user:ann").unwrap());
        for (principal, disabled, standing) in [
            (None, false, Standing::Missing),
            (Some(principal(true, &[])), true, Standing::Disabled),
            (Some(principal(false, &[("a", Role::Viewer)])), false, Standing::Denied),
            (Some(principal(false, &[("a", Role::Editor)])), false, Standing::Allowed),
        ] {
            assert_eq!(Standing::of(principal.as_ref(), disabled, &app), standing);
            let refusal = standing.refusal(&id);
            assert_eq!(refusal.is_none(), standing == Standing::Allowed);
            assert!(refusal.is_none_or(|failure| failure.message.starts_with("user:ann, which registered")));
        }
        for (standing, name) in Standing::ALL {
            assert_eq!(Standing::from_name(name), standing);
        }
        assert_eq!(Standing::from_name("?"), Standing::Missing);
    }
}
