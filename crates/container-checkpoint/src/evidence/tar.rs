//! Tar archives: one walk for mapped and for streamed ones.
//!
//! Header fields are read by the `tar` crate. The walk is ours, since evidence needs what that crate's walk does not tell: where an archive is cut, what stands
//! behind a damaged header, sparse members as extents, pax records whose values hold newlines, and a bound for name records.

use std::io::{self, Read};

use super::bytes::Bytes;
use super::member::{Body, Member, MemberKind, ModificationTime, plain_path};
use super::pax::{Layered, Pax};
use super::sparse::{self, SparseMap};

const BLOCK: u64 = 512;
/// The most bytes of pax records that are taken for one member, or for all. Extended attributes may have 64 KiB each.
const RECORDS_MAX: u64 = 1 << 20;
/// The longest name that is taken, in bytes: Linux stops at 4096.
const NAME_MAX: u64 = 64 << 10;
/// How many damaged stretches are told apart; the last one takes in what follows.
const DAMAGE_MAX: usize = 100;
/// How many header blocks may stand in front of one member.
const HEADERS_MAX: usize = 1000;

/// What a tar is read from: bytes at an offset, or a stream.
pub(crate) trait Feed {
    /// How many bytes were taken or skipped so far.
    fn position(&self) -> u64;
    /// Fills as much of the buffer as there is.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Skips bytes; how many there were to skip.
    fn skip(&mut self, count: u64) -> io::Result<u64>;
}

/// A tar that can be read at any offset.
pub(crate) struct Seekable<'a> {
    bytes: &'a Bytes,
    at: u64,
}

impl<'a> Seekable<'a> {
    pub(crate) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Feed for Seekable<'_> {
    fn position(&self) -> u64 {
        self.at
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read_at(self.at, buffer)?;
        self.at += count as u64;
        Ok(count)
    }

    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let count = count.min(self.bytes.len().saturating_sub(self.at));
        self.at += count;
        Ok(count)
    }
}

/// A tar that goes by.
pub(crate) struct Streamed<R> {
    inner: R,
    at: u64,
}

impl<R: Read> Streamed<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, at: 0 }
    }
}

impl<R: Read> Read for Streamed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: Read> Feed for Streamed<R> {
    fn position(&self) -> u64 {
        self.at
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read(&mut buffer[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn skip(&mut self, count: u64) -> io::Result<u64> {
        io::copy(&mut self.by_ref().take(count), &mut io::sink())
    }
}

/// A member whose contents come next in the feed.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The member, its body still [`Body::Passing`].
    pub(crate) member: Member,
    /// How many bytes of contents the archive stores.
    pub(crate) packed: u64,
    /// For a sparse member: which parts of it are stored.
    pub(crate) sparse: Option<SparseMap>,
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
        let mut local = Pax::default();
        let mut long_name = None;
        let mut long_link = None;
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
                let what = if self.current.is_empty() { "its first header".into() } else { format!("the header behind '{}'", self.current) };
                return Err(Ending::Cut { at: at + got as u64, what });
            }
            self.next_header = at + BLOCK;
            if block.iter().all(|&byte| byte == 0) {
                zero_blocks += 1;
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
                continue;
            };
            self.close_damage(&mut bad_from, at);
            match header.entry_type().as_byte() {
                b'L' => long_name = Some(without_nul(self.extension(size, NAME_MAX)?)),
                b'K' => long_link = Some(without_nul(self.extension(size, NAME_MAX)?)),
                b'x' => local = Pax::parse(&self.extension(size, RECORDS_MAX)?),
                b'g' => {
                    let records = Pax::parse(&self.extension(size, RECORDS_MAX)?);
                    self.global.merge(records, RECORDS_MAX as usize);
                }
                _ => {
                    let global = std::mem::take(&mut self.global);
                    let entry = self.entry(header, size, &local.over(&global), local.xattrs(), long_name, long_link);
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
        sparse::Unpacked::new((&mut self.feed).take(entry.packed), entry.sparse.as_ref(), entry.member.size)
    }

    fn entry(
        &mut self,
        header: &tar::Header,
        header_size: u64,
        pax: &Layered<'_>,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, Ending> {
        let mut packed = pax.number("size").unwrap_or(header_size);
        let stored = pax.value("path").map(<[u8]>::to_vec).or(long_name).unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = member_kind(header, &stored);
        if !matches!(kind, MemberKind::File | MemberKind::Other(_)) {
            packed = 0; // links, devices and directories have no contents whatever their size field says
        }
        self.current = String::from_utf8_lossy(plain_path(&stored)).into_owned();
        let link = pax
            .value("linkpath")
            .map(<[u8]>::to_vec)
            .or(long_link)
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
            .filter(|_| matches!(kind, MemberKind::Symlink | MemberKind::HardLink));
        let mut member = Member {
            path: plain_path(&stored).to_vec(),
            kind,
            size: packed,
            holes: 0,
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
        let contents_end = |from: u64, packed: u64| from.saturating_add(packed).saturating_add(padding(packed));
        let data = self.next_header;
        self.next_header = contents_end(data, packed);

        let mut sparse = None;
        if header.entry_type().is_gnu_sparse() {
            let (map, size, extra) = self.gnu_sparse(header)?;
            self.next_header = contents_end(data + extra, packed);
            member.size = size;
            sparse = Some(map);
        } else if let Some(form) = sparse::PaxSparse::of(pax) {
            if let Some(name) = form.name {
                member.path = plain_path(name).to_vec();
            }
            let map = match form.map {
                Some(map) => map,
                None => {
                    let before = self.feed.position();
                    let map = sparse::read_leading_map(&mut self.feed, packed).map_err(|error| self.failed(error))?;
                    packed = packed.saturating_sub(self.feed.position() - before);
                    map
                }
            };
            member.size = form.size;
            sparse = Some(map);
        }
        if let Some(map) = &mut sparse {
            map.clip(member.size, packed);
            member.holes = member.size - map.stored();
        }
        Ok(Entry { member, packed, sparse })
    }

    /// The map in an old GNU header and the extension blocks behind it; the member's size; how many bytes the extension blocks take.
    fn gnu_sparse(&mut self, header: &tar::Header) -> Result<(SparseMap, u64, u64), Ending> {
        let Some(gnu) = header.as_gnu() else { return Ok((SparseMap::default(), 0, 0)) };
        let mut map = SparseMap::default();
        map.extend_gnu(&gnu.sparse);
        let mut extended = gnu.is_extended();
        let mut extra = 0;
        while extended {
            let mut block = tar::GnuExtSparseHeader::new();
            if self.take(block.as_mut_bytes())? < BLOCK as usize {
                break;
            }
            extra += BLOCK;
            extended = map.extend_gnu(block.sparse()) && block.is_extended();
        }
        Ok((map, gnu.real_size().unwrap_or_default(), extra))
    }

    /// The contents of a name or pax record.
    fn extension(&mut self, size: u64, most: u64) -> Result<Vec<u8>, Ending> {
        let data = self.next_header;
        self.next_header = data.saturating_add(size).saturating_add(padding(size));
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

/// Whether these first bytes of a stream are a tar header.
pub(crate) fn looks_like_tar(head: &[u8]) -> bool {
    head.len() >= BLOCK as usize && checked_size(tar::Header::from_byte_slice(&head[..BLOCK as usize])).is_some()
}

/// The size field of a header whose checksum is right.
fn checked_size(header: &tar::Header) -> Option<u64> {
    let bytes = header.as_bytes();
    // The sum over all bytes, the checksum's own eight taken as blanks.
    let sum: u32 = bytes.iter().enumerate().map(|(at, &byte)| u32::from(if (148..156).contains(&at) { b' ' } else { byte })).sum();
    (header.cksum().ok()? == sum).then(|| header.entry_size().ok()).flatten()
}

fn member_kind(header: &tar::Header, stored: &[u8]) -> MemberKind {
    let device = || {
        let number = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or_default();
        (number(header.device_major()), number(header.device_minor()))
    };
    match header.entry_type().as_byte() {
        // Before POSIX a directory was a file whose name ends in a slash.
        0 | b'0' | b'7' if stored.ends_with(b"/") => MemberKind::Directory,
        0 | b'0' | b'7' | b'S' => MemberKind::File,
        b'1' => MemberKind::HardLink,
        b'2' => MemberKind::Symlink,
        b'3' => MemberKind::CharDevice(device().0, device().1),
        b'4' => MemberKind::BlockDevice(device().0, device().1),
        b'5' => MemberKind::Directory,
        b'6' => MemberKind::Fifo,
        other => MemberKind::Other(other),
    }
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
    match &entry.sparse {
        None => packed,
        Some(map) => map.spread(&packed, entry.member.size),
    }
}
