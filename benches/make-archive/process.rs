//! One generated process: its address space and the images that tell of it.

use criu_images::schema::{
    CoreEntry, CredsEntry, FsEntry, MmEntry, PagemapEntry, PagemapHead, PstreeEntry, RlimitEntry,
    TaskCoreEntry, TaskKobjIdsEntry, TaskRlimitsEntry, ThreadCoreEntry, ThreadInfoX86, UserX86FpregsEntry,
    UserX86RegsEntry, VmaEntry, core_entry,
};

use super::contents::{Contents, Planted};
use super::image::Image;

/// Bytes a page.
pub const PAGE: u64 = 4096;
/// Pages that CRIU puts in one entry of a pagemap at most, when it takes memory from a process.
const PAGES_PER_ENTRY: u64 = 256;

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x40_3000;
const HEAP: u64 = 0x1c3_f000;
const HEAP_PAGES: u64 = 33;
/// Where the large anonymous mapping begins.
pub const ANONYMOUS: u64 = 0x7e00_0000_0000;
const VVAR: u64 = 0x7ffd_1f1f_0000;
const VDSO: u64 = 0x7ffd_1f1f_4000;
const STACK: u64 = 0x7ffe_a000_0000;
const STACK_PAGES: u64 = 33;
/// Pages at the end of the stack that were written to.
const STACK_STORED: u64 = 3;

// mman.h: protections and flags of mappings.
const R: u32 = 1;
const W: u32 = 2;
const X: u32 = 4;
const PRIVATE: u32 = 2;
const ANONYMOUS_FLAG: u32 = 0x20;
const GROWS_DOWN: u32 = 0x100;
// CRIU, include/image.h: VMA_AREA_*.
const REGULAR: u32 = 1 << 0;
const VDSO_AREA: u32 = 1 << 3;
const HEAP_AREA: u32 = 1 << 5;
const FILE_PRIVATE: u32 = 1 << 6;
const ANON_PRIVATE: u32 = 1 << 9;
const VVAR_AREA: u32 = 1 << 12;
/// `PE_PRESENT`, in CRIU's pagemaps.
const PRESENT: u32 = 1 << 2;

/// A process to generate.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its number in its container.
    pub pid: u32,
    /// Its parent's; 0 for the first process.
    pub parent: u32,
    /// The name of the task.
    pub name: &'static str,
    /// Its arguments, the program first.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: Vec<String>,
    /// Bytes of its large anonymous mapping that are stored; a multiple of the page size.
    pub anonymous: u64,
    /// Whether only every second page of that mapping was written to.
    pub scattered: bool,
    /// Texts in that mapping, by their offset among its stored bytes.
    pub planted: Vec<Planted>,
}

/// Stored pages that follow each other.
struct Run {
    address: u64,
    pages: u64,
}

impl Process {
    /// The address of a stored byte of the large mapping.
    pub fn address(&self, stored: u64) -> u64 {
        let step = if self.scattered { 2 } else { 1 };
        ANONYMOUS + stored / PAGE * PAGE * step + stored % PAGE
    }

    /// All images of the process but its pages.
    pub fn images(&self) -> Vec<Image> {
        let pid = self.pid;
        let ids = TaskKobjIdsEntry {
            vm_id: pid,
            files_id: pid,
            fs_id: pid,
            sighand_id: pid,
            pid_ns_id: Some(1),
            net_ns_id: Some(2),
            ipc_ns_id: Some(3),
            uts_ns_id: Some(4),
            mnt_ns_id: Some(6),
            ..Default::default()
        };
        vec![
            Image::of(format!("core-{pid}.img"), &self.core()),
            Image::new(format!("fdinfo-{pid}.img")),
            Image::of(format!("fs-{pid}.img"), &FsEntry { cwd_id: 2, root_id: 2, umask: Some(0o22) }),
            Image::of(format!("ids-{pid}.img"), &ids),
            Image::of(format!("mm-{pid}.img"), &self.mm()),
            self.pagemap(),
        ]
    }

    /// Its entry in the process tree.
    pub fn tree_entry(&self) -> PstreeEntry {
        PstreeEntry { pid: self.pid, ppid: self.parent, pgid: self.pid, sid: 1, threads: vec![self.pid] }
    }

    /// Bytes of its page image.
    pub fn pages_len(&self) -> u64 {
        self.runs().iter().map(|run| run.pages * PAGE).sum()
    }

    /// The contents of its page image.
    pub fn pages(&self) -> Contents {
        let before = (1 + HEAP_PAGES) * PAGE;
        let moved = self.planted.iter().map(|planted| Planted { at: planted.at + before, ..planted.clone() });
        let strings =
            Planted { at: self.pages_len() - self.strings().len() as u64 - 8, text: self.strings() };
        Contents::new(self.pages_len(), moved.chain([strings]).collect())
    }

    /// Arguments and environment as the kernel lays them out at the end of the stack, 8 bytes below it.
    fn strings(&self) -> Vec<u8> {
        self.arguments
            .iter()
            .chain(&self.environment)
            .flat_map(|text| [text.as_bytes(), b"\0"].concat())
            .collect()
    }

    fn runs(&self) -> Vec<Run> {
        let mut runs = vec![Run { address: DATA, pages: 1 }, Run { address: HEAP, pages: HEAP_PAGES }];
        let pages = self.anonymous / PAGE;
        let at_once = if self.scattered { 1 } else { PAGES_PER_ENTRY };
        runs.extend(
            (0..pages)
                .step_by(at_once as usize)
                .map(|first| Run { address: self.address(first * PAGE), pages: at_once.min(pages - first) }),
        );
        runs.push(Run { address: VDSO, pages: 2 });
        runs.push(Run { address: STACK + (STACK_PAGES - STACK_STORED) * PAGE, pages: STACK_STORED });
        runs
    }

    fn pagemap(&self) -> Image {
        let head = Image::of(format!("pagemap-{}.img", self.pid), &PagemapHead { pages_id: self.pid });
        self.runs().iter().fold(head, |image, run| {
            image.and(&PagemapEntry {
                vaddr: run.address,
                compat_nr_pages: run.pages as u32,
                flags: Some(PRESENT),
                ..Default::default()
            })
        })
    }

    fn mm(&self) -> MmEntry {
        let end = STACK + STACK_PAGES * PAGE - 8;
        let start = end - self.strings().len() as u64;
        let environment = end - self.environment.iter().map(|text| text.len() as u64 + 1).sum::<u64>();
        let auxv = [6, PAGE, 3, CODE + 0x40, 4, 56, 5, 6, 9, CODE + 0x1000, 33, VDSO, 0, 0];
        MmEntry {
            mm_start_code: CODE + PAGE,
            mm_end_code: CODE + 2 * PAGE,
            mm_start_data: DATA,
            mm_end_data: DATA + 64,
            mm_start_stack: start - 64,
            mm_start_brk: HEAP,
            mm_brk: HEAP + HEAP_PAGES * PAGE,
            mm_arg_start: start,
            mm_arg_end: environment,
            mm_env_start: environment,
            mm_env_end: end,
            exe_file_id: 1,
            mm_saved_auxv: auxv.to_vec(),
            vmas: self.mappings(),
            dumpable: Some(1),
            ..Default::default()
        }
    }

    fn mappings(&self) -> Vec<VmaEntry> {
        let of_file = |number: u64, prot: u32| VmaEntry {
            start: CODE + number * PAGE,
            end: CODE + (number + 1) * PAGE,
            pgoff: number * PAGE,
            shmid: 1,
            prot,
            flags: PRIVATE,
            status: REGULAR | FILE_PRIVATE,
            fd: -1,
            fdflags: Some(0),
            ..Default::default()
        };
        let anonymous = |start: u64, pages: u64, prot: u32, flags: u32, status: u32| VmaEntry {
            start,
            end: start + pages * PAGE,
            prot,
            flags: PRIVATE | ANONYMOUS_FLAG | flags,
            status: REGULAR | ANON_PRIVATE | status,
            fd: -1,
            ..Default::default()
        };
        let large = (self.address(self.anonymous) - ANONYMOUS) / PAGE;
        let mut all = vec![of_file(0, R), of_file(1, R | X), of_file(2, R), of_file(3, R | W)];
        all.push(anonymous(HEAP, HEAP_PAGES, R | W, 0, HEAP_AREA));
        if large > 0 {
            all.push(anonymous(ANONYMOUS, large, R | W, 0, 0));
        }
        all.push(anonymous(VVAR, 4, R, 0, VVAR_AREA));
        all.push(VmaEntry { status: REGULAR | VDSO_AREA, ..anonymous(VDSO, 2, R | X, 0, 0) });
        all.push(anonymous(STACK, STACK_PAGES, R | W, GROWS_DOWN, 0));
        all
    }

    fn core(&self) -> CoreEntry {
        let registers = UserX86RegsEntry {
            ax: 35, // nanosleep
            orig_ax: 35,
            ip: CODE + PAGE + 0x120,
            cs: 0x33,
            flags: 0x246,
            sp: STACK + (STACK_PAGES - 1) * PAGE,
            ss: 0x2b,
            ..Default::default()
        };
        let floats = UserX86FpregsEntry {
            cwd: 0x37f,
            mxcsr: 0x1f80,
            mxcsr_mask: 0xffff,
            st_space: vec![0; 32],
            xmm_space: vec![0; 64],
            ..Default::default()
        };
        let unlimited = RlimitEntry { cur: u64::MAX, max: u64::MAX };
        CoreEntry {
            mtype: core_entry::March::X8664.into(),
            thread_info: Some(ThreadInfoX86 { gpregs: registers, fpregs: floats, ..Default::default() }),
            tc: Some(TaskCoreEntry {
                task_state: 1, // TASK_ALIVE
                comm: self.name.into(),
                timers: Some(Default::default()),
                rlimits: Some(TaskRlimitsEntry { rlimits: vec![unlimited; 16] }),
                cg_set: Some(1),
                ..Default::default()
            }),
            thread_core: Some(ThreadCoreEntry {
                sched_nice: Some(0),
                sched_policy: Some(0),
                creds: Some(CredsEntry {
                    cap_inh: vec![0; 2],
                    cap_prm: vec![0; 2],
                    cap_eff: vec![0; 2],
                    cap_bnd: vec![0; 2],
                    ..Default::default()
                }),
                comm: Some(self.name.into()),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}
