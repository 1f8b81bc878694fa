//! Cores of damaged and incomplete evidence: what is left is right, what is lost is absent and told.

use std::fs;
use std::path::Path;

use checkpoint_forensics::core_dump::{Absence, Refusal};
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::Missing;
use object::LittleEndian;
use object::elf::FileHeader64;
use object::read::elf::FileHeader as _;

use super::evidence::{Cores, Opened, testdata, unpacked};
use super::reader::{Core, PRPSINFO, u32_at};

/// The cores of a directory of images.
fn cores_of(directory: &Path) -> Cores {
    let opened = Opened::new(&[directory]);
    opened.cores(opened.only())
}

fn tree() -> tempfile::TempDir {
    unpacked(&testdata("images/tree.tar.zst"))
}

/// How many bytes of memory a core holds; all of them must be those of the whole core.
fn held_of(part: &Core, whole: &Core) -> u64 {
    let mut count = 0;
    for (start, bytes) in part.held() {
        assert_eq!(bytes, &whole.at(start)[..bytes.len()], "at {start:#x}");
        count += bytes.len() as u64;
    }
    count
}

#[test]
fn bytes_behind_the_end_of_a_cut_page_image_are_absent() {
    let directory = tree();
    let whole = cores_of(directory.path());
    let image = fs::OpenOptions::new().write(true).open(directory.path().join("pages-3.img")).unwrap();
    let (len, left) = (image.metadata().unwrap().len(), 50_000);
    image.set_len(left).unwrap();

    let cut = cores_of(directory.path());
    assert_eq!(cut.pids(), [57, 60, 61]);
    assert_eq!(cut.answer.findings.gaps.len(), 1, "{:?}", cut.answer.findings.gaps);
    let mut touched = 0;
    for (written, before) in cut.answer.written.iter().zip(&whole.answer.written) {
        assert!(before.absent.is_empty());
        let (part, whole) = (cut.read(written.pid.0), whole.read(written.pid.0));
        let lost: u64 = written.absent.iter().map(|absent| absent.len).sum();
        assert_eq!(held_of(&part, &whole) + lost, held_of(&whole, &whole));
        assert!(written.absent.iter().all(|absent| absent.why == Absence::ImageEndsEarly));
        for absent in &written.absent {
            assert!(part.at(absent.start.0).is_empty(), "{absent:?}");
        }
        if lost > 0 {
            touched += 1;
            assert_eq!(lost, len - left);
        }
    }
    assert_eq!(touched, 1);
}

#[test]
fn a_missing_page_image_leaves_registers_and_zeros() {
    let directory = tree();
    let whole = cores_of(directory.path());
    for image in ["pages-3.img", "pages-4.img", "pages-5.img"] {
        fs::remove_file(directory.path().join(image)).unwrap();
    }
    let cores = cores_of(directory.path());
    for written in &cores.answer.written {
        let (part, whole) = (cores.read(written.pid.0), whole.read(written.pid.0));
        assert!(written.absent.len() > 3);
        assert_eq!(part.threads().len(), whole.threads().len());
        assert!(held_of(&part, &whole) > 0, "shared memory and zeros are still there");
        let arguments = &part.notes(PRPSINFO)[0][56..];
        assert_eq!(arguments, [0; 80], "they were on the stack");
    }
}

#[test]
fn program_headers_that_have_no_room_go_to_the_end() {
    let directory = unpacked(&testdata("redis.tar.zst"));
    let images = directory.path().join("checkpoint");
    let whole = cores_of(&images);
    for entry in fs::read_dir(&images).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("pages-") {
            fs::remove_file(path).unwrap();
        }
    }
    let cores = cores_of(&images);
    let (core, whole) = (cores.read(1), whole.read(1));
    let header = FileHeader64::<LittleEndian>::parse(core.bytes.as_slice()).unwrap();
    assert!(header.e_phoff.get(LittleEndian) > 64, "or the test tests nothing");
    assert_eq!(core.notes.len(), whole.notes.len());
    let lost: u64 = cores.answer.written[0].absent.iter().map(|absent| absent.len).sum();
    assert_eq!(held_of(&core, &whole) + lost, held_of(&whole, &whole));
}

#[test]
fn a_thread_without_its_image_is_told_and_the_others_are_written() {
    let directory = tree();
    fs::remove_file(directory.path().join("core-62.img")).unwrap();
    let cores = cores_of(directory.path());
    let tids = |cores: &Cores| -> Vec<u32> { cores.read(57).threads().iter().map(|(tid, _)| *tid).collect() };
    assert_eq!(tids(&cores), [57, 63]);
    assert_eq!(cores.answer.written[0].threads_without_registers, [Pid(62)]);

    // Without the leader's image nothing says who ran the process.
    fs::remove_file(directory.path().join("core-57.img")).unwrap();
    let cores = cores_of(directory.path());
    assert_eq!(tids(&cores), [63]);
    assert_eq!(cores.answer.written[0].threads_without_registers, [Pid(57)]);
    let core = cores.read(57);
    let info = core.notes(PRPSINFO)[0];
    assert_eq!([16, 20, 24].map(|at| u32_at(info, at)), [u32::MAX, u32::MAX, 57]);
    assert!(info[56..].starts_with(b"/tmp/mix/mix \0"), "arguments are memory");

    fs::remove_file(directory.path().join("core-63.img")).unwrap();
    let cores = cores_of(directory.path());
    assert_eq!(cores.pids(), [60, 61]);
    let [skipped] = cores.answer.skipped.as_slice() else { panic!("{:?}", cores.answer.skipped) };
    assert!(
        matches!(&skipped.why, Refusal::NoRegisters(why) if why.contains("core-57.img")),
        "{}",
        skipped.why
    );
}

#[test]
fn a_process_without_mappings_gets_no_core() {
    let directory = tree();
    fs::remove_file(directory.path().join("mm-60.img")).unwrap();
    let cores = cores_of(directory.path());
    assert_eq!(cores.pids(), [57, 61]);
    assert_eq!(cores.answer.skipped[0].why.to_string(), "its mappings are not known: mm-60.img is missing");
}

#[test]
fn memory_whose_pagemap_is_lost_is_not_shown_as_zeros() {
    let directory = tree();
    let whole = cores_of(directory.path());
    fs::remove_file(directory.path().join("pagemap-60.img")).unwrap();
    let cores = cores_of(directory.path());
    let (part, whole) = (cores.read(60), whole.read(60));
    let written = &cores.answer.written[1];
    assert!(written.absent.iter().all(|absent| absent.why == Absence::Unknown));
    let lost: u64 = written.absent.iter().map(|absent| absent.len).sum();
    assert!(lost > 100_000);
    // Shared memory has a pagemap of its own, and [vsyscall] is zeros in all cores; beside that nothing is known to be zero.
    let held = held_of(&part, &whole);
    assert!(held > 0 && held < 24_000, "{held}");
}

#[test]
fn pages_of_a_parent_that_was_not_given_are_absent() {
    let archive = testdata("pre-final.tar.zst");
    let alone = Opened::new(&[&archive]);
    let cores = alone.cores(alone.only());
    let why = |cores: &Cores| -> Vec<Absence> {
        cores.answer.written.iter().flat_map(|written| &written.absent).map(|absent| absent.why).collect()
    };
    let absent = why(&cores);
    assert!(!absent.is_empty());
    assert!(absent.iter().all(|why| *why == Absence::NotStored(Missing::ParentNotGiven)), "{absent:?}");

    let with_parent = Opened::new(&[&archive, &testdata("pre-checkpoint.tar.zst")]);
    let whole = with_parent.cores(with_parent.only());
    assert_eq!(why(&whole), []);
    for written in &cores.answer.written {
        let lost: u64 = written.absent.iter().map(|absent| absent.len).sum();
        let (part, whole) = (cores.read(written.pid.0), whole.read(written.pid.0));
        assert_eq!(held_of(&part, &whole) + lost, held_of(&whole, &whole));
    }
}

#[test]
fn seventy_thousand_mappings_are_seventy_thousand_program_headers() {
    let directory = tree();
    let image = directory.path().join("mm-60.img");
    let mut bytes = fs::read(&image).unwrap();
    let before = cores_of(directory.path()).read(60).segments.len();
    for number in 0..70_000 {
        let vma = vma(0x10_0000_0000 + number * 0x2000);
        bytes.extend([14 << 3 | 2, vma.len() as u8]);
        bytes.extend(vma);
    }
    let len = bytes.len() as u32 - 12;
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    fs::write(&image, bytes).unwrap();

    let cores = cores_of(directory.path());
    let core = cores.read(60);
    let header = FileHeader64::<LittleEndian>::parse(core.bytes.as_slice()).unwrap();
    assert_eq!((header.e_phnum.get(LittleEndian), header.e_shnum.get(LittleEndian)), (0xffff, 1));
    assert_eq!(core.segments.len(), before + 70_000);
    assert_eq!(core.at(0x10_0000_0000 + 69_999 * 0x2000), [0; 4096]);
    assert_eq!(core.threads().len(), 1);
}

/// A `vma_entry` of one private anonymous page.
fn vma(start: u64) -> Vec<u8> {
    let mut message = Vec::new();
    let fields = [(1, start), (2, start + 0x1000), (3, 0), (4, 0), (5, 3), (6, 0x22), (7, 0x201), (8, 1)];
    for (field, mut value) in fields {
        message.push(field << 3);
        while value > 0x7f {
            message.push(value as u8 | 0x80);
            value >>= 7;
        }
        message.push(value as u8);
    }
    message
}
