//! One dump: processes and shared objects, how their pages are written, the dump before it.

use std::sync::Arc;

use crate::PAGE;
use crate::blocks::Blocks;
use crate::object::{self, SharedObject};
use crate::pagemap::{self, Style};
use crate::pages::Pages;
use crate::process::{Process, ROOT_FILE};
use crate::wire::{Image, Message};

/// How entries of a pagemap say how many pages they are and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// CRIU up to 3.4: a count in field 2, and whether the pages are in the parent. Knows no lazy pages.
    V1,
    /// CRIU 3.5 to 4.1: a count in field 2, and flags.
    V35,
    /// CRIU 4.2 and later: a count in field 5, and zero in field 2.
    V42,
}

/// A dump of one container.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub(crate) processes: Vec<Process>,
    pub(crate) objects: Vec<SharedObject>,
    pub(crate) parent: Option<Arc<Self>>,
    pub(crate) style: Style,
    is_pre_dump: bool,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self::new()
    }
}

impl Checkpoint {
    /// A dump of nothing: pages of 4 KiB, as CRIU 4.2 writes them.
    pub fn new() -> Self {
        let style = Style { page: PAGE, generation: Generation::V42, blocks: None };
        Self { processes: Vec::new(), objects: Vec::new(), parent: None, style, is_pre_dump: false }
    }

    /// The same with a process more.
    #[must_use]
    pub fn process(mut self, process: Process) -> Self {
        self.processes.push(process);
        self
    }

    /// The same with a shared object more.
    #[must_use]
    pub fn object(mut self, object: SharedObject) -> Self {
        self.objects.push(object);
        self
    }

    /// The same as a dump on top of another one, which has the pages of [`Place::Parent`](crate::Place).
    #[must_use]
    pub fn on_top_of(mut self, parent: Self) -> Self {
        self.parent = Some(Arc::new(parent));
        self
    }

    /// The same as a pre-dump: pages and their pagemaps, and nothing that says whose they are.
    #[must_use]
    pub fn as_pre_dump(mut self) -> Self {
        self.is_pre_dump = true;
        self
    }

    /// The same with pages of so many bytes.
    #[must_use]
    pub fn page_size(mut self, bytes: u64) -> Self {
        self.style.page = bytes;
        self
    }

    /// The same with pagemaps of a generation.
    #[must_use]
    pub fn generation(mut self, generation: Generation) -> Self {
        self.style.generation = generation;
        self
    }

    /// The same with pages packed as CRIU 4.3 can: LZ4 blocks of so many pages.
    #[must_use]
    pub fn packed_blocks(self, pages: u64) -> Self {
        self.packed(Blocks::of(pages))
    }

    /// The same with pages packed in such blocks.
    #[must_use]
    pub fn packed(mut self, blocks: Blocks) -> Self {
        self.style.blocks = Some(blocks);
        self
    }

    /// The names of the page images and their sizes do not depend on each other: pages of processes first, then of objects.
    fn pages(&self) -> Vec<Image> {
        let of_process = |process: &Process| {
            let areas = process.mappings.iter().map(|mapping| (mapping.start, mapping.pages.clone()));
            (format!("pagemap-{}.img", process.pid), areas.collect::<Vec<_>>())
        };
        let of_object = |object: &SharedObject| {
            (format!("pagemap-shmem-{}.img", object.id), vec![(0, object.pages.clone())])
        };
        let all = self.processes.iter().map(of_process).chain(self.objects.iter().map(of_object));
        (1..)
            .zip(all)
            .flat_map(|(number, (name, areas))| {
                let areas: Vec<(u64, &Pages)> = areas.iter().map(|(start, pages)| (*start, pages)).collect();
                pagemap::images(name, number, &areas, &self.style)
            })
            .collect()
    }

    /// How many pages its page images hold.
    pub(crate) fn stored_pages(&self) -> u64 {
        let of_processes =
            self.processes.iter().flat_map(|process| process.mappings.iter().map(|mapping| &mapping.pages));
        let of_objects = self.objects.iter().map(|object| &object.pages);
        of_processes.chain(of_objects).map(|pages| pages.stored(1)).sum()
    }

    /// All its images, in the order of their names, as CRIU writes them.
    pub fn images(&self) -> Vec<Image> {
        let mut all = vec![Image::of("inventory.img", [self.inventory()])];
        all.extend(self.pages());
        if !self.is_pre_dump {
            let uts = Message::new().bytes(1, b"worker").bytes(2, b"(none)");
            let tree = self.processes.iter().map(Process::tree_entry);
            all.push(Image::of("pstree.img", tree));
            all.push(Image::of("files.img", self.files()));
            all.push(Image::of("utsns-4.img", [uts]));
            all.extend(object::images(&self.objects, self.style.page));
            all.extend(
                self.processes.iter().flat_map(|process| process.images(&self.objects, self.style.page)),
            );
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn inventory(&self) -> Message {
        let version = match (self.is_pre_dump, &self.style.blocks) {
            (true, None) => 0,
            (false, None) => 2,
            (_, Some(_)) => 3,
        };
        let ids = Message::new().numbers(1..=4, 1);
        let inventory =
            Message::new().number(1, version).number(2, 1).message(3, &ids).number(4, 1).number(5, 1);
        match &self.style.blocks {
            Some(blocks) => inventory.number(15, 1).number(16, blocks.pages * self.style.page),
            None => inventory,
        }
    }

    fn files(&self) -> Vec<Message> {
        let file = |id: u64, name: &str, mode: u64| {
            let owner = Message::new().numbers(1..=5, 0);
            let file = Message::new()
                .number(1, id)
                .numbers(2..=3, 0)
                .message(5, &owner)
                .bytes(6, name.as_bytes())
                .number(10, mode);
            Message::new().number(1, 1).number(2, id).message(3, &file)
        };
        let executable =
            |process: &Process| file(process.executable(), &format!("/usr/bin/{}", process.name), 0o100_755);
        let objects = self.objects.iter().filter(|object| object.is_file()).map(SharedObject::file);
        [file(ROOT_FILE, "/", 0o040_755)]
            .into_iter()
            .chain(self.processes.iter().map(executable))
            .chain(objects)
            .collect()
    }
}
