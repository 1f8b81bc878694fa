//! What `/proc` said of processes before they were dumped, out of the two forms in which truth files have it.

use std::collections::BTreeMap;

use serde_json::Value;

/// A process as it was.
#[derive(Debug, Default)]
pub struct LiveProcess {
    /// As the dump has it.
    pub pid: u32,
    /// As the dump has it; 0 when the parent is not in the dump.
    pub ppid: u32,
    pub pgid: u32,
    pub sid: u32,
    pub comm: Vec<u8>,
    /// First letter of the state.
    pub state: char,
    /// Wait status of a zombie.
    pub exit_code: Option<u32>,
    pub exe: Option<Vec<u8>>,
    pub cwd: Option<Vec<u8>>,
    pub root: Option<Vec<u8>>,
    /// Lines of `/proc/PID/status`.
    pub status: BTreeMap<String, String>,
    pub loginuid: Option<u32>,
    pub oom_score_adj: Option<i32>,
    pub personality: Option<u32>,
    pub threads: BTreeMap<u32, LiveThread>,
    pub maps: Vec<LiveMapping>,
    pub fds: BTreeMap<u32, LiveDescriptor>,
    /// Soft and hard limits in the order of `/proc/PID/limits`.
    pub limits: Vec<(String, String)>,
}

#[derive(Debug, Default)]
pub struct LiveThread {
    pub comm: Vec<u8>,
    pub nice: Option<i32>,
    pub policy: Option<u32>,
    pub status: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct LiveMapping {
    pub start: u64,
    pub end: u64,
    pub perms: String,
    pub offset: u64,
    pub name: Vec<u8>,
}

#[derive(Debug)]
pub struct LiveDescriptor {
    pub link: Vec<u8>,
    /// Lines of `/proc/PID/fdinfo/FD`.
    pub info: Vec<String>,
}

/// Lines with one record each (`NAME.truth.jsonl`).
pub fn from_records(text: &[u8]) -> (BTreeMap<u32, LiveProcess>, Vec<Value>) {
    let mut processes: BTreeMap<u32, LiveProcess> = BTreeMap::new();
    let mut others = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(record) = serde_json::from_slice::<Value>(line) else {
            // Lone surrogates stand for bytes that are no UTF-8, which this reader of JSON refuses.
            let told = [&br#"{"src": "workload""#[..], br#"{"src": "proc", "kind": "rootfs""#];
            assert!(told.iter().any(|start| line.starts_with(start)), "{}", String::from_utf8_lossy(line));
            continue;
        };
        let kind = record["kind"].as_str().unwrap().to_owned();
        if record["src"] != "proc" || !["proc", "thread", "map", "procfd", "limit"].contains(&&*kind) {
            others.push(record);
            continue;
        }
        let pid = number(&record["pid"]);
        let process = processes.entry(pid).or_default();
        match &*kind {
            "proc" => process_record(process, pid, &record),
            "thread" => {
                let status = ["SigPnd", "SigBlk", "CapEff"];
                let thread = LiveThread {
                    comm: bytes(&record["comm"]).unwrap(),
                    nice: record["nice"].as_i64().map(|nice| nice as i32),
                    policy: record["policy"].as_u64().map(|policy| policy as u32),
                    status: status.iter().map(|key| ((*key).to_owned(), text_of(&record[*key]))).collect(),
                };
                process.threads.insert(number(&record["tid"]), thread);
            }
            "map" => process.maps.push(mapping(&record)),
            "procfd" => {
                let info = strings(&record["fdinfo"]);
                let link = bytes(&record["link"]).unwrap();
                process.fds.insert(number(&record["fd"]), LiveDescriptor { link, info });
            }
            _ => process.limits.push((text_of(&record["soft"]), text_of(&record["hard"]))),
        }
    }
    let pids: Vec<u32> = processes.keys().copied().collect();
    for process in processes.values_mut().filter(|process| !pids.contains(&process.ppid)) {
        process.ppid = 0;
    }
    (processes, others)
}

fn process_record(process: &mut LiveProcess, pid: u32, record: &Value) {
    process.pid = pid;
    process.ppid = number(&record["ppid"]);
    process.pgid = number(&record["pgid_ns"]);
    process.sid = number(&record["sid_ns"]);
    process.comm = bytes(&record["comm"]).unwrap();
    process.state = text_of(&record["state"]).chars().next().unwrap();
    process.exit_code = record["exit_code"].as_u64().map(|code| code as u32);
    process.exe = bytes(&record["exe"]);
    process.cwd = bytes(&record["cwd"]);
    process.root = bytes(&record["root"]);
    process.loginuid = text_of(&record["loginuid"]).parse().ok();
    process.oom_score_adj = text_of(&record["oom_score_adj"]).parse().ok();
    process.personality = u32::from_str_radix(&text_of(&record["personality"]), 16).ok();
    let mut put = |key: &str, value: &Value| {
        if let Some(text) = value.as_str() {
            process.status.insert(key.to_owned(), text.to_owned());
        }
    };
    put("Uid", &record["uid"]);
    put("Gid", &record["gid"]);
    put("Groups", &record["groups"]);
    put("Umask", &record["umask"]);
    put("NoNewPrivs", &record["no_new_privs"]);
    put("Seccomp", &record["seccomp"]);
    for part in ["caps", "signals"] {
        for (key, value) in record[part].as_object().unwrap() {
            put(key, value);
        }
    }
}

/// A list with one object for each process (`NAME.procs.json`).
pub fn from_procs(text: &[u8]) -> BTreeMap<u32, LiveProcess> {
    let list: Value = serde_json::from_slice(text).unwrap();
    let list = list.as_array().unwrap();
    // Parents are told by their number outside of the container.
    let inside = |outside: &str| {
        let parent = list.iter().find(|record| record["hostpid"].as_u64() == outside.parse().ok());
        parent.map_or(0, |record| number(&record["pid"]))
    };
    let processes = list.iter().map(|record| {
        let stat = record["stat"].as_str().unwrap();
        let after = stat.rsplit_once(')').unwrap().1;
        let stat: Vec<&str> = after.split_whitespace().collect();
        let status = status_of(&record["status"]);
        let last = |key: &str| {
            let text = status.get(key).unwrap_or_else(|| panic!("{key} of {}", record["pid"]));
            text.split_whitespace().next_back().unwrap().parse::<u32>().unwrap()
        };
        let threads = record["threads"].as_object().unwrap().iter().map(|(tid, thread)| {
            let stat = thread["stat"].as_str().unwrap().rsplit_once(')').unwrap().1;
            let stat: Vec<&str> = stat.split_whitespace().collect();
            let status = status_of(&thread["status"]);
            // In a pid namespace the number inside is the last one of NSpid.
            let inside =
                status.get("NSpid").and_then(|ids| ids.split_whitespace().next_back()).unwrap_or(tid);
            let thread = LiveThread {
                comm: escaped(&thread["comm"]),
                nice: stat[16].parse().ok(),
                policy: stat[38].parse().ok(),
                status: status.clone(),
            };
            (inside.parse().unwrap(), thread)
        });
        let fds = record["fds"].as_object().unwrap().iter().map(|(fd, facts)| {
            let descriptor =
                LiveDescriptor { link: escaped(&facts["link"]), info: strings(&facts["fdinfo"]) };
            (fd.parse().unwrap(), descriptor)
        });
        let limits = strings(&record["limits"]);
        let process = LiveProcess {
            pid: number(&record["pid"]),
            ppid: inside(stat[1]),
            pgid: last("NSpgid"),
            sid: last("NSsid"),
            comm: escaped(&record["comm"]),
            state: stat[0].chars().next().unwrap(),
            exit_code: stat[0].starts_with('Z').then(|| stat[49].parse().unwrap()),
            exe: link(&record["exe"]),
            cwd: link(&record["cwd"]),
            root: link(&record["root"]),
            loginuid: text_of(&record["loginuid"]).parse().ok(),
            oom_score_adj: text_of(&record["oom_score_adj"]).parse().ok(),
            personality: u32::from_str_radix(&text_of(&record["personality"]), 16).ok(),
            threads: threads.collect(),
            maps: record["maps"].as_array().unwrap().iter().map(mapping).collect(),
            fds: fds.collect(),
            limits: limits.iter().skip(1).map(|line| limit(line)).collect(),
            status,
        };
        (process.pid, process)
    });
    processes.collect()
}

/// A line of `/proc/PID/limits`: the name takes 26 columns, each limit 21.
fn limit(line: &str) -> (String, String) {
    (line[26..47].trim().to_owned(), line[47..68].trim().to_owned())
}

fn mapping(record: &Value) -> LiveMapping {
    let hex =
        |key: &str| u64::from_str_radix(record[key].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    LiveMapping {
        start: hex("start"),
        end: hex("end"),
        perms: text_of(&record["perms"]),
        offset: hex("offset"),
        name: bytes(&record["name"]).unwrap(),
    }
}

fn status_of(value: &Value) -> BTreeMap<String, String> {
    value.as_object().unwrap().iter().map(|(key, value)| (key.clone(), text_of(value))).collect()
}

fn link(value: &Value) -> Option<Vec<u8>> {
    Some(escaped(value)).filter(|link| !link.starts_with(b"!"))
}

/// Text in which bytes that are not UTF-8 stand as `\xNN`.
fn escaped(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// A text, or an object with its bytes in hexadecimal; `None` for null.
pub fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(object) => {
            let hex = object["hex"].as_str().unwrap().as_bytes();
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            Some(hex.chunks(2).map(byte).collect())
        }
        _ => None,
    }
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap_or_else(|| panic!("{value}")) as u32
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(text_of).collect()
}
