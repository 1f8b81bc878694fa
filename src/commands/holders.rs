//! Who holds a store: processes that run from it, have it open or mapped.

use checkpoint_forensics::stores::Holder;
use container_checkpoint::ids::Pid;
use serde_json::{Map, Value};

use crate::present::json::{address as json_address, text_fields};
use crate::present::text::Text;

/// So many holders are told one by one in a table.
const HOLDERS_TOLD: usize = 6;

/// Who holds something, in short: `5 exe, 1 fd 3`.
pub fn holders_text(holders: &[Holder]) -> Text {
    let mut words: Vec<String> = Vec::new();
    for holder in holders {
        let text = match holder {
            Holder::Executable(pid) => format!("{pid} exe"),
            Holder::Descriptor(pid, fd) => format!("{pid} fd {fd}"),
            Holder::Mapping(pid, _) => format!("{pid} mapped"),
            Holder::Thread(pid, tid) => format!("{pid} thread {tid}"),
        };
        if !words.contains(&text) {
            words.push(text);
        }
    }
    let untold = words.len().saturating_sub(HOLDERS_TOLD);
    words.truncate(HOLDERS_TOLD);
    if untold > 0 {
        words.push(format!("{untold} more"));
    }
    Text::own(words.join(", "))
}

/// Who holds something, for JSON; with the names of processes where they are known.
pub fn holders_json<'c>(holders: &[Holder], command: impl Fn(Pid) -> Option<&'c [u8]>) -> Value {
    let json = |holder: &Holder| {
        let mut map = Map::new();
        map.insert("pid".into(), holder.pid().0.into());
        if let Some(command) = command(holder.pid()) {
            text_fields(&mut map, "command", command);
        }
        match holder {
            Holder::Executable(_) => drop(map.insert("executable".into(), true.into())),
            Holder::Descriptor(_, fd) => drop(map.insert("fd".into(), (*fd).into())),
            Holder::Mapping(_, address) => {
                map.insert("mapped_at".into(), json_address(address.0));
            }
            Holder::Thread(_, tid) => drop(map.insert("tid".into(), tid.0.into())),
        }
        Value::Object(map)
    };
    holders.iter().map(json).collect()
}
