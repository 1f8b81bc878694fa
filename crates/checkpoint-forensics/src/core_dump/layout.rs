//! Where each byte of a process's memory goes in its core: worked out from metadata alone.
//!
//! As in the kernel's cores each mapping has a program header, and bytes that are left out make `p_filesz` the smaller one: where known bytes follow unknown ones,
//! the mapping becomes several segments. Debuggers that find no file read zeros there (gdb does). So memory that the evidence names and has lost gets no program
//! header at all: a debugger says that it can't read it.

use std::collections::HashSet;
use std::ops::Range;

use container_checkpoint::ids::VirtualAddress;
use container_checkpoint::memory::{AddressSpace, Backing, Memory, Missing, ObjectId, Piece, Place, Want};
use container_checkpoint::model::{Mapping, MappingKind};

use super::absence::{Absence, Absent};
use super::arch::Class;
use super::came::Came;
use super::fill::{Choice, Fill, Filling};
use super::source::{Source, Stretch};
use crate::mapped_files::MappedFiles;

/// The longest mapping without a touched page that is written as zeros, in bytes. Programs reserve terabytes that they never use.
const UNTOUCHED_MAX: u64 = 1 << 30;

/// `MADV_DONTDUMP`.
const DONTDUMP: u32 = 16;

/// The most bytes that a file can have.
const FILE_MAX: u64 = i64::MAX as u64;

/// Bytes in a page of a process whose images don't say.
const PAGE: u64 = 4096;

/// `PROT_EXEC`.
const EXECUTE: u32 = 4;

/// A stretch of memory with a program header of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// First address.
    pub(super) start: u64,
    /// Length in bytes.
    pub(super) len: u64,
    /// `PROT_*` of its mapping.
    pub(super) protection: u32,
    /// Where its bytes stand in the core; `None` when it has none.
    pub(super) at: Option<u64>,
    /// How many bytes of it, from the first one on, stand in the core.
    pub(super) stored: u64,
}

/// Bytes of a page image, and where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Which bytes.
    pub(super) want: Want,
    /// The address at which the process sees the first one.
    pub(super) address: u64,
    /// The offset of the first one in the core.
    pub(super) at: u64,
}

/// What the asker wants of a layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// Memory that the program asked to leave out of cores is left out.
    pub(super) honour_dontdump: bool,
    /// Which pages come from files.
    pub(super) fill: Fill,
}

/// The layout of one core: headers, memory, and behind it the notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Ascending by address; those with bytes stand in the file in the same order.
    pub(super) segments: Vec<Segment>,
    /// Ascending by address.
    pub(super) parts: Vec<Part>,
    /// What is to come from files, ascending by address.
    pub(super) fillings: Vec<Filling>,
    /// What stands behind all that is mapped, ascending by address.
    pub(super) stretches: Vec<Stretch>,
    /// Ascending by address.
    pub(super) absent: Vec<Absent>,
    /// Bytes in a page.
    pub(super) page: u64,
    /// Where memory begins in the file, in bytes: headers have room before it.
    pub(super) memory_at: u64,
    /// Where memory ends in the file, in bytes.
    pub(super) memory_end: u64,
}

/// The address space is larger than a file can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Layout {
    /// Lays out the core of an address space.
    pub(super) fn new(space: &AddressSpace, memory: &Memory, rules: Rules) -> Result<Self, TooLarge> {
        let mut layout = Self::empty(space.page_size.unwrap_or(PAGE));
        let mappings = || space.map.iter().flat_map(|map| &map.mappings);
        let own = own_objects(space, mappings());
        for mapping in mappings() {
            let source = |object: ObjectId| match memory.objects.get(object.0 as usize) {
                Some(object) if object.ancestor > 0 => Source::Parent,
                _ if shows_object(mapping) && !own.contains(&object) => Source::Shared,
                _ => Source::Images,
            };
            let pieces = space.locate(mapping.start.0..mapping.end.0);
            let choice = Choice::of(rules.fill, mapping, &pieces, &memory.files, layout.page);
            layout.mapping(mapping, &pieces, source, rules, choice)?;
        }
        layout.make_room_for_headers()?;
        Ok(layout)
    }

    fn empty(page: u64) -> Self {
        Self {
            segments: Vec::new(),
            parts: Vec::new(),
            fillings: Vec::new(),
            stretches: Vec::new(),
            absent: Vec::new(),
            page,
            memory_at: 0,
            memory_end: 0,
        }
    }

    fn mapping(
        &mut self,
        mapping: &Mapping,
        pieces: &[Piece],
        source: impl Fn(ObjectId) -> Source,
        rules: Rules,
        choice: Choice,
    ) -> Result<(), TooLarge> {
        let first = self.segments.len();
        let writes_zeros = writes_zeros(mapping, pieces);
        for piece in pieces {
            let address = piece.start.0;
            let mut absent = |why| self.absent.push(Absent { start: piece.start, len: piece.len, why });
            let (source, held) = match piece.backing {
                _ if rules.honour_dontdump && is_private_to_program(mapping) => {
                    self.leave_out(first, mapping, piece);
                    (Source::DontDump, false)
                }
                Backing::Stored(Place::Image(object, offset)) => {
                    let at = self.hold(first, mapping, piece)?;
                    let want = Want { object, offset, len: piece.len };
                    self.parts.push(Part { want, address, at });
                    (source(object), true)
                }
                Backing::Zero if writes_zeros => {
                    self.hold(first, mapping, piece)?;
                    (Source::Zero, true)
                }
                Backing::NotCaptured if is_unreadable(mapping) => {
                    self.hold(first, mapping, piece)?;
                    (Source::Zero, true)
                }
                Backing::Zero => {
                    self.leave_out(first, mapping, piece);
                    (Source::Zero, false)
                }
                Backing::NotCaptured => {
                    self.leave_out(first, mapping, piece);
                    (if is_kernels(mapping) { Source::Kernel } else { Source::NotCaptured }, false)
                }
                Backing::File(file, offset) => {
                    let taken = choice.of_piece(piece);
                    if taken > 0 {
                        let at = self.hold(first, mapping, &Piece { len: taken, ..*piece })?;
                        self.fillings.push(choice.filling(file, offset, taken, address, at));
                        self.stretch(Stretch {
                            start: address,
                            len: taken,
                            source: Source::File,
                            held: true,
                        });
                    }
                    let (start, len) = (address + taken, piece.len - taken);
                    if len > 0 {
                        self.leave_out(
                            first,
                            mapping,
                            &Piece { start: VirtualAddress(start), len, ..*piece },
                        );
                        self.stretch(Stretch { start, len, source: Source::File, held: false });
                    }
                    continue;
                }
                Backing::Stored(Place::Missing(Missing::Lazy)) => (Source::NotCaptured, false),
                Backing::Stored(Place::Missing(why)) => {
                    absent(Absence::NotStored(why));
                    (Source::Absent, false)
                }
                Backing::Unknown | Backing::Unmapped => {
                    absent(Absence::Unknown);
                    (Source::Absent, false)
                }
            };
            self.stretch(Stretch { start: address, len: piece.len, source, held });
        }
        Ok(())
    }

    fn stretch(&mut self, next: Stretch) {
        match self.stretches.last_mut() {
            Some(last) if (last.end(), last.source, last.held) == (next.start, next.source, next.held) => {
                last.len += next.len;
            }
            _ => self.stretches.push(next),
        }
    }

    /// The segment that a piece goes on with: of the same mapping (from number `first` on), and it ends where the piece begins.
    fn before(&mut self, first: usize, piece: &Piece) -> Option<&mut Segment> {
        let before = self.segments[first..].last_mut();
        before.filter(|segment| segment.start + segment.len == piece.start.0)
    }

    /// Gives a piece its place in the file.
    fn hold(&mut self, first: usize, mapping: &Mapping, piece: &Piece) -> Result<u64, TooLarge> {
        let (start, memory_end, page) = (piece.start.0, self.memory_end, self.page);
        let whole = |segment: &&mut Segment| segment.stored == segment.len;
        let at = match self.before(first, piece).filter(whole) {
            Some(segment) => {
                segment.len += piece.len;
                segment.stored += piece.len;
                memory_end
            }
            None => {
                // Offset and address agree modulo the page size, as p_align demands.
                let free = memory_end.checked_next_multiple_of(page).ok_or(TooLarge)?;
                let at = free.checked_add(start % page).ok_or(TooLarge)?;
                let (len, protection) = (piece.len, mapping.protection.0);
                self.segments.push(Segment { start, len, protection, at: Some(at), stored: len });
                at
            }
        };
        self.memory_end = at.checked_add(piece.len).filter(|end| *end <= FILE_MAX).ok_or(TooLarge)?;
        Ok(at)
    }

    /// Gives a piece no place in the file, only in its mapping's segment.
    fn leave_out(&mut self, first: usize, mapping: &Mapping, piece: &Piece) {
        match self.before(first, piece) {
            Some(segment) => segment.len += piece.len,
            None => {
                let (start, len, protection) = (piece.start.0, piece.len, mapping.protection.0);
                self.segments.push(Segment { start, len, protection, at: None, stored: 0 });
            }
        }
    }

    fn make_room_for_headers(&mut self) -> Result<(), TooLarge> {
        // What the process was is not known yet; the wider headers have room.
        let headers = Class::Elf64.headers_len(self.segments.len());
        let room = headers.checked_next_multiple_of(self.page).ok_or(TooLarge)?;
        self.segments.iter_mut().filter_map(|segment| segment.at.as_mut()).for_each(|at| *at += room);
        self.parts.iter_mut().for_each(|part| part.at += room);
        self.fillings.iter_mut().for_each(|filling| filling.at += room);
        self.memory_at = room;
        self.memory_end = self.memory_end.checked_add(room).filter(|end| *end <= FILE_MAX).ok_or(TooLarge)?;
        Ok(())
    }

    /// Takes out what did not come and what a core of a class has no room for.
    pub(super) fn fit(&mut self, class: Class, came: &Came) -> Result<(), TooLarge> {
        self.cut(&came.reached);
        let mut broken = came.broken.clone();
        broken.sort_unstable_by_key(|range| range.start);
        // Neighbouring blocks are lost as one.
        broken.dedup_by(|next, before| {
            let touches = before.end == next.start;
            if touches {
                before.end = next.end;
            }
            touches
        });
        self.lose(&broken, Absence::NotStored(Missing::BrokenBlock));
        self.confine(class)
    }

    /// Takes out what did not come: `came` is the number of bytes that came of each part.
    fn cut(&mut self, came: &[u64]) {
        let short = self.parts.iter().zip(came).filter(|(part, came)| **came < part.want.len);
        let lost: Vec<Range<u64>> =
            short.map(|(part, came)| part.address + came..part.address + part.want.len).collect();
        self.lose(&lost, Absence::ImageEndsEarly);
    }

    /// Takes out what a core of a class can't say: addresses above the highest one. Fails when the file would be too long for its offsets.
    fn confine(&mut self, class: Class) -> Result<(), TooLarge> {
        let highest = class.highest();
        if self.memory_end > highest {
            return Err(TooLarge);
        }
        let above = self.segments.iter().filter(|segment| segment.start + segment.len - 1 > highest);
        let lost: Vec<_> = above
            .map(|segment| segment.start.max(highest.saturating_add(1))..segment.start + segment.len)
            .collect();
        self.lose(&lost, Absence::BeyondAddresses);
        Ok(())
    }

    /// Takes out what was to come from files that were not found; the files keep it.
    pub(super) fn leave_to_files(&mut self, files: &MappedFiles) {
        let (found, missing): (Vec<_>, Vec<_>) =
            self.fillings.iter().partition(|filling| filling.bytes(files).is_some());
        self.fillings = found;
        let missing: Vec<Range<u64>> = missing.iter().map(Filling::range).collect();
        if !missing.is_empty() {
            self.segments = emptied(&self.segments, &missing);
            self.stretches = marked(&self.stretches, &missing, |stretch| (stretch.source, false));
        }
    }

    fn lose(&mut self, lost: &[Range<u64>], why: Absence) {
        if lost.is_empty() {
            return;
        }
        self.segments = without(&self.segments, lost);
        self.stretches = marked(&self.stretches, lost, |_| (Source::Absent, false));
        let absent = |range: &Range<u64>| {
            let (start, len) = (VirtualAddress(range.start), range.end - range.start);
            Absent { start, len, why }
        };
        self.absent.extend(lost.iter().map(absent));
        self.absent.sort_by_key(|absent| absent.start);
    }

    /// How many bytes of a source are not in the core.
    pub(super) fn left_out(&self, source: Source) -> u64 {
        let of = self.stretches.iter().filter(|stretch| stretch.source == source && !stretch.held);
        of.fold(0, |sum, stretch| sum.saturating_add(stretch.len))
    }

    /// The segments with bytes in the file that touch a range, each with the offset of its first byte in the range and how many there are; up to the first
    /// byte that the core does not hold.
    pub(super) fn held(&self, range: Range<u64>) -> Vec<(u64, u64)> {
        let mut held = Vec::new();
        let mut address = range.start;
        let first = self.segments.partition_point(|segment| segment.start + segment.len <= range.start);
        for segment in &self.segments[first..] {
            let end = (segment.start + segment.stored).min(range.end);
            let Some(at) = segment.at.filter(|_| segment.start <= address && address < end) else {
                break;
            };
            held.push((at + (address - segment.start), end - address));
            address = end;
        }
        held
    }
}

/// Whether untouched pages of a mapping are written as zeros. The kernel's and gdb's cores have none of mappings that can't be read and were never touched,
/// nor of those that the program asked to leave out; their stored pages are evidence all the same.
fn writes_zeros(mapping: &Mapping, pieces: &[Piece]) -> bool {
    let untouched = pieces.iter().all(|piece| piece.backing == Backing::Zero);
    let is_reserve = untouched && (mapping.protection.0 & 7 == 0 || mapping.len() > UNTOUCHED_MAX);
    !is_reserve && !mapping.was_advised(DONTDUMP)
}

/// Whether the program asked to leave a mapping out of cores. The kernel marks its own mappings so, too.
pub(super) fn is_private_to_program(mapping: &Mapping) -> bool {
    let is_ring = matches!(mapping.kind, MappingKind::PacketRing | MappingKind::AioRing);
    mapping.was_advised(DONTDUMP) && !is_kernels(mapping) && !is_ring
}

/// Whether the kernel shows the mapping to all processes alike.
fn is_kernels(mapping: &Mapping) -> bool {
    matches!(mapping.kind, MappingKind::Vvar | MappingKind::Vsyscall | MappingKind::Uprobes)
}

/// Whether what CRIU leaves out of a mapping can be read by nobody: guards, beneath which the kernel keeps nothing, and the system-call page, which
/// can only be jumped to. The kernel and gdb write zeros for both.
fn is_unreadable(mapping: &Mapping) -> bool {
    use MappingKind as Kind;
    match mapping.kind {
        Kind::Heap | Kind::Stack | Kind::AnonymousPrivate | Kind::AnonymousShared | Kind::ShadowStack => true,
        Kind::Vsyscall => mapping.protection.0 & 7 == EXECUTE,
        _ => false,
    }
}

/// Whether a mapping shows a shared object, beside which it may have pages of its own.
fn shows_object(mapping: &Mapping) -> bool {
    matches!(mapping.kind, MappingKind::AnonymousShared | MappingKind::Memfd | MappingKind::SysV)
}

/// The page images with the process's own pages, as far as there are mappings that can have no others.
fn own_objects<'a>(space: &AddressSpace, mappings: impl Iterator<Item = &'a Mapping>) -> HashSet<ObjectId> {
    let own = mappings.filter(|mapping| !shows_object(mapping));
    own.filter_map(|mapping| match space.stored.within(mapping.start.0..mapping.end.0).next()?.place {
        Place::Image(object, _) => Some(object),
        Place::Missing(_) => None,
    })
    .collect()
}

/// Segments without ranges of addresses; both ascending.
fn without(segments: &[Segment], lost: &[Range<u64>]) -> Vec<Segment> {
    let mut left = Vec::with_capacity(segments.len());
    let mut next = 0;
    for segment in segments {
        let end = segment.start + segment.len;
        let mut from = segment.start;
        let mut keep = |from: u64, to: u64| {
            if from < to {
                let into = from - segment.start;
                let stored = segment.stored.saturating_sub(into).min(to - from);
                let at = segment.at.filter(|_| stored > 0).map(|at| at + into);
                left.push(Segment { start: from, len: to - from, at, stored, ..*segment });
            }
        };
        while let Some(range) = lost.get(next).filter(|range| range.start < end) {
            keep(from, range.start);
            from = range.end;
            next += 1;
        }
        keep(from, end);
    }
    left
}

/// Segments whose bytes in ranges of addresses don't stand in the core; both ascending, and each range within one segment.
fn emptied(segments: &[Segment], ranges: &[Range<u64>]) -> Vec<Segment> {
    let mut left = Vec::with_capacity(segments.len());
    let mut next = 0;
    for segment in segments {
        let end = segment.start + segment.len;
        let first = left.len();
        let mut from = segment.start;
        let add = |left: &mut Vec<Segment>, from: u64, to: u64, is_empty: bool| {
            let into = from - segment.start;
            let stored = if is_empty { 0 } else { segment.stored.saturating_sub(into).min(to - from) };
            match left[first..].last_mut() {
                _ if from == to => {}
                // Bytes that are left out end the one before.
                Some(last) if stored == 0 => last.len += to - from,
                _ => {
                    let at = segment.at.filter(|_| stored > 0).map(|at| at + into);
                    left.push(Segment { start: from, len: to - from, at, stored, ..*segment });
                }
            }
        };
        while let Some(range) = ranges.get(next).filter(|range| range.start < end) {
            add(&mut left, from, range.start, false);
            add(&mut left, range.start, range.end.min(end), true);
            from = range.end.min(end);
            next += 1;
        }
        add(&mut left, from, end, false);
    }
    left
}

/// Stretches in which ranges of addresses get another source, and are held or not; both ascending.
fn marked(
    stretches: &[Stretch],
    lost: &[Range<u64>],
    mark: impl Fn(&Stretch) -> (Source, bool),
) -> Vec<Stretch> {
    let mut marked = Vec::with_capacity(stretches.len());
    let mut next = 0;
    for stretch in stretches {
        let mut from = stretch.start;
        let mut keep = |from: u64, to: u64, is_lost: bool| {
            let (start, len) = (from, to.saturating_sub(from));
            let (source, held) = if is_lost { mark(stretch) } else { (stretch.source, stretch.held) };
            marked.extend((len > 0).then_some(Stretch { start, len, source, held }));
        };
        // A range may go on in the next stretch.
        while let Some(range) = lost.get(next).filter(|range| range.start < stretch.end()) {
            let (start, end) = (range.start.max(from), range.end.min(stretch.end()));
            keep(from, start, false);
            keep(start, end, true);
            from = end;
            if range.end > stretch.end() {
                break;
            }
            next += 1;
        }
        keep(from, stretch.end(), false);
    }
    marked
}

#[cfg(test)]
mod tests {
    use container_checkpoint::ids::FileId;
    use container_checkpoint::memory::ObjectId;
    use container_checkpoint::model::{Files, MappingKind, Protection};

    use super::*;

    const PAGE: u64 = 4096;
    const STORED: Backing = Backing::Stored(Place::Image(ObjectId(2), 0x9000));
    const LOST: Backing = Backing::Stored(Place::Missing(Missing::ParentNotGiven));
    const CLEAN: Backing = Backing::File(FileId(7), 0);

    /// A private file mapping of which one page was written to: the kernel's core has all of it, ours what was found.
    #[test]
    fn clean_pages_of_files_that_are_not_found_split_the_segment() {
        let file = Mapping { kind: MappingKind::FilePrivate, ..mapping(0x10_000, 4, 3) };
        let rules = Rules { honour_dontdump: false, fill: Fill::All };
        let mut layout = laid_out_by(rules, &[(&file, &[CLEAN, STORED, CLEAN, CLEAN])]);
        assert_eq!(summary(&layout), [(0x10_000, 4 * PAGE, Some(PAGE))]);
        assert_eq!(
            layout.fillings.iter().map(|it| (it.at, it.len)).collect::<Vec<_>>(),
            [(PAGE, PAGE), (3 * PAGE, PAGE), (4 * PAGE, PAGE)]
        );
        assert_eq!(layout.left_out(Source::File), 0);
        layout.leave_to_files(&MappedFiles::default());
        assert_eq!(summary(&layout), [(0x10_000, PAGE, None), (0x11_000, 3 * PAGE, Some(2 * PAGE))]);
        assert_eq!(layout.segments[1].stored, PAGE);
        assert_eq!((layout.left_out(Source::File), layout.fillings.len()), (3 * PAGE, 0));
    }

    #[test]
    fn of_a_file_that_nobody_wrote_to_the_first_page_is_taken() {
        let file = Mapping { kind: MappingKind::FilePrivate, ..mapping(0x10_000, 4, 5) };
        let rules = Rules { honour_dontdump: false, fill: Fill::Headers };
        let layout = laid_out_by(rules, &[(&file, &[CLEAN])]);
        assert_eq!((layout.fillings.len(), layout.fillings[0].len), (1, PAGE));
        assert_eq!((layout.segments[0].stored, layout.segments[0].len), (PAGE, 4 * PAGE));
        assert_eq!(layout.left_out(Source::File), 3 * PAGE);
        let further = Mapping { offset: PAGE, ..file };
        assert!(laid_out_by(rules, &[(&further, &[CLEAN])]).fillings.is_empty());
    }

    #[test]
    fn what_is_lost_has_no_program_header() {
        let file = Mapping { kind: MappingKind::FilePrivate, ..mapping(0x10_000, 10, 3) };
        let layout = laid_out(&[(
            &file,
            &[
                STORED,
                Backing::Zero,
                CLEAN,
                LOST,
                STORED,
                Backing::Unknown,
                Backing::NotCaptured,
                Backing::Stored(Place::Missing(Missing::Lazy)),
                STORED,
                CLEAN,
            ],
        )]);
        let segments = [
            (0x10_000, 0x3000, Some(0x1000)),
            (0x14_000, 0x1000, Some(0x3000)),
            (0x16_000, 0x1000, None),
            (0x18_000, 0x2000, Some(0x4000)),
        ];
        assert_eq!(summary(&layout), segments);
        assert_eq!(
            layout.segments.iter().map(|segment| segment.stored).collect::<Vec<_>>(),
            [0x2000, 0x1000, 0, 0x1000],
            "what is left to files and what was not captured is behind the bytes"
        );
        assert_eq!(layout.parts.iter().map(|part| part.at).collect::<Vec<_>>(), [0x1000, 0x3000, 0x4000]);
        let absent: Vec<_> =
            layout.absent.iter().map(|absent| (absent.start.0, absent.len, absent.why)).collect();
        assert_eq!(
            absent,
            [
                (0x13_000, 0x1000, Absence::NotStored(Missing::ParentNotGiven)),
                (0x15_000, 0x1000, Absence::Unknown)
            ]
        );
        assert_eq!([Source::File, Source::NotCaptured].map(|it| layout.left_out(it)), [0x2000, 0x2000]);
        let sources: Vec<_> = layout.stretches.iter().map(|it| (it.source.name(), it.held)).collect();
        assert_eq!(
            sources,
            [
                ("images", true),
                ("zero", true),
                ("file", false),
                ("absent", false),
                ("images", true),
                ("absent", false),
                ("not_captured", false),
                ("images", true),
                ("file", false)
            ]
        );
        assert_eq!((layout.memory_at, layout.memory_end), (0x1000, 0x5000));
    }

    #[test]
    fn mappings_are_not_joined() {
        let (first, second) = (mapping(0x10_000, 1, 3), mapping(0x11_000, 1, 1));
        let layout = laid_out(&[(&first, &[STORED]), (&second, &[Backing::Zero])]);
        assert_eq!(summary(&layout), [(0x10_000, 0x1000, Some(0x1000)), (0x11_000, 0x1000, Some(0x2000))]);
        assert_eq!(layout.segments[1].protection, 1);
    }

    #[test]
    fn reserves_are_not_written_out() {
        let no_access = mapping(0x10_000, 2, 0);
        let secret = Mapping { madvise: 1 << DONTDUMP, ..mapping(0x20_000, 3, 3) };
        let huge = mapping(1 << 32, UNTOUCHED_MAX / PAGE + 1, 3);
        let touched_no_access = mapping(0x30_000, 2, 0);
        let layout = laid_out(&[
            (&no_access, &[Backing::Zero, Backing::Zero]),
            (&secret, &[Backing::Zero, STORED, Backing::Zero]),
            (&touched_no_access, &[STORED, Backing::Zero]),
            (&huge, &[Backing::Zero]),
        ]);
        let with_bytes: Vec<_> = summary(&layout).into_iter().filter(|(.., at)| at.is_some()).collect();
        assert_eq!(with_bytes, [(0x21_000, 0x2000, Some(0x1000)), (0x30_000, 0x2000, Some(0x2000))]);
        assert_eq!(layout.segments.iter().map(|segment| segment.len).sum::<u64>(), UNTOUCHED_MAX + 8 * PAGE);
    }

    #[test]
    fn memory_that_no_core_should_hold_is_left_out_on_request() {
        let secret = Mapping { madvise: 1 << DONTDUMP, ..mapping(0x20_000, 3, 3) };
        let rules = Rules { honour_dontdump: true, fill: Fill::None };
        let layout = laid_out_by(rules, &[(&secret, &[Backing::Zero, STORED, Backing::Zero])]);
        assert_eq!(summary(&layout), [(0x20_000, 0x3000, None)]);
        assert_eq!((layout.parts.len(), layout.left_out(Source::DontDump)), (0, 0x3000));
    }

    #[test]
    fn what_nobody_can_read_is_zero_as_in_all_cores() {
        let stack = mapping(0x10_000, 2, 3);
        let execute_only = Mapping { kind: MappingKind::Vsyscall, ..mapping(0x20_000, 1, 4) };
        let readable = Mapping { kind: MappingKind::Vsyscall, ..mapping(0x30_000, 1, 5) };
        let layout = laid_out(&[
            (&stack, &[Backing::NotCaptured, STORED]),
            (&execute_only, &[Backing::NotCaptured]),
            (&readable, &[Backing::NotCaptured]),
        ]);
        let segments =
            [(0x10_000, 0x2000, Some(0x1000)), (0x20_000, 0x1000, Some(0x3000)), (0x30_000, 0x1000, None)];
        assert_eq!(summary(&layout), segments);
    }

    #[test]
    fn a_core_of_32_bits_has_no_higher_addresses() {
        let mut layout = laid_out(&[
            (&mapping(0xffff_f000, 2, 3), &[STORED, STORED]),
            (&mapping(1 << 40, 1, 3), &[STORED]),
        ]);
        layout.confine(Class::Elf32).unwrap();
        assert_eq!(summary(&layout), [(0xffff_f000, 0x1000, Some(0x1000))]);
        assert_eq!(layout.absent.len(), 2);
        let bytes = |held: bool| -> u64 {
            layout.stretches.iter().filter(|it| it.held == held).map(|it| it.len).sum()
        };
        assert_eq!((bytes(true), bytes(false)), (0x1000, 0x2000));
        let mut long = laid_out(&[(&mapping(0x1000, 1 << 20, 3), &[STORED])]);
        assert_eq!(long.confine(Class::Elf32), Err(TooLarge));
    }

    #[test]
    fn offsets_agree_with_addresses_modulo_the_page_size() {
        let odd =
            Mapping { start: VirtualAddress(0x10_123), end: VirtualAddress(0x10_200), ..mapping(0, 1, 3) };
        let pieces = [Piece { start: odd.start, len: 0xdd, backing: STORED }];
        let mut layout = Layout::empty(PAGE);
        layout.mapping(&odd, &pieces, |_| Source::Images, Rules::default(), Choice::default()).unwrap();
        layout.make_room_for_headers().unwrap();
        assert_eq!(summary(&layout), [(0x10_123, 0xdd, Some(0x1123))]);
    }

    #[test]
    fn more_than_a_file_can_hold_is_refused() {
        let half = mapping(0x1000, FILE_MAX / 2 / PAGE + 1, 3);
        let mut layout = Layout::empty(PAGE);
        let stored =
            |mapping: &Mapping| [Piece { start: mapping.start, len: mapping.len(), backing: STORED }];
        let mut add = |mapping: &Mapping| {
            layout.mapping(mapping, &stored(mapping), |_| Source::Images, Rules::default(), Choice::default())
        };
        assert_eq!(add(&half), Ok(()));
        let more = Mapping { start: half.end, end: VirtualAddress(half.end.0 + half.len()), ..half };
        assert_eq!(add(&more), Err(TooLarge));
    }

    #[test]
    fn what_did_not_come_is_taken_out() {
        let mut layout = laid_out(&[
            (&mapping(0x10_000, 3, 3), &[STORED, Backing::Zero, STORED]),
            (&mapping(0x20_000, 1, 3), &[STORED]),
        ]);
        layout.cut(&[0x1000, 0x123, 0]);
        assert_eq!(summary(&layout), [(0x10_000, 0x2123, Some(0x1000))]);
        let absent: Vec<_> = layout.absent.iter().map(|absent| (absent.start.0, absent.len)).collect();
        assert_eq!(absent, [(0x12_123, 0xedd), (0x20_000, 0x1000)]);
        layout.cut(&[0, 0x1000, 0x1000]);
        assert_eq!(summary(&layout), [(0x11_000, 0x1123, Some(0x2000))], "a hole at the start");
    }

    #[test]
    fn bytes_are_found_up_to_the_first_that_is_not_held() {
        let layout = laid_out(&[
            (&mapping(0x10_000, 2, 3), &[STORED, STORED]),
            (&mapping(0x12_000, 2, 1), &[STORED, CLEAN]),
        ]);
        assert_eq!(layout.held(0x10_800..0x11_000), [(0x1800, 0x800)]);
        assert_eq!(layout.held(0x11_800..0x14_000), [(0x2800, 0x800), (0x3000, 0x1000)]);
        assert_eq!(layout.held(0x13_000..0x14_000), []);
        assert_eq!(layout.held(0xf000..0x11_000), [], "it begins with what is not held");
    }

    /// The layout of mappings, each of pieces of a page; a single piece fills its mapping.
    fn laid_out(mappings: &[(&Mapping, &[Backing])]) -> Layout {
        laid_out_by(Rules { honour_dontdump: false, fill: Fill::None }, mappings)
    }

    fn laid_out_by(rules: Rules, mappings: &[(&Mapping, &[Backing])]) -> Layout {
        let mut layout = Layout::empty(PAGE);
        for (mapping, backings) in mappings {
            let len = mapping.len() / backings.len() as u64;
            let piece = |(number, backing): (u64, &Backing)| Piece {
                start: VirtualAddress(mapping.start.0 + number * len),
                len,
                backing: *backing,
            };
            let pieces: Vec<_> = (0..).zip(*backings).map(piece).collect();
            let choice = Choice::of(rules.fill, mapping, &pieces, &Files::default(), PAGE);
            layout.mapping(mapping, &pieces, |_| Source::Images, rules, choice).unwrap();
        }
        layout.make_room_for_headers().unwrap();
        layout
    }

    fn summary(layout: &Layout) -> Vec<(u64, u64, Option<u64>)> {
        layout.segments.iter().map(|segment| (segment.start, segment.len, segment.at)).collect()
    }

    fn mapping(start: u64, pages: u64, protection: u32) -> Mapping {
        Mapping {
            start: VirtualAddress(start),
            end: VirtualAddress(start + pages * PAGE),
            offset: 0,
            protection: Protection(protection),
            flags: 2,
            status: 0x201,
            shmid: 0,
            madvise: 0,
            open_flags: None,
            kind: MappingKind::AnonymousPrivate,
            file: None,
        }
    }
}
