//! How sockets are read from their entries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use criu_images::schema::{
    InetSkEntry, NetlinkSkEntry, PacketSockEntry, SkOptsEntry, SkShutdown, TcpOptsEntry, UnixSkEntry,
};

use super::socket::{
    InetSocket, NetlinkSocket, PacketMembership, PacketSocket, Shutdown, Socket, SocketFamily, SocketOptions,
    SocketState, SocketType, UnixSocket,
};
use crate::gap::Field;

/// `AF_INET`.
const AF_INET: u32 = 2;
/// `AF_INET6`.
const AF_INET6: u32 = 10;

pub(super) fn inet(entry: &InetSkEntry, big_endian: bool) -> Socket {
    let end = |words: &[u32], port: u32| endpoint(entry.family, words, port, big_endian);
    Socket {
        flags: entry.flags,
        inode: Field::Known(entry.ino),
        socket_type: Field::Known(SocketType(entry.r#type)),
        state: Field::Known(SocketState(entry.state)),
        send_buffer: entry.opts.so_sndbuf,
        receive_buffer: entry.opts.so_rcvbuf,
        options: options(&entry.opts, entry.tcp_opts.as_ref()),
        shutdown: shutdown(entry.shutdown),
        namespace: entry.ns_id.into(),
        family: SocketFamily::Inet(InetSocket {
            address_family: entry.family,
            protocol: entry.proto,
            local: end(&entry.src_addr, entry.src_port),
            remote: end(&entry.dst_addr, entry.dst_port),
            backlog: entry.backlog,
            v6_only: entry.v6only.into(),
            interface: entry.ifname.clone().into(),
            uid: entry.uid.into(),
        }),
    }
}

pub(super) fn unix(entry: &UnixSkEntry) -> Socket {
    let permissions = entry.file_perms.as_ref().map(|perms| (perms.mode, perms.uid, perms.gid));
    Socket {
        flags: entry.flags,
        inode: Field::Known(entry.ino),
        socket_type: Field::Known(SocketType(entry.r#type)),
        state: Field::Known(SocketState(entry.state)),
        send_buffer: entry.opts.so_sndbuf,
        receive_buffer: entry.opts.so_rcvbuf,
        options: options(&entry.opts, None),
        shutdown: shutdown(entry.shutdown),
        namespace: entry.ns_id.into(),
        family: SocketFamily::Unix(UnixSocket {
            raw_name: entry.name.clone(),
            peer: entry.peer,
            backlog: entry.backlog,
            permissions: permissions.into(),
            directory: entry.name_dir.clone().into(),
            deleted: entry.deleted == Some(true),
            mount: mount(entry.mnt_id),
        }),
    }
}

pub(super) fn netlink(entry: &NetlinkSkEntry) -> Socket {
    Socket {
        flags: entry.flags,
        inode: Field::Known(entry.ino),
        socket_type: Field::NotCaptured,
        state: Field::Known(SocketState(entry.state)),
        send_buffer: entry.opts.so_sndbuf,
        receive_buffer: entry.opts.so_rcvbuf,
        options: options(&entry.opts, None),
        shutdown: Field::NotCaptured,
        namespace: entry.ns_id.into(),
        family: SocketFamily::Netlink(NetlinkSocket {
            protocol: entry.protocol,
            port: entry.portid,
            groups: entry.groups.clone(),
            destination_port: entry.dst_portid,
            destination_group: entry.dst_group,
        }),
    }
}

/// Fails with a reason when the protocol is none.
pub(super) fn packet(entry: &PacketSockEntry, big_endian: bool) -> Result<Socket, String> {
    // The kernel keeps the protocol in network order; the image has it as the machine read it.
    let wire = u16::try_from(entry.protocol)
        .map_err(|_| format!("a packet socket of protocol {:#x}", entry.protocol))?;
    let memberships = entry.mclist.iter().map(|member| PacketMembership {
        interface_index: member.index,
        kind: member.r#type,
        address: member.addr.clone(),
    });
    Ok(Socket {
        flags: entry.flags,
        inode: Field::NotCaptured,
        socket_type: Field::Known(SocketType(entry.r#type)),
        state: Field::NotCaptured,
        send_buffer: entry.opts.so_sndbuf,
        receive_buffer: entry.opts.so_rcvbuf,
        options: options(&entry.opts, None),
        shutdown: Field::NotCaptured,
        namespace: entry.ns_id.into(),
        family: SocketFamily::Packet(PacketSocket {
            protocol: if big_endian { wire } else { wire.swap_bytes() },
            interface_index: entry.ifindex,
            rings: (entry.rx_ring.is_some(), entry.tx_ring.is_some()),
            memberships: memberships.collect(),
        }),
    })
}

/// Puts address and port together. Addresses are the words of the network-order bytes, as the machine read them.
fn endpoint(family: u32, words: &[u32], port: u32, big_endian: bool) -> Field<SocketAddr> {
    let Ok(port) = u16::try_from(port) else { return Field::Unparsable(format!("port {port}")) };
    let bytes = |word: u32| if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
    let address = match (family, words) {
        (AF_INET, [word, ..]) => IpAddr::V4(Ipv4Addr::from(bytes(*word))),
        (AF_INET6, [a, b, c, d]) => {
            let mut address = [0; 16];
            for (piece, word) in address.chunks_exact_mut(4).zip([a, b, c, d]) {
                piece.copy_from_slice(&bytes(*word));
            }
            IpAddr::V6(Ipv6Addr::from(address))
        }
        _ => return Field::Unparsable(format!("an address of {} words in family {family}", words.len())),
    };
    Field::Known(SocketAddr::new(address, port))
}

/// -1 is the schema's default and stands for a mount that is not known.
pub(super) fn mount(id: Option<i32>) -> Field<u32> {
    id.and_then(|id| u32::try_from(id).ok()).into()
}

fn shutdown(direction: Option<i32>) -> Field<Shutdown> {
    let Some(number) = direction else { return Field::NotCaptured };
    let (read, write) = match SkShutdown::try_from(number) {
        Ok(SkShutdown::None) => (false, false),
        Ok(SkShutdown::Read) => (true, false),
        Ok(SkShutdown::Write) => (false, true),
        Ok(SkShutdown::Both) => (true, true),
        Err(_) => return Field::Unparsable(format!("shutdown {number}")),
    };
    Field::Known(Shutdown { read, write })
}

fn options(opts: &SkOptsEntry, tcp: Option<&TcpOptsEntry>) -> SocketOptions {
    // The times of keepalive moved from the common options to TCP's in CRIU 4.0.
    let time = |new: Option<Option<u32>>, old: Option<u32>| new.flatten().or(old);
    SocketOptions {
        mark: opts.so_mark,
        priority: opts.so_priority,
        bound_device: opts.so_bound_dev.clone(),
        reuse_address: opts.reuseaddr,
        reuse_port: opts.so_reuseport,
        broadcast: opts.so_broadcast,
        keep_alive: opts.so_keepalive,
        keep_alive_times: (
            time(tcp.map(|tcp| tcp.keepidle), opts.tcp_keepidle),
            time(tcp.map(|tcp| tcp.keepintvl), opts.tcp_keepintvl),
            time(tcp.map(|tcp| tcp.keepcnt), opts.tcp_keepcnt),
        ),
        filter: opts.so_filter.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_network_order_bytes_read_by_the_machine() {
        let shown = |family, words: &[u32], port, big_endian| match endpoint(family, words, port, big_endian)
        {
            Field::Known(address) => address.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(shown(AF_INET, &[0x0100_007f], 7001, false), "127.0.0.1:7001");
        assert_eq!(shown(AF_INET, &[0x7f00_0001], 7001, true), "127.0.0.1:7001");
        assert_eq!(shown(AF_INET6, &[0, 0, 0, 0x0100_0000], 7002, false), "[::1]:7002");
        assert_eq!(shown(AF_INET6, &[0, 0, 0, 1], 7002, true), "[::1]:7002");
        assert_eq!(shown(AF_INET6, &[0xb80d_0120, 0, 0, 0x0100_0000], 0, false), "[2001:db8::1]:0");
        assert_eq!(shown(AF_INET6, &[0, 0], 1, false), "Unparsable(\"an address of 2 words in family 10\")");
        assert_eq!(shown(AF_INET, &[0], 65536, false), "Unparsable(\"port 65536\")");
        assert_eq!(shown(AF_INET, &[], 1, false), "Unparsable(\"an address of 0 words in family 2\")");
    }

    #[test]
    fn a_packet_sockets_protocol_is_in_network_order() {
        let entry = PacketSockEntry { protocol: 46472, ..Default::default() };
        let socket = packet(&entry, false).unwrap();
        let SocketFamily::Packet(part) = &socket.family else { panic!("{socket:?}") };
        assert_eq!(part.protocol, 0x88b5);
        assert!(packet(&PacketSockEntry { protocol: 1 << 16, ..Default::default() }, false).is_err());
    }

    #[test]
    fn keepalive_is_read_from_where_the_release_kept_it() {
        let old = SkOptsEntry { tcp_keepidle: Some(111), ..Default::default() };
        assert_eq!(options(&old, None).keep_alive_times.0, Some(111));
        let tcp = TcpOptsEntry { keepidle: Some(222), ..Default::default() };
        assert_eq!(options(&SkOptsEntry::default(), Some(&tcp)).keep_alive_times.0, Some(222));
    }
}
