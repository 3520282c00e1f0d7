//! The command: runs the scenarios one after the other and writes the report. An interrupt ends the
//! run and removes its servers and files.

use crate::args::Args;
use crate::context::{Context, Effort};
use crate::harness::Folder;
use crate::machine::Machine;
use crate::other_work::OtherWork;
use crate::progress::Progress;
use crate::report::{FailedScenario, Report, markdown, svg, text};
use crate::scenarios::{ALL, Scenario};
use anyhow::{Context as _, bail, ensure};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// A scenario that takes longer counts as hung and fails.
const SCENARIO_MAX: Duration = Duration::from_secs(60 * 60);
/// The time for work on other threads to end after an interrupt.
const SHUTDOWN_MAX: Duration = Duration::from_secs(40);

/// Lists, measures or reports, as `args` say.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        ALL.iter().for_each(|scenario| println!("{:<17} {}", scenario.name, scenario.about));
        return Ok(());
    }
    if !args.from.is_empty() {
        let report = Report::join(args.from.iter().map(|path| read(path)).collect::<anyhow::Result<_>>()?)?;
        print!("{}", text(&report));
        return args.report.as_deref().map_or(Ok(()), |folder| write(&report, folder));
    }
    let scenarios = select(&args.scenarios)?;
    let effort = Effort { quick: args.quick, repeats: args.repeats.unwrap_or(if args.quick { 1 } else { 3 }) };
    let context = Context::new(effort, daemon(args)?, Folder::create()?, Progress::visible());

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(async {
        let (mut interrupted, mut ended) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            biased;
            _ = interrupted.recv() => bail!("interrupted; nothing was written"),
            _ = ended.recv() => bail!("terminated; nothing was written"),
            report = measure(&context, &scenarios) => Ok(report),
        }
    });
    // A daemon may be starting on another thread; its drop stops it.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    context.progress.clear();
    let report = measured?;

    print!("{}", text(&report));
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let is_whole = args.scenarios.is_empty() && !args.quick && report.failed.is_empty();
    let default = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Some(folder) = args.report.as_deref().or(is_whole.then_some(default)) {
        write(&report, folder)?;
    }
    let failed: Vec<_> = report.failed.iter().map(|failed| failed.scenario.as_str()).collect();
    ensure!(failed.is_empty(), "not measured: {}; see the reasons above", failed.join(", "));
    Ok(())
}

fn select(names: &[String]) -> anyhow::Result<Vec<Scenario>> {
    if names.is_empty() {
        return Ok(ALL.iter().filter(|scenario| scenario.is_usual).copied().collect());
    }
    let named = |name: &String| {
        let known = || ALL.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
        Scenario::named(name).with_context(|| format!("unknown scenario {name}; known are {}", known()))
    };
    names.iter().map(named).collect()
}

fn daemon(args: &Args) -> anyhow::Result<PathBuf> {
    match &args.daemon {
        Some(path) => Ok(path.clone()),
        None => Ok(std::env::current_exe()?.with_file_name("tidegate")),
    }
}

async fn measure(context: &Context, scenarios: &[Scenario]) -> Report {
    let machine = Machine::inspect(&context.folder);
    let (mut findings, mut failed) = (Vec::new(), Vec::new());
    for (index, scenario) in scenarios.iter().enumerate() {
        let name = scenario.name;
        context.progress.print_line(&format!("[{}/{}] {name}: {}", index + 1, scenarios.len(), scenario.about));
        let other_work = OtherWork::watch(context.own.clone());
        let result = match tokio::time::timeout(SCENARIO_MAX, scenario.run(context)).await {
            Ok(result) => result,
            Err(_) => Err(anyhow::anyhow!("the scenario took more than {} minutes", SCENARIO_MAX.as_secs() / 60)),
        };
        match result {
            Ok(mut found) => {
                if let Some(cores) = other_work.stop() {
                    found.note(format!(
                        "Other programs used {cores:.2} of {} cores during this scenario.",
                        machine.cores
                    ));
                }
                findings.push(found);
            }
            Err(error) => {
                context.progress.print_line(&format!("{name} failed: {error:#}"));
                failed.push(FailedScenario { scenario: name.to_owned(), why: format!("{error:#}") });
            }
        }
    }
    let machine = machine.finish(context.postgres_version());
    Report::new(context.effort, machine, findings, failed)
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} holds no samples of this version of the benchmark", path.display()))
}

fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    for (name, content) in [("RESULTS.md", markdown(report)), ("results.svg", svg(report))] {
        let path = folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
