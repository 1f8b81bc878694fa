//! Sockets of all families: addresses, state, buffers.

use std::net::SocketAddr;

use super::file_type::FileType;
use crate::gap::Field;

/// A socket (`inet_sk_entry`, `unix_sk_entry`, `netlink_sk_entry`, `packet_sock_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// `O_*` and `SOCK_*` flags of the descriptor.
    pub flags: u32,
    /// Inode number; the images don't have that of packet sockets.
    pub inode: Field<u32>,
    /// `SOCK_*`: stream, datagram, raw ... The images don't have that of netlink sockets.
    pub socket_type: Field<SocketType>,
    /// State; TCP's names serve all families. The images don't have that of packet sockets.
    pub state: Field<SocketState>,
    /// Send buffer in bytes (`SO_SNDBUF`).
    pub send_buffer: u32,
    /// Receive buffer in bytes (`SO_RCVBUF`).
    pub receive_buffer: u32,
    /// Other options.
    pub options: SocketOptions,
    /// Which directions were shut down (CRIU 3.0 for internet, 0.3 for Unix sockets).
    pub shutdown: Field<Shutdown>,
    /// The network namespace's number in this dump (CRIU 3.8 and later).
    pub namespace: Field<u32>,
    /// What its family adds.
    pub family: SocketFamily,
}

/// The part of a socket that depends on its family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketFamily {
    /// IPv4 or IPv6.
    Inet(InetSocket),
    /// Unix domain.
    Unix(UnixSocket),
    /// Netlink.
    Netlink(NetlinkSocket),
    /// Packets of the link layer.
    Packet(PacketSocket),
}

/// An internet socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InetSocket {
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub address_family: u32,
    /// `IPPROTO_*`.
    pub protocol: u32,
    /// Own address and port. Of a raw socket the port is the protocol.
    pub local: Field<SocketAddr>,
    /// The other end; all zero when there is none.
    pub remote: Field<SocketAddr>,
    /// Length of the queue of connections not accepted yet, of a listener.
    pub backlog: u32,
    /// Whether an IPv6 socket takes no IPv4.
    pub v6_only: Field<bool>,
    /// The interface it is bound to.
    pub interface: Field<Vec<u8>>,
    /// The user it belongs to (CRIU 4.3 and later).
    pub uid: Field<u32>,
}

/// A Unix domain socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    /// The name as the kernel has it: empty, or a path with a closing NUL, or a NUL and an abstract name.
    pub raw_name: Vec<u8>,
    /// Inode number of the other end; 0 when there is none.
    pub peer: u32,
    /// Length of the queue of connections not accepted yet, of a listener.
    pub backlog: u32,
    /// Mode, owner and group of the socket file.
    pub permissions: Field<(u32, u32, u32)>,
    /// Directory that a relative name starts from (CRIU 1.6.1 and later, where it is needed).
    pub directory: Field<Vec<u8>>,
    /// Whether the socket file is gone.
    pub deleted: bool,
    /// The mount of the socket file: `mnt_entry.mnt_id`.
    pub mount: Field<u32>,
}

/// The name of a Unix domain socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnixName<'a> {
    /// None.
    Unnamed,
    /// A path, raw bytes.
    Path(&'a [u8]),
    /// A name without a file, raw bytes without the NUL in front.
    Abstract(&'a [u8]),
}

/// A netlink socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetlinkSocket {
    /// `NETLINK_*`.
    pub protocol: u32,
    /// Own port id.
    pub port: u32,
    /// Multicast groups, a bit each, 32 to a word.
    pub groups: Vec<u32>,
    /// Port id of the other end; 0 is the kernel.
    pub destination_port: u32,
    /// Group that it sends to.
    pub destination_group: u32,
}

/// A packet socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketSocket {
    /// `ETH_P_*`; 3 is everything.
    pub protocol: u16,
    /// Index of the interface it is bound to; 0 is all.
    pub interface_index: u32,
    /// Whether it has a ring for received, or for sent packets, mapped or not.
    pub rings: (bool, bool),
    /// Number of multicast memberships, promiscuous mode among them.
    pub memberships: Vec<PacketMembership>,
}

/// A membership of a packet socket (`packet_mclist`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketMembership {
    /// Index of the interface.
    pub interface_index: u32,
    /// `PACKET_MR_*`: 1 is promiscuous.
    pub kind: u32,
    /// Hardware address.
    pub address: Vec<u8>,
}

/// Options that all families share (`sk_opts_entry`); absent ones were not recorded by the release that dumped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// `SO_MARK`.
    pub mark: Option<u32>,
    /// `SO_PRIORITY`.
    pub priority: Option<u32>,
    /// `SO_BINDTODEVICE`.
    pub bound_device: Option<Vec<u8>>,
    /// `SO_REUSEADDR`.
    pub reuse_address: Option<bool>,
    /// `SO_REUSEPORT`.
    pub reuse_port: Option<bool>,
    /// `SO_BROADCAST`.
    pub broadcast: Option<bool>,
    /// `SO_KEEPALIVE`.
    pub keep_alive: Option<bool>,
    /// Idle seconds before the first probe, seconds between probes, number of probes of TCP's keepalive.
    pub keep_alive_times: (Option<u32>, Option<u32>, Option<u32>),
    /// Classic BPF program of `SO_ATTACH_FILTER`: 8 bytes an instruction, as the kernel's `sock_filter`.
    pub filter: Vec<u64>,
}

/// A kind of sockets, `SOCK_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketType(pub u32);

/// A socket's state, by the kernel's TCP numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketState(pub u32);

/// Directions that were shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Nothing can be received any more.
    pub read: bool,
    /// Nothing can be sent any more.
    pub write: bool,
}

impl SocketType {
    /// The name without `SOCK_`.
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "STREAM",
            2 => "DGRAM",
            3 => "RAW",
            5 => "SEQPACKET",
            10 => "PACKET",
            _ => return None,
        })
    }
}

/// Names of the states 1 to 12 (the kernel's `TCP_*`), as ss(8) and checkpointctl have them.
const STATES: [&str; 12] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
];

impl SocketState {
    /// Waits for connections.
    pub const LISTEN: Self = Self(10);
    /// Connected.
    pub const ESTABLISHED: Self = Self(1);

    /// The state's name.
    pub fn name(self) -> Option<&'static str> {
        let index = usize::try_from(self.0.checked_sub(1)?).ok()?;
        STATES.get(index).copied()
    }
}

/// Names of internet protocols (`IPPROTO_*`) that sockets have.
const PROTOCOLS: [(u32, &str); 10] = [
    (1, "ICMP"),
    (2, "IGMP"),
    (6, "TCP"),
    (17, "UDP"),
    (33, "DCCP"),
    (58, "ICMPV6"),
    (132, "SCTP"),
    (136, "UDPLITE"),
    (255, "RAW"),
    (262, "MPTCP"),
];

impl Socket {
    /// The type of file by CRIU's number.
    pub fn file_type(&self) -> FileType {
        match self.family {
            SocketFamily::Inet(_) => FileType::INETSK,
            SocketFamily::Unix(_) => FileType::UNIXSK,
            SocketFamily::Netlink(_) => FileType::NETLINKSK,
            SocketFamily::Packet(_) => FileType::PACKETSK,
        }
    }

    /// The protocol's name: `TCP`, `UNIX`, `NETLINK` ...; a number for an internet protocol without a name here.
    pub fn protocol_name(&self) -> String {
        match &self.family {
            SocketFamily::Inet(inet) => {
                let known = PROTOCOLS.iter().find(|(number, _)| *number == inet.protocol);
                known.map_or_else(|| inet.protocol.to_string(), |(_, name)| (*name).to_owned())
            }
            SocketFamily::Unix(_) => "UNIX".to_owned(),
            SocketFamily::Netlink(_) => "NETLINK".to_owned(),
            SocketFamily::Packet(_) => "PACKET".to_owned(),
        }
    }

    /// The internet part.
    pub fn inet(&self) -> Option<&InetSocket> {
        match &self.family {
            SocketFamily::Inet(inet) => Some(inet),
            _ => None,
        }
    }

    /// The Unix part.
    pub fn unix(&self) -> Option<&UnixSocket> {
        match &self.family {
            SocketFamily::Unix(unix) => Some(unix),
            _ => None,
        }
    }

    /// The image with the connection's queues, of an established TCP connection: `tcp-stream-INODE.img`, in hexadecimal.
    pub fn stream_image(&self) -> Option<String> {
        let is_tcp = self.inet().is_some_and(|inet| inet.protocol == 6);
        self.inode.known().filter(|_| is_tcp).map(|inode| format!("tcp-stream-{inode:x}.img"))
    }

    /// `unix[INODE (PEER) NAME]` with the name's raw bytes, as checkpointctl has it; `None` for other families.
    pub(super) fn unix_text(&self) -> Option<Vec<u8>> {
        let unix = self.unix()?;
        let inode = self.inode.known()?;
        Some([format!("unix[{inode} ({}) ", unix.peer).as_bytes(), &unix.raw_name, b"]"].concat())
    }
}

impl UnixSocket {
    /// The name: a path without the closing NUL, or an abstract name without the NUL in front.
    pub fn name(&self) -> UnixName<'_> {
        match self.raw_name.as_slice() {
            [] => UnixName::Unnamed,
            [0, name @ ..] => UnixName::Abstract(name),
            [path @ .., 0] | path => UnixName::Path(path),
        }
    }
}

impl UnixName<'_> {
    /// As ss(8) shows it: the path, `@` before an abstract name, nothing for none.
    pub fn shown(&self) -> Vec<u8> {
        match self {
            Self::Unnamed => Vec::new(),
            Self::Path(path) => path.to_vec(),
            Self::Abstract(name) => [b"@", *name].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_names_come_in_three_forms() {
        let socket = |raw_name: &[u8]| UnixSocket {
            raw_name: raw_name.to_vec(),
            peer: 0,
            backlog: 0,
            permissions: Field::NotCaptured,
            directory: Field::NotCaptured,
            deleted: false,
            mount: Field::NotCaptured,
        };
        assert_eq!(socket(b"").name(), UnixName::Unnamed);
        assert_eq!(socket(b"/run/x\0").name(), UnixName::Path(b"/run/x"));
        assert_eq!(socket(b"/run/x").name(), UnixName::Path(b"/run/x"));
        assert_eq!(socket(b"\0nul\0inside\0").name(), UnixName::Abstract(b"nul\0inside\0"));
        assert_eq!(socket(b"\0").name(), UnixName::Abstract(b""), "autobound with no name");
        assert_eq!(socket(b"\0a").name().shown(), b"@a");
    }

    #[test]
    fn numbers_have_their_names() {
        assert_eq!(SocketState(1).name(), Some("ESTABLISHED"));
        assert_eq!(SocketState(10).name(), Some("LISTEN"));
        assert_eq!([0, 13, u32::MAX].map(|n| SocketState(n).name()), [None; 3]);
        assert_eq!(SocketType(5).name(), Some("SEQPACKET"));
        assert_eq!(SocketType(4).name(), None);
    }
}
