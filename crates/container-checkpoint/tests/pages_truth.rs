//! Every page that the images hold has the hash that the frozen process had: all CRIU generations, parents, shared objects.
//!
//! Truth: `checkpoints/generations/truth/NAME[.DUMP].pages.tsv` of the corpus, a line a page: pid, address, first 16 digits of its SHA-256
//! (`-` or `!` when there is none), flags (`G`: guard region), permissions, offset, device:inode, name.
//!
//! Every page there is accounted for, those too that nobody could read: stored, known to be zero, a file's, or a guard.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failure fails the test

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{self, Backing, Memory, Place, Question, Ride, Want};
use container_checkpoint::naming::Locator;
use sha2::{Digest, Sha256};

const PAGE: u64 = 4096;

/// The pages of one dump: where each is expected, and what came.
#[derive(Clone, Default)]
struct Pages {
    expected: Vec<(Pid, u64, String)>,
    /// Pages that could not be read: process, address, whether it is a guard, permissions.
    unreadable: Vec<(Pid, u64, bool, String)>,
    /// For each want: which page.
    wanted: Vec<usize>,
    came: Vec<Vec<u8>>,
    accounted: usize,
    zero: usize,
    in_files: usize,
    elsewhere: Vec<String>,
}

impl Question for Pages {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        self.wanted.clear();
        (self.zero, self.in_files, self.accounted) = (0, 0, 0);
        self.elsewhere.clear();
        let zero_page = short_hash(&[0; PAGE as usize]);
        let mut wants = Vec::new();
        for (number, (pid, address, hash)) in self.expected.iter().enumerate() {
            let Some(space) = memory.space(*pid) else {
                self.elsewhere.push(format!("{pid} {address:x}: no such process"));
                continue;
            };
            let pieces = space.locate(*address..address + PAGE);
            match pieces[0].backing {
                Backing::Stored(Place::Image(object, offset)) => {
                    wants.push(Want { object, offset, len: PAGE });
                    self.wanted.push(number);
                }
                Backing::Zero if *hash == zero_page => self.zero += 1,
                Backing::File(..) => self.in_files += 1,
                // A pre-dump has no mappings: what is not stored may be a file's page or an untouched one.
                Backing::Unknown if space.map.is_none() => {}
                // vvar changes with the clock; lazy pages never came into the image.
                Backing::NotCaptured | Backing::Stored(Place::Missing(memory::Missing::Lazy)) => {}
                other => self.elsewhere.push(format!("{pid} {address:x}: {other:?}")),
            }
        }
        self.account_for_unreadable(memory);
        self.came = vec![Vec::new(); wants.len()];
        wants
    }

    fn bytes(&mut self, want: usize, _: u64, bytes: &[u8]) -> ControlFlow<()> {
        self.came[want].extend_from_slice(bytes);
        ControlFlow::Continue(())
    }

    fn lost(&mut self, _: usize, _: u64, _: u64) {
        panic!("nothing is packed");
    }
}

impl Pages {
    fn of(truth: &Path) -> Self {
        let mut pages = Self::default();
        for line in fs::read_to_string(truth).unwrap().lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [pid, address, hash, flags, permissions, ..] = fields.as_slice() else { continue };
            let (Ok(pid), Ok(address)) = (pid.parse(), u64::from_str_radix(address, 16)) else { continue };
            if hash.len() == 16 {
                pages.expected.push((Pid(pid), address, (*hash).to_owned()));
            } else {
                pages.unreadable.push((Pid(pid), address, flags.contains('G'), (*permissions).to_owned()));
            }
        }
        pages
    }

    /// A guard is never said to be zero or stored; a page of `PROT_NONE` is stored, since it was present.
    fn account_for_unreadable(&mut self, memory: &Memory) {
        for (pid, address, is_guard, permissions) in &self.unreadable {
            let Some(space) = memory.space(*pid) else { continue };
            let backing = space.locate(*address..address + PAGE)[0].backing;
            let is_right = match backing {
                Backing::NotCaptured => *is_guard,
                Backing::Stored(Place::Image(..)) => !is_guard && permissions.starts_with("---"),
                _ => false,
            };
            // CRIU before 4.2 knows no guards, and a pre-dump no mappings.
            let is_known = space.map.as_ref().is_some_and(|map| !is_guard || !map.guards.is_empty());
            self.accounted += usize::from(is_known);
            if is_known && !is_right {
                self.elsewhere.push(format!("{pid} {address:x} {permissions} guard {is_guard}: {backing:?}"));
            }
        }
    }

    fn wrong(&self) -> Vec<String> {
        let page = |(number, came): (&usize, &Vec<u8>)| {
            let (pid, address, hash) = &self.expected[*number];
            (short_hash(came) != *hash).then(|| {
                format!("{pid} {address:x}: {} bytes, {} and not {hash}", came.len(), short_hash(came))
            })
        };
        self.wanted.iter().zip(&self.came).filter_map(page).collect()
    }
}

fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn pages_of_all_generations_have_the_hashes_of_the_frozen_processes() {
    let Some(corpus) = std::env::var_os("COLDCASE_CORPUS").map(PathBuf::from) else {
        println!("skipped: no corpus");
        return;
    };
    let generations = corpus.join("checkpoints/generations");
    let mut by_archive: BTreeMap<String, Vec<(String, PathBuf)>> = BTreeMap::new();
    for entry in fs::read_dir(generations.join("truth")).unwrap() {
        let path = entry.unwrap().path();
        let Some(stem) =
            path.file_name().unwrap().to_str().unwrap().strip_suffix(".pages.tsv").map(str::to_owned)
        else {
            continue;
        };
        let (archive, dump) = stem.split_once('.').unwrap_or((&stem, ""));
        by_archive.entry(archive.to_owned()).or_default().push((dump.to_owned(), path.clone()));
    }
    assert!(by_archive.len() > 20, "the corpus has truth for {} archives only", by_archive.len());
    let (mut compared, mut accounted) = (0, 0);
    for (archive, truths) in by_archive {
        let (pages, unreadable) = check(&generations, &archive, &truths);
        compared += pages;
        accounted += unreadable;
    }
    assert!(accounted > 50, "only {accounted} pages without bytes were accounted for");
    assert!(compared > 16_000, "only {compared} pages were compared");
}

/// Compares all dumps of an archive that have a truth; how many pages, and how many that nobody could read.
fn check(generations: &Path, archive: &str, truths: &[(String, PathBuf)]) -> (usize, usize) {
    let context = Context::default();
    let mut case = Case::default();
    let mut ride = Ride::new(|| Pages::of(&truths[0].1));
    let name = |name: &str| Locator::whole(&generations.join(format!("{name}.tar.zst")));
    case.add(name(archive), &context, &mut ride);
    if archive.ends_with("-with-previous") {
        case.add(name(&archive.replace("-with-previous", "-pre")), &context, &mut Nobody);
    }
    assert!(case.failures.is_empty(), "{archive}: {:?}", case.failures);
    let (mut compared, mut accounted) = (0, 0);
    for (dump, truth) in truths {
        let dumps = &case.evidences[0].dumps;
        let number = if dump.is_empty() {
            Some(0)
        } else {
            dumps.iter().position(|known| known.name.replace('/', "-") == *dump)
        };
        let id =
            DumpId { evidence: 0, dump: number.unwrap_or_else(|| panic!("{archive} has no dump {dump}")) };
        let question = || Pages::of(truth);
        // An archive of one dump is asked while it goes by, the others when all of it is known.
        let ride = dump.is_empty().then_some(&mut ride);
        let answered = memory::answer(&case, id, &context, ride, question).unwrap();
        let pages = answered.question;
        assert_eq!(pages.wrong(), Vec::<String>::new(), "{archive} {dump}");
        assert_eq!(pages.elsewhere, Vec::<String>::new(), "{archive} {dump}");
        assert!(!pages.wanted.is_empty(), "{archive} {dump}: no page was in the images");
        println!(
            "{archive} {dump}: {} pages, {} zero, {} in files",
            pages.wanted.len(),
            pages.zero,
            pages.in_files
        );
        compared += pages.wanted.len();
        accounted += pages.accounted;
    }
    (compared, accounted)
}
