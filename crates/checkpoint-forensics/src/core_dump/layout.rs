//! Where each byte of a process's memory goes in its core: worked out from metadata alone.
//!
//! Debuggers read zeros where a program header claims memory that the file does not hold (gdb 13 does, once the mapped file can't be opened). So
//! memory that is not known gets no program header at all, and a mapping with unknown parts becomes several.

use std::ops::Range;

use container_checkpoint::ids::VirtualAddress;
use container_checkpoint::memory::{AddressSpace, Backing, Missing, Piece, Place, Want};
use container_checkpoint::model::Mapping;

use super::absence::{Absence, Absent};
use super::elf;

/// Bytes in a page of an x86 machine.
pub(super) const PAGE: u64 = 4096;

/// The longest mapping without a touched page that is written as zeros, in bytes. Programs reserve terabytes that they never use.
const UNTOUCHED_MAX: u64 = 1 << 30;

/// `MADV_DONTDUMP`.
const DONTDUMP: u32 = 16;

/// The most bytes that a file can have.
const FILE_MAX: u64 = i64::MAX as u64;

/// A stretch of memory with a program header of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// First address.
    pub(super) start: u64,
    /// Length in bytes.
    pub(super) len: u64,
    /// `PROT_*` of its mapping.
    pub(super) protection: u32,
    /// Where its bytes stand in the core; `None` for memory that was never touched, of which no zeros are written.
    pub(super) at: Option<u64>,
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

/// The layout of one core: headers, memory, and behind it the notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Ascending by address; those with bytes stand in the file in the same order.
    pub(super) segments: Vec<Segment>,
    /// Ascending by address.
    pub(super) parts: Vec<Part>,
    /// Ascending by address.
    pub(super) absent: Vec<Absent>,
    /// Bytes of file pages that were not written to: they are in the files.
    pub(super) left_to_files: u64,
    /// Bytes that CRIU leaves out by rule ([vvar], [vsyscall], rings, pages for lazy restore).
    pub(super) not_captured: u64,
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
    pub(super) fn new(space: &AddressSpace) -> Result<Self, TooLarge> {
        let mut layout = Self {
            segments: Vec::new(),
            parts: Vec::new(),
            absent: Vec::new(),
            left_to_files: 0,
            not_captured: 0,
            memory_at: 0,
            memory_end: 0,
        };
        for mapping in space.map.iter().flat_map(|map| &map.mappings) {
            layout.mapping(mapping, &space.locate(mapping.start.0..mapping.end.0))?;
        }
        layout.make_room_for_headers()?;
        Ok(layout)
    }

    fn mapping(&mut self, mapping: &Mapping, pieces: &[Piece]) -> Result<(), TooLarge> {
        let first = self.segments.len();
        let writes_zeros = writes_zeros(mapping, pieces);
        for piece in pieces {
            let address = piece.start.0;
            let mut absent = |why| self.absent.push(Absent { start: piece.start, len: piece.len, why });
            match piece.backing {
                Backing::Stored(Place::Image(object, offset)) => {
                    let at = self.hold(first, mapping, piece)?;
                    let want = Want { object, offset, len: piece.len };
                    self.parts.push(Part { want, address, at });
                }
                Backing::Zero if writes_zeros => {
                    self.hold(first, mapping, piece)?;
                }
                Backing::Zero => self.segments.push(Segment {
                    start: address,
                    len: piece.len,
                    protection: mapping.protection.0,
                    at: None,
                }),
                Backing::NotCaptured | Backing::Stored(Place::Missing(Missing::Lazy)) => {
                    self.not_captured = self.not_captured.saturating_add(piece.len);
                }
                Backing::Stored(Place::Missing(why)) => absent(Absence::NotStored(why)),
                Backing::Unknown | Backing::Unmapped => absent(Absence::Unknown),
                Backing::File(..) => self.left_to_files = self.left_to_files.saturating_add(piece.len),
            }
        }
        Ok(())
    }

    /// Gives a piece its place in the file, in the segment before it if that is of the same mapping (from number `first` on) and ends where it begins.
    fn hold(&mut self, first: usize, mapping: &Mapping, piece: &Piece) -> Result<u64, TooLarge> {
        let start = piece.start.0;
        let before = self.segments[first..].last_mut();
        let at = match before.filter(|segment| segment.at.is_some() && segment.start + segment.len == start) {
            Some(segment) => {
                segment.len += piece.len;
                self.memory_end
            }
            None => {
                // Offset and address agree modulo the page size, as p_align demands.
                let page = self.memory_end.checked_next_multiple_of(PAGE).ok_or(TooLarge)?;
                let at = page.checked_add(start % PAGE).ok_or(TooLarge)?;
                let protection = mapping.protection.0;
                self.segments.push(Segment { start, len: piece.len, protection, at: Some(at) });
                at
            }
        };
        self.memory_end = at.checked_add(piece.len).filter(|end| *end <= FILE_MAX).ok_or(TooLarge)?;
        Ok(at)
    }

    fn make_room_for_headers(&mut self) -> Result<(), TooLarge> {
        let headers = elf::headers_len(self.segments.len());
        let room = headers.checked_next_multiple_of(PAGE).ok_or(TooLarge)?;
        self.segments.iter_mut().filter_map(|segment| segment.at.as_mut()).for_each(|at| *at += room);
        self.parts.iter_mut().for_each(|part| part.at += room);
        self.memory_at = room;
        self.memory_end = self.memory_end.checked_add(room).filter(|end| *end <= FILE_MAX).ok_or(TooLarge)?;
        Ok(())
    }

    /// Takes out what did not come: `came` is the number of bytes that came of each part.
    pub(super) fn cut(&mut self, came: &[u64]) {
        let short = self.parts.iter().zip(came).filter(|(part, came)| **came < part.want.len);
        let lost: Vec<Range<u64>> =
            short.map(|(part, came)| part.address + came..part.address + part.want.len).collect();
        if lost.is_empty() {
            return;
        }
        self.segments = without(&self.segments, &lost);
        self.absent.extend(lost.iter().map(|range| Absent {
            start: VirtualAddress(range.start),
            len: range.end - range.start,
            why: Absence::ImageEndsEarly,
        }));
        self.absent.sort_by_key(|absent| absent.start);
    }

    /// The segments with bytes in the file that touch a range, each with the offset of its first byte in the range and how many there are; up to the first
    /// byte that the core does not hold.
    pub(super) fn held(&self, range: Range<u64>) -> Vec<(u64, u64)> {
        let mut held = Vec::new();
        let mut address = range.start;
        let first = self.segments.partition_point(|segment| segment.start + segment.len <= range.start);
        for segment in &self.segments[first..] {
            let Some(at) = segment.at.filter(|_| segment.start <= address && address < range.end) else {
                break;
            };
            let end = (segment.start + segment.len).min(range.end);
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

/// Segments without ranges of addresses; both ascending.
fn without(segments: &[Segment], lost: &[Range<u64>]) -> Vec<Segment> {
    let mut left = Vec::with_capacity(segments.len());
    let mut next = 0;
    for segment in segments {
        let end = segment.start + segment.len;
        let mut from = segment.start;
        let mut keep = |from: u64, to: u64| {
            if from < to {
                let at = segment.at.map(|at| at + (from - segment.start));
                left.push(Segment { start: from, len: to - from, at, ..*segment });
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

#[cfg(test)]
mod tests {
    use container_checkpoint::ids::FileId;
    use container_checkpoint::memory::ObjectId;
    use container_checkpoint::model::{MappingKind, Protection};

    use super::*;

    const STORED: Backing = Backing::Stored(Place::Image(ObjectId(2), 0x9000));
    const LOST: Backing = Backing::Stored(Place::Missing(Missing::ParentNotGiven));
    const CLEAN: Backing = Backing::File(FileId(7), 0);

    #[test]
    fn what_is_not_known_has_no_program_header() {
        let layout = laid_out(&[(
            &mapping(0x10_000, 10, 3),
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
            (0x10_000, 0x2000, Some(0x1000)),
            (0x14_000, 0x1000, Some(0x3000)),
            (0x18_000, 0x1000, Some(0x4000)),
        ];
        assert_eq!(summary(&layout), segments);
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
        assert_eq!((layout.left_to_files, layout.not_captured), (0x2000, 0x2000));
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
        assert_eq!(with_bytes, [(0x21_000, 0x1000, Some(0x1000)), (0x30_000, 0x2000, Some(0x2000))]);
        assert_eq!(layout.segments.iter().map(|segment| segment.len).sum::<u64>(), UNTOUCHED_MAX + 8 * PAGE);
    }

    #[test]
    fn offsets_agree_with_addresses_modulo_the_page_size() {
        let odd =
            Mapping { start: VirtualAddress(0x10_123), end: VirtualAddress(0x10_200), ..mapping(0, 1, 3) };
        let pieces = [Piece { start: odd.start, len: 0xdd, backing: STORED }];
        let mut layout = empty();
        layout.mapping(&odd, &pieces).unwrap();
        layout.make_room_for_headers().unwrap();
        assert_eq!(summary(&layout), [(0x10_123, 0xdd, Some(0x1123))]);
    }

    #[test]
    fn more_than_a_file_can_hold_is_refused() {
        let half = mapping(0x1000, FILE_MAX / 2 / PAGE + 1, 3);
        let mut layout = empty();
        let stored =
            |mapping: &Mapping| [Piece { start: mapping.start, len: mapping.len(), backing: STORED }];
        assert_eq!(layout.mapping(&half, &stored(&half)), Ok(()));
        let more = Mapping { start: half.end, end: VirtualAddress(half.end.0 + half.len()), ..half };
        assert_eq!(layout.mapping(&more, &stored(&more)), Err(TooLarge));
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

    fn empty() -> Layout {
        let (segments, parts, absent) = (Vec::new(), Vec::new(), Vec::new());
        Layout { segments, parts, absent, left_to_files: 0, not_captured: 0, memory_at: 0, memory_end: 0 }
    }

    /// The layout of mappings, each of pieces of a page; a single piece fills its mapping.
    fn laid_out(mappings: &[(&Mapping, &[Backing])]) -> Layout {
        let mut layout = empty();
        for (mapping, backings) in mappings {
            let len = mapping.len() / backings.len() as u64;
            let piece = |(number, backing): (u64, &Backing)| Piece {
                start: VirtualAddress(mapping.start.0 + number * len),
                len,
                backing: *backing,
            };
            let pieces: Vec<_> = (0..).zip(*backings).map(piece).collect();
            layout.mapping(mapping, &pieces).unwrap();
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
