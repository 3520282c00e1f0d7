//! Identity: who may do what. Every question of permission is answered here, from a principal and nothing else.

use crate::names::{AppName, PrincipalId};
use crate::outcome::{ExecError, Failure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What a principal is to one app. Each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything of the app.
    Viewer,
    /// Writes values, emits, invokes, deploys scripts and triggers, decides about dead letters; what its triggers run.
    Editor,
    /// Gives and takes roles of the app.
    Owner,
}

impl Role {
    /// Every role, with its name in SQL and API.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Viewer, "viewer"), (Self::Editor, "editor"), (Self::Owner, "owner")];

    /// Its name in SQL and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name)
    }

    /// The role of that name.
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

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Anything that every principal may: to see who one is.
    Known,
    /// Read what an app has.
    Read,
    /// Change what an app has, or run something of it.
    Write,
    /// Give and take roles of an app.
    Manage,
    /// Something about the whole instance.
    Administer,
}

impl Access {
    /// The least role that allows it; `None`: no role of an app does.
    #[must_use]
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Known | Self::Administer => None,
            Self::Read => Some(Role::Viewer),
            Self::Write => Some(Role::Editor),
            Self::Manage => Some(Role::Owner),
        }
    }
}

/// Somebody, as the store knows them now: neither missing nor disabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Who.
    pub id: PrincipalId,
    /// May do everything.
    pub admin: bool,
    /// What else they are, app by app.
    pub roles: BTreeMap<AppName, Role>,
}

impl Principal {
    /// One who may do everything.
    #[must_use]
    pub fn admin(id: PrincipalId) -> Self {
        Self { id, admin: true, roles: BTreeMap::new() }
    }

    /// Whether they may do this, to this app or, without one, to the instance.
    #[must_use]
    pub fn may(&self, access: Access, app: Option<&AppName>) -> bool {
        let role = app.and_then(|app| self.roles.get(app));
        match access {
            Access::Known => true,
            Access::Administer => self.admin,
            Access::Read | Access::Write | Access::Manage => {
                self.admin || role.is_some_and(|role| access.role().is_some_and(|least| *role >= least))
            }
        }
    }
}

/// How the principal that a trigger runs as stands when its row is claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// May run what it registered.
    #[default]
    Allowed,
    /// Is not there any more.
    Missing,
    /// Is disabled.
    Disabled,
    /// Is no longer an editor of the app.
    Denied,
}

impl Standing {
    /// Every standing, with its name in SQL.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Allowed, "allowed"),
        (Self::Missing, "missing"),
        (Self::Disabled, "disabled"),
        (Self::Denied, "denied"),
    ];

    /// The standing of that name. One that nobody knows allows nothing.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == name).map_or(Self::Missing, |(standing, _)| *standing)
    }

    /// Of `principal`, for what it registered in `app`. The stores' SQL says the same.
    #[must_use]
    pub fn of(principal: Option<&Principal>, is_disabled: bool, app: &AppName) -> Self {
        match principal {
            None => Self::Missing,
            Some(_) if is_disabled => Self::Disabled,
            Some(principal) if principal.may(Access::Write, Some(app)) => Self::Allowed,
            Some(_) => Self::Denied,
        }
    }

    /// Why nothing is executed as `id`, if nothing is.
    #[must_use]
    pub fn refusal(self, id: &PrincipalId) -> Option<Failure> {
        let what = match self {
            Self::Allowed => return None,
            Self::Missing => "is not there any more",
            Self::Disabled => "is disabled",
            Self::Denied => "is no longer an editor of the app",
        };
        let todo = "put the trigger as somebody who may run it, or give the role back; then redrive";
        Some(Failure::new(ExecError::PrincipalDenied, format!("{id}, who registered the trigger, {what}; {todo}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody(admin: bool, roles: &[(&str, Role)]) -> Principal {
        let roles = roles.iter().map(|(app, role)| (AppName::new(*app).unwrap(), *role)).collect();
        Principal { id: PrincipalId::new("user:ann").unwrap(), admin, roles }
    }

    #[test]
    fn the_table_of_permissions() {
        use Access::{Administer, Known, Manage, Read, Write};
        let (a, b) = (AppName::new("a").unwrap(), AppName::new("b").unwrap());
        for (who, allowed) in [
            (somebody(false, &[]), &[Known][..]),
            (somebody(false, &[("b", Role::Owner)]), &[Known]),
            (somebody(false, &[("a", Role::Viewer)]), &[Known, Read]),
            (somebody(false, &[("a", Role::Editor)]), &[Known, Read, Write]),
            (somebody(false, &[("a", Role::Owner)]), &[Known, Read, Write, Manage]),
            (somebody(true, &[]), &[Known, Read, Write, Manage, Administer]),
        ] {
            for access in [Known, Read, Write, Manage, Administer] {
                assert_eq!(who.may(access, Some(&a)), allowed.contains(&access), "{who:?} {access:?}");
            }
            assert_eq!(who.may(Read, None), who.admin);
        }
        assert!(!somebody(false, &[("a", Role::Owner)]).may(Read, Some(&b)));
    }

    #[test]
    fn a_standing_says_why_not_and_what_to_do() {
        let (app, id) = (AppName::new("a").unwrap(), PrincipalId::new("user:ann").unwrap());
        for (principal, disabled, standing) in [
            (None, false, Standing::Missing),
            (Some(somebody(true, &[])), true, Standing::Disabled),
            (Some(somebody(false, &[("a", Role::Viewer)])), false, Standing::Denied),
            (Some(somebody(false, &[("a", Role::Editor)])), false, Standing::Allowed),
        ] {
            assert_eq!(Standing::of(principal.as_ref(), disabled, &app), standing);
            let refusal = standing.refusal(&id);
            assert_eq!(refusal.is_none(), standing == Standing::Allowed);
            assert!(refusal.is_none_or(|failure| failure.message.starts_with("user:ann, who registered")));
        }
        for (standing, name) in Standing::ALL {
            assert_eq!(Standing::from_name(name), standing);
        }
        assert_eq!(Standing::from_name("?"), Standing::Missing);
    }
}
