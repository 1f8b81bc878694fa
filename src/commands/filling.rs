//! Pages of files that no process wrote to: the options that say where they come from, and what is said of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use checkpoint_forensics::LookedAt;
use checkpoint_forensics::mapped_files::{MappedFile, MappedFiles, Refused, Verified};
use clap::builder::ArgPredicate;
use clap::{Args, ValueEnum, ValueHint};
use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::evidence::Passenger;
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::{FileId, Pid};
use container_checkpoint::model::Model;
use container_checkpoint::root_files::Root;
use serde_json::{Map, Value};

use crate::present::bytes::count_text;
use crate::present::json::text_fields;
use crate::present::json_lines::JsonLines;
use crate::present::text::Text;
use crate::session::{EvidenceArgs, Session};

/// Where pages of files come from that no process wrote to.
#[derive(Args, Clone, Debug)]
pub struct FillArgs {
    /// Which pages of files that a process did not write to are taken from the files themselves
    ///
    /// No checkpoint holds them as memory. `all` takes them from ghost files of deleted ones, from files that the container changed, and from --rootfs, if the build id or the size is that of the
    /// file that was mapped; what else was found is refused by name. A compressed archive is read once more for that.
    #[arg(long, value_enum, default_value_t = FillName::None, default_value_if("rootfs", ArgPredicate::IsPresent, "all"))]
    fill: FillName,

    /// The container's root file system: a directory, an OCI layout or an archive; may be given several times
    #[arg(long, value_name = "ROOT", value_hint = ValueHint::AnyPath)]
    rootfs: Vec<PathBuf>,
}

/// Which pages of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FillName {
    /// None
    None,
    /// All whose files are found
    All,
}

/// The files behind mappings that were found, by dump; nothing of dumps where none were looked for.
#[derive(Debug, Default)]
pub struct Filled(BTreeMap<DumpId, (MappedFiles, Findings)>);

/// So many files are told one by one; JSON has them all.
const FILES_TOLD: usize = 6;

impl FillArgs {
    /// Opens all evidence, and gives it the files behind mappings of processes (of all if none are named) if they are wanted. Nobody rides along with the first pass then: what is to be seen is known only behind it.
    ///
    /// # Errors
    /// When a root is none.
    pub fn open<P: Passenger>(
        &self,
        session: &Session<'_>,
        evidence: &EvidenceArgs,
        pids: &[Pid],
        make: impl FnMut() -> P,
    ) -> anyhow::Result<(Case, Vec<P>, Filled)> {
        let mut filled = Filled::default();
        if self.fill == FillName::None {
            let (case, passengers) = session.open_with(evidence, make);
            return Ok((case, passengers, filled));
        }
        let mut roots = Vec::new();
        for root in &self.rootfs {
            roots.push(Root::open(root, &session.context)?);
        }
        let mut case = session.open(evidence);
        let chosen = session.choices(&case, evidence);
        for id in chosen.into_iter().filter_map(Result::ok).flatten() {
            let (model, _) = Checkpoint::new(&case, id).model();
            let looked_at = LookedAt { case: &case, id, model: &model, context: &session.context };
            match MappedFiles::gather(looked_at, pids, &roots) {
                Ok((files, findings)) => {
                    files.give_to(&mut case, id);
                    filled.0.insert(id, (files, findings));
                }
                Err(error) => session.ui.error(Text::own(error)),
            }
        }
        Ok((case, Vec::new(), filled))
    }
}

impl Filled {
    /// A file that was taken.
    pub fn file(&self, id: DumpId, file: FileId) -> Option<&MappedFile> {
        self.0.get(&id)?.0.get(file)
    }

    /// What could not be read of the files.
    pub fn findings(&self, id: DumpId) -> Findings {
        self.0.get(&id).map(|(_, findings)| findings.clone()).unwrap_or_default()
    }

    /// Says what was taken, what shows that it is right, and what was refused.
    pub fn tell(&self, session: &Session<'_>, checkpoint: &Checkpoint<'_>, model: &Model) {
        let Some((files, _)) = self.0.get(&checkpoint.id()) else { return };
        let all = distinct(files, model);
        let evidence = Text::evidence(checkpoint.full_name());
        if all.len() > FILES_TOLD {
            let by = [Verified::BuildId, Verified::Size, Verified::Nothing].map(|how| {
                let count = all.iter().filter(|(_, file)| file.verified == how).count();
                (count > 0).then(|| format!("{count} {}", how.text()))
            });
            let by: Vec<String> = by.into_iter().flatten().collect();
            let count = count_text(all.len() as u64, "mapped file", "mapped files");
            session.ui.note(evidence.and(format_args!(": taken: {count}: {}", by.join(", "))));
        } else {
            for (id, file) in all {
                let text = evidence.clone().and(": taken: ").and_evidence(file.from.to_string());
                let text = text.and(" for ").and_evidence(path(model, id));
                session.ui.note(text.and(format_args!(", {}", file.verified.text())));
            }
            if files.iter().next().is_none() && files.refused.is_empty() {
                session.ui.note(evidence.and(": no mapped file was found"));
            }
        }
        tell_refused(session, checkpoint, &files.refused);
    }

    /// The files that were taken and those that were refused; `None` when none were looked for.
    pub fn json(&self, id: DumpId, model: &Model) -> Option<Vec<Map<String, Value>>> {
        let (files, _) = self.0.get(&id)?;
        let start = |file: FileId, from: &str| {
            let mut map = Map::new();
            text_fields(&mut map, "path", path(model, file));
            text_fields(&mut map, "from", from.as_bytes());
            map
        };
        let taken = distinct(files, model).into_iter().map(|(id, file)| {
            let mut map = start(id, &file.from.to_string());
            map.insert("size".into(), file.bytes.len().into());
            map.insert("verified".into(), file.verified.name().into());
            map
        });
        let refused = distinct_refused(&files.refused).into_iter().map(|refused| {
            let mut map = start(refused.file, &refused.from.to_string());
            map.insert("refused".into(), refused.why.clone().into());
            map
        });
        Some(taken.chain(refused).collect())
    }

    /// As [`json`](Self::json), a record each.
    ///
    /// # Errors
    /// What writing says.
    pub fn records<W: io::Write>(
        &self,
        lines: &mut JsonLines<W>,
        checkpoint: &Checkpoint<'_>,
        model: &Model,
    ) -> io::Result<()> {
        for file in self.json(checkpoint.id(), model).into_iter().flatten() {
            let mut map = Map::new();
            text_fields(&mut map, "evidence", checkpoint.evidence_name());
            text_fields(&mut map, "dump", checkpoint.name().as_bytes());
            map.extend(file);
            lines.record("file", map)?;
        }
        Ok(())
    }

    /// Where a byte of a file is from, in place of the page image that has others.
    pub fn object_json(&self, id: DumpId, file: FileId, offset: u64) -> Value {
        let mut map = Map::new();
        if let Some(found) = self.file(id, file) {
            text_fields(&mut map, "file", found.from.to_string().as_bytes());
            map.insert("verified".into(), found.verified.name().into());
        }
        map.insert("offset".into(), offset.into());
        Value::Object(map)
    }
}

/// The path of a file as processes knew it.
fn path(model: &Model, file: FileId) -> &[u8] {
    model.files.with_path(file).and_then(|file| file.regular()).map_or(&[], |regular| &regular.path)
}

/// The files that were taken: the table of files may have one for each process that maps it.
fn distinct<'f>(files: &'f MappedFiles, model: &Model) -> Vec<(FileId, &'f MappedFile)> {
    let mut seen = BTreeSet::new();
    files.iter().filter(|(id, file)| seen.insert((path(model, *id).to_vec(), file.from.clone()))).collect()
}

/// Those that were refused, likewise.
fn distinct_refused(refused: &[Refused]) -> Vec<&Refused> {
    let mut seen = BTreeSet::new();
    refused.iter().filter(|one| seen.insert((&one.path, &one.from, &one.why))).collect()
}

/// Files that are not the ones that were mapped: the first ones, and how many there are more. A root of another image has all of them.
pub fn tell_refused(session: &Session<'_>, checkpoint: &Checkpoint<'_>, refused: &[Refused]) {
    let evidence = Text::evidence(checkpoint.full_name());
    let refused = distinct_refused(refused);
    let told = if refused.len() > FILES_TOLD { FILES_TOLD - 1 } else { FILES_TOLD };
    for refused in refused.iter().copied().take(told) {
        let text = evidence.clone().and(": not taken: ").and_evidence(refused.from.to_string());
        let text = text.and(" for ").and_evidence(&refused.path);
        session.ui.note(text.and(": ").and_evidence(&refused.why));
    }
    let untold = refused.len().saturating_sub(told);
    if untold > 0 {
        session.ui.note(
            evidence
                .and(format_args!(": not taken: {untold} more files that are not those that were mapped")),
        );
    }
}
