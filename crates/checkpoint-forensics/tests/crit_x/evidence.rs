//! Dumps of the repository as sets of images that tests may alter, and their answers as text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use checkpoint_forensics::crit_x::{Question, explore};
use container_checkpoint::case::{Case, Opened};
use container_checkpoint::context::Context;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::files::FileSet;
use container_checkpoint::gap::Findings;
use container_checkpoint::model::Model;
use container_checkpoint::naming::Locator;
use criu_images::Image;
use criu_images::json::{self, Options};
use serde_json::Value;

pub const QUESTIONS: [(Question, &str); 4] =
    [(Question::Ps, "ps"), (Question::Fds, "fds"), (Question::Mems, "mems"), (Question::Rss, "rss")];

pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

/// What crit prints of a dump, from `testdata/crit-x`.
pub fn golden(name: &str) -> String {
    std::fs::read_to_string(testdata("crit-x").join(name)).unwrap()
}

/// Opens one evidence.
pub fn opened(path: &Path) -> Opened {
    let mut case = Case::default();
    case.add(Locator::whole(path), &Context::default(), &mut Nobody);
    assert!(case.failures.is_empty(), "{:?}", case.failures);
    case.evidences.remove(0)
}

/// The images of a dump, in memory; pages are left out.
#[derive(Clone, Default)]
pub struct Images(pub BTreeMap<String, Vec<u8>>);

impl FileSet for Images {
    fn file(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.0.get(name).map(Into::into)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl Images {
    /// Of an archive of the repository; of the dump of a name, or the only one.
    pub fn of(archive: &str, dump: Option<&str>) -> Self {
        Self::read(&opened(&testdata(archive)), dump)
    }

    pub fn read(opened: &Opened, dump: Option<&str>) -> Self {
        let number = dump.map_or(0, |name| opened.named(name).unwrap());
        assert!(dump.is_some() || opened.dumps.len() == 1, "several dumps");
        let files = opened.dumps[number].image_files(opened.evidence.index());
        let image = |name: String| {
            let bytes = files.file(&name)?.into_owned();
            Some((name, bytes))
        };
        Self(files.names().into_iter().filter(|name| !name.starts_with("pages-")).filter_map(image).collect())
    }

    /// Alters an image by its JSON.
    pub fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Vec<Value>)) {
        let mut text = Vec::new();
        let image = Image::parse_named(name.as_bytes(), &self.0[name]).unwrap();
        json::decode(&image, &Options::default(), &mut text).unwrap();
        let mut document: Value = serde_json::from_slice(&text).unwrap();
        edit(document["entries"].as_array_mut().unwrap());
        let mut bytes = Vec::new();
        json::encode(&serde_json::to_vec(&document).unwrap(), &mut bytes).unwrap();
        self.0.insert(name.to_owned(), bytes);
    }

    /// The answer as text, and all that is told with it.
    pub fn ask(&self, question: Question) -> (String, Findings) {
        let (model, mut findings) = Model::load(self);
        let (text, found) = self.ask_of(&model, question);
        findings.extend(found);
        (text, findings)
    }

    /// The answer from a model that was loaded before, as text, and what is told with the answer alone.
    pub fn ask_of(&self, model: &Model, question: Question) -> (String, Findings) {
        let (answer, findings) = explore(question, self, model);
        let mut text = Vec::new();
        answer.write_to(&mut text, &|bytes| String::from_utf8_lossy(bytes)).unwrap();
        (String::from_utf8(text).unwrap(), findings)
    }

    /// The answer as text, of a dump that lacks nothing.
    pub fn text(&self, question: Question) -> String {
        let (text, findings) = self.ask(question);
        assert!(findings.gaps.is_empty(), "{:?}", findings.gaps);
        text
    }
}

/// Takes away what is documented to differ from crit: names of memory files, marks of pages that are elsewhere, zombies
/// (which crit does not survive). Fails where a line differs in another way.
#[track_caller]
pub fn assert_as_crit(ours: &str, crits: &str, context: &str) {
    let ours: Vec<&str> = ours.lines().collect();
    let is_zombie = |at: usize| {
        let has_lines = ours.get(at + 1).is_some_and(|line| line.starts_with('\t'));
        ours[at].bytes().all(|byte| byte.is_ascii_digit()) && !has_lines
    };
    let living: Vec<&str> = (0..ours.len()).filter(|at| !is_zombie(*at)).map(|at| ours[at]).collect();
    let crits: Vec<&str> = crits.lines().collect();
    for (number, (our, crit)) in living.iter().zip(&crits).enumerate() {
        let same = our == crit || is_named(our, crit) || is_marked(our, crit);
        assert!(same, "{context}, line {}: ours {our:?}, crit's {crit:?}", number + 1);
    }
    assert_eq!(living.len(), crits.len(), "{context}");
}

/// Whether crit says `unknown path` where we have the name of a memory file.
fn is_named(our: &str, crit: &str) -> bool {
    let Some((before, after)) = crit.split_once("unknown path") else { return false };
    let name = our.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    name.is_some_and(|name| {
        (name.starts_with("/memfd:") || name == "/dev/zero (deleted)") && name.ends_with(" (deleted)")
    })
}

/// Whether crit has the blank line that ends an entry where we say where its bytes are.
fn is_marked(our: &str, crit: &str) -> bool {
    crit.starts_with('\t')
        && crit.trim().is_empty()
        && our.strip_prefix(crit).is_some_and(|mark| mark.starts_with(" ("))
}
