//! The forensic toolkit for container checkpoints.

mod cli;
mod commands;
mod exit;
mod present;
mod session;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;
use session::Session;
use ui::Ui;

/// What ran in a container, who it talked to, what is in its memory, what it changed on disk
///
/// Reads container checkpoints as Podman, CRI-O, containerd, Docker and CRIU write them: archives (plain, gzip, zstd, xz, bzip2, lz4), directories, OCI layouts,
/// or standard input (`-`). Nothing is unpacked to disk.
///
/// EVIDENCE may hold several dumps; `EVIDENCE//NAME` chooses one, and `EVIDENCE//NAME//MEMBER` a member in it.
///
/// Exit status: 0 done or found; 1 not found; 2 something could not be done (the rest is still answered); 3 the answer has gaps.
#[derive(Debug, Parser)]
#[command(name = "coldcase", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    options: cli::GlobalOptions,

    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new("coldcase", &cli.options);
    let session = Session::new(&ui, &cli.options);
    if let Err(error) = cli.command.run(&session) {
        ui.report(&error);
    }
    session.hint_at_unpacking();
    ui.finish().into()
}
