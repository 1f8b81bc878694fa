//! Real checkpoints of programs that wrote down what they made, against what they wrote and what `/proc` showed.

use std::sync::Arc;

use serde_json::Value;

use super::super::*;
use super::compare::compare;
use super::corpus::{corpus, read, unpack_one};
use super::live::from_records;
use crate::ids::Pid;

/// Loads an archive and its truth, and compares all that `/proc` said.
fn load(name: &str, truth: &str, least: usize) -> Option<(Model, Findings, Vec<Value>)> {
    let checkpoints = corpus()?.join("checkpoints");
    let images = unpack_one(&checkpoints.join(format!("{name}.tar.zst")));
    let (model, findings) = Model::load(&images);
    let (live, records) = from_records(&read(&checkpoints.join("truth").join(truth)));
    let comparison = compare(&model, &live);
    assert!(comparison.differences.is_empty(), "{}", comparison.differences.join("\n"));
    println!("{name}: {} facts compared", comparison.compared);
    assert!(comparison.compared >= least, "{} facts compared", comparison.compared);
    Some((model, findings, records))
}

#[test]
fn all_that_proc_says_of_kitchen_is_in_the_model() {
    let Some((_, findings, _)) = load("kitchen", "kitchen.truth.jsonl", 2700) else { return };
    assert!(findings.gaps.is_empty(), "{:#?}", findings.gaps);
    assert!(findings.notes.is_empty(), "{:#?}", findings.notes);
}

#[test]
fn all_that_proc_says_of_compromised_is_in_the_model() {
    let Some((_, findings, _)) = load("compromised", "compromised.truth.jsonl.zst", 430) else { return };
    assert!(findings.gaps.is_empty(), "{:#?}", findings.gaps);
}

#[test]
fn all_that_proc_says_of_hostile_is_in_the_model() {
    let Some((_, findings, _)) = load("hostile", "hostile.truth.jsonl", 1600) else { return };
    assert!(findings.gaps.is_empty(), "{:#?}", findings.gaps);
}

#[test]
fn all_that_proc_says_of_criu_features_is_in_the_model() {
    let Some((_, findings, _)) = load("criu-features", "criu-features.truth.jsonl", 780) else { return };
    assert!(findings.gaps.is_empty(), "{:#?}", findings.gaps);
}

#[test]
fn what_programs_said_of_their_descriptors_is_in_the_model() {
    let archives =
        [("kitchen", "kitchen.truth.jsonl", 79), ("criu-features", "criu-features.truth.jsonl", 17)];
    for (name, truth, number) in archives {
        let Some((model, _, records)) = load(name, truth, 1) else { return };
        let mut checked = 0;
        for record in records.iter().filter(|record| record["kind"] == "fd") {
            descriptor(&model, record);
            checked += 1;
        }
        assert_eq!(checked, number, "{name}");
    }
}

/// One descriptor as the program that made it described it.
fn descriptor(model: &Model, record: &Value) {
    let pid = Pid(record["pid"].as_u64().unwrap() as u32);
    let process = model.processes.get(pid).unwrap();
    let number = |key: &str| record[key].as_u64();
    let open =
        process.open_files.known().unwrap().iter().find(|open| Some(u64::from(open.fd)) == number("fd"));
    let open = open.unwrap_or_else(|| panic!("{record}"));
    let file = model.files.of_descriptor(open).unwrap_or_else(|| panic!("{record}"));
    let path = model.files.path(open.file).map(|path| String::from_utf8_lossy(&path).into_owned());
    if let (Some(told), true) = (record["path"].as_str(), file.socket().is_none()) {
        assert_eq!(path.as_deref(), Some(told.replace("/self/", "/10/").as_str()), "{record}");
    }
    let told_deleted = record["deleted"].as_bool() == Some(true);
    match (&file.kind, record["type"].as_str().unwrap()) {
        (FileKind::Regular(file), "reg" | "dir" | "chr" | "proc" | "O_PATH") => {
            assert_eq!(file.deleted.is_some(), told_deleted, "{record}");
            if let Some(position) = number("pos") {
                assert_eq!(file.position, position, "{record}");
            }
            if let Some(size) = number("size") {
                assert_eq!(file.size, Field::Known(size), "{record}");
            }
        }
        (FileKind::Fifo(_), "fifo") => {}
        (FileKind::Pipe(pipe), "pipe") => {
            assert_eq!(pipe.flags & 1 == 1, record["end"] == "write", "{record}");
        }
        (FileKind::Memfd(memfd), "memfd") => {
            let inode = memfd.inode.known().unwrap();
            assert_eq!(inode.name, record["name"].as_str().unwrap().as_bytes(), "{record}");
            if let Some(seals) = number("seals") {
                assert_eq!(u64::from(inode.seals), seals, "{record}");
            }
        }
        (FileKind::Eventfd(eventfd), "eventfd") => {
            assert_eq!(Some(eventfd.counter), number("counter"), "{record}")
        }
        (FileKind::Timerfd(timer), "timerfd") => {
            assert_eq!(timer.clock, u32::from(record["clock"] == "MONOTONIC"), "{record}");
            if let Some(interval) = number("interval_s") {
                assert_eq!(timer.interval.seconds, interval, "{record}");
                assert_eq!(Some(timer.interval.nanoseconds), number("interval_ns"), "{record}");
                assert!(timer.value.seconds < number("value_s").unwrap(), "{record}");
            }
        }
        (FileKind::Signalfd(signalfd), "signalfd") => {
            let signals = record["signals"].as_array().unwrap().iter().map(|signal| signal.as_u64().unwrap());
            assert_eq!(signalfd.mask, signals.fold(0, |mask, signal| mask | 1 << (signal - 1)), "{record}");
        }
        (FileKind::Epoll(epoll), "epoll") => assert!(!epoll.watches.is_empty(), "{record}"),
        (FileKind::Pidfd(pidfd), "pidfd") => {
            assert_eq!(i64::from(pidfd.process), record["target"], "{record}")
        }
        (FileKind::Inotify(inotify), "inotify") => {
            let mut paths: Vec<&[u8]> =
                inotify.watches.iter().map(|watch| watch.path.known().unwrap().as_slice()).collect();
            paths.sort_unstable();
            let told = record["watch"]
                .as_array()
                .unwrap()
                .iter()
                .map(|watch| watch["path"].as_str().unwrap().as_bytes());
            assert_eq!(paths, told.collect::<Vec<_>>(), "{record}");
        }
        (FileKind::Fanotify(fanotify), "fanotify") => {
            let MarkTarget::Inode { path, .. } = &fanotify.marks[0].target else { panic!("{fanotify:?}") };
            assert_eq!(
                path.known().map(Vec::as_slice),
                record["mark"].as_str().map(str::as_bytes),
                "{record}"
            );
        }
        (FileKind::Tty(tty), kind) if kind.starts_with("pty") || kind == "tty" => {
            let terminal = tty.terminal.known().unwrap();
            if let (Some(rows), Some(columns)) = (number("rows"), number("cols")) {
                assert_eq!(terminal.size, Some((rows as u32, columns as u32)), "{record}");
            }
        }
        (FileKind::Socket(socket), kind) => self::socket(model, process, socket, kind, record),
        (other, kind) => panic!("{kind}: {other:?}"),
    }
}

fn socket(model: &Model, process: &Process, socket: &Socket, kind: &str, record: &Value) {
    let text = |key: &str| record[key].as_str();
    if let Some(inet) = socket.inet() {
        let protocol = match kind {
            "tcp" | "tcp6" => "TCP",
            "udp" | "udp6" => "UDP",
            "udplite" => "UDPLITE",
            "raw" | "ping" => "ICMP",
            "raw6" => "ICMPV6",
            other => panic!("{other}: {socket:?}"),
        };
        assert_eq!(socket.protocol_name(), protocol, "{record}");
        assert_eq!(inet.address_family, if kind.ends_with('6') { 10 } else { 2 }, "{record}");
        for (key, address) in [("local", &inet.local), ("remote", &inet.remote)] {
            let Some(told) = text(key) else { continue };
            let address = address.known().unwrap().to_string();
            assert!(
                address == told || (told.starts_with(':') && address.ends_with(told)),
                "{address}, {record}"
            );
        }
        let state = socket.state.known().unwrap().name().unwrap();
        match text("state") {
            Some("listen") => assert_eq!(state, "LISTEN", "{record}"),
            Some("established") => assert_eq!(state, "ESTABLISHED", "{record}"),
            Some("close-wait") => assert_eq!(state, "CLOSE_WAIT", "{record}"),
            Some(half) if half.starts_with("half-closed") => {
                assert_eq!(state, "FIN_WAIT_2", "{record}");
                assert_eq!(socket.shutdown, Field::Known(Shutdown { read: false, write: true }), "{record}");
            }
            _ => {}
        }
        return;
    }
    match &socket.family {
        SocketFamily::Unix(unix) => {
            let socket_type = socket.socket_type.known().unwrap().name().unwrap();
            assert_eq!(kind, format!("unix-{}", socket_type.to_lowercase()), "{record}");
            let name = String::from_utf8_lossy(&unix.name().shown()).into_owned();
            match (text("path").or(text("abstract")), text("name_hex")) {
                (Some(told), _) => assert_eq!(name, told, "{record}"),
                (None, Some(hex)) => {
                    let raw: String = unix.raw_name.iter().map(|byte| format!("{byte:02x}")).collect();
                    assert_eq!(raw, hex);
                }
                (None, None) => assert_eq!(unix.name(), UnixName::Unnamed, "{record}"),
            }
            assert_eq!(
                socket.state.known() == Some(&SocketState::LISTEN),
                text("state") == Some("listen"),
                "{record}"
            );
            if let Some(peer_fd) = record["peer_fd"].as_u64() {
                let mut sockets = model.sockets(process);
                let (_, peer) = sockets.find(|(open, _)| u64::from(open.fd) == peer_fd).unwrap();
                assert_eq!(peer.inode, Field::Known(unix.peer), "{record}");
            }
        }
        SocketFamily::Netlink(netlink) => {
            let protocol = if text("proto") == Some("ROUTE") { 0 } else { 15 };
            assert_eq!((kind, netlink.protocol), ("netlink", protocol), "{record}");
            assert_eq!(
                netlink.groups.first().map(|groups| u64::from(*groups)),
                record["groups"].as_u64(),
                "{record}"
            );
        }
        SocketFamily::Packet(packet) => {
            assert_eq!(
                (kind, Some(format!("{:#x}", packet.protocol).as_str())),
                ("packet", text("proto")),
                "{record}"
            );
            assert_eq!(packet.interface_index, 1, "lo");
        }
        SocketFamily::Inet(_) => unreachable!(),
    }
}

#[test]
fn what_kitchen_said_of_signals_timers_and_settings_is_in_the_model() {
    let Some((model, ..)) = load("kitchen", "kitchen.truth.jsonl", 1) else { return };
    let process = |pid| model.processes.get(Pid(pid)).unwrap();
    let task = |pid| process(pid).task.known().unwrap();

    assert_eq!(process(7).memory.known().unwrap().dumpable, Field::Known(0));
    assert_eq!(process(6).memory.known().unwrap().thp_disabled, Field::Known(true));
    assert_eq!(task(6).child_subreaper, Field::Known(true));
    assert_eq!(process(4).leader().unwrap().parent_death_signal, Field::Known(1));
    assert_eq!(process(1).leader().unwrap().parent_death_signal, Field::Known(0));
    assert_eq!(process(4).credentials().map(|creds| creds.secure_bits), Field::Known(21));
    let seccomp = process(41).leader().unwrap().seccomp.clone();
    assert_eq!(seccomp, Field::Known(Seccomp { mode: SeccompFiltering::Filter, filter: Some(1) }));
    assert!(Arc::ptr_eq(process(42).open_files.known().unwrap(), process(50).open_files.known().unwrap()));

    // Process 34: handlers, alternate stack, queued signals, timers.
    let actions = task(34).actions.known().unwrap();
    let action = |signal| actions.iter().find(|action| action.signal == signal).unwrap();
    assert_eq!((action(1).handler.0, action(1).mask.iter().collect::<Vec<_>>()), (0x401856, vec![15]));
    assert_eq!(action(10).handler.0, 0x40185d);
    let stack = *process(34).leader().unwrap().signal_stack.known().unwrap();
    assert_eq!((stack.start.0, stack.length), (0x7f58aec1a000, 16384));
    let queued = task(34).pending.known().unwrap();
    assert_eq!((queued[0].signal, queued[0].code, queued[0].sender), (12, -1, Some((Pid(34), 0))));
    let timers = task(34).timers.known().unwrap();
    assert_eq!(timers.real.interval.seconds, 77);
    assert!((4000..=5000).contains(&timers.real.value.seconds));
    assert_eq!(timers.posix.len(), 2);
    let armed = timers.posix.iter().find(|timer| timer.clock == 1).unwrap();
    assert_eq!((armed.signal, armed.value_pointer), (43, 0x71e4_c0de));
    assert_eq!(armed.interval, Span { seconds: 33, nanoseconds: 44 });

    // Thread 24: known registers.
    let Some(Registers::X86(x86)) = process(2).thread(Pid(24)).unwrap().registers.known() else { panic!() };
    assert_eq!(x86.get("r12"), Some(0x0ddb_a11c_0ffe_e123));
    assert_eq!(x86.floating.xmm(14).unwrap(), *b"NEEXMM_a3cfe3518");

    // Segments of shmget(2), a signal's owner, an epoll instance.
    let keys: Vec<(u32, u32, u64)> =
        model.shared_segments.values().map(|segment| (segment.id, segment.key, segment.size)).collect();
    assert_eq!(keys, [(0, 0x4b49_5443, 8192), (1, 0x4b49_5444, 4096)]);
    let file = |pid, fd| {
        let open =
            process(pid).open_files.known().unwrap().iter().find(|open| open.fd == fd).unwrap().clone();
        model.files.of_descriptor(&open).unwrap()
    };
    let owner = file(10, 11).owner.unwrap();
    assert_eq!((owner.pid, owner.signal), (Pid(10), 39));
    let FileKind::Epoll(epoll) = &file(12, 15).kind else { panic!() };
    let watches: Vec<(u32, u64)> = epoll.watches.iter().map(|watch| (watch.fd, watch.data)).collect();
    assert_eq!(watches, [(10, 0xfeed_face_0000_0010), (12, 0xfeed_face_0000_000c)]);

    // Mounts and names of namespaces.
    let root = process(1);
    let names = model.host_names_of(root).unwrap();
    assert_eq!((names.node.as_slice(), names.domain.as_slice()), (&b"kitchen"[..], &b"(none)"[..]));
    let inner = |pid| {
        let mounts = model.mounts_of(process(pid)).unwrap();
        mounts.iter().find(|mount| mount.mountpoint == b"/var/inner").cloned()
    };
    let inner = inner(43).unwrap();
    assert_eq!(
        (inner.filesystem().as_ref(), inner.source.as_slice()),
        (&b"tmpfs"[..], &b"kitchen-inner"[..])
    );
    assert_eq!(model.mounts.len(), 2, "process 44 has its own mount namespace");
    assert_ne!(root.ids.known().unwrap().mount_namespace, process(44).ids.known().unwrap().mount_namespace);
}

#[test]
fn mappings_lead_to_the_shared_objects_that_hold_their_bytes() {
    let Some(folder) = corpus().map(|folder| folder.join("checkpoints")) else { return };
    for (name, hits) in [("kitchen", "kitchen.hits.jsonl"), ("criu-features", "criu-features.hits.jsonl")] {
        let (model, _) = Model::load(&unpack_one(&folder.join(format!("{name}.tar.zst"))));
        let mut through_objects = 0;
        let hits = read(&folder.join("truth").join(hits));
        for line in hits.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let hit: Value = serde_json::from_slice(line).unwrap();
            let Some(via) = hit["via"].as_str().filter(|_| hit["kind"] == "memory") else { continue };
            let process = model.processes.get(Pid(hit["pid"].as_u64().unwrap() as u32)).unwrap();
            let address = hit["addr"].as_str().unwrap().trim_start_matches("0x");
            let address = crate::ids::VirtualAddress(u64::from_str_radix(address, 16).unwrap());
            let mapping = process.memory.known().unwrap().mapping_at(address).unwrap();
            let object = model.files.shared_object(mapping).unwrap_or_else(|| panic!("{hit}"));
            assert!(via.ends_with(&format!("pagemap-shmem-{}.img", object.0)), "{object:?}: {hit}");
            through_objects += 1;
        }
        println!("{name}: {through_objects} needles in shared objects");
        assert!(through_objects > 0, "{name}");
    }
}
