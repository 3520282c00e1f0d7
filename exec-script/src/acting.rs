//! Who an execution acts as: asked when it starts, so that who was disabled or demoted since its claim runs nothing.

use tidegate_core::{Access, Delivery, ExecError, Failure, Principal, Standing};
use tidegate_ports::PrincipalResolver;

/// The principal that `delivery` acts as, if it may run what it registered.
pub async fn acting(principals: &dyn PrincipalResolver, delivery: &Delivery) -> Result<Principal, Failure> {
    let id = &delivery.runs_as;
    let resolved = principals.resolve(id).await;
    let resolved = resolved
        .map_err(|error| Failure::new(ExecError::Internal, format!("the principal could not be resolved: {error}")))?;
    let app = &delivery.event.app;
    match resolved {
        Some(principal) if principal.may(Access::Write, Some(app)) => Ok(principal),
        other => {
            let standing = if other.is_some() { Standing::Denied } else { Standing::Missing };
            Err(standing.refusal(id).unwrap_or_else(|| Failure::new(ExecError::PrincipalDenied, id.to_string())))
        }
    }
}
