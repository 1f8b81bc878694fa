//! Images as s390x writes them: every image of the repository with its words swapped, by a walk of its own.
//!
//! Such an image says what the little-endian one says, and that it is big-endian; it comes back byte for byte.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use std::net::IpAddr;

use common::there_and_back;
use criu_images::framing::Image;
use criu_images::json::{self, Options};
use criu_images::kinds::PayloadRule;
use criu_images::pagemap::Pagemap;
use criu_images::schema::{
    BpfmapDataEntry, GhostChunkEntry, GhostFileEntry, IpcMsg, IpcMsgEntry, IpcSemEntry, IpcShmEntry,
    PipeDataEntry, SkPacketEntry, TcpStreamEntry,
};
use prost::Message;
use serde_json::Value;

/// The words that stand at the start of most images.
const HEADS: [[u8; 4]; 2] = [0x5456_4319_u32.to_le_bytes(), 0x5510_5940_u32.to_le_bytes()];

#[test]
fn images_of_a_big_endian_machine_say_the_same() {
    let (mut compared, mut pagemaps, mut words, mut addresses) = (0, 0, 0, 0);
    for cases in common::in_repository() {
        for (name, bytes) in cases.images.iter().filter(|(name, _)| !name.starts_with("bad/")) {
            let base = name.rsplit('/').next().unwrap();
            let Ok(little) = Image::parse_named(base.as_bytes(), bytes) else { continue };
            let (swapped, payload_words) = Swap::image(name, bytes, little.kind().payload);
            let big = Image::parse_named(base.as_bytes(), &swapped).unwrap();
            assert!(big.is_big_endian() && !little.is_big_endian(), "{name}");
            assert_eq!((big.kind().name, big.head()), (little.kind().name, little.head()), "{name}");
            for pretty in [false, true] {
                let (mut expected, why) = read(&little, pretty);
                let (mut ours, our_why) = read(&big, pretty);
                if pretty {
                    addresses += turn_addresses(&mut expected);
                }
                take_byte_order(name, &mut ours);
                assert_eq!(
                    (ours.to_string(), our_why),
                    (expected.to_string(), why),
                    "{name}, pretty: {pretty}"
                );
            }
            assert!(there_and_back(name, &swapped), "{name}");
            if let Ok(pagemap) = Pagemap::parse(bytes) {
                assert_eq!(Pagemap::parse(&swapped).unwrap(), pagemap, "{name}");
                pagemaps += 1;
            }
            compared += 1;
            words += payload_words;
        }
    }
    let counts = format!("{compared} images, {pagemaps} pagemaps, {words} words, {addresses} addresses");
    println!("{counts}");
    assert!(compared > 700 && pagemaps > 40 && words > 30 && addresses > 8, "only {counts}");
}

/// The text of an image as far as it is whole, and what is wrong with it.
fn read(image: &Image<'_>, pretty: bool) -> (Value, Option<String>) {
    let mut text = Vec::new();
    let decoded = json::decode(image, &Options { pretty, salvage: true, ..Options::default() }, &mut text);
    let mut value: Value = serde_json::from_slice(&text).unwrap();
    // The rest of a damaged image is its bytes: swapped.
    if decoded.is_err() {
        assert!(value["coldcase"].as_object_mut().unwrap().shift_remove("rest").is_some());
    }
    (value, decoded.err().map(|error| error.to_string()))
}

/// Takes away what only the text of a big-endian image has, and the side key if there is nothing else in it.
fn take_byte_order(name: &str, text: &mut Value) {
    let side = text["coldcase"].as_object_mut().unwrap_or_else(|| panic!("{name}: no side key"));
    assert_eq!(side.shift_remove("byte_order"), Some("big".into()), "{name}");
    if side.is_empty() {
        text.as_object_mut().unwrap().shift_remove("coldcase");
    }
}

/// Turns the bytes of each word of addresses around: the words of the messages are the same here, though a machine of
/// the other order would have written them the other way. Returns how many there were.
fn turn_addresses(value: &mut Value) -> usize {
    match value {
        Value::Array(items) => items.iter_mut().map(turn_addresses).sum(),
        Value::Object(members) => {
            members
                .iter_mut()
                .map(|(key, value)| match value {
                    Value::Array(items) if ADDRESSES.contains(&key.as_str()) => {
                        // Words that are no address stay numbers.
                        let addresses = items.iter_mut().filter(|item| item.is_string());
                        addresses.fold(0, |count, address| {
                            *address = turned(address);
                            count + 1
                        })
                    }
                    value => turn_addresses(value),
                })
                .sum()
        }
        _ => 0,
    }
}

/// The fields of the schema with the option `ipadd`.
const ADDRESSES: [&str; 6] = ["src_addr", "dst_addr", "local", "remote", "rd_prefix", "relay_prefix"];

fn turned(address: &Value) -> Value {
    match address.as_str().unwrap().parse().unwrap() {
        IpAddr::V4(address) => IpAddr::from(u32::from(address).swap_bytes().to_be_bytes()).to_string().into(),
        IpAddr::V6(address) => {
            let mut bytes = address.octets();
            bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
            IpAddr::from(bytes).to_string().into()
        }
    }
}

/// A walk over an image that turns its words around. What is no image fails the test.
struct Swap<'a> {
    rest: &'a [u8],
    swapped: Vec<u8>,
    /// The content of shared memory follows an entry though it says `in_pagemaps`: no image of CRIU.
    always_content: bool,
    /// How many words of payloads were turned.
    words: usize,
}

impl<'a> Swap<'a> {
    /// Returns the image as the other machine writes it, and how many words of payloads it has.
    fn image(name: &str, bytes: &'a [u8], payload: PayloadRule) -> (Vec<u8>, usize) {
        // crit's library writes a value into every field, and the content as well.
        let always_content = name.starts_with("ipcns_shm/") && !name.contains("in-pagemaps");
        let mut swap = Self { rest: bytes, swapped: Vec::new(), always_content, words: 0 };
        if HEADS.contains(&swap.word::<4>()) {
            swap.word::<4>();
        }
        let mut first = true;
        while !swap.rest.is_empty() {
            swap.entry(payload, first);
            first = false;
        }
        assert_eq!(swap.swapped.len(), bytes.len());
        (swap.swapped, swap.words)
    }

    fn entry(&mut self, payload: PayloadRule, first: bool) {
        let length = u32::from_le_bytes(self.word());
        let message = self.bytes(length.into());
        match payload {
            PayloadRule::None => {}
            PayloadRule::Pipe => drop(self.bytes(read_as::<PipeDataEntry>(message).bytes.into())),
            PayloadRule::SocketQueue => drop(self.bytes(read_as::<SkPacketEntry>(message).length.into())),
            PayloadRule::TcpStream => {
                let entry = read_as::<TcpStreamEntry>(message);
                self.bytes(u64::from(entry.inq_len) + u64::from(entry.outq_len));
            }
            PayloadRule::BpfMap => {
                let entry = read_as::<BpfmapDataEntry>(message);
                self.bytes(u64::from(entry.keys_bytes) + u64::from(entry.values_bytes));
            }
            PayloadRule::Semaphores => {
                let count = u64::from(read_as::<IpcSemEntry>(message).nsems);
                for _ in 0..count {
                    self.word::<2>();
                    self.words += 1;
                }
                self.bytes((2 * count).next_multiple_of(8) - 2 * count);
            }
            PayloadRule::Messages => {
                for _ in 0..read_as::<IpcMsgEntry>(message).qnum {
                    let length = u32::from_le_bytes(self.word());
                    self.words += 1;
                    let size = read_as::<IpcMsg>(self.bytes(length.into())).msize;
                    self.bytes(u64::from(size).next_multiple_of(8));
                }
            }
            PayloadRule::SharedMemory => {
                let entry = read_as::<IpcShmEntry>(message);
                if entry.in_pagemaps != Some(true) || self.always_content {
                    self.bytes(entry.size.next_multiple_of(4));
                }
            }
            PayloadRule::GhostFile if first => {
                if read_as::<GhostFileEntry>(message).chunks != Some(true) {
                    self.bytes(self.rest.len() as u64);
                }
            }
            PayloadRule::GhostFile => drop(self.bytes(read_as::<GhostChunkEntry>(message).len)),
        }
    }

    /// Turns a word around; returns it as it was.
    fn word<const N: usize>(&mut self) -> [u8; N] {
        let (word, rest) = self.rest.split_first_chunk::<N>().unwrap();
        self.swapped.extend(word.iter().rev());
        self.rest = rest;
        *word
    }

    /// Leaves bytes as they are.
    fn bytes(&mut self, length: u64) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(usize::try_from(length).unwrap());
        self.swapped.extend_from_slice(bytes);
        self.rest = rest;
        bytes
    }
}

fn read_as<T: Message + Default>(message: &[u8]) -> T {
    T::decode(message).unwrap()
}
