use super::super::args::InvokeArgs;
use super::super::client::Call;
use super::super::error::CliError;
use super::super::output;
use super::{Context, json_argument};
use tidegate_core::ScriptName;
use ureq::http::Method;

/// `tidegate invoke SCRIPT`. Prints the value that the script returns, unchanged.
pub(in super::super) fn run(context: &Context, args: InvokeArgs) -> Result<(), CliError> {
    let script = ScriptName::new(args.script).map_err(CliError::usage)?;
    let query = args.timeout_ms.map_or_else(String::new, |ms| format!("?timeout_ms={ms}"));
    let path = context.target.path(&format!("/invoke/{script}{query}"))?;
    let call = Call::new(Method::POST, path).json(json_argument(&args.data)?.to_string());
    let call = call.header("idempotency-key", args.idempotency_key);
    let answer = context.target.client.call(call)?;
    output::print_line(answer.body.trim_end()).map_err(CliError::failed)
}
