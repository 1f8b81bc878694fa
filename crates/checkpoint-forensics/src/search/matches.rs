//! Matches in memory, as they are kept and as they are told.
//!
//! A match is kept as its place in a piece of memory and its bytes. Who sees it at which address is known of the piece; it is worked out when a match is handed out, as is the order in
//! which matches are told, for one process after the other.

use std::cmp::Ordering;

use container_checkpoint::ids::{FileId, Pid, VirtualAddress};
use container_checkpoint::memory::ObjectId;
use container_checkpoint::model::SharedObjectId;

use super::encoding::Encoding;
use super::found::Record;
use super::space::Who;
use super::texts::{At, Texts};

/// A match: bytes at one place of the images, and every process that sees them.
#[derive(Clone, Copy, Debug)]
pub struct Match<'m> {
    /// The number of the pattern, in the list that was compiled.
    pub pattern: usize,
    /// The encoding that matched; `None` for bytes in hexadecimal.
    pub encoding: Option<Encoding>,
    /// The page image that holds the first byte: `pages-2.img`; of a parent dump when `ancestor` is above 0. Or where the file is from that does.
    pub image: &'m str,
    /// The mapped file that holds the first byte, which is in no page image.
    pub file: Option<FileId>,
    /// Whose image it is: 0 is the dump itself, 1 its parent, and so on.
    pub ancestor: usize,
    /// The offset of the first byte in the image, in bytes.
    pub offset: u64,
    /// The bytes that matched.
    pub text: &'m [u8],
    /// Whether the match may go on, and is told only as far as matches may be long.
    pub is_cut: bool,
    /// Memory right before them: fewer bytes than asked for where the stored memory begins.
    pub before: &'m [u8],
    /// Memory right behind them.
    pub after: &'m [u8],
    of: &'m Matches,
    source: u32,
}

/// The matches in the memory of a dump.
#[derive(Debug, Default)]
pub struct Matches {
    /// Of each needle the pattern and the encoding.
    pub(super) needles: Vec<(usize, Option<Encoding>)>,
    /// By the number of an object.
    pub(super) images: Vec<Image>,
    pub(super) whos: Ranks,
    /// Pieces of memory with matches, and behind each other what is in them.
    pub(super) spots: Vec<Spot>,
    /// Of all spots: who sees the first byte at which address, ascending.
    pub(super) views: Vec<(u32, u64)>,
    /// Of all spots: matches that all who see the spot have. The segment is the number of the spot.
    pub(super) records: Vec<Record>,
    /// Matches that only some have, or that lie in several pieces.
    pub(super) odd: Vec<Odd>,
    pub(super) texts: Texts,
    /// Who sees which spot: rank, spot, number of the view; ascending.
    seen: Vec<(u32, u32, u32)>,
    /// Who sees which odd match: rank, match, number of the sighting; ascending.
    seen_odd: Vec<(u32, u32, u32)>,
    /// Which matches are told, when not all are.
    told: Option<Vec<bool>>,
    /// How many are told.
    len: usize,
}

/// What a page image is called and whose it is, or which file it is instead.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) ancestor: usize,
    pub(super) file: Option<FileId>,
}

/// Bytes in one piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) object: ObjectId,
    pub(super) offset: u64,
    /// The first of its matches: they are as many as there are up to those of the next spot.
    pub(super) first_record: u32,
    /// The first of its views, likewise.
    pub(super) first_view: u32,
}

/// A match with a list of its own of who sees it.
#[derive(Clone, Debug)]
pub(super) struct Odd {
    pub(super) object: ObjectId,
    pub(super) offset: u64,
    pub(super) needle: u32,
    pub(super) text: At,
    /// Whether it takes room of its own: it was found at a seam alone.
    pub(super) is_new: bool,
    /// Rank and address, ascending.
    pub(super) sightings: Vec<(u32, u64)>,
}

/// Who is told of matches, in the order in which they are told: processes, then shared objects.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    pub(super) whos: Vec<Who>,
    /// How many of them are processes.
    pub(super) processes: u32,
}

/// A place as somebody sees it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    source: u32,
}

impl Match<'_> {
    /// Who sees the first byte at which address, ascending.
    pub fn sightings(&self) -> Vec<(Pid, VirtualAddress)> {
        let all = self.of.seen_by(self.source).into_iter();
        all.filter_map(|(rank, at)| Some((self.of.whos.pid(rank)?, VirtualAddress(at)))).collect()
    }

    /// Which shared objects have the first byte at which offset, ascending.
    pub fn objects(&self) -> Vec<(SharedObjectId, u64)> {
        let all = self.of.seen_by(self.source).into_iter();
        all.filter_map(|(rank, at)| Some((self.of.whos.object(rank)?, at))).collect()
    }
}

impl Matches {
    /// How many there are: what several see is one.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Each match once: in the memory of processes, ordered by process and address of who sees it first, and then those that are only in shared objects.
    pub fn iter(&self) -> impl Iterator<Item = Match<'_>> {
        self.sources().map(|source| self.get(source))
    }

    /// A match for each process and address that sees it, ascending.
    pub fn in_processes(&self) -> impl Iterator<Item = (Pid, VirtualAddress, Match<'_>)> {
        let of = |rank| self.entries(rank, false).into_iter().map(move |entry| (rank, entry));
        (0..self.whos.processes).flat_map(of).filter_map(|(rank, Entry { at, source })| {
            Some((self.whos.pid(rank)?, VirtualAddress(at), self.get(source)))
        })
    }

    /// A match for each shared object and place in it, ascending.
    pub fn in_objects(&self) -> impl Iterator<Item = (SharedObjectId, u64, Match<'_>)> {
        let of = |rank| self.entries(rank, false).into_iter().map(move |entry| (rank, entry));
        (self.whos.processes..self.whos.whos.len() as u32)
            .flat_map(of)
            .filter_map(|(rank, Entry { at, source })| Some((self.whos.object(rank)?, at, self.get(source))))
    }

    /// The encodings of all of them, in no order.
    pub fn encodings(&self) -> impl Iterator<Item = Option<Encoding>> {
        let needles =
            self.records.iter().map(|record| record.needle).chain(self.odd.iter().map(|odd| odd.needle));
        let told = (0..).zip(needles).filter(|(source, _)| self.is_told(*source));
        told.map(|(_, needle)| self.needles[needle as usize].1)
    }

    /// Drops all but the first ones, in the order of [`Matches::iter`].
    pub fn truncate(&mut self, most: usize) {
        if most < self.len {
            let mut told = vec![false; self.records.len() + self.odd.len()];
            self.sources().take(most).for_each(|source| told[source as usize] = true);
            (self.told, self.len) = (Some(told), most);
        }
    }

    /// How many each of those has who are told of matches, in their order.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Who, u64)> {
        let mut counts = vec![0u64; self.whos.whos.len()];
        for &(rank, spot, _) in &self.seen {
            let records = self.records_of(spot);
            let told = records.filter(|&source| self.is_told(source)).count();
            counts[rank as usize] += told as u64;
        }
        for &(rank, odd, _) in &self.seen_odd {
            counts[rank as usize] += u64::from(self.is_told(self.records.len() as u32 + odd));
        }
        self.whos.whos.iter().copied().zip(counts)
    }

    /// All is there: notes who sees what.
    pub(super) fn settle(&mut self) {
        for spot in 0..self.spots.len() as u32 {
            let views = self.views_of(spot);
            let seen: Vec<_> = (0..).zip(views).map(|(number, &(rank, _))| (rank, spot, number)).collect();
            self.seen.extend(seen);
        }
        for (odd, number) in self.odd.iter().zip(0..) {
            let seen = (0..).zip(&odd.sightings).map(|(sighting, &(rank, _))| (rank, number, sighting));
            self.seen_odd.extend(seen);
        }
        self.seen.sort_unstable();
        self.seen_odd.sort_unstable();
        self.len = self.records.len() + self.odd.len();
    }

    fn is_told(&self, source: u32) -> bool {
        self.told.as_ref().is_none_or(|told| told[source as usize])
    }

    /// The numbers of the matches in a spot.
    fn records_of(&self, spot: u32) -> std::ops::Range<u32> {
        let end =
            self.spots.get(spot as usize + 1).map_or(self.records.len() as u32, |next| next.first_record);
        self.spots[spot as usize].first_record..end
    }

    fn views_of(&self, spot: u32) -> &[(u32, u64)] {
        let end = self.spots.get(spot as usize + 1).map_or(self.views.len(), |next| next.first_view as usize);
        &self.views[self.spots[spot as usize].first_view as usize..end]
    }

    /// All that are told, each once.
    fn sources(&self) -> impl Iterator<Item = u32> {
        (0..self.whos.whos.len() as u32).flat_map(|rank| self.entries(rank, true)).map(|entry| entry.source)
    }

    /// What somebody sees, ascending; or of it what nobody sees before, in the order in which places are told.
    fn entries(&self, rank: u32, only_first: bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        let wanted = |&&(_, _, number): &&(u32, u32, u32)| number == 0 || !only_first;
        for &(_, spot, number) in of_rank(&self.seen, rank).iter().filter(wanted) {
            let (_, address) = self.views_of(spot)[number as usize];
            let sources = self.records_of(spot).filter(|&source| self.is_told(source));
            entries.extend(
                sources.map(|source| Entry { at: address + self.records[source as usize].at, source }),
            );
        }
        for &(_, odd, number) in of_rank(&self.seen_odd, rank).iter().filter(wanted) {
            let source = self.records.len() as u32 + odd;
            if self.is_told(source) {
                entries.push(Entry { at: self.odd[odd as usize].sightings[number as usize].1, source });
            }
        }
        entries.sort_unstable_by(|a, b| {
            a.at.cmp(&b.at).then_with(|| self.compare(a.source, b.source, only_first))
        });
        entries
    }

    /// The order of two matches that begin at one address: by who else sees them, where places are told, then by length.
    fn compare(&self, a: u32, b: u32, by_sightings: bool) -> Ordering {
        let key = |source| {
            let found = self.get(source);
            (found.text.len(), found.pattern, found.encoding)
        };
        let is_alike = || self.spot_of(a).is_some() && self.spot_of(a) == self.spot_of(b);
        let seen = if by_sightings && !is_alike() {
            let split = |source| {
                let all = self.seen_by(source);
                let objects = all.partition_point(|&(rank, _)| rank < self.whos.processes);
                (all[..objects].to_vec(), all[objects..].to_vec())
            };
            split(a).cmp(&split(b))
        } else {
            Ordering::Equal
        };
        seen.then_with(|| key(a).cmp(&key(b))).then(a.cmp(&b))
    }

    fn spot_of(&self, source: u32) -> Option<u32> {
        Some(self.records.get(source as usize)?.segment)
    }

    /// Who sees a match at which address: rank and address, ascending.
    fn seen_by(&self, source: u32) -> Vec<(u32, u64)> {
        match self.records.get(source as usize) {
            Some(record) => {
                self.views_of(record.segment).iter().map(|&(rank, at)| (rank, at + record.at)).collect()
            }
            None => self.odd[source as usize - self.records.len()].sightings.clone(),
        }
    }

    fn get(&self, source: u32) -> Match<'_> {
        let (object, offset, needle, text) = match self.records.get(source as usize) {
            Some(record) => {
                let spot = &self.spots[record.segment as usize];
                (spot.object, spot.offset + record.at, record.needle, record.text)
            }
            None => {
                let odd = &self.odd[source as usize - self.records.len()];
                (odd.object, odd.offset, odd.needle, odd.text)
            }
        };
        let Image { name, ancestor, file } = &self.images[object.0 as usize];
        let (pattern, encoding) = self.needles[needle as usize];
        let text = self.texts.get(text);
        Match {
            pattern,
            encoding,
            image: name,
            file: *file,
            ancestor: *ancestor,
            offset,
            text: text.text,
            is_cut: text.is_cut,
            before: text.before,
            after: text.after,
            of: self,
            source,
        }
    }
}

/// What one of a rank sees, of a list ascending by it.
fn of_rank(seen: &[(u32, u32, u32)], rank: u32) -> &[(u32, u32, u32)] {
    let first = seen.partition_point(|&(other, ..)| other < rank);
    let behind = first + seen[first..].partition_point(|&(other, ..)| other == rank);
    &seen[first..behind]
}

impl Ranks {
    fn pid(&self, rank: u32) -> Option<Pid> {
        match self.whos.get(rank as usize)? {
            Who::Process(pid) => Some(*pid),
            Who::Object(_) => None,
        }
    }

    fn object(&self, rank: u32) -> Option<SharedObjectId> {
        match self.whos.get(rank as usize)? {
            Who::Object(id) => Some(*id),
            Who::Process(_) => None,
        }
    }
}
