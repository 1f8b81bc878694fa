//! `coldcase inspect`: one container, as deep as asked for.

mod files;
mod json;
mod processes;
mod sockets;
mod tree;

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use container_checkpoint::checkpoint::{Checkpoint, Sizes};
use container_checkpoint::command_line::{CommandLine, CommandLines};
use container_checkpoint::container::ContainerInfo;
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory;
use container_checkpoint::model::{Architecture, Model, Process};

use crate::present::text::Text;
use crate::session::{EvidenceArgs, Outcome, Session};

/// Show what a container was: metadata, sizes, processes, files, sockets, mounts
///
/// With `--format json` an array of documents with checkpointctl's names. Without options the basics and the process tree.
#[derive(Args, Debug)]
pub struct InspectArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,

    #[command(flatten)]
    parts: Parts,

    /// Only this process and what descends from it
    #[arg(long, short, value_name = "PID")]
    pid: Option<u32>,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Tree)]
    format: Format,
}

/// What to show beside the basics.
#[derive(Args, Clone, Copy, Debug)]
struct Parts {
    /// CRIU's statistics of the dump
    #[arg(long)]
    stats: bool,
    /// Mounts
    #[arg(long)]
    mounts: bool,
    /// Pod, annotations, labels, the dump's circumstances
    #[arg(long)]
    metadata: bool,
    /// The process tree
    #[arg(long)]
    ps_tree: bool,
    /// The process tree with command lines, read from memory
    #[arg(long)]
    ps_tree_cmd: bool,
    /// The process tree with environments, read from memory
    #[arg(long)]
    ps_tree_env: bool,
    /// Open files of each process
    #[arg(long)]
    files: bool,
    /// Open sockets of each process
    #[arg(long)]
    sockets: bool,
    /// All of these
    #[arg(long)]
    all: bool,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tree for people
    Tree,
    /// An array of documents, one a checkpoint
    Json,
}

impl Parts {
    /// What was asked for, with what that implies.
    fn resolved(self, for_one_process: bool) -> Self {
        let any = self.stats
            || self.mounts
            || self.metadata
            || self.ps_tree
            || self.ps_tree_cmd
            || self.ps_tree_env;
        let none = !(any || self.files || self.sockets || self.all || for_one_process);
        let of_processes =
            self.ps_tree_cmd || self.ps_tree_env || self.files || self.sockets || for_one_process;
        Self {
            stats: self.stats || self.all,
            mounts: self.mounts || self.all,
            metadata: self.metadata || self.all,
            ps_tree: self.ps_tree || of_processes || self.all || none,
            ps_tree_cmd: self.ps_tree_cmd || self.all,
            ps_tree_env: self.ps_tree_env || self.all,
            files: self.files || self.all,
            sockets: self.sockets || self.all,
            all: self.all,
        }
    }

    fn needs_memory(self) -> bool {
        self.ps_tree_cmd || self.ps_tree_env
    }
}

/// One checkpoint with all that was asked for.
struct Inspection<'c> {
    checkpoint: Checkpoint<'c>,
    parts: Parts,
    info: ContainerInfo,
    sizes: Sizes,
    model: Option<Model>,
    /// The machine that was dumped: signal numbers are its own. A zombie has no registers to tell it, others have.
    architecture: Architecture,
    command_lines: BTreeMap<Pid, CommandLine>,
    /// Only this process and its descendants.
    pid: Option<Pid>,
    findings: Findings,
}

pub fn run(session: &Session<'_>, args: &InspectArgs) -> Outcome {
    let parts = args.parts.resolved(args.pid.is_some());
    let pid = args.pid.map(Pid);
    let make = || CommandLines::new(Vec::new(), parts.ps_tree_env);
    let (case, mut rides) = if parts.needs_memory() {
        let (case, rides) = session.open_riding(&args.evidence, make);
        (case, rides)
    } else {
        (session.open(&args.evidence), Vec::new())
    };
    let mut inspections = Vec::new();
    for checkpoint in session.chosen(&case, &args.evidence) {
        let mut inspection = basics(checkpoint, parts, pid);
        if parts.needs_memory() {
            let ride = rides.get_mut(checkpoint.id().evidence);
            match memory::answer(&case, checkpoint.id(), &session.context, ride, make) {
                Ok(answered) => {
                    inspection.command_lines = answered.question.by_process();
                    inspection.findings.extend(answered.findings);
                }
                Err(error) => session.ui.error(Text::own(error)),
            }
        } else if inspection.model.is_some() {
            inspection.findings.extend(memory::Memory::of(&case, checkpoint.id()).findings);
        }
        inspection.findings.settle();
        session.tell(&checkpoint, &inspection.findings);
        inspections.push(inspection);
    }
    match args.format {
        Format::Json => Ok(session.ui.json(&inspections.iter().map(json::document).collect::<Vec<_>>())?),
        Format::Tree => inspections.iter().try_for_each(|inspection| tree::print(session.ui, inspection)),
    }
}

fn basics(checkpoint: Checkpoint<'_>, parts: Parts, pid: Option<Pid>) -> Inspection<'_> {
    let (info, mut findings) = checkpoint.container();
    findings.extend(checkpoint.evidence_findings().clone());
    let model = (parts.ps_tree || parts.mounts).then(|| checkpoint.model()).map(|(model, found)| {
        findings.extend(found);
        model
    });
    if let (Some(pid), Some(model)) = (pid, &model)
        && model.processes.get(pid).is_none()
    {
        findings.gap("process", format!("pid {pid}"), "the dump has no such process");
    }
    let machine =
        |process: &Process| process.leader().and_then(|leader| leader.architecture.known().copied());
    let architecture = model
        .as_ref()
        .and_then(|model| model.processes.iter().find_map(machine))
        .unwrap_or(Architecture::X86_64);
    Inspection {
        checkpoint,
        parts,
        info,
        sizes: checkpoint.sizes(),
        model,
        architecture,
        command_lines: BTreeMap::new(),
        pid,
        findings,
    }
}

impl Inspection<'_> {
    /// The processes to show, each before its descendants, with their depth below the first one shown.
    fn processes(&self) -> Vec<(usize, &Process)> {
        let Some(model) = &self.model else { return Vec::new() };
        let all: Vec<_> = model.processes.depth_first().collect();
        let Some(pid) = self.pid else { return all };
        let Some(start) = all.iter().position(|(_, process)| process.pid == pid) else { return Vec::new() };
        let top = all[start].0;
        let below = all[start + 1..].iter().take_while(|(depth, _)| *depth > top);
        std::iter::once(&all[start]).chain(below).map(|&(depth, process)| (depth - top, process)).collect()
    }
}
