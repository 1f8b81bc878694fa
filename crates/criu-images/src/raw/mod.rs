//! Raw images: files of CRIU without a magic and without protobuf entries.
//!
//! The dumps of network namespaces hold what iproute2, iptables and nft print, or netlink messages as the kernel sent
//! them; mounted tmpfs are packed archives; page files are nothing but pages. [`read`] turns those that stand for
//! themselves into [`RawImage`]s; for archives and pages, which need more than their own bytes, a caller makes one.
//! [`crate::json::raw`] writes them as JSON.

#[cfg(feature = "netlink")]
mod netlink;
mod text;
mod value;

pub use value::{Object, Value};

use crate::error::Error;
use crate::kinds::{self, Entries, Kind};

/// The first words of what iproute2 saves: `ip address save`, `ip route save` (both families), `ip rule save`.
const IPROUTE2: [(u32, &str); 3] = [(0x4736_1222, "IFADDR"), (0x4531_1224, "ROUTE"), (0x7170_6986, "RULE")];

/// A raw image as values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawImage<'a> {
    /// The kind by crit's name, such as `IFADDR`.
    pub kind: &'static str,
    /// What is true of the file as a whole.
    pub facts: Object,
    /// What stands in it, in the order of the file.
    pub entries: Vec<Value>,
    /// What ended the list early, and the bytes from there on. All entries before it are good.
    pub damage: Option<(Error, &'a [u8])>,
}

impl RawImage<'_> {
    /// Makes an image of a kind with nothing in it.
    pub fn new(kind: &'static Kind) -> Self {
        Self { kind: kind.name, facts: Object::new(), entries: Vec::new(), damage: None }
    }
}

/// Returns the kind of a raw image: by its base name or, if it has none, by the first word, which only files of
/// iproute2 have. (An IPv6 route image without its name is taken for an IPv4 one: they have the same word.)
///
/// ```
/// use criu_images::raw;
///
/// assert_eq!(raw::kind(Some(b"nftables-10.img"), b"").unwrap().name, "NFTABLES");
/// assert_eq!(raw::kind(None, b"\x22\x12\x36\x47").unwrap().name, "IFADDR");
/// assert!(raw::kind(Some(b"pstree.img"), b"").is_none());
/// ```
pub fn kind(file_name: Option<&[u8]>, bytes: &[u8]) -> Option<&'static Kind> {
    if let Some((kind, _)) = file_name.and_then(kinds::by_file_name) {
        return Some(kind).filter(|kind| matches!(kind.entries, Entries::Raw(_)) && kind.magic.is_none());
    }
    let word = u32::from_le_bytes(*bytes.first_chunk()?);
    let (_, name) = IPROUTE2.iter().find(|(magic, _)| [word, word.swap_bytes()].contains(magic))?;
    kinds::by_name(name)
}

/// Reads a raw image that stands for itself: rules of packet filters and, with the feature `netlink`, addresses,
/// routes, rules and tracked connections. `None` for all other kinds.
///
/// Nothing that a netlink message has is left out: what is not known by name is shown as number and bytes.
pub fn read<'a>(kind: &'static Kind, bytes: &'a [u8]) -> Option<RawImage<'a>> {
    match kind.name {
        "IPTABLES" | "IP6TABLES" | "NFTABLES" => Some(text::read(kind, bytes)),
        #[cfg(feature = "netlink")]
        "IFADDR" | "ROUTE" | "ROUTE6" | "RULE" | "NETNF_CT" | "NETNF_EXP" => Some(netlink::read(kind, bytes)),
        _ => None,
    }
}
