//! Open sockets: their lines in the tree, their objects in JSON.

use std::collections::HashMap;
use std::net::SocketAddr;

use container_checkpoint::gap::Field;
use container_checkpoint::ids::FileId;
use container_checkpoint::model::{Model, Process, Socket, SocketFamily};
use serde_json::{Map, Value};

use crate::present::bytes::size_text;
use crate::present::json::text_fields;
use crate::present::text::Text;

/// The sockets of a process, each once, with all descriptors that are open on it.
pub fn of_process<'m>(model: &'m Model, process: &'m Process) -> Vec<(Vec<u32>, &'m Socket)> {
    let mut sockets: Vec<(Vec<u32>, &Socket)> = Vec::new();
    let mut known: HashMap<FileId, usize> = HashMap::new();
    for (open, socket) in model.sockets(process) {
        let number = *known.entry(open.file).or_insert_with(|| {
            sockets.push((Vec::new(), socket));
            sockets.len() - 1
        });
        sockets[number].0.push(open.fd);
    }
    sockets
}

/// `[TCP (LISTEN)]  0.0.0.0:8088 -> 0.0.0.0:0 (↑ 16.0 KB ↓ 128.0 KB)`.
pub fn line(descriptors: &[u32], socket: &Socket) -> Text {
    let state = match (socket.unix(), socket.socket_type.known(), socket.state.known()) {
        (Some(_), Some(kind), _) => kind.name().map(str::to_owned),
        (None, _, Some(state)) if socket.protocol_name().starts_with("TCP") => {
            state.name().map(str::to_owned)
        }
        _ => None,
    };
    let text = Text::evidence(socket.protocol_name());
    let text = match state {
        Some(state) => Text::own("[").and(text).and(format_args!(" ({state})]  ")),
        None => Text::own("[").and(text).and("]  "),
    };
    let text = match socket.inet() {
        Some(inet) => text.and(address_text(&inet.local)).and(" -> ").and(address_text(&inet.remote)),
        None => match shown(socket) {
            name if name.is_empty() => text.and("(unnamed)"),
            name => text.and_evidence(name),
        },
    };
    let fds: Vec<String> = descriptors.iter().map(u32::to_string).collect();
    text.and(format_args!(
        " (↑ {} ↓ {}; fd {})",
        buffer_text(socket.send_buffer),
        buffer_text(socket.receive_buffer),
        fds.join(", ")
    ))
}

/// checkpointctl's object: protocol and data, and the descriptors.
pub fn object(descriptors: &[u32], socket: &Socket) -> Value {
    let mut data = Map::new();
    if socket.unix().is_some() {
        if let Some(name) = socket.socket_type.known().and_then(|kind| kind.name()) {
            data.insert("type".into(), name.into());
        }
        text_fields(&mut data, "address", &shown(socket));
    } else if let Some(inet) = socket.inet() {
        data.insert("type".into(), socket.protocol_name().into());
        put_address(&mut data, "src", &inet.local);
        put_address(&mut data, "dst", &inet.remote);
    } else {
        text_fields(&mut data, "address", &shown(socket));
    }
    if let Some(state) = socket.state.known().and_then(|state| state.name()) {
        data.insert("state".into(), state.into());
    }
    data.insert("send_buf".into(), buffer_text(socket.send_buffer).into());
    data.insert("recv_buf".into(), buffer_text(socket.receive_buffer).into());
    let mut map = Map::new();
    map.insert("protocol".into(), socket.protocol_name().into());
    map.insert("data".into(), data.into());
    map.insert("fds".into(), descriptors.into());
    if let Field::Known(inode) = socket.inode {
        map.insert("inode".into(), inode.into());
    }
    Value::Object(map)
}

/// What a socket without internet addresses is bound to.
fn shown(socket: &Socket) -> Vec<u8> {
    match &socket.family {
        SocketFamily::Unix(unix) => unix.name().shown(),
        SocketFamily::Netlink(netlink) => {
            format!("protocol {}, port {}", netlink.protocol, netlink.port).into_bytes()
        }
        SocketFamily::Packet(packet) => {
            format!("protocol {:#06x}, interface {}", packet.protocol, packet.interface_index).into_bytes()
        }
        SocketFamily::Inet(_) => Vec::new(),
    }
}

fn put_address(data: &mut Map<String, Value>, key: &str, address: &Field<SocketAddr>) {
    if let Field::Known(address) = address {
        data.insert(key.into(), address.ip().to_string().into());
        data.insert(format!("{key}_port"), address.port().into());
    }
}

fn address_text(address: &Field<SocketAddr>) -> String {
    address.known().map_or_else(|| super::processes::absent(address), ToString::to_string)
}

/// As checkpointctl writes buffers: `16.0 KB`, by 1024.
fn buffer_text(bytes: u32) -> String {
    size_text(bytes.into()).replace("iB", "B")
}
