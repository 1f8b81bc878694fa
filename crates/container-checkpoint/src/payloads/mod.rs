//! What images hold beside facts: the contents of pipes, queues, terminals, BPF maps and deleted files.
//!
//! These images may be as large as the container liked, so that they are read piece by piece, from memory that is lent or while they go by. What follows an
//! entry is a *payload*: it belongs to something ([`Owner`]), and its bytes are handed over with their place in it and in the image.

mod frames;
mod input;
mod readers;

use std::ops::ControlFlow;

pub use input::Input;
pub use readers::{Faults, holds_payloads, read};

/// What a payload is the contents of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A pipe, by `pipe_id`.
    Pipe(u32),
    /// A named pipe, by `pipe_id`.
    Fifo(u32),
    /// One packet in the receive queue of a socket, by the socket's file id and the packet's number in that queue from 0. Of a stream socket, packets are cut
    /// anywhere.
    Packet {
        /// The socket: `sk_packet_entry.id_for`.
        socket: u32,
        /// The packet's number.
        number: u64,
    },
    /// What a TCP connection received and the process did not read yet. The image's name has the socket's inode.
    TcpReceived,
    /// What was sent on a TCP connection and not acknowledged yet.
    TcpSent,
    /// What a terminal holds unread, by `tty_id`, in the order of the image.
    Terminal {
        /// The terminal: `tty_data_entry.tty_id`.
        id: u32,
        /// The number of the entry in the image: one terminal may have several.
        number: u64,
    },
    /// A message in a System V queue, by the queue's id and the message's number from 0.
    Message {
        /// The queue.
        queue: u32,
        /// The message's number in the queue.
        number: u64,
    },
    /// All keys of a BPF map, by `map_id`.
    MapKeys(u32),
    /// All values of a BPF map, by `map_id`.
    MapValues(u32),
    /// A deleted file. The image's name has its number.
    Ghost,
}

/// A payload that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What it is the contents of.
    pub owner: Owner,
    /// How many bytes it should have; `None` when only the end of the image says so.
    pub len: Option<u64>,
}

/// Takes payloads, one after another.
pub trait Receiver {
    /// A payload begins. `Break` when nothing of it is wanted.
    fn begin(&mut self, payload: Payload) -> ControlFlow<()>;

    /// Bytes of it, ascending: `at` is their place in the payload, `offset` their place in the image. What is left out in between is a hole, which reads as
    /// zeros. `Break` when no more of it is wanted.
    fn bytes(&mut self, at: u64, offset: u64, bytes: &[u8]) -> ControlFlow<()>;

    /// It ended: how many bytes it has in all, and how many of these, from its end backwards, are not in the image.
    fn end(&mut self, len: u64, missing: u64);
}
