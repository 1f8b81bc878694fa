//! The names that iproute2 and conntrack print for numbers. This is the one place that knows them.

use crate::raw::Value;

/// Numbers with names, or bits with names.
pub(super) type Names = &'static [(u32, &'static str)];

/// Returns the name of a number; one without a name stays a number, as text.
pub(super) fn named(names: Names, number: u32) -> Value {
    match names.iter().find(|(value, _)| *value == number) {
        Some((_, name)) => Value::from(*name),
        None => Value::from(number.to_string()),
    }
}

/// Returns the names of all bits that are set; what has no name follows as one hexadecimal number.
pub(super) fn flags(names: Names, bits: u32) -> Value {
    let set: Vec<_> = names.iter().filter(|(bit, _)| bits & bit != 0).collect();
    let rest = set.iter().fold(bits, |rest, (bit, _)| rest & !bit);
    let mut list: Vec<_> = set.iter().map(|(_, name)| Value::from(*name)).collect();
    if rest != 0 {
        list.push(Value::from(format!("{rest:#x}")));
    }
    Value::List(list)
}

pub(super) static MESSAGES: Names =
    &[(20, "RTM_NEWADDR"), (24, "RTM_NEWROUTE"), (32, "RTM_NEWRULE"), (0x100, "IPCTNL_MSG_CT_NEW")];

/// `AF_*`.
pub(super) static FAMILIES: Names = &[(2, "inet"), (10, "inet6"), (28, "mpls")];

/// `RT_SCOPE_*`.
pub(super) static SCOPES: Names =
    &[(0, "global"), (200, "site"), (253, "link"), (254, "host"), (255, "nowhere")];

/// `IFA_F_*`. The lowest bit means another thing for IPv6 (temporary).
pub(super) static ADDRESS_FLAGS: Names = &[
    (0x01, "secondary"),
    (0x02, "nodad"),
    (0x04, "optimistic"),
    (0x08, "dadfailed"),
    (0x10, "home"),
    (0x20, "deprecated"),
    (0x40, "tentative"),
    (0x80, "permanent"),
    (0x100, "mngtmpaddr"),
    (0x200, "noprefixroute"),
    (0x400, "autojoin"),
    (0x800, "stable-privacy"),
];

/// `IFAPROT_*`.
pub(super) static ADDRESS_PROTOCOLS: Names = &[(1, "kernel_lo"), (2, "kernel_ra"), (3, "kernel_ll")];

/// `RTN_*`.
pub(super) static ROUTE_TYPES: Names = &[
    (0, "none"),
    (1, "unicast"),
    (2, "local"),
    (3, "broadcast"),
    (4, "anycast"),
    (5, "multicast"),
    (6, "blackhole"),
    (7, "unreachable"),
    (8, "prohibit"),
    (9, "throw"),
    (10, "nat"),
    (11, "xresolve"),
];

/// `RTPROT_*`.
pub(super) static ROUTE_PROTOCOLS: Names = &[
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (8, "gated"),
    (9, "ra"),
    (10, "mrt"),
    (11, "zebra"),
    (12, "bird"),
    (13, "dnrouted"),
    (14, "xorp"),
    (15, "ntk"),
    (16, "dhcp"),
    (18, "keepalived"),
    (42, "babel"),
    (186, "bgp"),
    (187, "isis"),
    (188, "ospf"),
    (189, "rip"),
    (192, "eigrp"),
];

/// `RTNH_F_*` and `RTM_F_*`.
pub(super) static ROUTE_FLAGS: Names = &[
    (0x01, "dead"),
    (0x02, "pervasive"),
    (0x04, "onlink"),
    (0x08, "offload"),
    (0x10, "linkdown"),
    (0x20, "unresolved"),
    (0x40, "trap"),
    (0x100, "notify"),
    (0x200, "cloned"),
    (0x400, "equalize"),
    (0x800, "prefix"),
    (0x4000, "rt_offload"),
    (0x8000, "rt_trap"),
    (0x2000_0000, "rt_offload_failed"),
];

/// `ICMPV6_ROUTER_PREF_*`.
pub(super) static ROUTER_PREFERENCES: Names = &[(0, "medium"), (1, "high"), (2, "invalid"), (3, "low")];

/// `FR_ACT_*`.
pub(super) static RULE_ACTIONS: Names = &[
    (0, "unspec"),
    (1, "lookup"),
    (2, "goto"),
    (3, "nop"),
    (6, "blackhole"),
    (7, "unreachable"),
    (8, "prohibit"),
];

/// `FIB_RULE_*`.
pub(super) static RULE_FLAGS: Names =
    &[(1, "permanent"), (2, "not"), (4, "unresolved"), (8, "iif-detached"), (16, "oif-detached")];

/// `IPPROTO_*`, as conntrack names them.
pub(super) static IP_PROTOCOLS: Names = &[
    (1, "icmp"),
    (2, "igmp"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (47, "gre"),
    (58, "icmpv6"),
    (132, "sctp"),
    (136, "udplite"),
];

/// `IPS_*` of `nf_conntrack_common.h`.
pub(super) static CONNECTION_STATUS: Names = &[
    (1, "EXPECTED"),
    (1 << 1, "SEEN_REPLY"),
    (1 << 2, "ASSURED"),
    (1 << 3, "CONFIRMED"),
    (1 << 4, "SRC_NAT"),
    (1 << 5, "DST_NAT"),
    (1 << 6, "SEQ_ADJUST"),
    (1 << 7, "SRC_NAT_DONE"),
    (1 << 8, "DST_NAT_DONE"),
    (1 << 9, "DYING"),
    (1 << 10, "FIXED_TIMEOUT"),
    (1 << 11, "TEMPLATE"),
    (1 << 12, "UNTRACKED"),
    (1 << 13, "HELPER"),
    (1 << 14, "OFFLOAD"),
];

/// `enum tcp_conntrack`.
pub(super) static TCP_STATES: Names = &[
    (0, "NONE"),
    (1, "SYN_SENT"),
    (2, "SYN_RECV"),
    (3, "ESTABLISHED"),
    (4, "FIN_WAIT"),
    (5, "CLOSE_WAIT"),
    (6, "LAST_ACK"),
    (7, "TIME_WAIT"),
    (8, "CLOSE"),
    (9, "SYN_SENT2"),
];
