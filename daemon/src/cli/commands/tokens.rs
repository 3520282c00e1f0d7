use super::super::args::TokensCommand;
use super::super::client::Call;
use super::super::error::CliError;
use super::super::{output, text};
use super::Context;
use serde::Deserialize;
use serde_json::json;
use ureq::http::Method;

#[derive(Deserialize)]
struct List {
    tokens: Vec<TokenView>,
}

#[derive(Deserialize)]
struct TokenView {
    name: String,
    principal: String,
    created_at: String,
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct CreatedToken {
    token: String,
    principal: String,
}

pub(in super::super) fn run(context: &Context, command: TokensCommand) -> Result<(), CliError> {
    match command {
        TokensCommand::List => {
            let answer = context.target.client.call(Call::get("/v1/tokens".to_owned()))?;
            context.show(&answer.body, |list: &List| {
                if list.tokens.is_empty() {
                    return "no tokens besides the admin token\n".to_owned();
                }
                let row = |token: &TokenView| {
                    let expires = token.expires_at.clone().unwrap_or_else(|| "never".to_owned());
                    vec![
                        token.name.clone(),
                        token.principal.clone(),
                        text::age(&token.created_at, context.now),
                        expires,
                    ]
                };
                text::table(
                    &["NAME", "ACTS AS", "CREATED", "EXPIRES"],
                    &list.tokens.iter().map(row).collect::<Vec<_>>(),
                )
            })
        }
        TokensCommand::Create { name, user, admin, monitor, days } => {
            let body =
                json!({ "name": name, "user": user, "admin": admin, "monitor": monitor, "valid_for_days": days });
            let call = Call::new(Method::POST, "/v1/tokens".to_owned()).json(body.to_string());
            let answer = context.target.client.call(call)?;
            if context.json {
                return output::print_json(answer.body.trim_end()).map_err(CliError::failed);
            }
            let created: CreatedToken = serde_json::from_str(&answer.body).map_err(CliError::failed)?;
            output::note(&format!("the token acts as {}; it cannot be shown again", created.principal));
            output::print_line(&created.token).map_err(CliError::failed)
        }
        TokensCommand::Revoke { name } => {
            context.target.client.call(Call::new(Method::DELETE, format!("/v1/tokens/{name}")))?;
            context.print(&format!("revoked token {name}\n"))
        }
    }
}
