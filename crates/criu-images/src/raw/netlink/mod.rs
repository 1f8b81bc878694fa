//! Netlink messages as the kernel sent them: addresses, routes and rules as iproute2 saves them, tracked connections.
//!
//! The files of iproute2 begin with a word that says which they are, those of connection tracking with the first
//! message. Each message is a `struct nlmsghdr` (`u32 len`, `u16 type`, `u16 flags`, `u32 seq`, `u32 pid`, in the order
//! of the machine that dumped), then its content, padded to a multiple of four bytes. Here only lengths are checked;
//! the crates `netlink-packet-*` decode, in the order of the machine that this runs on. What they refuse, and all of
//! a file in the other byte order, is shown as bytes.

mod address;
mod attributes;
mod conntrack;
mod names;
mod route;
mod rule;

use netlink_packet_core::DecodeError;

use super::{IPROUTE2, Object, RawImage, Value};
use crate::error::{Error, Place, Result};
use crate::kinds::Kind;
use crate::payload::{word16, word32};

/// Length of `struct nlmsghdr`, in bytes.
const HEADER: usize = 16;

/// Reads all messages up to the first whose length cannot be.
pub(super) fn read<'a>(kind: &'static Kind, bytes: &'a [u8]) -> RawImage<'a> {
    let mut image = RawImage::new(kind);
    let (mut rest, big_endian) = match start(kind, bytes) {
        Ok(start) => start,
        Err(error) => {
            image.damage = Some((error, bytes));
            return image;
        }
    };
    while !rest.is_empty() {
        let offset = (bytes.len() - rest.len()) as u64;
        let place = Place { kind: kind.name, entry: image.entries.len() as u64, offset };
        match Message::read(rest, big_endian, place) {
            Ok((message, after)) => {
                image.entries.push(Value::Object(message.entry(kind, big_endian)));
                rest = after;
            }
            Err(error) => {
                image.damage = Some((error, rest));
                break;
            }
        }
    }
    image
}

/// Returns where the messages start, and whether they are big-endian.
fn start<'a>(kind: &'static Kind, bytes: &'a [u8]) -> Result<(&'a [u8], bool)> {
    // Both families of routes have one word.
    let name = if kind.name == "ROUTE6" { "ROUTE" } else { kind.name };
    let Some((magic, _)) = IPROUTE2.iter().find(|(_, of)| *of == name) else {
        // No word says in which order: the first length is right in one only.
        let length = |big| bytes.first_chunk().map_or(0, |word| word32(*word, big) as usize);
        let fits = |big| (HEADER..=bytes.len()).contains(&length(big));
        return Ok((bytes, fits(true) && !fits(false)));
    };
    if bytes.is_empty() {
        return Ok((bytes, false));
    }
    let (word, rest) = bytes.split_first_chunk().ok_or(Error::NoMagic { length: bytes.len() as u64 })?;
    match word32(*word, false) {
        word if word == *magic => Ok((rest, false)),
        word if word.swap_bytes() == *magic => Ok((rest, true)),
        word => Err(Error::WrongMagic { named: kind.name, magic: word, offset: 0 }),
    }
}

/// One message.
struct Message<'a> {
    /// `nlmsg_type`.
    number: u16,
    content: &'a [u8],
}

impl<'a> Message<'a> {
    /// Splits off a message with its padding. The padding of the last one may be missing.
    fn read(bytes: &'a [u8], big_endian: bool, place: Place) -> Result<(Self, &'a [u8])> {
        let present = bytes.len() as u64;
        let length = bytes.first_chunk().map_or(0, |word| word32(*word, big_endian));
        let wrong = Error::NetlinkLength { place, length: length.into(), present };
        let Some(message) = bytes.get(..length as usize) else { return Err(wrong) };
        let Some((header, content)) = message.split_first_chunk::<HEADER>() else { return Err(wrong) };
        let padded = message.len().next_multiple_of(4).min(bytes.len());
        Ok((Self { number: word16([header[4], header[5]], big_endian), content }, &bytes[padded..]))
    }

    fn entry(&self, kind: &'static Kind, big_endian: bool) -> Object {
        let decode: Option<Decode> = DECODERS
            .iter()
            .find(|it| it.kinds.contains(&kind.name) && it.number == self.number)
            .map(|it| it.decode);
        let mut entry = vec![("message", names::named(names::MESSAGES, self.number.into()))];
        let undecoded = match decode {
            // The crates read numbers in the order of the machine that they run on.
            _ if big_endian != cfg!(target_endian = "big") => {
                Some("in the byte order of another machine".to_owned())
            }
            None => None,
            Some(decode) => match decode(self.content) {
                Ok(members) => {
                    entry.extend(members);
                    return entry;
                }
                Err(error) => Some(error.to_string()),
            },
        };
        entry.extend(undecoded.map(|why| ("undecoded", Value::from(why))));
        entry.push(("bytes", Value::Bytes(self.content.to_vec())));
        entry
    }
}

type Decode = fn(&[u8]) -> Result<Object, DecodeError>;

/// Which content a message has, by the kind of image and its number.
struct Decoder {
    kinds: &'static [&'static str],
    number: u16,
    decode: Decode,
}

/// `RTM_NEWADDR`, `RTM_NEWROUTE`, `RTM_NEWRULE` of `linux/rtnetlink.h`; `IPCTNL_MSG_CT_NEW` of the subsystem
/// `NFNL_SUBSYS_CTNETLINK` of `linux/netfilter`. CRIU writes tracked connections into the images of expected ones, too.
static DECODERS: &[Decoder] = &[
    Decoder { kinds: &["IFADDR"], number: 20, decode: address::decode },
    Decoder { kinds: &["ROUTE", "ROUTE6"], number: 24, decode: route::decode },
    Decoder { kinds: &["RULE"], number: 32, decode: rule::decode },
    Decoder { kinds: &["NETNF_CT", "NETNF_EXP"], number: 0x100, decode: conntrack::decode },
];
