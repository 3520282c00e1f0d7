//! Resolves the principal of an execution. That happens when the execution starts, so that a
//! principal that was disabled or demoted after the claim runs nothing.

use tidegate_core::{Access, Delivery, ExecError, Failure, Principal, Standing};
use tidegate_ports::PrincipalResolver;

/// The principal that `delivery` runs as. Fails if the principal may no longer write to the app of
/// the event.
pub async fn acting(principals: &dyn PrincipalResolver, delivery: &Delivery) -> Result<Principal, Failure> {
    let id = &delivery.runs_as;
    let resolved = principals.resolve(id).await;
    let resolved = resolved.map_err(|error| {
        Failure::new(ExecError::Internal, format!("the store could not read the principal {id}: {error}"))
    })?;
    let app = &delivery.event.app;
    match resolved {
        Some(principal) if principal.may(Access::Write, Some(app)) => Ok(principal),
        other => {
            let standing = if other.is_some() { Standing::Denied } else { Standing::Missing };
            Err(standing.refusal(id).unwrap_or_else(|| Failure::new(ExecError::PrincipalDenied, id.to_string())))
        }
    }
}
