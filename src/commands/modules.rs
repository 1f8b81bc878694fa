//! `coldcase modules`: which files a process runs code from, and their build ids.

use checkpoint_forensics::modules::{Module, modules};
use clap::Args;
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::Pid;
use container_checkpoint::model::{Model, Process};
use serde_json::{Map, Value, json};

use super::format::Format;
use crate::exit::Answer;
use crate::present::cell::Cell;
use crate::present::json::{address, text_fields};
use crate::present::table::{Column, Table};
use crate::session::{EvidenceArgs, Outcome, Session, document};

/// Show the files that each process runs code from, with their build ids
///
/// Executables and libraries as they were mapped, with the build id that CRIU recorded. A debuginfod server finds symbols by it, without the file: it is asked for
/// `/buildid/BUILD ID/debuginfo`, and for `/buildid/BUILD ID/executable`. Nothing is asked here.
#[derive(Args, Debug)]
pub struct ModulesArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,

    /// Only this process; may be given several times
    #[arg(long, short, value_name = "PID")]
    pid: Vec<u32>,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The modules of one dump's processes.
struct Modules<'c> {
    checkpoint: Checkpoint<'c>,
    processes: Vec<(Pid, Option<Vec<u8>>, Vec<Module>)>,
    findings: Findings,
}

pub fn run(session: &Session<'_>, args: &ModulesArgs) -> Outcome {
    let case = session.open(&args.evidence);
    let all: Vec<Modules<'_>> = session
        .chosen(&case, &args.evidence)
        .into_iter()
        .map(|checkpoint| gather(checkpoint, args))
        .collect();
    for of_dump in &all {
        session.tell(&of_dump.checkpoint, &of_dump.findings);
    }
    if !all.is_empty() && all.iter().all(|of_dump| of_dump.processes.is_empty()) {
        session.ui.answer(Answer::NotFound);
    }
    match args.format {
        Format::Json => {
            let documents: Vec<Value> = all.iter().map(modules_json).collect();
            Ok(session.ui.json(&documents)?)
        }
        Format::Table => print(session, &all),
    }
}

fn gather<'c>(checkpoint: Checkpoint<'c>, args: &ModulesArgs) -> Modules<'c> {
    let (model, mut findings) = checkpoint.model();
    findings.extend(checkpoint.evidence_findings().clone());
    let chosen = |process: &&Process| args.pid.is_empty() || args.pid.contains(&process.pid.0);
    let of = |process: &Process| (process.pid, process.command.known().cloned(), modules(&model, process));
    let processes = model.processes.iter().filter(chosen).map(of).filter(|(.., modules)| !modules.is_empty());
    let processes = processes.collect();
    for pid in args.pid.iter().copied().map(Pid).filter(|pid| !has(&model, *pid)) {
        findings.gap("modules", format!("pid {pid}"), "the dump has no such process");
    }
    findings.settle();
    Modules { checkpoint, processes, findings }
}

fn has(model: &Model, pid: Pid) -> bool {
    model.processes.get(pid).is_some()
}

fn print(session: &Session<'_>, all: &[Modules<'_>]) -> Outcome {
    let several = all.len() > 1;
    let mut table = Table::new([
        Column::wrapped("EVIDENCE"),
        Column::whole("PID"),
        Column::wrapped("COMMAND"),
        Column::whole("BASE"),
        Column::whole("BUILD ID"),
        Column::wrapped("FILE"),
    ]);
    for of_dump in all {
        for (pid, command, modules) in &of_dump.processes {
            for module in modules {
                table.row([
                    if several { Cell::evidence(of_dump.checkpoint.full_name()) } else { Cell::empty() },
                    Cell::own(pid),
                    command.as_ref().map_or_else(Cell::empty, Cell::evidence),
                    Cell::own(format_args!("{:x}", module.start.0)),
                    module.build_id_text().map_or_else(Cell::empty, Cell::own),
                    Cell::evidence(&module.name),
                ]);
            }
        }
    }
    if !table.is_empty() {
        session.ui.table(&table)?;
    }
    Ok(())
}

fn modules_json(all: &Modules<'_>) -> Value {
    let processes = all.processes.iter().map(|(pid, command, modules)| {
        let mut map = Map::new();
        map.insert("pid".into(), pid.0.into());
        if let Some(command) = command {
            text_fields(&mut map, "command", command);
        }
        map.insert("modules".into(), modules.iter().map(module_json).collect());
        Value::Object(map)
    });
    let mut answer = Map::new();
    answer.insert("processes".into(), processes.collect());
    document(&all.checkpoint, answer, &all.findings)
}

fn module_json(module: &Module) -> Value {
    let mut map = Map::new();
    text_fields(&mut map, "name", &module.name);
    if let Some(path) = &module.path {
        text_fields(&mut map, "path", path);
    }
    map.insert("deleted".into(), (module.deleted.is_some() || module.path.is_none()).into());
    map.insert("start".into(), address(module.start.0));
    map.insert("end".into(), address(module.end.0));
    map.insert("executed".into(), module.is_executed.into());
    map.insert("main".into(), module.is_main.into());
    if let Some(size) = module.size {
        map.insert("size".into(), size.into());
    }
    if let Some(id) = module.build_id_text() {
        map.insert("build_id".into(), id.into());
        map.insert(
            "debuginfod".into(),
            json!({ "debuginfo": module.debuginfod("debuginfo"), "executable": module.debuginfod("executable") }),
        );
    }
    Value::Object(map)
}
