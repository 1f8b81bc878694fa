//! How a process is told: its line in the tree, its object in JSON.

use container_checkpoint::gap::Field;
use container_checkpoint::model::{Architecture, ExitStatus, File, Process, TaskState, signal_name};
use serde_json::{Map, Value, json};

use super::Inspection;
use crate::present::json::{text_fields, text_list_fields};
use crate::present::text::Text;

/// Why there is no value, for a line of text.
pub fn absent<T>(field: &Field<T>) -> String {
    match field {
        Field::Known(_) => String::new(),
        Field::Unreadable(why) => format!("(unreadable: {why})"),
        Field::Unparsable(why) => format!("(unparsable: {why})"),
        Field::NotCaptured => "(not captured)".into(),
        Field::NotApplicable => "(none)".into(),
    }
}

/// `[PID]  command`, the state if it is no living process, and with command lines those in place of the name.
pub fn line(inspection: &Inspection<'_>, process: &Process) -> Text {
    let architecture = inspection.architecture;
    let state = match process.state.known() {
        Some(TaskState::Alive) => String::new(),
        Some(TaskState::Stopped { signal }) => signal.map_or_else(
            || " (Stopped)".into(),
            |signal| format!(" (Stopped by {})", signal_name(signal, architecture)),
        ),
        Some(state) if state.is_zombie() => {
            format!(" (Zombie, {})", exit_text(&process.exit_status, architecture))
        }
        Some(TaskState::Unknown(number)) => format!(" (state {number})"),
        Some(_) => String::new(),
        None => " (state unknown)".into(),
    };
    let origin = match odd_origin(inspection, process) {
        Some(Origin::Deleted) => " (its executable was deleted)",
        Some(Origin::Memory) => " (its executable is in memory only)",
        None => "",
    };
    named(inspection, process, Text::own(format_args!("[{}{state}]  ", process.pid))).and(origin)
}

/// The name or command line of a process, behind what stands before it.
fn named(inspection: &Inspection<'_>, process: &Process, text: Text) -> Text {
    let arguments = inspection.command_lines.get(&process.pid).map(|line| &line.arguments);
    match (arguments, &process.command) {
        (Some(Field::Known(arguments)), command) if inspection.parts.ps_tree_cmd && !arguments.is_empty() => {
            let text = text.and_evidence(joined(arguments));
            match command {
                // A process that renamed itself would be lost behind its command line.
                Field::Known(command) if !names_itself(arguments, command) => {
                    text.and("  (").and_evidence(command).and(")")
                }
                _ => text,
            }
        }
        (Some(missing), Field::Known(command))
            if inspection.parts.ps_tree_cmd && missing.known().is_none() =>
        {
            text.and_evidence(command).and("  ").and(Text::evidence(absent(missing)))
        }
        (_, Field::Known(command)) => text.and_evidence(command),
        (_, missing) => text.and(Text::evidence(absent(missing))),
    }
}

/// Where an executable is that is no file any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// In a file without a name.
    Deleted,
    /// In a memory file.
    Memory,
}

/// Whether a process runs from something that can't be found by its path.
fn odd_origin(inspection: &Inspection<'_>, process: &Process) -> Option<Origin> {
    let files = &inspection.model.as_ref()?.files;
    let id = *process.executable().known()?;
    match files.with_path(id).and_then(File::regular) {
        Some(regular) => regular.deleted.is_some().then_some(Origin::Deleted),
        None => files.get(id)?.memfd().map(|_| Origin::Memory),
    }
}

/// The arguments with blanks between them, as ps shows them. Empty ones as two quotes, so that they are seen; several at the end, which a title
/// written over the arguments leaves, are counted.
fn joined(arguments: &[Vec<u8>]) -> Vec<u8> {
    let empty_at_end = arguments.iter().rev().take_while(|argument| argument.is_empty()).count();
    let counted = if empty_at_end > 1 { empty_at_end } else { 0 };
    let counted_text = format!("''\u{d7}{counted}");
    let mut shown: Vec<&[u8]> = arguments[..arguments.len() - counted]
        .iter()
        .map(|argument| if argument.is_empty() { &b"''"[..] } else { argument })
        .collect();
    if counted > 0 {
        shown.push(counted_text.as_bytes());
    }
    shown.join(&b' ')
}

/// Whether the name of the process can be told from its arguments: the kernel makes it of the executable's name.
fn names_itself(arguments: &[Vec<u8>], command: &[u8]) -> bool {
    let base = |path: &Vec<u8>| path.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
    // Of a script, the interpreter stands first and the name is the script's.
    arguments.iter().take(4).any(|argument| base(argument).starts_with(command))
}

fn exit_text(status: &Field<ExitStatus>, architecture: Architecture) -> String {
    match status {
        Field::Known(ExitStatus::Exited(code)) => format!("exit code {code}"),
        Field::Known(ExitStatus::Killed { signal, core_dumped }) => {
            let dumped = if *core_dumped { ", core dumped" } else { "" };
            format!("killed by {}{dumped}", signal_name(*signal, architecture))
        }
        _ => "exit status unknown".into(),
    }
}

/// The process's object, without its children.
pub fn object(inspection: &Inspection<'_>, process: &Process) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("pid".into(), process.pid.0.into());
    if let Field::Known(command) = &process.command {
        text_fields(&mut map, "command", command);
    }
    let line = inspection.command_lines.get(&process.pid);
    if inspection.parts.ps_tree_cmd
        && let Some(Field::Known(arguments)) = line.map(|line| &line.arguments)
    {
        text_fields(&mut map, "cmdline", &arguments.join(&b' '));
        text_list_fields(&mut map, "arguments", arguments);
    }
    if let Some(state) = process.state.known() {
        // What CRIU writes as dead is a zombie: it has not been waited for.
        let name = if state.is_zombie() { "Zombie" } else { state.name() };
        map.insert("task_state".into(), name.into());
    }
    if let Field::Known(status) = process.exit_status {
        map.insert(
            "exit_status".into(),
            match status {
                ExitStatus::Exited(code) => json!({ "code": code }),
                ExitStatus::Killed { signal, core_dumped } => {
                    json!({ "signal": signal, "core_dumped": core_dumped })
                }
            },
        );
    }
    let mut number = |key: &str, field: Option<u32>| {
        if let Some(value) = field {
            map.insert(key.into(), value.into());
        }
    };
    number("ppid", process.ppid.known().map(|pid| pid.0));
    number("pgid", process.pgid.known().map(|pid| pid.0));
    number("sid", process.sid.known().map(|pid| pid.0));
    if let Field::Known(credentials) = process.credentials() {
        number("uid", Some(credentials.uid));
        number("gid", Some(credentials.gid));
        number("euid", Some(credentials.euid));
        number("egid", Some(credentials.egid));
    }
    let threads: Vec<Value> = process.threads.iter().map(thread).collect();
    if threads.len() > 1 {
        map.insert("threads".into(), threads.into());
    }
    if let (Field::Known(executable), Some(model)) = (process.executable(), &inspection.model)
        && let Some(path) = model.files.path(executable)
    {
        text_fields(&mut map, "executable", &path);
        if let Some(origin) = odd_origin(inspection, process) {
            map.insert("executable_deleted".into(), true.into());
            map.insert("executable_in_memory".into(), (origin == Origin::Memory).into());
        }
    }
    if inspection.parts.ps_tree_env
        && let Some(Field::Known(environment)) = line.map(|line| &line.environment)
    {
        map.insert("environment_variables".into(), variables(environment));
        text_list_fields(&mut map, "environment", environment);
    }
    map
}

fn thread(thread: &container_checkpoint::model::Thread) -> Value {
    let mut map = Map::new();
    map.insert("tid".into(), thread.tid.0.into());
    if let Field::Known(command) = &thread.command {
        text_fields(&mut map, "command", command);
    }
    Value::Object(map)
}

/// Names and values as checkpointctl has them. Of a name that occurs twice the last one stays; `environment` beside it has them all, in order.
fn variables(environment: &[Vec<u8>]) -> Value {
    let mut map = Map::new();
    for variable in environment {
        let at = variable.iter().position(|&byte| byte == b'=').unwrap_or(variable.len());
        let (name, value) = variable.split_at(at);
        text_fields(&mut map, &String::from_utf8_lossy(name), value.strip_prefix(b"=").unwrap_or(value));
    }
    Value::Object(map)
}
