//! Against checkpointctl's output, where it is right.

use serde_json::Value;

use super::super::*;
use super::corpus::{corpus, read, unpack_one};
use crate::ids::Pid;

/// Archives that checkpointctl 1.5.0 reads, and the name of its output's folder.
const ARCHIVES: [(&str, &str); 8] = [
    ("counter.tar.zst", "counter"),
    ("counter-later.tar.zst", "counter-later"),
    ("counter-crio.tar.zst", "counter-crio"),
    ("counter-containerd.tar.zst", "counter-containerd"),
    ("counter-runc.tar.zst", "counter-runc"),
    ("redis.tar.zst", "redis"),
    ("tiny.tar", "tiny"),
    ("pre-final.tar.zst", "pre-final"),
];

#[test]
fn processes_files_and_sockets_are_those_of_checkpointctl() {
    let Some(folder) = corpus().map(|folder| folder.join("checkpoints")) else { return };
    let mut sockets = 0;
    for (archive, name) in ARCHIVES {
        let (model, findings) = Model::load(&unpack_one(&folder.join(archive)));
        assert!(findings.gaps.is_empty(), "{name}: {:#?}", findings.gaps);
        let golden = |what: &str| -> Value {
            let path = folder.join(format!("golden/{name}/checkpointctl/inspect-{what}.json.out"));
            serde_json::from_slice::<Value>(&read(&path)).unwrap()[0].take()
        };
        tree(&model, &golden("ps-tree")["process_tree"]);
        files(&model, &golden("files")["file_descriptors"]);
        sockets += self::sockets(&model, &golden("sockets")["sockets"]);
    }
    assert!(sockets > 0);
}

fn tree(model: &Model, golden: &Value) {
    let mut left = vec![golden];
    let mut count = 0;
    while let Some(golden) = left.pop() {
        let pid = Pid(golden["pid"].as_u64().unwrap() as u32);
        let process = model.processes.get(pid).unwrap();
        assert_eq!(
            String::from_utf8_lossy(process.command.known().unwrap()),
            golden["command"].as_str().unwrap()
        );
        assert_eq!(process.state.known().unwrap().name(), golden["task_state"]);
        let children = golden["children"].as_array().map_or(&[][..], Vec::as_slice);
        // The peer's order of children is random.
        let mut told: Vec<u32> = children.iter().map(|child| child["pid"].as_u64().unwrap() as u32).collect();
        told.sort_unstable();
        let mut found: Vec<u32> = model.processes.children(pid).map(|child| child.pid.0).collect();
        found.sort_unstable();
        assert_eq!(found, told);
        left.extend(children);
        count += 1;
    }
    assert_eq!(count, model.processes.len());
}

fn files(model: &Model, golden: &Value) {
    let golden = golden.as_array().unwrap();
    assert_eq!(golden.len(), model.processes.len());
    for golden in golden {
        let process = model.processes.get(Pid(golden["pid"].as_u64().unwrap() as u32)).unwrap();
        let told = golden["open_files"].as_array().unwrap().iter().map(|file| {
            let text = |key: &str| file[key].as_str().unwrap().to_owned();
            (text("type"), text("fd"), text("path"))
        });
        assert_eq!(lines(model, process), told.collect::<Vec<_>>());
    }
}

/// Type, descriptor and text of each open file, then the directories.
fn lines(model: &Model, process: &Process) -> Vec<(String, String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let open = process.open_files.known().unwrap().iter().map(|open| {
        let name = open.file_type.to_string();
        (name.clone(), format!("{name} {}", open.fd), text(&model.files.text(open)))
    });
    let directories = process.directories.known().unwrap();
    let directories = [("cwd", directories.working), ("root", directories.root)];
    let directories =
        directories.map(|(name, id)| (String::new(), name.to_owned(), text(&model.files.path_text(id))));
    open.chain(directories).collect()
}

fn sockets(model: &Model, golden: &Value) -> usize {
    let mut count = 0;
    let golden = golden.as_array().map_or(&[][..], Vec::as_slice);
    for golden in golden {
        let process = model.processes.get(Pid(golden["pid"].as_u64().unwrap() as u32)).unwrap();
        let told = golden["open_sockets"].as_array().unwrap();
        let found: Vec<&Socket> = model.sockets(process).map(|(_, socket)| socket).collect();
        assert_eq!(found.len(), told.len());
        for (socket, told) in found.into_iter().zip(told) {
            let data = &told["data"];
            assert_eq!(socket.protocol_name(), told["protocol"]);
            assert_eq!(socket.state.known().unwrap().name().unwrap(), data["state"]);
            let inet = socket.inet().unwrap();
            for (address, key) in [(&inet.local, "src"), (&inet.remote, "dst")] {
                let address = address.known().unwrap();
                assert_eq!(address.ip().to_string(), data[key]);
                assert_eq!(u64::from(address.port()), data[format!("{key}_port")].as_u64().unwrap_or(0));
            }
            assert_eq!(size(socket.send_buffer), data["send_buf"]);
            assert_eq!(size(socket.receive_buffer), data["recv_buf"]);
            count += 1;
        }
    }
    count
}

fn size(bytes: u32) -> String {
    if bytes < 1 << 20 {
        format!("{:.1} KB", f64::from(bytes) / 1024.0)
    } else {
        format!("{:.1} MB", f64::from(bytes) / f64::from(1 << 20))
    }
}

#[test]
fn files_of_every_type_have_the_text_of_checkpointctl() {
    let Some(folder) = corpus().map(|folder| folder.join("checkpoints")) else { return };
    let (model, _) = Model::load(&unpack_one(&folder.join("kitchen.tar.zst")));
    let golden = read(&folder.join("golden/kitchen/checkpointctl/inspect-files.txt"));
    let golden = String::from_utf8_lossy(&golden);
    let mut rest = &*golden;
    let mut expect = |line: &str| {
        let at = rest.find(line).unwrap_or_else(|| panic!("not in its place: {line:?}"));
        rest = &rest[at + line.len()..];
    };
    let mut types = std::collections::BTreeSet::new();
    for (_, process) in model.processes.depth_first() {
        expect(&format!("[{}", process.pid));
        if process.is_zombie() {
            continue;
        }
        for (file_type, descriptor, text) in lines(&model, process) {
            // A newline in a name breaks the peer's line.
            expect(&format!("[{descriptor}]  {}", text.split('\n').next().unwrap()));
            types.insert(file_type);
        }
    }
    assert!(types.len() >= 16, "{types:?}");
}
