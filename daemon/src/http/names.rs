//! The rule for the names of users and tokens.

use super::problem::Problem;
use tidegate_core::PrincipalId;

/// Checks that `name` fits into one segment of a path. `kind` is "a user" or "a token".
pub(super) fn checked_name<'a>(kind: &str, name: &'a str) -> Result<&'a str, Problem> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-@.".contains(&byte);
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_allowed) && !name.starts_with('.');
    let rule = "must have 1 to 64 letters, digits, '.', '_', '-' or '@', and must not begin with '.'";
    if is_name { Ok(name) } else { Err(Problem::invalid(format!("the name of {kind} {rule}"))) }
}

/// The principal `user:NAME`.
pub(super) fn user_id(name: &str) -> Result<PrincipalId, Problem> {
    let name = checked_name("a user", name)?;
    Ok(PrincipalId::new(format!("user:{name}")).expect("a checked name makes a valid principal id"))
}
