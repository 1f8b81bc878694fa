//! `RTM_NEWRULE`: a rule that chooses a routing table, with the keys of `ip -json rule`.

use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};

use super::attributes::{self, Unnamed, prefix};
use super::names;
use crate::raw::{Object, Value};

/// Length of `struct fib_rule_hdr`, in bytes.
const HEADER: usize = 12;

pub(super) fn decode(content: &[u8]) -> Result<Object, DecodeError> {
    let message = RuleMessage::parse(content)?;
    let header = &message.header;
    let find = |wanted: fn(&RuleAttribute) -> Option<u32>| message.attributes.iter().find_map(wanted);
    // The kernel leaves the attribute out for the first rule, whose priority is 0.
    let priority = find(|attribute| match attribute {
        RuleAttribute::Priority(priority) => Some(*priority),
        _ => None,
    });
    let table = find(|attribute| match attribute {
        RuleAttribute::Table(table) => Some(*table),
        _ => None,
    });
    let source = message.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Source(address) => Some(*address),
        _ => None,
    });
    let mut members = vec![
        ("family", names::named(names::FAMILIES, u8::from(header.family).into())),
        ("priority", priority.unwrap_or(0).into()),
        ("src", prefix(source, header.src_len, "all")),
        ("action", names::named(names::RULE_ACTIONS, u8::from(header.action).into())),
        ("table", table.unwrap_or(header.table.into()).into()),
        ("flags", names::flags(names::RULE_FLAGS, header.flags.bits())),
    ];
    if header.tos != 0 {
        members.push(("tos", header.tos.into()));
    }
    let mut unnamed = Unnamed::default();
    for (attribute, raw) in message.attributes.iter().zip(attributes::raw(content, HEADER)?) {
        let member = match attribute {
            RuleAttribute::Priority(_) | RuleAttribute::Table(_) | RuleAttribute::Source(_) => continue,
            RuleAttribute::Destination(address) => ("dst", prefix(Some(*address), header.dst_len, "all")),
            RuleAttribute::Iifname(name) => ("iif", name.as_str().into()),
            RuleAttribute::Oifname(name) => ("oif", name.as_str().into()),
            RuleAttribute::Goto(priority) => ("goto", (*priority).into()),
            RuleAttribute::FwMark(mark) => ("fwmark", Value::Hex((*mark).into())),
            RuleAttribute::FwMask(mask) => ("fwmask", Value::Hex((*mask).into())),
            // All bits set means that nothing is suppressed: iproute2 prints that as if it were absent.
            RuleAttribute::SuppressPrefixLen(u32::MAX) | RuleAttribute::SuppressIfGroup(u32::MAX) => continue,
            RuleAttribute::SuppressPrefixLen(length) => ("suppress_prefixlen", (*length).into()),
            RuleAttribute::SuppressIfGroup(group) => ("suppress_ifgroup", (*group).into()),
            RuleAttribute::L3MDev(value) => ("l3mdev", Value::Bool(*value)),
            RuleAttribute::UidRange(range) => {
                members.push(("uid_start", range.start.into()));
                ("uid_end", range.end.into())
            }
            RuleAttribute::Protocol(protocol) => {
                ("protocol", names::named(names::ROUTE_PROTOCOLS, u8::from(*protocol).into()))
            }
            RuleAttribute::SourcePortRange(range) => {
                ("sport", format!("{}-{}", range.start, range.end).into())
            }
            RuleAttribute::DestinationPortRange(range) => {
                ("dport", format!("{}-{}", range.start, range.end).into())
            }
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
