//! How a store is told: what it is, what it is called, who holds it.

use checkpoint_forensics::stores::{Class, Classes, Kind, Store};
use clap::ValueEnum;
use serde_json::{Map, Value};

use super::answers::Answers;
use crate::commands::holders::holders_json;
use crate::present::json::text_fields;
use crate::present::text::Text;

/// Where to search, as a user names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum In {
    /// The memory of processes
    Memory,
    /// Shared objects, also those that no process maps: shared memory without a name, memory files, SysV segments
    Shared,
    /// Deleted files, memory files, files of /dev/shm and tmpfs mounts
    Files,
    /// What was on its way: pipes, sockets, terminals, SysV messages
    Queues,
    /// Registers of threads
    Registers,
    /// Changed files of the root file system, and volumes
    Rootfs,
    /// Logs of engine, runtime and CRIU
    Logs,
    /// What the engine says of the container
    Metadata,
    /// All of these
    All,
}

impl In {
    /// The classes of stores that are named, and whether memory is.
    pub fn chosen(names: &[Self]) -> (bool, Classes) {
        if names.contains(&Self::All) {
            return (true, Classes::ALL);
        }
        let classes = names.iter().filter_map(|name| match name {
            Self::Memory | Self::All => None,
            Self::Shared => Some(Class::Shared),
            Self::Files => Some(Class::Files),
            Self::Queues => Some(Class::Queues),
            Self::Registers => Some(Class::Registers),
            Self::Rootfs => Some(Class::Rootfs),
            Self::Logs => Some(Class::Logs),
            Self::Metadata => Some(Class::Metadata),
        });
        (names.contains(&Self::Memory), classes.collect())
    }
}

/// A store for a table: `pipe 27`, `register xmm14`, `/var/tmp/x (deleted)`, `rootfs etc/passwd`.
pub fn store_text(answers: &Answers<'_>, store: &Store) -> Text {
    let facts = &answers.found.facts;
    let title = facts.title(store);
    let named = |words: String| match &title {
        Some(title) => Text::own(words).and(" ").and_evidence(title),
        None => Text::own(words),
    };
    match &store.kind {
        Kind::Shared(id) => match title {
            Some(title) if facts.is_memory_file(*id) || facts.is_segment(*id) => Text::evidence(title),
            _ => Text::own(format_args!("shared {}", id.0)),
        },
        Kind::Ghost(id) => match title {
            Some(title) => Text::evidence(title).and(" (deleted)"),
            None => Text::own(format_args!("ghost {id:x}")),
        },
        Kind::Archived(archive) => {
            let inner = store.inner.as_deref().unwrap_or_default();
            Text::evidence(archive.name()).and(" ").and_evidence(inner)
        }
        Kind::Pipe(id) => Text::own(format_args!("pipe {id}")),
        Kind::Fifo(id) => named(format!("fifo {id}")),
        Kind::Packets { socket, .. } => named(format!("socket {socket}")),
        Kind::TcpReceived(inode) => named(format!("received {inode:x}")),
        Kind::TcpSent(inode) => named(format!("sent {inode:x}")),
        Kind::Terminal { id, .. } => named(format!("tty {id}")),
        Kind::Message { queue, number } => Text::own(format_args!("message {number} of queue {queue}")),
        Kind::MapKeys(id) => named(format!("bpf keys {id}")),
        Kind::MapValues(id) => named(format!("bpf values {id}")),
        Kind::Register { pid, tid, name } if pid == tid => {
            Text::own("register ").and_evidence(name.as_bytes())
        }
        Kind::Register { tid, name, .. } => {
            Text::own("register ").and_evidence(name.as_bytes()).and(format_args!(" of thread {tid}"))
        }
        Kind::Log | Kind::Metadata => Text::evidence(&*store.member),
    }
}

/// A store's keys in a record.
pub fn store_json(map: &mut Map<String, Value>, answers: &Answers<'_>, store: &Store) {
    map.insert("store".into(), store.class().name().into());
    text_fields(map, "store_name", &store.name());
    if let Some(title) = answers.found.facts.title(store) {
        text_fields(map, "name", &title);
    }
    text_fields(map, "member", &store.member);
    if let Some(path) = &store.inner {
        text_fields(map, "member_file", path);
    }
    map.insert("holders".into(), holders_json(&answers.holders(store), |pid| answers.command(pid)));
}
