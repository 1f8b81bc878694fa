//! Layouts of mappings made here.

use container_checkpoint::ids::FileId;
use container_checkpoint::memory::ObjectId;
use container_checkpoint::model::{Files, MappingKind, Protection};

use super::mappings::{DONTDUMP, UNTOUCHED_MAX};
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
    let mut layout =
        laid_out(&[(&mapping(0xffff_f000, 2, 3), &[STORED, STORED]), (&mapping(1 << 40, 1, 3), &[STORED])]);
    layout.confine(Class::Elf32).unwrap();
    assert_eq!(summary(&layout), [(0xffff_f000, 0x1000, Some(0x1000))]);
    assert_eq!(layout.absent.len(), 2);
    let bytes =
        |held: bool| -> u64 { layout.stretches.iter().filter(|it| it.held == held).map(|it| it.len).sum() };
    assert_eq!((bytes(true), bytes(false)), (0x1000, 0x2000));
    let mut long = laid_out(&[(&mapping(0x1000, 1 << 20, 3), &[STORED])]);
    assert_eq!(long.confine(Class::Elf32), Err(TooLarge));
}

#[test]
fn offsets_agree_with_addresses_modulo_the_page_size() {
    let odd = Mapping { start: VirtualAddress(0x10_123), end: VirtualAddress(0x10_200), ..mapping(0, 1, 3) };
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
    let stored = |mapping: &Mapping| [Piece { start: mapping.start, len: mapping.len(), backing: STORED }];
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
