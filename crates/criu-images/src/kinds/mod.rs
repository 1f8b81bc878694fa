//! The kinds of images: how their files are named, what magic they carry, and what stands in them.
//!
//! The table is [`ALL`]. The facts are those of CRIU's `image-desc.c` and `magic.h` in all releases up to 4.3.
//!
//! To add a kind: a line in `kinds/table.rs`; its message in `proto/`, in a file of its own; if bytes follow its
//! entries, a [`PayloadRule`], its reading in `payload.rs` and its two forms in `json/decode/extra.rs` and
//! `json/encode/extra.rs`; names of new flags or states in `json/names.rs`; an image of it in `testdata/images`.

mod table;

pub use table::ALL;

use crate::schema::tables::Message;

/// The first word of images with protobuf entries since CRIU 1.6 (`IMG_COMMON_MAGIC`).
pub const IMG_COMMON: u32 = 0x5456_4319;
/// The first word of images that are for tools, not for a restore (`IMG_SERVICE_MAGIC`).
pub const IMG_SERVICE: u32 = 0x5510_5940;

/// A kind of image.
#[derive(Debug)]
pub struct Kind {
    /// The name of the magic in crit, such as `PSTREE`.
    pub name: &'static str,
    /// CRIU's patterns of the file names: `%u` and its like stand for a decimal number, `%x` for a hexadecimal one.
    pub files: &'static [&'static str],
    /// The word that says which kind it is, or `None` for files without one.
    pub magic: Option<u32>,
    /// The word ahead of the magic, since CRIU 1.6.
    pub head: Head,
    /// The messages in the file.
    pub entries: Entries,
    /// What follows an entry.
    pub payload: PayloadRule,
    /// What the number in the file name is; empty if there is none.
    pub id: &'static str,
    /// The first release with this name.
    pub since: &'static str,
    /// The last release that wrote it.
    pub last_written: &'static str,
    /// Whether a checkpoint of today can hold it.
    pub status: Status,
}

/// The word ahead of the magic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// No word.
    None,
    /// [`IMG_COMMON`].
    Common,
    /// [`IMG_SERVICE`].
    Service,
}

impl Head {
    /// Returns the word itself.
    pub fn word(self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Common => Some(IMG_COMMON),
            Self::Service => Some(IMG_SERVICE),
        }
    }
}

/// The messages in a file.
#[derive(Debug, Clone, Copy)]
pub enum Entries {
    /// No entries: the file holds what the text says.
    Raw(&'static str),
    /// One entry. CRIU ignores what follows it; this crate shows it.
    One(&'static Message),
    /// Any number of entries.
    Many(&'static Message),
    /// A first entry of one message, then any number of another.
    Headed {
        /// The first entry.
        head: &'static Message,
        /// All others.
        rest: &'static Message,
    },
}

impl Entries {
    /// Returns the message of the entry with this number, from 0; `None` for raw files.
    pub fn message(&self, index: u64) -> Option<&'static Message> {
        match self {
            Self::Raw(_) => None,
            Self::One(message) | Self::Many(message) => Some(message),
            Self::Headed { head, rest } => Some(if index == 0 { head } else { rest }),
        }
    }

    /// True if some entry can be this message.
    pub fn contains(&self, message: &Message) -> bool {
        [0, 1].iter().any(|&index| self.message(index).is_some_and(|candidate| candidate.is(message)))
    }
}

/// What follows an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadRule {
    /// Nothing.
    None,
    /// `pipe_data_entry.bytes` bytes.
    Pipe,
    /// `sk_packet_entry.length` bytes.
    SocketQueue,
    /// `inq_len` bytes received, then `outq_len` bytes not acknowledged yet (`tcp_stream_entry`).
    TcpStream,
    /// `nsems` words of 16 bits in the machine's order, with zeros up to a multiple of 8 bytes (`ipc_sem_entry`).
    Semaphores,
    /// `qnum` times: a length word, an `ipc_msg`, and its `msize` bytes with zeros up to a multiple of 8.
    Messages,
    /// `ipc_shm_entry.size` bytes with zeros up to a multiple of 4; nothing if `in_pagemaps` is true.
    SharedMemory,
    /// `keys_bytes` bytes of keys, then `values_bytes` bytes of values (`bpfmap_data_entry`).
    BpfMap,
    /// If `ghost_file_entry.chunks` is true, `len` bytes after each `ghost_chunk_entry`; else the rest of the file.
    GhostFile,
}

/// Whether a checkpoint of today can hold a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Written by current releases.
    Current,
    /// Written by old releases only.
    Obsolete,
    /// No part of a checkpoint.
    NotAnImage,
}

/// Finds the kind of a file by its base name, with the number in the name if the kind has one.
///
/// ```
/// use criu_images::kinds::by_file_name;
///
/// let (kind, id) = by_file_name(b"core-57.img").unwrap();
/// assert_eq!((kind.name, id), ("CORE", Some(57)));
/// let (kind, id) = by_file_name(b"tcp-stream-1f.img").unwrap();
/// assert_eq!((kind.name, id), ("TCP_STREAM", Some(0x1f)));
/// assert!(by_file_name(b"dump.log").is_none());
/// ```
pub fn by_file_name(name: &[u8]) -> Option<(&'static Kind, Option<u64>)> {
    ALL.iter().find_map(|kind| {
        let id = kind.files.iter().find_map(|pattern| matches(pattern, name))?;
        Some((kind, id))
    })
}

/// Finds the kind that has this magic (the second word of a file with a head word).
///
/// Some magics have several kinds. Of those the one that checkpoints hold today is returned; the file's name decides.
pub fn by_magic(magic: u32) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.magic == Some(magic))
}

/// Finds a kind by crit's name for it, such as `PSTREE`.
pub fn by_name(name: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.name == name)
}

/// Matches a name against one pattern: `None` if it does not fit, else the number in it.
fn matches(pattern: &str, name: &[u8]) -> Option<Option<u64>> {
    let Some((before, after)) = pattern.split_once('%') else {
        return (pattern.as_bytes() == name).then_some(None);
    };
    let (conversion, after) = after.split_at(after.find(['u', 'd', 'x'])? + 1);
    let digits = name.strip_prefix(before.as_bytes())?.strip_suffix(after.as_bytes())?;
    let (radix, is_digit): (_, fn(&u8) -> bool) = match conversion {
        "x" => (16, |digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')),
        _ => (10, u8::is_ascii_digit),
    };
    // printf writes no leading zeros, so a name with them is not CRIU's.
    if !digits.iter().all(is_digit) || (digits.len() > 1 && digits.starts_with(b"0")) {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    u64::from_str_radix(digits, radix).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_finds_its_own_kind_or_the_one_of_today() {
        for kind in ALL {
            for pattern in kind.files {
                let name = match pattern.split_once('%') {
                    Some((before, after)) => {
                        format!("{before}12{}", &after[after.find(['u', 'd', 'x']).unwrap() + 1..])
                    }
                    None => (*pattern).to_owned(),
                };
                let (found, id) = by_file_name(name.as_bytes()).unwrap();
                assert_eq!(id.is_some(), pattern.contains('%'), "{name}");
                assert!(
                    found.name == kind.name || kind.status == Status::Obsolete,
                    "{name} is {} instead of {}",
                    found.name,
                    kind.name
                );
            }
        }
    }

    #[test]
    fn shared_magics_mean_the_kind_of_today() {
        for (magic, name) in [(0x5608_4025, "PAGEMAP"), (0x5925_5647, "SIGNAL"), (0x6734_3323, "BINFMT_MISC")]
        {
            assert_eq!(by_magic(magic).unwrap().name, name);
        }
    }

    #[test]
    fn no_magic_is_a_head_word() {
        assert!(ALL.iter().all(|kind| kind.magic != Some(IMG_COMMON) && kind.magic != Some(IMG_SERVICE)));
    }

    #[test]
    fn numbers_must_be_as_printf_writes_them() {
        for name in
            ["core-.img", "core-07.img", "core--1.img", "core-99999999999999999999.img", "ghost-file-A.img"]
        {
            assert!(by_file_name(name.as_bytes()).is_none(), "{name}");
        }
        assert_eq!(by_file_name(b"timens-0.img").unwrap().1, Some(0));
        assert_eq!(by_file_name(b"pages-3.img").unwrap().0.name, "PAGES");
    }
}
