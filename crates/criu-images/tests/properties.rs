//! Random messages of the schema, made byte by byte without the crate's own writer, come back from JSON unchanged.

#![allow(clippy::unwrap_used)] // a failure fails the test

use criu_images::framing::Image;
use criu_images::json::{self, Options};
use criu_images::kinds::{self, Entries, Kind, PayloadRule};
use criu_images::schema::tables::{Field, Label, Message, Type};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_images_come_back(
        kind in prop::sample::select(with_entries()),
        odd in any::<bool>(),
        big_endian in prop::bool::weighted(0.1),
        choices in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut maker = Maker { choices: &choices, odd, big_endian };
        let bytes = maker.image(kind);
        let name = kind.files[0].replace("%lu", "1").replace("%u", "1").replace("%x", "1").replace("%d", "1");
        let image = Image::parse_named(name.as_bytes(), &bytes).unwrap();
        for pretty in [false, true] {
            let mut text = Vec::new();
            json::decode(&image, &Options { pretty, ..Options::default() }, &mut text).unwrap();
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok(), "{}", String::from_utf8_lossy(&text));
            let has_side_key = text.windows(12).any(|part| part == br#""coldcase": "#);
            prop_assert!(odd || has_side_key == big_endian, "{}", String::from_utf8_lossy(&text));
            let mut again = Vec::new();
            json::encode(&text, &mut again).unwrap();
            prop_assert!(again == bytes, "{}\n{bytes:02x?}\n{again:02x?}", String::from_utf8_lossy(&text));
        }
    }
}

fn with_entries() -> Vec<&'static Kind> {
    kinds::ALL.iter().filter(|kind| !matches!(kind.entries, Entries::Raw(_))).collect()
}

/// Makes an image out of choices; when they run out, everything is the simplest it can be.
struct Maker<'c> {
    choices: &'c [u8],
    /// Whether to do what CRIU never does: other orders, longer varints, unknown fields, text that is none.
    odd: bool,
    big_endian: bool,
}

impl Maker<'_> {
    fn choice(&mut self) -> u8 {
        let (first, rest) = self.choices.split_first().unwrap_or((&0, &[]));
        self.choices = rest;
        *first
    }

    /// True in one of `of` odd images, never when the choices have run out.
    fn rarely(&mut self, of: u8) -> bool {
        self.odd && self.choice() % of == of - 1
    }

    fn word(&self, word: u32) -> [u8; 4] {
        if self.big_endian { word.to_be_bytes() } else { word.to_le_bytes() }
    }

    fn image(&mut self, kind: &Kind) -> Vec<u8> {
        let mut bytes = Vec::new();
        let head = if self.rarely(8) { None } else { kind.head.word() };
        for word in head.into_iter().chain(kind.magic) {
            bytes.extend(self.word(word));
        }
        let chunked = self.choice() % 2 == 1;
        let entries = match kind.payload {
            PayloadRule::GhostFile if !chunked => 1,
            _ => 1 + u64::from(self.choice() % 3),
        };
        for index in 0..entries {
            let schema = kind.entries.message(index).unwrap();
            let mut lengths = Vec::new();
            let message = self.message(schema, 0, &mut lengths, chunked);
            bytes.extend(self.word(message.len() as u32));
            bytes.extend(&message);
            let length =
                |name: &str| lengths.iter().find(|(it, _)| *it == name).map_or(0, |(_, length)| *length);
            match kind.payload {
                PayloadRule::None => {}
                PayloadRule::Pipe => self.noise(length("bytes"), &mut bytes),
                PayloadRule::SocketQueue => self.noise(length("length"), &mut bytes),
                PayloadRule::TcpStream => self.noise(length("inq_len") + length("outq_len"), &mut bytes),
                PayloadRule::BpfMap => self.noise(length("keys_bytes") + length("values_bytes"), &mut bytes),
                PayloadRule::Semaphores => self.padded(2 * length("nsems"), 8, &mut bytes),
                PayloadRule::SharedMemory => self.padded(length("size"), 4, &mut bytes),
                PayloadRule::GhostFile if index == 0 => self.noise(if chunked { 0 } else { 9 }, &mut bytes),
                PayloadRule::GhostFile => self.noise(length("len"), &mut bytes),
                PayloadRule::Messages => {
                    for _ in 0..length("qnum") {
                        let mut lengths = Vec::new();
                        let schema = &criu_images::schema::messages::IPC_MSG;
                        let message = self.message(schema, 0, &mut lengths, false);
                        bytes.extend(self.word(message.len() as u32));
                        bytes.extend(message);
                        self.padded(lengths[0].1, 8, &mut bytes);
                    }
                }
            }
        }
        bytes
    }

    fn noise(&mut self, length: u64, bytes: &mut Vec<u8>) {
        bytes.extend((0..length).map(|_| self.choice()));
    }

    fn padded(&mut self, length: u64, unit: u64, bytes: &mut Vec<u8>) {
        self.noise(length, bytes);
        let odd = self.rarely(4);
        bytes.extend((0..length.next_multiple_of(unit) - length).map(|_| u8::from(odd)));
    }

    /// Makes a message with all required fields; `lengths` gets the fields that say how long a payload is.
    fn message(
        &mut self,
        schema: &'static Message,
        depth: usize,
        lengths: &mut Vec<(&'static str, u64)>,
        chunked: bool,
    ) -> Vec<u8> {
        const LENGTHS: [&str; 11] = [
            "bytes",
            "length",
            "inq_len",
            "outq_len",
            "keys_bytes",
            "values_bytes",
            "nsems",
            "size",
            "len",
            "qnum",
            "msize",
        ];
        let mut pieces = Vec::new();
        for field in schema.fields {
            let is_length = depth == 0 && LENGTHS.contains(&field.name) && field.label == Label::Required;
            if is_length {
                let length = u64::from(self.choice() % if field.name == "qnum" { 3 } else { 70 });
                lengths.push((field.name, length));
                pieces.push([self.key(field.number, 0), self.varint(length)].concat());
                continue;
            }
            // These two change what follows.
            let fixed = match (schema.name, field.name) {
                ("ipc_shm_entry", "in_pagemaps") => Some(false),
                ("ghost_file_entry", "chunks") => Some(chunked),
                _ => None,
            };
            if let Some(value) = fixed {
                pieces.push([self.key(field.number, 0), self.varint(value.into())].concat());
                continue;
            }
            let count = match field.label {
                Label::Required if self.rarely(16) => 2,
                Label::Required => 1,
                Label::Optional => self.choice() % 2,
                Label::Repeated => self.choice() % 4,
            };
            let packable =
                field.label == Label::Repeated && !matches!(field.ty, Type::Bytes | Type::Message(_));
            if packable && count == 0 && !self.odd {
                continue;
            }
            if packable && (field.packed != self.rarely(8)) {
                let values: Vec<u8> = (0..count).flat_map(|_| self.value(field, depth).1).collect();
                pieces.push([self.key(field.number, 2), self.varint(values.len() as u64), values].concat());
                continue;
            }
            for _ in 0..count {
                if depth > 4 && matches!(field.ty, Type::Message(_)) && field.label != Label::Required {
                    break;
                }
                let (wire_type, value) = self.value(field, depth);
                pieces.push([self.key(field.number, wire_type), value].concat());
            }
        }
        if self.rarely(6) {
            let number = 1000 + u32::from(self.choice());
            pieces.push(match self.choice() % 5 {
                0 => [self.key(number, 0), self.varint(300)].concat(),
                1 => [self.key(number, 1), vec![1; 8]].concat(),
                2 => [self.key(number, 2), vec![3, 1, 2, 3]].concat(),
                3 => [self.key(number, 3), vec![0x08, 1], self.key(number, 4)].concat(),
                _ => [self.key(number, 5), vec![1; 4]].concat(),
            });
        }
        if self.rarely(5) {
            let by = usize::from(self.choice()) % pieces.len().max(1);
            pieces.rotate_left(by);
        }
        pieces.concat()
    }

    /// Makes one value: its wire type and its bytes.
    fn value(&mut self, field: &'static Field, depth: usize) -> (u32, Vec<u8>) {
        match field.ty {
            Type::Fixed32 => (5, vec![self.choice(); 4]),
            Type::Fixed64 => (1, vec![self.choice(); 8]),
            Type::Bytes => {
                let length = self.choice() % 90;
                let mut text = Vec::new();
                for _ in 0..length {
                    // Mostly ASCII, with line ends, equal signs and what is not UTF-8.
                    text.push(match self.choice() {
                        byte @ 0..240 if self.odd || byte % 128 != b'\n' => byte % 128,
                        byte if self.odd => byte,
                        // In names of sockets, line ends of both kinds at once are lost.
                        _ => b'=',
                    });
                }
                (2, [self.varint(u64::from(length)), text].concat())
            }
            Type::Message(inner) => {
                let message = self.message(inner, depth + 1, &mut Vec::new(), false);
                (2, [self.varint(message.len() as u64), message].concat())
            }
            Type::Enum(_) | Type::Bool => {
                let values = if matches!(field.ty, Type::Bool) && !self.odd { 2 } else { 12 };
                let number = u64::from(self.choice() % values);
                (0, self.varint(number))
            }
            _ => {
                let number = match self.choice() % 6 {
                    0 => 0,
                    1 => u64::from(self.choice()),
                    2 => u64::from(u32::MAX),
                    3 => u64::MAX,
                    4 => 1 << (self.choice() % 64),
                    _ => u64::from(self.choice()) * 0x0101_0101_0101,
                };
                let wide = matches!(field.ty, Type::Int64 | Type::Uint64 | Type::Sint64) || self.odd;
                (0, self.varint(if wide { number } else { number & 0x7fff_ffff }))
            }
        }
    }

    fn key(&mut self, number: u32, wire_type: u32) -> Vec<u8> {
        self.varint(u64::from(number << 3 | wire_type))
    }

    /// Writes a varint, now and then longer than need be.
    fn varint(&mut self, mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value > 0x7f {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        if bytes.len() < 9 && self.rarely(40) {
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.push(0);
        }
        bytes
    }
}
