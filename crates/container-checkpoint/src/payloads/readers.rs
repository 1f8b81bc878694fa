//! The readers of images with payloads, one for each kind.

use std::collections::HashMap;
use std::ops::ControlFlow;

use criu_images::kinds::{Kind, by_file_name};
use criu_images::schema::{
    BpfmapDataEntry, GhostChunkEntry, GhostFileEntry, IpcMsg, IpcMsgEntry, PipeDataEntry, SkPacketEntry,
    TcpStreamEntry, TtyDataEntry,
};

use super::frames::Frames;
use super::input::{Cursor, Input};
use super::{Owner, Payload, Receiver};

/// What is wrong with an image, in words: what of it could not be read.
pub type Faults = Vec<String>;

type Reader = fn(&mut Frames<'_>, &mut dyn Receiver) -> Result<(), String>;

/// The kinds of images that hold payloads, and their readers.
const READERS: &[(&str, Reader)] = &[
    ("BPFMAP_DATA", bpf_maps),
    ("FIFO_DATA", fifos),
    ("GHOST_FILE", ghost),
    ("IPCNS_MSG", messages),
    ("PIPES_DATA", pipes),
    ("SK_QUEUES", packets),
    ("TCP_STREAM", tcp_stream),
    ("TTY_DATA", terminals),
];

/// `S_IFMT` and `S_IFREG`: only regular files have contents.
const FILE_TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

fn reader(base_name: &[u8]) -> Option<(&'static Kind, Reader)> {
    let (kind, _) = by_file_name(base_name)?;
    READERS.iter().find(|(name, _)| *name == kind.name).map(|(_, reader)| (kind, *reader))
}

/// Whether an image of this base name holds payloads.
pub fn holds_payloads(base_name: &[u8]) -> bool {
    reader(base_name).is_some()
}

/// Reads all payloads of an image, given by its base name. What can't be read is returned in words; what stands before it was handed over.
pub fn read(base_name: &[u8], input: Input<'_>, receiver: &mut dyn Receiver) -> Faults {
    let Some((kind, reader)) = reader(base_name) else { return Faults::new() };
    let result = Frames::open(Cursor::new(input), kind).and_then(|mut frames| reader(&mut frames, receiver));
    result.err().into_iter().collect()
}

/// Hands over a payload that stands where the image was read to.
fn payload(
    frames: &mut Frames<'_>,
    receiver: &mut dyn Receiver,
    owner: Owner,
    len: u64,
) -> Result<(), String> {
    let from = frames.cursor.position();
    let mut wanted = receiver.begin(Payload { owner, len: Some(len) });
    let given = frames.cursor.give(len, &mut |offset, bytes| {
        if wanted.is_continue() {
            wanted = receiver.bytes(offset - from, offset, bytes);
        }
        wanted
    });
    let present = frames.cursor.position() - from;
    receiver.end(len, len - present);
    given.map_err(|error| error.to_string())?;
    if present < len {
        return Err(format!("byte {from}: {present} of {len} bytes of contents are there"));
    }
    Ok(())
}

fn pipes(frames: &mut Frames<'_>, receiver: &mut dyn Receiver) -> Result<(), String> {
    while let Some(entry) = frames.next::<PipeDataEntry>()? {
        payload(frames, receiver, Owner::Pipe(entry.value.pipe_id), entry.value.bytes.into())?;
    }
    Ok(())
}

fn fifos(frames: &mut Frames<'_>, receiver: &mut dyn Receiver) -> Result<(), String> {
    while let Some(entry) = frames.next::<PipeDataEntry>()? {
        payload(frames, receiver, Owner::Fifo(entry.value.pipe_id), entry.value.bytes.into())?;
    }
    Ok(())
}

fn packets(frames: &mut Frames<'_>, receiver: &mut dyn Receiver) -> Result<(), String> {
    let mut counts: HashMap<u32, u64> = HashMap::new();
    while let Some(entry) = frames.next::<SkPacketEntry>()? {
        let socket = entry.value.id_for;
        let number = counts.entry(socket).or_default();
        let owner = Owner::Packet { socket, number: *number };
        *number += 1;
        payload(frames, receiver, owner, entry.value.length.into())?;
    }
    Ok(())
}

fn tcp_stream(frames: &mut Frames<'_>, receiver: &mut dyn Receiver) -> Result<(), String> {
    let Some(entry) = frames.next::<TcpStreamEntry>()? else { return Ok(()) };
    payload(frames, receiver, Owner::TcpReceived, entry.value.inq_len.into())?;
    payload(frames, receiver, Owner::TcpSent, entry.value.outq_len.into())
}

/// A terminal's contents are a field of the message, the last one that CRIU writes.
fn terminals(frames: &mut Frames<'_>, receiver: &mut dyn Receiver) -> Result<(), String> {
    let mut number = 0;
    while let Some(entry) = frames.next::<TtyDataEntry>()? {
        let data = &entry.value.data;
        let len = data.len() as u64;
        let begun = receiver
            .begin(Payload { owner: Owner::Terminal { id: entry.value.tty_id, number }, len: Some(len) });
        number += 1;
        // Fields that a later CRIU may write behind it are short.
        let last = entry.bytes.len().saturating_sub(data.len());
        let inside = (0..=last).rev().take(256).find(|&at| entry.bytes[at..].starts_with(data));
        if begun.is_continue() && !data.is_empty() {
            let _ = receiver.bytes(0, entry.offset + inside.unwrap_or(last) as u64, data);
        }
        receiver.end(len, 0);
    }
    Ok(())
}

fn messages(frames: &mut Frames<'_>, receiver: &mut dyn Receiver) -> Result<(), String> {
    while let Some(queue) = frames.next::<IpcMsgEntry>()? {
        for number in 0..u64::from(queue.value.qnum) {
            let Some(message) = frames.next::<IpcMsg>()? else {
                return Err(format!("{number} of {} messages are there", queue.value.qnum));
            };
            let owner = Owner::Message { queue: queue.value.desc.id, number };
            let len = u64::from(message.value.msize);
            payload(frames, receiver, owner, len)?;
            let padding = len.next_multiple_of(8) - len;
            frames
                .cursor
                .give(padding, &mut |_, _| ControlFlow::Break(()))
                .map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn bpf_maps(frames: &mut Frames<'_>, receiver: &mut dyn Receiver) -> Result<(), String> {
    while let Some(entry) = frames.next::<BpfmapDataEntry>()? {
        payload(frames, receiver, Owner::MapKeys(entry.value.map_id), entry.value.keys_bytes.into())?;
        payload(frames, receiver, Owner::MapValues(entry.value.map_id), entry.value.values_bytes.into())?;
    }
    Ok(())
}

fn ghost(frames: &mut Frames<'_>, receiver: &mut dyn Receiver) -> Result<(), String> {
    let Some(entry) = frames.next::<GhostFileEntry>()? else { return Ok(()) };
    let entry = entry.value;
    if entry.mode & FILE_TYPE != REGULAR {
        return Ok(());
    }
    if entry.chunks == Some(true) {
        return chunks(frames, receiver, entry.size);
    }
    let from = frames.cursor.position();
    let mut wanted = receiver.begin(Payload { owner: Owner::Ghost, len: entry.size });
    let given = frames.cursor.give(u64::MAX, &mut |offset, bytes| {
        if wanted.is_continue() {
            wanted = receiver.bytes(offset - from, offset, bytes);
        }
        wanted
    });
    let present = frames.cursor.position() - from;
    let len = entry.size.unwrap_or(present).max(present);
    receiver.end(len, len - present);
    given.map_err(|error| error.to_string())?;
    if present < len {
        return Err(format!("{present} of the {len} bytes of the file are there"));
    }
    Ok(())
}

/// A sparse file: its stored stretches, ascending. What is between them was a hole.
fn chunks(frames: &mut Frames<'_>, receiver: &mut dyn Receiver, size: Option<u64>) -> Result<(), String> {
    let mut wanted = receiver.begin(Payload { owner: Owner::Ghost, len: size });
    let mut end = 0u64;
    let mut result = Ok(());
    loop {
        let chunk = match frames.next::<GhostChunkEntry>() {
            Ok(Some(chunk)) => chunk.value,
            Ok(None) => break,
            Err(why) => {
                result = Err(why);
                break;
            }
        };
        if chunk.off < end || chunk.off.checked_add(chunk.len).is_none_or(|behind| behind > i64::MAX as u64) {
            let (off, len) = (chunk.off, chunk.len);
            result = Err(format!("a chunk of {len} bytes at {off} of the file, behind {end}: not in order"));
            break;
        }
        let from = frames.cursor.position();
        let given = frames.cursor.give(chunk.len, &mut |offset, bytes| {
            if wanted.is_continue() {
                wanted = receiver.bytes(chunk.off + (offset - from), offset, bytes);
            }
            wanted
        });
        let present = frames.cursor.position() - from;
        end = chunk.off + present;
        if let Err(error) = given {
            result = Err(error.to_string());
            break;
        }
        if present < chunk.len {
            result =
                Err(format!("{present} of the {} bytes of a chunk at {} are there", chunk.len, chunk.off));
            break;
        }
    }
    // Behind the last chunk that could be read, nothing is known when something went wrong.
    let len = size.unwrap_or(end).max(end);
    receiver.end(len, if result.is_err() { len - end } else { 0 });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts down what it is told.
    #[derive(Default)]
    struct Told(Vec<String>);

    impl Receiver for Told {
        fn begin(&mut self, payload: Payload) -> ControlFlow<()> {
            self.0.push(format!("{:?} {:?}", payload.owner, payload.len));
            ControlFlow::Continue(())
        }

        fn bytes(&mut self, at: u64, offset: u64, bytes: &[u8]) -> ControlFlow<()> {
            self.0.push(format!("{at} {offset} {}", String::from_utf8_lossy(bytes)));
            ControlFlow::Continue(())
        }

        fn end(&mut self, len: u64, missing: u64) {
            self.0.push(format!("end {len} {missing}"));
        }
    }

    fn told(name: &[u8], bytes: &[u8]) -> (Vec<String>, Faults) {
        let mut lent = Told::default();
        let faults = read(name, Input::Lent(bytes), &mut lent);
        let mut passing = Told::default();
        let again = read(name, Input::Passing(&mut &bytes[..]), &mut passing);
        assert_eq!((&lent.0, &faults), (&passing.0, &again), "lent and going by");
        (lent.0, faults)
    }

    const PIPE: &[u8] = b"\x19\x43\x56\x54\x09\x37\x45\x56\x04\0\0\0\x08\x07\x10\x05hello";

    #[test]
    fn a_pipe_has_its_bytes_at_their_place() {
        let (told, faults) = told(b"pipes-data.img", PIPE);
        assert_eq!(told, ["Pipe(7) Some(5)", "0 16 hello", "end 5 0"]);
        assert!(faults.is_empty());
    }

    #[test]
    fn what_is_cut_is_given_as_far_as_it_goes() {
        let (told, faults) = told(b"pipes-data.img", &PIPE[..PIPE.len() - 2]);
        assert_eq!(told, ["Pipe(7) Some(5)", "0 16 hel", "end 5 2"]);
        assert_eq!(faults, ["byte 16: 3 of 5 bytes of contents are there"]);
    }

    #[test]
    fn a_sparse_ghost_keeps_its_holes() {
        // uid 0, gid 0, mode 0100600, chunks, size 20; then 3 bytes at 5 and 2 at 12.
        let image = b"\x19\x43\x56\x54\x05\x36\x58\x52\x0c\0\0\0\x08\0\x10\0\x18\x80\x83\x02\x48\x01\x50\x14\
            \x04\0\0\0\x08\x03\x10\x05abc\x04\0\0\0\x08\x02\x10\x0cde";
        let (given, faults) = told(b"ghost-file-a.img", image);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(given, ["Ghost Some(20)", "5 32 abc", "12 43 de", "end 20 0"]);
        let (given, faults) = told(b"ghost-file-a.img", &image[..image.len() - 6]);
        assert_eq!(given, ["Ghost Some(20)", "5 32 abc", "end 20 12"], "{faults:?}");
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn lengths_that_lie_allocate_nothing() {
        let (_, faults) = told(b"pipes-data.img", b"\x19\x43\x56\x54\x09\x37\x45\x56\xff\xff\xff\x7f\x08");
        assert_eq!(faults, ["entry 0: a message of 2147483647 bytes can't be"]);
        let (_, faults) = told(b"pipes-data.img", b"\x19\x43\x56\x54\x10\x37\x45\x56");
        assert!(faults[0].contains("magic"), "{faults:?}");
    }
}
