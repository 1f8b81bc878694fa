//! The commands: one file each, its arguments and the wiring of library calls to what is shown.

mod coredump;
mod crit;
mod filling;
mod format;
mod gdb;
mod grep;
mod holders;
mod inspect;
mod list;
mod mapping;
mod maps;
mod memparse;
mod modules;
mod recover;
mod rootfs;
mod selection;
mod show;
mod strings;
mod summary;
mod unpack;

use clap::Subcommand;

use crate::session::{Outcome, Session};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Show(show::ShowArgs),
    List(list::ListArgs),
    Inspect(inspect::InspectArgs),
    Rootfs(rootfs::RootfsArgs),
    Crit(crit::CritArgs),
    Maps(maps::MapsArgs),
    Modules(modules::ModulesArgs),
    Grep(grep::GrepArgs),
    Strings(strings::StringsArgs),
    Coredump(coredump::CoredumpArgs),
    Gdb(gdb::GdbArgs),
    Recover(recover::RecoverArgs),
    Memparse(memparse::MemparseArgs),
    Unpack(unpack::UnpackArgs),
}

impl Command {
    /// Runs the command; the exit status gathers in the session's voice.
    pub fn run(&self, session: &Session<'_>) -> Outcome {
        match self {
            Self::Show(args) => show::run(session, args),
            Self::List(args) => list::run(session, args),
            Self::Inspect(args) => inspect::run(session, args),
            Self::Rootfs(args) => rootfs::run(session, args),
            Self::Crit(args) => crit::run(session, args),
            Self::Maps(args) => maps::run(session, args),
            Self::Modules(args) => modules::run(session, args),
            Self::Grep(args) => grep::run(session, args),
            Self::Strings(args) => strings::run(session, args),
            Self::Coredump(args) => coredump::run(session, args),
            Self::Gdb(args) => gdb::run(session, args),
            Self::Recover(args) => recover::run(session, args),
            Self::Memparse(args) => memparse::run(session, args),
            Self::Unpack(args) => unpack::run(session, args),
        }
    }
}
