//! All the evidence that was given, opened together: parents of incremental dumps are looked up among all of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use crate::context::Context;
use crate::dump::{self, Dump};
use crate::error::{Error, Result};
use crate::evidence::{Body, Evidence, Index, Member, MemberId, MemberKind, Nobody, Passenger};
use crate::gap::Findings;
use crate::memory::GivenFile;
use crate::naming::Locator;

/// How many dumps a message names.
const NAMES_TOLD: usize = 20;

/// All the evidence that was given.
#[derive(Debug, Default)]
pub struct Case {
    /// What could be opened, in the order given.
    pub evidences: Vec<Opened>,
    /// What could not be, with the reason.
    pub failures: Vec<(String, Error)>,
    /// By dump, the files behind mappings that were given.
    files: BTreeMap<DumpId, Vec<GivenFile>>,
}

/// One evidence, opened, with its dumps.
#[derive(Debug)]
pub struct Opened {
    /// The evidence.
    pub evidence: Evidence,
    /// What was asked of it.
    pub locator: Locator,
    /// The dumps that it holds, in stored order.
    pub dumps: Vec<Dump>,
    /// Whether it was given for the sake of others alone, whose parent dumps it holds: nothing is asked of it itself.
    pub is_parent: bool,
    /// Their numbers by the directory of their images.
    by_images: HashMap<Vec<u8>, Vec<usize>>,
}

/// A dump of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DumpId {
    /// The evidence's number in [`Case::evidences`].
    pub evidence: usize,
    /// The dump's number in [`Opened::dumps`].
    pub dump: usize,
}

/// How many dumps of one evidence a question takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The only one, or the one that was named.
    One,
    /// All of them, unless one was named.
    All,
}

impl Case {
    /// Opens evidence and adds it; a failure is kept in [`failures`](Self::failures) and stops nothing.
    pub fn add(&mut self, locator: Locator, context: &Context, passenger: &mut dyn Passenger) {
        match Evidence::open(&locator.path, context, passenger) {
            Ok(evidence) => self.add_opened(evidence, locator),
            Err(error) => self.failures.push((locator.text, error)),
        }
    }

    /// Opens evidence that is given for its dumps as parents of others, and adds it.
    pub fn add_parent(&mut self, locator: Locator, context: &Context) {
        let before = self.evidences.len();
        self.add(locator, context, &mut Nobody);
        self.evidences[before..].iter_mut().for_each(|opened| opened.is_parent = true);
    }

    /// Adds evidence that was opened already.
    pub fn add_opened(&mut self, mut evidence: Evidence, locator: Locator) {
        let mut findings = Findings::default();
        let dumps = dump::find_with(evidence.index(), &mut findings);
        evidence.add_findings(findings);
        let mut by_images: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for (number, images) in
            dumps.iter().enumerate().filter_map(|(number, dump)| Some((number, dump.images.clone()?)))
        {
            by_images.entry(images).or_default().push(number);
        }
        self.evidences.push(Opened { evidence, locator, dumps, is_parent: false, by_images });
    }

    /// Gives the case a file that processes of a dump have mapped: from now on [`Memory::of`](crate::memory::Memory::of) has its bytes where they were not written to. It is for the caller to make sure that
    /// it is that file.
    pub fn give_file(&mut self, id: DumpId, file: GivenFile) {
        self.files.entry(id).or_default().push(file);
    }

    /// The files that were given.
    pub(crate) fn files_behind_mappings(&self, id: DumpId) -> &[GivenFile] {
        self.files.get(&id).map_or(&[], Vec::as_slice)
    }

    /// An opened evidence.
    pub fn evidence(&self, id: DumpId) -> &Evidence {
        &self.evidences[id.evidence].evidence
    }

    /// A dump.
    pub fn dump(&self, id: DumpId) -> &Dump {
        &self.evidences[id.evidence].dumps[id.dump]
    }

    /// All dumps of all evidences.
    pub fn all_dumps(&self) -> impl Iterator<Item = DumpId> + '_ {
        let of = |(evidence, opened): (usize, &Opened)| {
            (0..opened.dumps.len()).map(move |dump| DumpId { evidence, dump })
        };
        self.evidences.iter().enumerate().flat_map(of)
    }
}

impl Opened {
    /// The evidence as the user named it, without a selector.
    pub fn name(&self) -> &str {
        self.evidence.name()
    }

    /// The dumps whose images are in a directory: in several layers there may be several.
    pub(crate) fn dumps_at(&self, images: &[u8]) -> impl Iterator<Item = usize> + '_ {
        self.by_images.get(images).into_iter().flatten().copied()
    }

    /// The dumps that a question takes, as numbers in [`dumps`](Self::dumps).
    ///
    /// # Errors
    /// When there is none, none of the name asked for, or several where one is needed.
    pub fn chosen(&self, choice: Choice) -> Result<Vec<usize>> {
        if self.dumps.is_empty() {
            let why = match self.evidence.index().findings.gaps.first() {
                Some(gap) => format!("no CRIU images and no engine metadata, as far as it goes: {}, {}: {}", gap.what, gap.place, gap.why),
                None => "no CRIU images and no engine metadata in it; `coldcase list` looks at each file of a directory".into(),
            };
            return Err(Error::NotEvidence { name: self.name().into(), why });
        }
        if let Some(word) = &self.locator.selector {
            return self.named(word).map(|dump| vec![dump]);
        }
        if choice == Choice::One && self.dumps.len() > 1 {
            let (evidence, count, known) = (self.name().into(), self.dumps.len(), self.names());
            return Err(Error::SeveralDumps { evidence, count, known });
        }
        Ok((0..self.dumps.len()).collect())
    }

    /// The dump of a name.
    ///
    /// # Errors
    /// When no dump has it.
    pub fn named(&self, word: &str) -> Result<usize> {
        self.dumps.iter().position(|dump| dump.is_called(word)).ok_or_else(|| Error::NoSuchDump {
            evidence: self.name().into(),
            name: word.into(),
            known: self.names(),
        })
    }

    fn names(&self) -> String {
        let named: Vec<_> = self.dumps.iter().take(NAMES_TOLD).map(|dump| dump.name.as_str()).collect();
        match self.dumps.len() - named.len() {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }

    /// Finds a member by the words behind the evidence: `DUMP//MEMBER`, a path in the archive, or the name of an image of the only dump.
    ///
    /// # Errors
    /// When nothing has that name, or it is no file.
    pub fn member(&self, words: &str) -> Result<MemberId> {
        let index = self.evidence.index();
        let no_such = || Error::NoSuchMember { evidence: self.name().into(), name: words.into() };
        let of = |dump: &Dump, name: &[u8]| {
            dump.image_files(index).entry(name).or_else(|| dump.bundle_files(index).entry(name))
        };
        if let Some((dump, member)) = words.split_once("//") {
            return of(&self.dumps[self.named(dump)?], member.as_bytes()).ok_or_else(no_such);
        }
        let path = words.as_bytes();
        let anywhere = index.layers().find_map(|(layer, _)| index.find(layer, path));
        let in_only_dump = || if let [dump] = self.dumps.as_slice() { of(dump, path) } else { None };
        let id = anywhere.or_else(in_only_dump).ok_or_else(no_such)?;
        match index.member(index.resolved(id)).kind {
            MemberKind::File | MemberKind::Other(_) => Ok(id),
            _ => Err(Error::NotAFile(format!("{}//{words}", self.name()))),
        }
    }

    /// The whole contents of a member, through hard links, and in another pass if they only go by.
    ///
    /// # Errors
    /// When they are larger than the limit for metadata, or can't be read.
    pub fn read_member(&self, id: MemberId, context: &Context) -> Result<Cow<'_, [u8]>> {
        let id = self.evidence.index().resolved(id);
        let member = self.evidence.index().member(id);
        let what = || format!("{}//{}", self.name(), String::from_utf8_lossy(&member.path));
        let limit = context.limits.metadata;
        if member.size > limit {
            return Err(Error::Limit { what: what(), size: member.size, limit, option: "--max-metadata" });
        }
        match &member.body {
            Body::At(bytes) => bytes.to_cow().map_err(|source| Error::Read { what: what(), source }),
            Body::Held(bytes) => Ok(Cow::Borrowed(bytes)),
            Body::Passing => {
                let mut collector = Collector { id, bytes: Vec::new() };
                self.evidence.pass_again(context, &mut collector)?;
                Ok(Cow::Owned(collector.bytes))
            }
        }
    }
}

/// Takes the contents of one member.
struct Collector {
    id: MemberId,
    bytes: Vec<u8>,
}

impl Passenger for Collector {
    fn wants(&mut self, _: &Index, id: MemberId, _: &Member) -> bool {
        id == self.id
    }

    fn contents(&mut self, _: &Index, _: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        contents.read_to_end(&mut self.bytes).map(|_| ())
    }
}
