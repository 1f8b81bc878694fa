//! `RTM_NEWADDR`: an address of an interface, with the keys of `ip -json address`.

use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};

use super::attributes::{self, Unnamed};
use super::names;
use crate::raw::{Object, Value};

/// Length of `struct ifaddrmsg`, in bytes.
const HEADER: usize = 8;

pub(super) fn decode(content: &[u8]) -> Result<Object, DecodeError> {
    let message = AddressMessage::parse(content)?;
    let header = &message.header;
    // Since Linux 3.14 an attribute has all flags; the header has the low eight.
    let flags = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(flags.bits()),
        _ => None,
    });
    let flags = flags.unwrap_or(header.flags.bits().into());
    let mut members = vec![
        ("family", names::named(names::FAMILIES, u8::from(header.family).into())),
        ("ifindex", header.index.into()),
        ("prefixlen", header.prefix_len.into()),
        ("scope", names::named(names::SCOPES, u8::from(header.scope).into())),
        ("flags", names::flags(names::ADDRESS_FLAGS, flags)),
    ];
    let mut unnamed = Unnamed::default();
    for (attribute, raw) in message.attributes.iter().zip(attributes::raw(content, HEADER)?) {
        let member = match attribute {
            AddressAttribute::Address(address) => ("address", address.to_string().into()),
            AddressAttribute::Local(address) => ("local", address.to_string().into()),
            AddressAttribute::Broadcast(address) => ("broadcast", address.to_string().into()),
            AddressAttribute::Anycast(address) => ("anycast", address.to_string().into()),
            AddressAttribute::Multicast(address) => ("multicast", address.to_string().into()),
            AddressAttribute::Label(label) => ("label", label.as_str().into()),
            AddressAttribute::RoutePriority(metric) => ("metric", (*metric).into()),
            AddressAttribute::Protocol(protocol) => {
                ("protocol", names::named(names::ADDRESS_PROTOCOLS, u8::from(*protocol).into()))
            }
            // Seconds; 2^32 - 1 is for ever. When the address was made and changed is in hundredths of a second of
            // the dumped machine's uptime.
            AddressAttribute::CacheInfo(info) => {
                members.push(("valid_life_time", info.ifa_valid.into()));
                members.push(("preferred_life_time", info.ifa_preferred.into()));
                members.push(("created", info.cstamp.into()));
                ("updated", info.tstamp.into())
            }
            AddressAttribute::TargetNetNsId(id) => ("link_netnsid", Value::Signed((*id).into())),
            AddressAttribute::Flags(_) => continue,
            _ => {
                unnamed.push(raw);
                continue;
            }
        };
        members.push(member);
    }
    unnamed.finish(&mut members);
    Ok(members)
}
