//! A process: its name, its mappings, and the images that tell of it.

use crate::PAGE;
use crate::contents::Contents;
use crate::core_image::core;
use crate::mapping::Mapping;
use crate::object::SharedObject;
use crate::pages::{Pages, Place, Run};
use crate::wire::{Image, Message};

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x40_3000;
const HEAP: u64 = 0x1c3_f000;
const HEAP_PAGES: u64 = 33;
const VVAR: u64 = 0x7ffd_1f1f_0000;
const VDSO: u64 = 0x7ffd_1f1f_4000;
const STACK: u64 = 0x7ffe_a000_0000;
const STACK_PAGES: u64 = 33;
/// Pages at the end of the stack that were written to.
const STACK_STORED: u64 = 3;
/// The number of `/` in files.img.
pub(crate) const ROOT_FILE: u64 = 1;

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) name: String,
    /// Where its arguments, its environment and what follows them begin.
    strings: [u64; 3],
    pub(crate) mappings: Vec<Mapping>,
}

impl Process {
    /// A process that is the first one's child, or the first one itself, without any mapping.
    pub fn new(pid: u32) -> Self {
        let (parent, name) = (u32::from(pid != 1), format!("task-{pid}"));
        Self { pid, parent, name, strings: [0; 3], mappings: Vec::new() }
    }

    /// A process with what most have: code, data, a heap, a stack with these arguments and this environment. Pages are of 4 KiB.
    pub fn usual(pid: u32, name: &str, arguments: &[&str], environment: &[&str]) -> Self {
        let strings = |list: &[&str]| list.iter().flat_map(|text| [text, "\0"]).collect::<String>();
        let (arguments, environment) = (strings(arguments), strings(environment));
        let end = STACK + STACK_PAGES * PAGE - 8;
        let first = end - (arguments.len() + environment.len()) as u64;
        let generated = |seed: u64| Contents::Generated { seed: u64::from(pid) << 8 | seed };
        let stack =
            vec![Run { first: STACK_PAGES - STACK_STORED, pages: STACK_STORED, place: Place::Stored }];
        let stack = Pages::new(stack, generated(4))
            .plant(first - STACK, (arguments.clone() + &environment).as_bytes());
        let mappings = vec![
            Mapping::file(CODE, 3 * PAGE, 0, true),
            Mapping::file(DATA, PAGE, 3 * PAGE, false).with(Pages::whole(1, generated(1))),
            Mapping::heap(HEAP, HEAP_PAGES * PAGE).with(Pages::whole(HEAP_PAGES, generated(2))),
            Mapping::vvar(VVAR, 4 * PAGE),
            Mapping::vdso(VDSO, 2 * PAGE).with(Pages::whole(2, generated(3))),
            Mapping::stack(STACK, STACK_PAGES * PAGE).with(stack),
        ];
        let strings = [first, first + arguments.len() as u64, end];
        Self { name: name.to_owned(), strings, mappings, ..Self::new(pid) }
    }

    /// The same with a mapping more.
    #[must_use]
    pub fn mapping(mut self, mapping: Mapping) -> Self {
        self.mappings.push(mapping);
        self.mappings.sort_by_key(|mapping| mapping.start);
        self
    }

    /// The number of its executable in files.img.
    pub(crate) fn executable(&self) -> u64 {
        ROOT_FILE + u64::from(self.pid)
    }

    /// Its entry in pstree.img.
    pub(crate) fn tree_entry(&self) -> Message {
        let pid = u64::from(self.pid);
        Message::new().number(1, pid).number(2, self.parent.into()).number(3, pid).number(4, 1).number(5, pid)
    }

    /// All images of its own but pagemap and pages.
    pub(crate) fn images(&self, objects: &[SharedObject], page: u64) -> Vec<Image> {
        let pid = self.pid;
        let ids = Message::new().numbers(1..=4, pid.into()).list_of_namespaces();
        let fs = Message::new().numbers(1..=2, ROOT_FILE).number(3, 0o22);
        let sp = self.strings[0].saturating_sub(64);
        vec![
            Image::of(format!("core-{pid}.img"), [core(&self.name, CODE + PAGE + 0x120, sp)]),
            Image::of(format!("fdinfo-{pid}.img"), []),
            Image::of(format!("fs-{pid}.img"), [fs]),
            Image::of(format!("ids-{pid}.img"), [ids]),
            Image::of(format!("mm-{pid}.img"), [self.mm(objects, page)]),
        ]
    }

    fn mm(&self, objects: &[SharedObject], page: u64) -> Message {
        let [arguments, environment, end] = self.strings;
        let marks = [
            CODE + PAGE,
            CODE + 2 * PAGE,
            DATA,
            DATA + 64,
            arguments.saturating_sub(64),
            HEAP,
            HEAP + HEAP_PAGES * PAGE,
            arguments,
            environment,
            environment,
            end,
            self.executable(),
        ];
        // AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_ENTRY, AT_SYSINFO_EHDR, AT_NULL
        let auxv = [6, page, 3, CODE + 0x40, 4, 56, 5, 6, 9, CODE + 0x1000, 33, VDSO, 0, 0];
        let mm = (1..).zip(marks).fold(Message::new(), |mm, (field, value)| mm.number(field, value));
        let mm = self.mappings.iter().fold(mm.list(13, auxv), |mm, mapping| {
            mm.message(14, &mapping.entry(self.executable(), objects))
        });
        mm.number(15, 1)
    }
}

impl Message {
    /// The numbers of the namespaces of all tasks: pid, net, ipc, uts, mnt.
    fn list_of_namespaces(self) -> Self {
        (5..).zip([1, 2, 3, 4, 6]).fold(self, |ids, (field, number)| ids.number(field, number))
    }
}
