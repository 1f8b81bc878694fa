//! Evidence of the repository and of the larger corpus, and the cores of its dumps.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use checkpoint_forensics::LookedAt;
use checkpoint_forensics::core_dump::{self, Answer, CoreDump, Help, Options};
use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::dump::DirectoryFiles;
use container_checkpoint::evidence::{MemberKind, Nobody};
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::Ride;
use container_checkpoint::model::Model;
use container_checkpoint::naming::Locator;
use container_checkpoint::root_files::Root;
use tempfile::TempDir;

/// Case and its processes; the cores of a case with several have the pid in their names.
pub const CASES: [(&str, &[u32]); 9] = [
    ("01-simple", &[48]),
    ("01-static", &[48]),
    ("02-threads", &[48]),
    ("03-shm", &[48]),
    ("04-tree", &[48, 49, 50, 53, 54, 55]),
    ("05-python", &[48]),
    ("06-redis", &[48]),
    ("07-amx", &[56]),
    ("08-compat32", &[54]),
];

/// An archive of the repository.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

/// The root of the larger corpus; says so if there is none.
pub fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("COLDCASE_CORPUS").map(PathBuf::from);
    if root.is_none() {
        println!("skipped: no corpus");
    }
    root
}

/// A case of a frozen process with its cores: of the repository, or of the larger corpus; says so if it is in neither.
pub fn case(name: &str) -> Option<PathBuf> {
    let ours = testdata(&format!("cores/{name}.tar.zst"));
    if ours.is_file() {
        return Some(ours);
    }
    let path = match name.strip_prefix("aarch64-") {
        Some(name) => format!("cases/aarch64/{name}.tar.zst"),
        None => format!("cases/core/{name}.tar.zst"),
    };
    corpus().map(|root| root.join(path))
}

/// Evidence that was opened without a question riding along.
pub struct Opened {
    pub case: Case,
}

impl Opened {
    pub fn new(paths: &[&Path]) -> Self {
        let mut case = Case::default();
        for path in paths {
            case.add(Locator::whole(path), &Context::default(), &mut Nobody);
        }
        assert!(case.failures.is_empty(), "{:?}", case.failures);
        Self { case }
    }

    /// The dump of a name in the first evidence.
    pub fn dump(&self, name: &str) -> DumpId {
        DumpId { evidence: 0, dump: self.case.evidences[0].named(name).unwrap() }
    }

    /// The only dump of the first evidence.
    pub fn only(&self) -> DumpId {
        assert_eq!(self.case.evidences[0].dumps.len(), 1);
        DumpId { evidence: 0, dump: 0 }
    }

    pub fn images(&self, id: DumpId) -> DirectoryFiles<'_> {
        self.case.dump(id).image_files(self.case.evidence(id).index())
    }

    pub fn model(&self, id: DumpId) -> Model {
        Model::load(&self.images(id)).0
    }

    /// A member of the first evidence.
    pub fn member(&self, path: &str) -> Cow<'_, [u8]> {
        let opened = &self.case.evidences[0];
        opened.read_member(opened.member(path).unwrap(), &Context::default()).unwrap()
    }

    /// Writes cores of all processes of a dump.
    pub fn cores(&self, id: DumpId) -> Cores {
        self.cores_of(id, &[]).unwrap()
    }

    /// Writes cores of all processes with options of the caller's.
    pub fn cores_with(&self, id: DumpId, change: impl FnOnce(Options) -> Options) -> Cores {
        self.write(id, &[], change).unwrap()
    }

    pub fn cores_of(&self, id: DumpId, pids: &[u32]) -> Result<Cores, core_dump::Error> {
        self.write(id, pids, |options| options)
    }

    fn write(
        &self,
        id: DumpId,
        pids: &[u32],
        change: impl FnOnce(Options) -> Options,
    ) -> Result<Cores, core_dump::Error> {
        self.write_filled(id, pids, &[], change)
    }

    /// Writes cores with pages of files from root file systems.
    pub fn write_filled(
        &self,
        id: DumpId,
        pids: &[u32],
        roots: &[Root],
        change: impl FnOnce(Options) -> Options,
    ) -> Result<Cores, core_dump::Error> {
        let directory = tempfile::tempdir().unwrap();
        let options = change(options(directory.path(), pids));
        let (model, context) = (self.model(id), Context::default());
        let help = Help { roots, ..Help::default() };
        let answer = core_dump::write(self.looked_at(id, &model, &context), help, &options)?;
        Ok(Cores { directory, answer })
    }

    pub fn looked_at<'a>(&'a self, id: DumpId, model: &'a Model, context: &'a Context) -> LookedAt<'a> {
        LookedAt { case: &self.case, id, model, context }
    }
}

pub fn options(directory: &Path, pids: &[u32]) -> Options {
    Options {
        directory: directory.to_owned(),
        pids: pids.iter().copied().map(Pid).collect(),
        ..Options::default()
    }
}

/// Cores that were written.
pub struct Cores {
    pub directory: TempDir,
    pub answer: Answer,
}

impl Cores {
    pub fn path(&self, pid: u32) -> PathBuf {
        self.directory.path().join(format!("core.{pid}"))
    }

    pub fn read(&self, pid: u32) -> super::reader::Core {
        super::reader::Core::parse(fs::read(self.path(pid)).unwrap())
    }

    /// Who got one.
    pub fn pids(&self) -> Vec<u32> {
        self.answer.written.iter().map(|written| written.pid.0).collect()
    }
}

/// Writes the cores of an archive's only dump while it is opened.
pub fn cores_on_a_ride(archive: &Path) -> Cores {
    let directory = tempfile::tempdir().unwrap();
    let (options, context) = (options(directory.path(), &[]), Context::default());
    let mut ride = Ride::new(|| CoreDump::new(options.clone(), &context));
    let mut case = Case::default();
    case.add(Locator::whole(archive), &context, &mut ride);
    let id = DumpId { evidence: 0, dump: 0 };
    let (model, _) = Model::load(&case.dump(id).image_files(case.evidence(id).index()));
    let help = Help { ride: Some(&mut ride), ..Help::default() };
    let looked_at = LookedAt { case: &case, id, model: &model, context: &context };
    let answer = core_dump::write(looked_at, help, &options).unwrap();
    Cores { directory, answer }
}

/// Unpacks the files and symbolic links of an archive.
pub fn unpacked(archive: &Path) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    unpack(&Opened::new(&[archive]), "", directory.path());
    directory
}

/// Unpacks the files and symbolic links below a directory of the first evidence.
pub fn unpack(opened: &Opened, below: &str, directory: &Path) {
    let opened = &opened.case.evidences[0];
    for (id, _, member) in opened.evidence.index().members() {
        let Some(path) = str::from_utf8(&member.path).unwrap().strip_prefix(below) else { continue };
        let path = directory.join(path);
        let make_room = || fs::create_dir_all(path.parent().unwrap()).unwrap();
        match (member.kind, &member.link) {
            (MemberKind::File, _) => {
                make_room();
                fs::write(&path, opened.read_member(id, &Context::default()).unwrap()).unwrap();
            }
            (MemberKind::Symlink, Some(target)) if path.symlink_metadata().is_err() => {
                make_room();
                std::os::unix::fs::symlink(str::from_utf8(target).unwrap(), &path).unwrap();
            }
            _ => {}
        }
    }
}

/// The container's files, with those of single cases over them.
pub fn sysroot(cases: &std::path::Path) -> (tempfile::TempDir, Root) {
    let directory = unpacked(&cases.join("sysroot.tar.zst"));
    for (case, below) in [("03-shm", "files"), ("07-amx", "sysroot-extra"), ("08-compat32", "sysroot-extra")]
    {
        let opened = Opened::new(&[&cases.join(format!("{case}.tar.zst"))]);
        unpack(&opened, &format!("{case}/{below}/"), directory.path());
    }
    let root = Root::open(directory.path(), &Context::default()).unwrap();
    (directory, root)
}
