//! Compares a model with what `/proc` said.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::super::*;
use super::live::{LiveMapping, LiveProcess, LiveThread};
use crate::ids::Pid;

/// What was compared, and what differs.
#[derive(Debug, Default)]
pub struct Comparison {
    pub compared: usize,
    pub differences: Vec<String>,
}

impl Comparison {
    fn same<T: PartialEq + Debug>(&mut self, what: &str, of: u32, model: T, live: T) {
        self.compared += 1;
        if model != live {
            self.differences.push(format!("{what} of {of}: model {model:?}, live {live:?}"));
        }
    }
}

/// Compares all processes.
pub fn compare(model: &Model, live: &BTreeMap<u32, LiveProcess>) -> Comparison {
    let mut c = Comparison::default();
    let in_model: Vec<u32> = {
        let mut pids: Vec<u32> = model.processes.iter().map(|process| process.pid.0).collect();
        pids.sort_unstable();
        pids
    };
    c.same("pids", 0, in_model, live.keys().copied().collect());
    for (pid, live) in live {
        let Some(process) = model.processes.get(Pid(*pid)) else { continue };
        identity(&mut c, model, process, live);
        if live.state == 'Z' {
            continue;
        }
        task(&mut c, model, process, live);
        threads(&mut c, process, &live.threads);
        mappings(&mut c, model, process, &live.maps);
        descriptors(&mut c, model, process, live);
    }
    c
}

fn identity(c: &mut Comparison, model: &Model, process: &Process, live: &LiveProcess) {
    let pid = live.pid;
    c.same("ppid", pid, process.ppid.known().map(|ppid| ppid.0), Some(live.ppid));
    c.same("pgid", pid, process.pgid.known().map(|id| id.0), Some(live.pgid));
    c.same("sid", pid, process.sid.known().map(|id| id.0), Some(live.sid));
    c.same("comm", pid, process.command.known(), Some(&live.comm));
    let state = match process.state.known() {
        Some(TaskState::Alive) => 'S',
        Some(TaskState::Stopped { .. }) => 'T',
        Some(TaskState::Dead) => 'Z',
        _ => '?',
    };
    // Running, sleeping and waiting for a disk are all alive in the images.
    c.same("state", pid, state, if "RSDI".contains(live.state) { 'S' } else { live.state });
    let status = match process.exit_status.known() {
        Some(ExitStatus::Exited(code)) => Some(u32::from(*code) << 8),
        Some(ExitStatus::Killed { signal, core_dumped }) => Some(signal | u32::from(*core_dumped) << 7),
        None => None,
    };
    c.same("exit status", pid, status, live.exit_code);
    if live.state == 'Z' {
        c.same("threads", pid, process.threads.len(), 0);
        c.same("address space", pid, process.memory.absence(), Some("not applicable"));
        return;
    }
    let path = |id: Field<crate::ids::FileId>| {
        let file = id.known().and_then(|id| model.files.get(*id))?;
        match &file.kind {
            FileKind::Regular(regular) => Some(regular.shown_path()),
            FileKind::Memfd(memfd) => memfd.inode.known().map(|inode| inode.shown_path()),
            _ => None,
        }
    };
    c.same("exe", pid, path(process.executable()), live.exe.clone());
    c.same("cwd", pid, path(process.working_directory()), live.cwd.clone());
    c.same("root", pid, path(process.root_directory()), live.root.clone());
}

fn task(c: &mut Comparison, model: &Model, process: &Process, live: &LiveProcess) {
    let pid = live.pid;
    let task = process.task.known().unwrap();
    c.same("loginuid", pid, task.loginuid.known().copied(), live.loginuid);
    c.same("oom_score_adj", pid, task.oom_score_adj.known().copied(), live.oom_score_adj);
    c.same("personality", pid, Some(task.personality()), live.personality);
    let umask = process.umask().known().map(|umask| format!("{umask:04o}"));
    c.same("umask", pid, umask, live.status.get("Umask").cloned());

    let creds = process.credentials();
    let creds = *creds.known().unwrap();
    // The images have the ids of the task's own user namespace, /proc those of the reader's.
    let namespace = process.ids.known().and_then(|ids| ids.user_namespace);
    let maps = namespace.and_then(|namespace| model.namespaces.user.get(&namespace));
    let user = |id| maps.map_or(Some(id), |maps| maps.outside_user(id)).unwrap().to_string();
    let group = |id| maps.map_or(Some(id), |maps| maps.outside_group(id)).unwrap().to_string();
    let uids = [creds.uid, creds.euid, creds.suid, creds.fsuid].map(user).join("\t");
    c.same("uids", pid, uids, live.status["Uid"].clone());
    let gids = [creds.gid, creds.egid, creds.sgid, creds.fsgid].map(group).join("\t");
    c.same("gids", pid, gids, live.status["Gid"].clone());
    let groups: Vec<String> = creds.groups.iter().copied().map(group).collect();
    c.same("groups", pid, groups.join(" "), live.status["Groups"].trim().to_owned());
    let sets = [
        ("CapInh", &creds.inheritable),
        ("CapPrm", &creds.permitted),
        ("CapEff", &creds.effective),
        ("CapBnd", &creds.bounding),
        ("CapAmb", &creds.ambient),
    ];
    for (key, set) in sets {
        // CRIU before 4.1 keeps no ambient set.
        if set.known().is_some() || key != "CapAmb" {
            c.same(key, pid, set.known().map(|set| format!("{set:016x}")), live.status.get(key).cloned());
        }
    }
    if let Some(privs) = creds.no_new_privs.known() {
        c.same("no_new_privs", pid, u32::from(*privs).to_string(), live.status["NoNewPrivs"].clone());
    }
    let seccomp = process.leader().unwrap().seccomp.known().map(|seccomp| match seccomp.mode {
        SeccompFiltering::Disabled => "0",
        SeccompFiltering::Strict => "1",
        SeccompFiltering::Filter => "2",
        SeccompFiltering::Unknown(_) => "?",
    });
    c.same("seccomp", pid, seccomp, live.status.get("Seccomp").map(String::as_str));
    c.same("shared pending", pid, Some(pending(&task.pending)), live.status.get("ShdPnd").cloned());

    let shown = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let limits: Vec<(String, String)> =
        task.limits.known().unwrap().iter().map(|limit| (shown(limit.soft), shown(limit.hard))).collect();
    c.same("limits", pid, limits, live.limits.clone());
    handlers(c, task, live);
}

/// Ignored and caught signals, as bits of `/proc/PID/status`.
fn handlers(c: &mut Comparison, task: &Task, live: &LiveProcess) {
    let (mut ignored, mut caught) = (0_u64, 0_u64);
    for action in task.actions.known().unwrap() {
        let bit = 1 << (action.signal - 1);
        match action.handler.0 {
            0 => {}
            1 => ignored |= bit,
            _ => caught |= bit,
        }
    }
    c.same("ignored signals", live.pid, format!("{ignored:016x}"), live.status["SigIgn"].clone());
    c.same("caught signals", live.pid, format!("{caught:016x}"), live.status["SigCgt"].clone());
}

fn threads(c: &mut Comparison, process: &Process, live: &BTreeMap<u32, LiveThread>) {
    let mut tids: Vec<u32> = process.threads.iter().map(|thread| thread.tid.0).collect();
    c.same("leader", process.pid.0, tids.first().copied(), Some(process.pid.0));
    tids.sort_unstable();
    c.same("threads", process.pid.0, tids, live.keys().copied().collect());
    for (tid, live) in live {
        let Some(thread) = process.thread(Pid(*tid)) else { continue };
        c.same("thread name", *tid, thread.command.known(), Some(&live.comm));
        c.same("nice", *tid, thread.nice.known().copied(), live.nice);
        c.same("policy", *tid, thread.scheduling_policy.known().copied(), live.policy);
        let blocked = thread.blocked.known().map(|set| format!("{:016x}", set.low));
        c.same("blocked", *tid, blocked, live.status.get("SigBlk").cloned());
        c.same("pending", *tid, Some(pending(&thread.pending)), live.status.get("SigPnd").cloned());
        c.same("registers", *tid, thread.registers.absence(), None);
    }
}

fn pending(queue: &Field<Vec<PendingSignal>>) -> String {
    let signals = queue.known().into_iter().flatten();
    format!("{:016x}", signals.fold(0_u64, |set, signal| set | 1 << (signal.signal - 1)))
}

/// All borders, permissions, offsets and names. The images have [vvar] and [vvar_vclock] as one.
fn mappings(c: &mut Comparison, model: &Model, process: &Process, live: &[LiveMapping]) {
    let mut expected: Vec<(u64, u64, String, u64, String)> = Vec::new();
    for map in live {
        match expected.last_mut() {
            Some(last) if map.name == b"[vvar_vclock]" => last.1 = map.end,
            _ => expected.push((
                map.start,
                map.end,
                map.perms.clone(),
                map.offset,
                String::from_utf8_lossy(&map.name).into_owned(),
            )),
        }
    }
    let found = process.mappings().iter().map(|mapping| {
        // The kernel escapes a newline alone.
        let name = String::from_utf8_lossy(&model.mapping_name(mapping)).replace('\n', "\\012");
        (mapping.start.0, mapping.end.0, mapping.permissions(), mapping.offset, name)
    });
    let found: Vec<_> = found.collect();
    c.same("number of mappings", process.pid.0, found.len(), expected.len());
    for (found, expected) in found.into_iter().zip(expected) {
        c.same("mapping", process.pid.0, found, expected);
    }
    let memory = process.memory.known().unwrap();
    c.same("overlapping mappings", process.pid.0, memory.overlapping.len(), 0);
}

fn descriptors(c: &mut Comparison, model: &Model, process: &Process, live: &LiveProcess) {
    let open = process.open_files.known().unwrap();
    let mut fds: Vec<u32> = open.iter().map(|open| open.fd).collect();
    fds.sort_unstable();
    c.same("descriptors", live.pid, fds, live.fds.keys().copied().collect());
    for open in open.iter() {
        let Some(live) = live.fds.get(&open.fd) else { continue };
        let of = format!("fd {} of {}", open.fd, process.pid);
        let link = model.files.link(open);
        // Packet sockets have no inode number in the images, and pidfds are files of a file system of their own today.
        if open.file_type != FileType::PACKETSK && open.file_type != FileType::PIDFD {
            let shown = (
                String::from_utf8_lossy(&link).into_owned(),
                String::from_utf8_lossy(&live.link).into_owned(),
            );
            c.same(&format!("link, {of}"), process.pid.0, shown.0, shown.1);
        }
        let line = |key: &str| live.info.iter().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let file = model.files.of_descriptor(open);
        if let Some(regular) = file.and_then(File::regular) {
            let position = line("pos:").map(|text| text.parse().unwrap());
            c.same(&format!("position, {of}"), process.pid.0, Some(regular.position), position);
        }
        // CRIU writes 0 for the flags of a pidfd, and up to 3.17 at least for those of a netlink socket.
        let is_told =
            |flags: &u32| ![FileType::PIDFD, FileType::NETLINKSK].contains(&open.file_type) || *flags != 0;
        if let Some(flags) = file.and_then(File::flags).filter(is_told) {
            let text = line("flags:").unwrap();
            let live = u32::from_str_radix(text, 8).unwrap();
            // O_CLOEXEC belongs to the descriptor; FMODE bits and O_LARGEFILE come and go with the kind of file.
            const LEFT_OUT: u32 = 0o2_000_000 | 0o100_000;
            c.same(&format!("flags, {of}"), process.pid.0, flags & !LEFT_OUT, live & !LEFT_OUT);
            c.same(
                &format!("close on exec, {of}"),
                process.pid.0,
                open.close_on_exec,
                live & 0o2_000_000 != 0,
            );
        }
    }
}
