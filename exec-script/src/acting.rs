//! Resolves the principal of an execution. That happens when the execution starts, so that a
//! principal that was disabled or demoted after the claim runs nothing.

use tidegate_core::{Access, Delivery, ExecError, Failure, Outcome, Principal, Standing};
use tidegate_ports::PrincipalResolver;

/// The principal that `delivery` runs as. Returns the outcome of the delivery if the principal may
/// no longer write to the app of the event, or if it cannot be read.
pub async fn acting(principals: &dyn PrincipalResolver, delivery: &Delivery) -> Result<Principal, Outcome> {
    let id = &delivery.runs_as;
    let resolved = principals.resolve(id).await;
    let resolved = resolved.map_err(|error| Outcome::NotStarted {
        reason: format!("the store could not read the principal {id}: {error}"),
    })?;
    let app = &delivery.event.app;
    match resolved {
        Some(principal) if principal.may(Access::Write, Some(app)) => Ok(principal),
        other => {
            let standing = if other.is_some() { Standing::Denied } else { Standing::Missing };
            let denied = || Failure::new(ExecError::PrincipalDenied, id.to_string());
            Err(Outcome::Failed(standing.refusal(id).unwrap_or_else(denied)))
        }
    }
}
