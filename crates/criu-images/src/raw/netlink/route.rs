//! `RTM_NEWROUTE`: a route, with the keys of `ip -json route`. Interfaces are numbers (`ifindex`): their names are in
//! the image of the network devices.

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteNextHop, RouteVia,
};

use super::attributes::{self, Unnamed, prefix};
use super::names;
use crate::raw::{Object, Value};

/// Length of `struct rtmsg`, in bytes.
const HEADER: usize = 12;

pub(super) fn decode(content: &[u8]) -> Result<Object, DecodeError> {
    let message = RouteMessage::parse(content)?;
    let header = &message.header;
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(to) => ip(to),
        _ => None,
    });
    // The attribute has numbers above 255, too.
    let table = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    let mut members = vec![
        ("family", names::named(names::FAMILIES, u8::from(header.address_family).into())),
        ("type", names::named(names::ROUTE_TYPES, u8::from(header.kind).into())),
        ("dst", prefix(destination, header.destination_prefix_length, "default")),
        ("table", table.unwrap_or(header.table.into()).into()),
        ("protocol", names::named(names::ROUTE_PROTOCOLS, u8::from(header.protocol).into())),
        ("scope", names::named(names::SCOPES, u8::from(header.scope).into())),
        ("flags", names::flags(names::ROUTE_FLAGS, header.flags.bits())),
    ];
    if header.tos != 0 {
        members.push(("tos", header.tos.into()));
    }
    let mut unnamed = Unnamed::default();
    for (attribute, raw) in message.attributes.iter().zip(attributes::raw(content, HEADER)?) {
        match attribute {
            RouteAttribute::Destination(to) if ip(to).is_some() => {}
            RouteAttribute::Table(_) => {}
            RouteAttribute::Source(from) if ip(from).is_some() => {
                members.push(("src", prefix(ip(from), header.source_prefix_length, "all")));
            }
            RouteAttribute::MultiPath(hops) if hops.iter().all(is_simple) => {
                let hops = hops.iter().map(|hop| Value::Object(next_hop(hop))).collect();
                members.push(("nexthops", Value::List(hops)));
            }
            attribute => match member(attribute) {
                Some(member) => members.push(member),
                None => unnamed.push(raw),
            },
        }
    }
    unnamed.finish(&mut members);
    Ok(members)
}

/// Returns an attribute that needs no other to be understood, under its name.
fn member(attribute: &RouteAttribute) -> Option<(&'static str, Value)> {
    Some(match attribute {
        RouteAttribute::Gateway(gateway) => ("gateway", ip(gateway)?.to_string().into()),
        RouteAttribute::PrefSource(source) => ("prefsrc", ip(source)?.to_string().into()),
        RouteAttribute::Via(RouteVia::Inet(gateway)) => ("via", gateway.to_string().into()),
        RouteAttribute::Via(RouteVia::Inet6(gateway)) => ("via", gateway.to_string().into()),
        RouteAttribute::Iif(index) => ("iif", (*index).into()),
        RouteAttribute::Oif(index) => ("oif", (*index).into()),
        RouteAttribute::Priority(metric) => ("metric", (*metric).into()),
        RouteAttribute::Mark(mark) => ("mark", Value::Hex((*mark).into())),
        RouteAttribute::Uid(uid) => ("uid", (*uid).into()),
        RouteAttribute::NhId(id) => ("nhid", (*id).into()),
        RouteAttribute::Expires(seconds) => ("expires", (*seconds).into()),
        RouteAttribute::Preference(preference) => {
            ("pref", names::named(names::ROUTER_PREFERENCES, u8::from(*preference).into()))
        }
        RouteAttribute::Metrics(metrics) => {
            ("metrics", Value::List(metrics.iter().map(metric).collect::<Option<_>>()?))
        }
        RouteAttribute::CacheInfo(info) => (
            "cache",
            Value::Object(vec![
                ("clntref", info.clntref.into()),
                ("last_use", info.last_use.into()),
                ("expires", info.expires.into()),
                ("error", info.error.into()),
                ("used", info.used.into()),
                ("id", info.id.into()),
                ("ts", info.ts.into()),
                ("ts_age", info.ts_age.into()),
            ]),
        ),
        _ => return None,
    })
}

/// Returns a metric (`RTAX_*`) by its number, which iproute2's names stand for.
fn metric(metric: &RouteMetric) -> Option<Value> {
    let (name, value) = match metric {
        RouteMetric::Lock(value) => ("lock", Value::Hex((*value).into())),
        RouteMetric::Mtu(value) => ("mtu", (*value).into()),
        RouteMetric::Window(value) => ("window", (*value).into()),
        RouteMetric::Rtt(value) => ("rtt", (*value).into()),
        RouteMetric::RttVar(value) => ("rttvar", (*value).into()),
        RouteMetric::SsThresh(value) => ("ssthresh", (*value).into()),
        RouteMetric::Cwnd(value) => ("cwnd", (*value).into()),
        RouteMetric::Advmss(value) => ("advmss", (*value).into()),
        RouteMetric::Reordering(value) => ("reordering", (*value).into()),
        RouteMetric::Hoplimit(value) => ("hoplimit", (*value).into()),
        RouteMetric::InitCwnd(value) => ("initcwnd", (*value).into()),
        RouteMetric::Features(value) => ("features", Value::Hex((*value).into())),
        RouteMetric::RtoMin(value) => ("rto_min", (*value).into()),
        RouteMetric::InitRwnd(value) => ("initrwnd", (*value).into()),
        RouteMetric::QuickAck(value) => ("quickack", (*value).into()),
        RouteMetric::CcAlgo(name) => ("congctl", name.as_str().into()),
        RouteMetric::FastopenNoCookie(value) => ("fastopen_no_cookie", (*value).into()),
        _ => return None,
    };
    Some(Value::Object(vec![(name, value)]))
}

/// True if all of a next hop has a name here.
fn is_simple(hop: &RouteNextHop) -> bool {
    hop.attributes.iter().all(|attribute| member(attribute).is_some())
}

/// Returns one of several next hops (`struct rtnexthop`). The weight is one more than the number that is stored.
fn next_hop(hop: &RouteNextHop) -> Object {
    let mut members = vec![
        ("oif", hop.interface_index.into()),
        ("weight", Value::Number(u64::from(hop.hops) + 1)),
        ("flags", names::flags(names::ROUTE_FLAGS, hop.flags.bits().into())),
    ];
    members.extend(hop.attributes.iter().filter_map(member));
    members
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
