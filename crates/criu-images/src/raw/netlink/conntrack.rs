//! `IPCTNL_MSG_CT_NEW`: a connection that the packet filter tracks, with the words of `conntrack -L`.

use netlink_packet_core::{DecodeError, ParseableParametrized};
use netlink_packet_netfilter::NetfilterHeader;
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoInfo, ProtoInfoTCP, ProtoTuple, Tuple,
};

use super::attributes::{self, Unnamed};
use super::names;
use crate::raw::{Object, Value};

/// Length of `struct nfgenmsg`, in bytes.
const HEADER: usize = 4;

pub(super) fn decode(content: &[u8]) -> Result<Object, DecodeError> {
    let header = NetfilterHeader::parse(content)?;
    let attributes = content.get(HEADER..).unwrap_or_default();
    let mut members = vec![("family", names::named(names::FAMILIES, u8::from(header.family).into()))];
    let ConntrackMessage::New(parsed) = ConntrackMessage::parse_with_param(attributes, 0)? else {
        members.push(("bytes", Value::Bytes(attributes.to_vec())));
        return Ok(members);
    };
    let mut unnamed = Unnamed::default();
    for (attribute, raw) in parsed.iter().zip(attributes::raw(content, HEADER)?) {
        let member = match attribute {
            ConntrackAttribute::CtaTupleOrig(parts) => tuple(parts).map(|it| ("orig", it)),
            ConntrackAttribute::CtaTupleReply(parts) => tuple(parts).map(|it| ("reply", it)),
            ConntrackAttribute::CtaProtoInfo(parts) => tcp(parts).map(|it| ("tcp", it)),
            ConntrackAttribute::CtaStatus(status) => {
                Some(("status", names::flags(names::CONNECTION_STATUS, status.bits())))
            }
            // Seconds.
            ConntrackAttribute::CtaTimeout(seconds) => Some(("timeout", (*seconds).into())),
            ConntrackAttribute::CtaMark(mark) => Some(("mark", (*mark).into())),
            _ => None,
        };
        match member {
            Some(member) => members.push(member),
            None => unnamed.push(raw),
        }
    }
    unnamed.finish(&mut members);
    Ok(members)
}

/// Returns one direction of a connection; `None` if something in it has no name here.
fn tuple(parts: &[Tuple]) -> Option<Value> {
    let mut members = Object::new();
    for part in parts {
        match part {
            Tuple::Ip(addresses) => {
                for address in addresses {
                    members.push(match address {
                        IPTuple::SourceAddress(address) => ("src", address.to_string().into()),
                        IPTuple::DestinationAddress(address) => ("dst", address.to_string().into()),
                        _ => return None,
                    });
                }
            }
            Tuple::Proto(numbers) => {
                for number in numbers {
                    members.push(match number {
                        ProtoTuple::Protocol(protocol) => {
                            ("protocol", names::named(names::IP_PROTOCOLS, u8::from(*protocol).into()))
                        }
                        ProtoTuple::SourcePort(port) => ("sport", (*port).into()),
                        ProtoTuple::DestinationPort(port) => ("dport", (*port).into()),
                        _ => return None,
                    });
                }
            }
            _ => return None,
        }
    }
    Some(Value::Object(members))
}

/// Returns what is known of a TCP connection; `None` if it is another protocol.
fn tcp(parts: &[ProtoInfo]) -> Option<Value> {
    let mut members = Object::new();
    for part in parts {
        let ProtoInfo::TCP(facts) = part else { return None };
        for fact in facts {
            let flags = |flags: u8, mask: u8| {
                Value::Object(vec![("flags", Value::Hex(flags.into())), ("mask", Value::Hex(mask.into()))])
            };
            members.push(match fact {
                ProtoInfoTCP::State(state) => ("state", names::named(names::TCP_STATES, (*state).into())),
                ProtoInfoTCP::OriginalWindowScale(scale) => ("orig_wscale", (*scale).into()),
                ProtoInfoTCP::ReplyWindowScale(scale) => ("reply_wscale", (*scale).into()),
                ProtoInfoTCP::OriginalFlags(it) => ("orig_flags", flags(it.flags, it.mask)),
                ProtoInfoTCP::ReplyFlags(it) => ("reply_flags", flags(it.flags, it.mask)),
                _ => return None,
            });
        }
    }
    Some(Value::Object(members))
}
