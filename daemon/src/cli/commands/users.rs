use super::super::args::UsersCommand;
use super::super::client::Call;
use super::super::error::CliError;
use super::super::{output, text};
use super::Context;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use ureq::http::Method;

#[derive(Deserialize)]
struct List {
    users: Vec<UserView>,
}

#[derive(Deserialize)]
struct UserView {
    name: String,
    admin: bool,
    disabled: bool,
    roles: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Whoami {
    principal: String,
    admin: bool,
    #[serde(default)]
    monitor: bool,
    roles: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Session {
    token: String,
    expires_at: Option<String>,
}

pub(in super::super) fn run(context: &Context, command: UsersCommand) -> Result<(), CliError> {
    let path = |name: &str, rest: &str| format!("/v1/users/{name}{rest}");
    match command {
        UsersCommand::List => list(context),
        UsersCommand::Create { name, admin, no_password } => {
            let password = if no_password { None } else { Some(new_password()?) };
            let body = json!({ "admin": admin, "password": password });
            let call = Call::new(Method::PUT, path(&name, "")).json(body.to_string());
            context.target.client.call(call)?;
            context.print(&format!(
                "created user {name}; `tidegate roles grant user:{name} ROLE` gives the user a role in an app\n"
            ))
        }
        UsersCommand::Password { name } => {
            let body = json!({ "password": new_password()? });
            let call = Call::new(Method::PUT, path(&name, "/password")).json(body.to_string());
            context.target.client.call(call)?;
            context.print(&format!("set the password of user {name}\n"))
        }
        UsersCommand::Disable { name } => {
            context.target.client.call(Call::new(Method::POST, path(&name, "/disable")))?;
            context.print(&format!(
                "disabled user {name}; the user's tokens are refused and the user's triggers run nothing\n"
            ))
        }
        UsersCommand::Enable { name } => {
            context.target.client.call(Call::new(Method::POST, path(&name, "/enable")))?;
            context.print(&format!("enabled user {name}\n"))
        }
        UsersCommand::Delete { name } => {
            context.target.client.call(Call::new(Method::DELETE, path(&name, "")))?;
            context.print(&format!("deleted user {name} with all tokens and roles\n"))
        }
    }
}

fn list(context: &Context) -> Result<(), CliError> {
    let answer = context.target.client.call(Call::get("/v1/users".to_owned()))?;
    context.show(&answer.body, |list: &List| {
        if list.users.is_empty() {
            return "no users; `tidegate users create NAME` creates one\n".to_owned();
        }
        let row = |user: &UserView| {
            let state = if user.disabled { "disabled" } else { "active" };
            vec![user.name.clone(), state.to_owned(), rights(user.admin, false, &user.roles)]
        };
        text::table(&["NAME", "STATE", "MAY"], &list.users.iter().map(row).collect::<Vec<_>>())
    })
}

/// The rights of a principal in one line.
fn rights(admin: bool, monitor: bool, roles: &BTreeMap<String, String>) -> String {
    let roles = roles.iter().map(|(app, role)| format!("{role} of {app}"));
    let everything = admin.then(|| "everything".to_owned());
    let metrics = (monitor && !admin).then(|| "read metrics".to_owned());
    let all: Vec<String> = everything.into_iter().chain(metrics).chain(roles).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

/// `tidegate login USER`. The token goes to standard output, so that a script can store it.
pub(in super::super) fn login(context: &Context, user: &str) -> Result<(), CliError> {
    let body = json!({ "user": user, "password": password("password: ")? });
    let call = Call::new(Method::POST, "/v1/login".to_owned()).json(body.to_string());
    let answer = context.target.client.call(call)?;
    let session: Session = serde_json::from_str(&answer.body).map_err(CliError::failed)?;
    if context.json {
        return output::print_json(answer.body.trim_end()).map_err(CliError::failed);
    }
    let until = session.expires_at.as_deref().unwrap_or("it is revoked");
    output::note(&format!("the token is valid until {until}; export it as TIDEGATE_TOKEN to use it"));
    output::print_line(&session.token).map_err(CliError::failed)
}

pub(in super::super) fn whoami(context: &Context) -> Result<(), CliError> {
    let answer = context.target.client.call(Call::get("/v1/whoami".to_owned()))?;
    context.show(&answer.body, |me: &Whoami| {
        format!("{} may do: {}\n", me.principal, rights(me.admin, me.monitor, &me.roles))
    })
}

/// Reads a new password. On a terminal the user types it twice, because the text is hidden.
fn new_password() -> Result<String, CliError> {
    let first = password("new password: ")?;
    if std::io::stdin().is_terminal() && password("repeat the password: ")? != first {
        return Err(CliError::usage("the two passwords are not the same; nothing was changed"));
    }
    Ok(first)
}

/// Reads a password: hidden from the terminal, or one line of standard input if that is not a
/// terminal.
fn password(prompt: &str) -> Result<String, CliError> {
    let line = if std::io::stdin().is_terminal() {
        rpassword::prompt_password(prompt).map_err(CliError::failed)?
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(CliError::failed)?;
        line
    };
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(CliError::usage("no password was given").hint("type it, or pipe it to standard input"));
    }
    Ok(password.to_owned())
}
