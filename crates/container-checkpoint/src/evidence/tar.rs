//! Tar archives: one walk for mapped and for streamed ones.
//!
//! Header fields are read by the `tar` crate. The walk is ours, since evidence needs what that crate's walk does not tell: where an archive is cut, what stands
//! behind a damaged header, sparse members as extents, pax records whose values hold newlines, and a bound for name records.

use std::io::{self, Read};

use super::bytes::Bytes;
use super::feed::Feed;
use super::member::{Body, Member, MemberKind, ModificationTime, plain_path};
use super::pax::Pax;
use super::sparse::{self, Part, PaxMap, PaxSparse, SparseMap};
use super::tar_header::{checked_size, member_kind};

/// A tar is made of blocks of this many bytes.
pub(super) const BLOCK: u64 = 512;
/// The most bytes of pax records that are taken for one member, or for all. Extended attributes may have 64 KiB each.
const RECORDS_MAX: u64 = 1 << 20;
/// The longest name that is taken, in bytes: Linux stops at 4096.
const NAME_MAX: u64 = 64 << 10;
/// How many damaged stretches are told apart; the last one takes in what follows.
const DAMAGE_MAX: usize = 100;
/// How many header blocks may stand in front of one member.
const HEADERS_MAX: usize = 1000;

/// A member whose contents come next in the feed.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The member, its body still [`Body::Passing`].
    pub(crate) member: Member,
    /// How many bytes of contents the archive stores.
    pub(crate) packed: u64,
    /// How the member's contents are made of them.
    pub(crate) contents: Contents,
}

/// How a member's contents are made of what the archive stores.
#[derive(Debug)]
pub(crate) enum Contents {
    /// They are what is stored.
    Whole,
    /// They have holes.
    Sparse(SparseMap),
    /// It can't be known; why.
    Unknown(&'static str),
}

/// How a walk ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// At the end mark.
    Complete,
    /// The archive stops; at which byte, and where that is.
    Cut { at: u64, what: String },
    /// The stream can't be read on.
    Failed { at: u64, error: io::Error },
}

/// A stretch of the archive that holds no readable header.
#[derive(Debug)]
pub(crate) struct Damage {
    /// First byte.
    pub(crate) from: u64,
    /// First byte behind.
    pub(crate) to: u64,
}

/// Walks the members of a tar in stored order.
pub(crate) struct Walk<F> {
    pub(crate) feed: F,
    /// Where the next header begins, in bytes from the start of the archive.
    next_header: u64,
    /// Records that hold for all that follow (pax type `g`).
    global: Pax,
    pub(crate) damage: Vec<Damage>,
    /// What is being read, for a message about a cut.
    current: String,
}

impl<F: Feed> Walk<F> {
    pub(crate) fn new(feed: F) -> Self {
        let next_header = feed.position();
        Self { feed, next_header, global: Pax::default(), damage: Vec::new(), current: String::new() }
    }

    /// Goes to the next member, behind whatever of the last one's contents was not taken.
    pub(crate) fn advance(&mut self) -> Result<Entry, Ending> {
        let mut named = Named::default();
        let mut zero_blocks = 0;
        let mut bad_from: Option<u64> = None;
        let mut headers = 0;
        loop {
            let at = self.next_header;
            self.skip_to(at)?;
            let mut block = [0u8; BLOCK as usize];
            let got = self.take(&mut block)?;
            if got == 0 && zero_blocks == 1 && bad_from.is_none() {
                return Err(Ending::Complete); // some writers end with a single zero block
            }
            if got < block.len() {
                self.close_damage(&mut bad_from, at);
                let what = if self.current.is_empty() {
                    "its first header".into()
                } else {
                    format!("the header behind '{}'", self.current)
                };
                return Err(Ending::Cut { at: at + got as u64, what });
            }
            self.next_header = at + BLOCK;
            if block.iter().all(|&byte| byte == 0) {
                zero_blocks += 1;
                named = Named::default();
                if zero_blocks == 2 {
                    self.close_damage(&mut bad_from, at);
                    return Err(Ending::Complete);
                }
                continue;
            }
            zero_blocks = 0;
            let header = tar::Header::from_byte_slice(&block);
            let Some(size) = checked_size(header) else {
                bad_from.get_or_insert(at);
                // What was said of the next member was said of one that can't be found any more.
                named = Named::default();
                continue;
            };
            self.close_damage(&mut bad_from, at);
            match header.entry_type().as_byte() {
                b'L' => named.path = Some(without_nul(self.extension(size, NAME_MAX)?)),
                b'K' => named.link = Some(without_nul(self.extension(size, NAME_MAX)?)),
                b'x' => named.records = Pax::parse(&self.extension(size, RECORDS_MAX)?),
                b'g' => {
                    let records = Pax::parse(&self.extension(size, RECORDS_MAX)?);
                    self.global.merge(records, RECORDS_MAX as usize);
                }
                _ => {
                    let global = std::mem::take(&mut self.global);
                    let entry = self.entry(header, size, named, &global);
                    self.global = global;
                    return entry;
                }
            }
            headers += 1;
            if headers == HEADERS_MAX {
                let error = io::Error::other(format!("{HEADERS_MAX} headers without a member"));
                return Err(Ending::Failed { at, error });
            }
        }
    }

    /// A reader of the contents of the entry that was just returned, holes filled in.
    pub(crate) fn contents(&mut self, entry: &Entry) -> impl Read
    where
        F: Read,
    {
        let size = entry.member.size;
        match &entry.contents {
            Contents::Whole => sparse::Unpacked::whole((&mut self.feed).take(entry.packed), size),
            Contents::Sparse(map) => sparse::Unpacked::sparse((&mut self.feed).take(entry.packed), map, size),
            Contents::Unknown(_) => sparse::Unpacked::whole((&mut self.feed).take(0), 0),
        }
    }

    fn entry(
        &mut self,
        header: &tar::Header,
        header_size: u64,
        named: Named,
        global: &Pax,
    ) -> Result<Entry, Ending> {
        let xattrs = named.records.xattrs();
        let pax = named.records.over(global);
        let mut packed = pax.number("size").unwrap_or(header_size);
        let stored = pax
            .value("path")
            .map(<[u8]>::to_vec)
            .or(named.path)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = member_kind(header, &stored);
        if !matches!(kind, MemberKind::File | MemberKind::Other(_)) {
            packed = 0; // links, devices and directories have no contents whatever their size field says
        }
        self.current = String::from_utf8_lossy(plain_path(&stored)).into_owned();
        let link = pax
            .value("linkpath")
            .map(<[u8]>::to_vec)
            .or(named.link)
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
            .filter(|_| matches!(kind, MemberKind::Symlink | MemberKind::HardLink));
        let member = Member {
            path: plain_path(&stored).to_vec(),
            kind,
            size: packed,
            holes: 0,
            hole_map: None,
            mode: header.mode().unwrap_or_default() & 0o7777,
            uid: pax.number("uid").or_else(|| header.uid().ok()).unwrap_or_default(),
            gid: pax.number("gid").or_else(|| header.gid().ok()).unwrap_or_default(),
            modified: pax.time("mtime").unwrap_or_else(|| ModificationTime {
                seconds: header.mtime().unwrap_or_default().cast_signed(),
                nanoseconds: 0,
            }),
            link,
            xattrs,
            body: Body::Passing,
        };
        let data = self.next_header;
        self.next_header = contents_end(data, packed);
        if kind == MemberKind::File && header.entry_type().is_gnu_sparse() {
            let form = self.gnu_sparse(header)?;
            self.next_header = contents_end(data.saturating_add(form.blocks), packed);
            return Ok(sparse_entry(member, packed, form.size, form.parts));
        }
        if let (MemberKind::File, Some(form)) = (kind, PaxSparse::of(&pax)) {
            return self.pax_sparse(member, packed, form);
        }
        Ok(Entry { member, packed, contents: Contents::Whole })
    }

    /// What an old GNU header says, and the extension blocks behind it.
    fn gnu_sparse(&mut self, header: &tar::Header) -> Result<GnuSparse, Ending> {
        let Some(gnu) = header.as_gnu() else { return Ok(GnuSparse::default()) };
        let mut parts = sparse::gnu_parts(&gnu.sparse);
        let mut extended = gnu.is_extended();
        let mut blocks = 0;
        while extended {
            let mut block = tar::GnuExtSparseHeader::new();
            if self.take(block.as_mut_bytes())? < BLOCK as usize {
                break;
            }
            blocks += BLOCK;
            match (&mut parts, sparse::gnu_parts(block.sparse())) {
                (Some(parts), Some(more)) if parts.len() < sparse::PARTS_MAX => parts.extend(more),
                _ => parts = None,
            }
            extended = block.is_extended();
        }
        Ok(GnuSparse { size: gnu.real_size().ok(), parts, blocks })
    }

    fn pax_sparse(
        &mut self,
        mut member: Member,
        mut packed: u64,
        form: PaxSparse<'_>,
    ) -> Result<Entry, Ending> {
        if let Some(name) = form.name {
            member.path = plain_path(name).to_vec();
        }
        let parts = match form.map {
            PaxMap::Recorded(parts) => parts,
            PaxMap::Leading => {
                let before = self.feed.position();
                let parts =
                    sparse::read_leading_map(&mut self.feed, packed).map_err(|error| self.failed(error))?;
                packed = packed.saturating_sub(self.feed.position() - before);
                parts
            }
        };
        Ok(sparse_entry(member, packed, form.size, parts))
    }

    /// The contents of a name or pax record.
    fn extension(&mut self, size: u64, most: u64) -> Result<Vec<u8>, Ending> {
        let data = self.next_header;
        self.next_header = contents_end(data, size);
        let mut contents = Vec::new();
        let mut left = size.min(most);
        while left > 0 {
            let mut piece = vec![0; left.min(64 << 10) as usize];
            let got = self.take(&mut piece)?;
            contents.extend_from_slice(&piece[..got]);
            left -= got as u64;
            if got < piece.len() {
                break;
            }
        }
        Ok(contents)
    }

    fn skip_to(&mut self, target: u64) -> Result<(), Ending> {
        let behind = target.saturating_sub(self.feed.position());
        let skipped = self.feed.skip(behind).map_err(|error| self.failed(error))?;
        if skipped < behind {
            return Err(Ending::Cut { at: self.feed.position(), what: format!("'{}'", self.current) });
        }
        Ok(())
    }

    fn take(&mut self, buffer: &mut [u8]) -> Result<usize, Ending> {
        self.feed.fill(buffer).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Ending {
        Ending::Failed { at: self.feed.position(), error }
    }

    fn close_damage(&mut self, from: &mut Option<u64>, to: u64) {
        let Some(from) = from.take() else { return };
        let is_full = self.damage.len() == DAMAGE_MAX;
        match self.damage.last_mut() {
            Some(last) if is_full => last.to = to,
            _ => self.damage.push(Damage { from, to }),
        }
    }
}

/// What header blocks in front of a member say of it.
#[derive(Default)]
struct Named {
    records: Pax,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// A sparse member in GNU's old form, as far as it can be read.
#[derive(Default)]
struct GnuSparse {
    size: Option<u64>,
    parts: Option<Vec<Part>>,
    /// How many bytes the extension blocks take.
    blocks: u64,
}

/// A sparse member of this size, if that and its map make sense.
fn sparse_entry(mut member: Member, packed: u64, size: Option<u64>, parts: Option<Vec<Part>>) -> Entry {
    let contents = match (size, parts) {
        (Some(size), Some(parts)) => {
            member.size = size;
            SparseMap::checked(parts, size, packed).map_or_else(Contents::Unknown, Contents::Sparse)
        }
        _ => Contents::Unknown("its size or its map of stored parts can't be read"),
    };
    if let Contents::Sparse(map) = &contents {
        member.holes = member.size - map.stored();
        member.hole_map = Some(map.holes(member.size).into());
    }
    Entry { member, packed, contents }
}

/// Where the contents that begin there end, in whole blocks.
fn contents_end(from: u64, packed: u64) -> u64 {
    from.saturating_add(packed).saturating_add(padding(packed))
}

/// How many bytes fill the last block.
fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

fn without_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|&byte| byte == 0) {
        name.truncate(end);
    }
    name
}

/// Where an entry's contents lie in a tar that can be read at any offset.
pub(crate) fn body_of(bytes: &Bytes, at: u64, entry: &Entry) -> Bytes {
    let packed = bytes.slice(at..at.saturating_add(entry.packed));
    match &entry.contents {
        Contents::Whole => packed,
        Contents::Sparse(map) => map.spread(&packed, entry.member.size),
        Contents::Unknown(_) => Bytes::default(),
    }
}
