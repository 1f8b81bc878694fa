//! What can be wrong with an image, and where.

use std::fmt;

/// Where in an image something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The kind of image by crit's name, such as `PSTREE`.
    pub kind: &'static str,
    /// Number of the entry in its image, from 0.
    pub entry: u64,
    /// Offset in the image file, in bytes from its start.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} of {}, byte {}", self.entry, self.kind, self.offset)
    }
}

/// How bytes fail to be protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireFault {
    /// The message ends inside a field.
    #[error("the message ends inside a field")]
    Cut,
    /// A field number of 0, or one above 2^29 - 1.
    #[error("there is no such field number")]
    FieldNumber,
    /// One of the wire types 6 and 7, which do not exist.
    #[error("there is no wire type {0}")]
    WireType(u8),
    /// A field of the schema with a wire type that its type cannot have.
    #[error("the field has the wrong wire type for its type")]
    WrongWireType,
    /// The end of a group that does not stand open.
    #[error("a group ends that was not begun")]
    GroupEnd,
    /// A varint of more than ten bytes.
    #[error("a varint has more than ten bytes")]
    VarintTooLong,
    /// A length that goes beyond the message.
    #[error("a field of {length} bytes, of which {present} are there")]
    Length {
        /// What the length word says, in bytes.
        length: u64,
        /// What follows the length word, in bytes.
        present: u64,
    },
    /// More than a million fields in a message that does not have them in the order of their numbers.
    #[error("more than a million fields, and not in the order of their numbers")]
    OutOfOrder,
    /// Messages or groups inside each other, more than 100 levels deep.
    #[error("messages are nested more than 100 levels deep")]
    TooDeep,
}

/// Why an image, or one entry of it, cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file ends before its magic words do.
    #[error("the file has {length} bytes: too short for the magic of an image")]
    NoMagic {
        /// Length of the file in bytes.
        length: u64,
    },
    /// The magic is none of CRIU's.
    #[error(
        "unknown magic {magic:#010x} at byte {offset}: this is no image of CRIU, or one without a magic such as pages-*.img"
    )]
    UnknownMagic {
        /// The word in the byte order of the head word; little-endian when there is none.
        magic: u32,
        /// Offset of the word in the file, in bytes.
        offset: u64,
    },
    /// The file is of a kind that has no entries.
    #[error("{kind} is no image with entries: it holds {holds}")]
    Raw {
        /// The kind by crit's name.
        kind: &'static str,
        /// What the file holds instead.
        holds: &'static str,
    },
    /// The file's name and its magic disagree.
    #[error("the name says {named}, the magic {magic:#010x} at byte {offset} does not")]
    WrongMagic {
        /// The kind that the file's name stands for.
        named: &'static str,
        /// The magic found.
        magic: u32,
        /// Offset of the word in the file, in bytes.
        offset: u64,
    },
    /// The file ends inside the length word of an entry.
    #[error("{place}: the file ends inside the length word (damaged or cut)")]
    CutLength {
        /// The length word.
        place: Place,
    },
    /// The file ends inside an entry's message.
    #[error("{place}: a message of {length} bytes, of which {present} are there (damaged or cut)")]
    CutMessage {
        /// The start of the message.
        place: Place,
        /// What the length word says, in bytes.
        length: u32,
        /// What is there, in bytes.
        present: u64,
    },
    /// The file ends inside what follows an entry.
    #[error("{place}: {what} of {length} bytes, of which {present} are there (damaged or cut)")]
    CutPayload {
        /// The start of the missing piece.
        place: Place,
        /// What is cut.
        what: &'static str,
        /// What the entry says, in bytes.
        length: u64,
        /// What is there, in bytes.
        present: u64,
    },
    /// A netlink message with a length that it cannot have: less than its own header, or beyond the end of the file.
    #[error(
        "{place}: a netlink message of {length} bytes, where 16 to {present} are possible (damaged or cut)"
    )]
    NetlinkLength {
        /// The start of the message.
        place: Place,
        /// What the message says, in bytes.
        length: u64,
        /// What is there, in bytes.
        present: u64,
    },
    /// The bytes of a message are not protobuf.
    #[error("{place}: {message}: {fault}")]
    Wire {
        /// The faulty field.
        place: Place,
        /// The message that the field stands in, by CRIU's name.
        message: &'static str,
        /// What is wrong.
        fault: WireFault,
    },
    /// A field is absent that must be there.
    #[error("{place}: {message} lacks the required field {field} (damaged, or of another kind)")]
    MissingField {
        /// The start of the message that lacks it.
        place: Place,
        /// The message by CRIU's name.
        message: &'static str,
        /// The field by CRIU's name.
        field: &'static str,
    },
    /// An image without the entry that it must have.
    #[error("{kind} has no entry (byte {offset})")]
    NoEntry {
        /// The kind by crit's name.
        kind: &'static str,
        /// Where the entry should be, in bytes.
        offset: u64,
    },
    /// An entry was asked for as a message that it is not.
    #[error("{place}: the entry is a {message}, not a {asked}")]
    OtherMessage {
        /// The entry.
        place: Place,
        /// The message that it is.
        message: &'static str,
        /// The message asked for.
        asked: &'static str,
    },
    /// The image's kind has no such message.
    #[error("{kind} has no entries of the message {asked}")]
    NotOfKind {
        /// The kind by crit's name.
        kind: &'static str,
        /// The message asked for.
        asked: &'static str,
    },
    /// prost refused a message that passed all checks before it.
    #[error("{place}: {message}: {reason}")]
    Prost {
        /// The entry.
        place: Place,
        /// The message by CRIU's name.
        message: &'static str,
        /// What prost says.
        reason: String,
    },
}

/// The result of reading or writing images.
pub type Result<T, E = Error> = std::result::Result<T, E>;
