//! `coldcase rootfs`: what changed in the container's file system.

mod cat;
mod extract;
mod list;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use checkpoint_forensics::rootfs::{Changes, Deletions, Keep, Places, Rider, Subject, TmpfsMount};
use clap::{Args, Subcommand, ValueHint};
use container_checkpoint::case::Case;
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::container::{ContainerInfo, Engine};
use container_checkpoint::gap::Findings;
use container_checkpoint::model::Model;

use crate::session::{DumpArgs, EvidenceArgs, Outcome, Session};

/// Show what changed in the container's file system
///
/// Added, changed and deleted files of the root file system; with `--store` also all files of /dev/shm, named volumes and tmpfs mounts, as far as the engine
/// puts them into the checkpoint. What the engine is known to lose is said.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct RootfsArgs {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    list: list::ListArgs,
}

/// What to do with the files.
#[derive(Debug, Subcommand)]
enum Action {
    Cat(cat::CatArgs),
    Extract(extract::ExtractArgs),
}

/// The one dump whose files are asked for.
#[derive(Args, Clone, Debug)]
struct OneEvidence {
    /// An archive, directory, OCI layout, or `-`; `EVIDENCE//NAME` chooses a dump
    #[arg(value_name = "EVIDENCE", value_hint = ValueHint::AnyPath)]
    evidence: OsString,
}

impl OneEvidence {
    fn args(&self) -> EvidenceArgs {
        EvidenceArgs { evidence: vec![self.evidence.clone()], dumps: DumpArgs::default() }
    }
}

pub fn run(session: &Session<'_>, args: &RootfsArgs) -> Outcome {
    match &args.action {
        Some(Action::Cat(args)) => cat::run(session, args),
        Some(Action::Extract(args)) => extract::run(session, args),
        None => list::run(session, &args.list),
    }
}

/// What there is to know before the changes are gathered.
struct Setting {
    deletions: Deletions,
    places: Places,
    findings: Findings,
}

impl Setting {
    fn of(checkpoint: &Checkpoint<'_>) -> Self {
        let (info, mut findings) = checkpoint.container();
        let (model, _) = checkpoint.model();
        findings.extend(checkpoint.evidence_findings().clone());
        Self { deletions: deletions(&info), places: places(&info, &model), findings }
    }

    fn subject<'a>(&'a self, case: &'a Case, checkpoint: &Checkpoint<'_>) -> Subject<'a> {
        let id = checkpoint.id();
        Subject {
            evidence: case.evidence(id),
            dump: case.dump(id),
            deletions: self.deletions,
            places: &self.places,
        }
    }
}

/// How the engine records deletions.
fn deletions(info: &ContainerInfo) -> Deletions {
    match info.engine {
        Engine::Podman | Engine::CriO => Deletions::Listed,
        Engine::Containerd | Engine::ContainerdClient => Deletions::Whiteouts,
        Engine::Docker | Engine::Runtime | Engine::PlainCriu | Engine::Unknown => Deletions::NotRecorded,
    }
}

/// Where in the container the stores belong.
fn places(info: &ContainerInfo, model: &Model) -> Places {
    let bytes = |text: &String| text.as_bytes().to_vec();
    let volumes = info.volumes.known().into_iter().flatten();
    let mounts = info.mounts.known().into_iter().flatten();
    let at_dump = || model.mounts.values().flatten();
    Places {
        volumes: volumes.map(|volume| (bytes(&volume.name), bytes(&volume.destination))).collect(),
        tmpfs: at_dump()
            // A bind mount of a part of a tmpfs is not where its top is.
            .filter(|mount| mount.root == b"/")
            .map(|mount| TmpfsMount {
                mount_id: mount.id,
                device: mount.device.major << 20 | mount.device.minor & 0xf_ffff,
                mount_point: mount.mountpoint.clone(),
            })
            .collect(),
        mount_points: mounts
            .map(|mount| bytes(&mount.destination))
            .chain(at_dump().map(|mount| mount.mountpoint.clone()))
            .collect(),
    }
}

/// Opens one evidence with a rider, and gathers the changes of its dump for `use_them`.
fn with_changes(
    session: &Session<'_>,
    evidence: &OneEvidence,
    keep: Keep,
    use_them: &mut dyn FnMut(&Checkpoint<'_>, &Changes<'_>) -> Outcome,
) -> Outcome {
    let args = evidence.args();
    let (case, riders) = session.open_with(&args, || Rider::new(false, keep.clone(), &session.context));
    for checkpoint in session.chosen(&case, &args) {
        let setting = Setting::of(&checkpoint);
        let changes = Changes::gather(
            setting.subject(&case, &checkpoint),
            false,
            &riders[checkpoint.id().evidence],
            &session.context,
        )?;
        let mut findings = setting.findings.clone();
        findings.extend(changes.findings.clone());
        findings.settle();
        session.tell(&checkpoint, &findings);
        use_them(&checkpoint, &changes)?;
    }
    Ok(())
}

/// The bytes of a path that the user gave.
fn path_bytes(path: &OsString) -> Vec<u8> {
    path.as_bytes().to_vec()
}
