//! The attributes of a message, by name where they have one here, as number and bytes where not.

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, NlasIterator};

use crate::raw::{Object, Value};

/// Attributes without a name here.
#[derive(Default)]
pub(super) struct Unnamed {
    list: Vec<Value>,
}

impl Unnamed {
    /// Takes an attribute as it stands in the message.
    pub fn push(&mut self, (number, bytes): (u16, &[u8])) {
        self.list.push(Value::Object(vec![("type", number.into()), ("bytes", Value::Bytes(bytes.to_vec()))]));
    }

    /// Adds the list to the members of an entry, if it is not empty.
    pub fn finish(self, members: &mut Object) {
        if !self.list.is_empty() {
            members.push(("attributes", Value::List(self.list)));
        }
    }
}

/// Returns number and bytes of each attribute behind a message's own header of so many bytes, in order.
pub(super) fn raw(content: &[u8], header: usize) -> Result<Vec<(u16, &[u8])>, DecodeError> {
    let mut rest = content.get(header..).unwrap_or_default();
    let mut all = Vec::new();
    for attribute in NlasIterator::new(rest) {
        let attribute = attribute?;
        // The iterator has checked the length; its view ends with it, ours stays.
        let length = usize::from(attribute.length());
        let value = rest.get(4..length).unwrap_or_default();
        all.push((attribute.kind(), value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(all)
}

/// Returns an address with the length of its prefix, as iproute2 prints it: `default` for all addresses, no length for
/// a single one.
pub(super) fn prefix(address: Option<IpAddr>, length: u8, all: &str) -> Value {
    match address {
        None if length == 0 => Value::from(all),
        None => Value::from(format!("?/{length}")),
        Some(address) => {
            let whole = if address.is_ipv4() { 32 } else { 128 };
            Value::from(if length == whole { address.to_string() } else { format!("{address}/{length}") })
        }
    }
}
