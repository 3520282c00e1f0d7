use super::super::args::RolesCommand;
use super::super::client::Call;
use super::super::error::CliError;
use super::super::text;
use super::Context;
use serde::Deserialize;
use serde_json::json;
use ureq::http::Method;

#[derive(Deserialize)]
struct List {
    roles: Vec<RoleView>,
}

#[derive(Deserialize)]
struct RoleView {
    principal: String,
    role: String,
}

pub(in super::super) fn run(context: &Context, command: RolesCommand) -> Result<(), CliError> {
    match command {
        RolesCommand::List => {
            let answer = context.target.client.call(Call::get(context.target.path("/roles")?))?;
            context.show(&answer.body, |list: &List| {
                if list.roles.is_empty() {
                    return "no roles; only admins have rights in the app\n".to_owned();
                }
                let row = |one: &RoleView| vec![one.principal.clone(), one.role.clone()];
                text::table(&["PRINCIPAL", "ROLE"], &list.roles.iter().map(row).collect::<Vec<_>>())
            })
        }
        RolesCommand::Grant { principal, role } => {
            let path = context.target.path(&format!("/roles/{principal}"))?;
            let body = json!({ "role": role }).to_string();
            context.target.client.call(Call::new(Method::PUT, path).json(body))?;
            context.print(&format!("{principal} has the role {role} now\n"))
        }
        RolesCommand::Revoke { principal } => {
            let path = context.target.path(&format!("/roles/{principal}"))?;
            context.target.client.call(Call::new(Method::DELETE, path))?;
            context.print(&format!("{principal} has no role now\n"))
        }
    }
}
