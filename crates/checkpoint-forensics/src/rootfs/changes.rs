//! What the stores of a dump say, as one list.

use std::collections::HashMap;

use container_checkpoint::context::Context;
use container_checkpoint::dump::Dump;
use container_checkpoint::evidence::{Evidence, MemberKind, plain_path};
use container_checkpoint::gap::Findings;

use super::collect::{Collected, Found};
use super::deletions::{self, Deletions, Mark};
use super::entry::{Change, Entry, Facts, Source};
use super::error::Result;
use super::gather;
use super::losses;
use super::made_by::made_by;
use super::missing;
use super::places::Places;
use super::rider::Rider;
use super::store::{self, Store, StoreKind};

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The evidence, opened.
    pub evidence: &'a Evidence,
    /// The dump in it.
    pub dump: &'a Dump,
    /// How its engine records deletions.
    pub deletions: Deletions,
    /// Where the stores belong.
    pub places: &'a Places,
}

/// What the file system of a container was changed to, as far as its checkpoint says.
#[derive(Debug)]
pub struct Changes<'a> {
    /// The stores of the dump: the root file system, `/dev/shm`, volumes, tmpfs mounts.
    pub stores: Vec<Store>,
    /// All entries, store by store, in stored order; the deletions of `deleted.files` follow the files of the root file system.
    pub entries: Vec<Entry>,
    /// What this way of recording changes is known to leave out. Part of every answer.
    pub losses: &'static [&'static str],
    /// What could not be had, and what is worth knowing.
    pub findings: Findings,
    pub(super) subject: Subject<'a>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As the stores have it.
    Stored,
    /// By the bytes of the path; at the same path deletions first, then in stored order.
    Path,
}

impl<'a> Changes<'a> {
    /// Gathers the entries of all stores. With `hash`, also the SHA-256 of each file.
    ///
    /// What the rider of the first pass saw is taken from it; what it did not see and what can't be had at any offset costs a second pass.
    /// Evidence that can be read only once has none: then a gap says so.
    ///
    /// # Errors
    /// When the caller asked to stop. All else is a gap.
    pub fn gather(subject: Subject<'a>, hash: bool, rider: &Rider, context: &Context) -> Result<Self> {
        let index = subject.evidence.index();
        let stores = store::find(index, subject.dump, subject.places);
        let (collected, mut findings) = gather::gather(subject.evidence, &stores, hash, rider, context)?;
        if !stores.iter().any(|store| store.kind == StoreKind::Rootfs) {
            findings.extend(missing::explain(index, subject.dump, subject.deletions, context));
        }
        let losses = losses::known_losses(subject.deletions);
        let mut changes = Self { stores, entries: Vec::new(), losses, findings, subject };
        for (number, collected) in collected.into_iter().enumerate() {
            changes.take(number, collected);
        }
        if hash {
            changes.hash_the_rest(context)?;
        }
        Ok(changes)
    }

    /// The entries in an order.
    pub fn list(&self, order: Order) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        if order == Order::Path {
            entries.sort_by_key(|entry| (&entry.path, !entry.is_deletion()));
        }
        entries
    }

    /// The store of an entry.
    pub fn store_of(&self, entry: &Entry) -> &Store {
        &self.stores[entry.store]
    }

    /// Turns what was found in a store into entries.
    fn take(&mut self, number: usize, collected: Collected) {
        let first = self.entries.len();
        let mut by_name: HashMap<Vec<u8>, usize> = HashMap::new();
        for (ordinal, found) in collected.entries.into_iter().enumerate() {
            let mut entry = self.entry(number, ordinal, found);
            if !entry.is_deletion() {
                let here = self.entries.len();
                self.settle_name(&mut entry, here, &by_name);
                if let Some(earlier) = by_name.insert(entry.stored_name.clone(), here) {
                    self.entries[earlier].replaced = true;
                }
            }
            self.entries.push(entry);
        }
        if self.stores[number].kind == StoreKind::Rootfs {
            self.listed_deletions(number);
        }
        let store = &mut self.stores[number];
        store.compression = store.compression.or(collected.compression);
        store.entries = self.entries.len() - first;
        self.findings.extend(collected.findings);
    }

    fn entry(&self, number: usize, ordinal: usize, found: Found) -> Entry {
        let store = &self.stores[number];
        let Found { member, sha256, present } = found;
        let is_rootfs = store.kind == StoreKind::Rootfs;
        let mark = if is_rootfs { deletions::mark_of(&member) } else { Mark::None };
        let mut notes = Vec::new();
        match (mark, self.subject.deletions) {
            (Mark::Gone(path), Deletions::Whiteouts) => {
                return deletion(number, Change::Deleted, store.absolute(&path), member.path);
            }
            (Mark::GoneBelow(path), Deletions::Whiteouts) => {
                return deletion(number, Change::ContentsDeleted, store.absolute(&path), member.path);
            }
            (Mark::NamedLikeOne, Deletions::Whiteouts) => {
                notes.push("named like a deletion mark, but not in the form of one")
            }
            (Mark::Gone(_) | Mark::GoneBelow(_), Deletions::NotRecorded) => {
                notes.push("in the form of containerd's deletion marks")
            }
            _ => {}
        }
        if leads_out(&member.path) {
            notes.push("the stored name is absolute or goes up");
        }
        let facts = Facts {
            kind: member.kind,
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            size: (member.kind == MemberKind::File).then_some(member.size),
            modified: member.modified,
            link: member.link,
            xattrs: member.xattrs,
            sha256,
            present,
        };
        let path = store.absolute(&member.path);
        Entry {
            store: number,
            change: if is_rootfs { Change::AddedOrChanged } else { Change::Present },
            name_uncertain: false,
            replaced: false,
            made_by: made_by(&path, &facts, self.subject.places).filter(|_| is_rootfs),
            notes,
            path,
            stored_name: member.path,
            facts: Some(facts),
            source: Some(Source { ordinal, body: member.body, same_as: None }),
        }
    }

    /// Finds out what an entry is another name of. A hard link leads to an earlier entry of its archive, as in unpacking; what holds for the
    /// file itself then holds for it.
    fn settle_name(&self, entry: &mut Entry, here: usize, by_name: &HashMap<Vec<u8>, usize>) {
        let (Some(facts), Some(source)) = (&mut entry.facts, &mut entry.source) else { return };
        if facts.kind != MemberKind::HardLink {
            source.same_as = Some(here);
            return;
        }
        let target = facts.link.as_deref().and_then(|link| by_name.get(plain_path(link)));
        source.same_as = target.and_then(|&target| self.entries[target].source.as_ref()?.same_as);
        if let Some(file) = source.same_as.and_then(|file| self.entries[file].facts.as_ref()) {
            (facts.size, facts.sha256, facts.present) = (file.size, file.sha256, file.present);
        }
    }

    /// Adds the deletions that are listed beside the archive.
    fn listed_deletions(&mut self, number: usize) {
        let index = self.subject.evidence.index();
        let Some(id) = self.subject.dump.bundle_files(index).member(b"deleted.files") else { return };
        let place = String::from_utf8_lossy(&index.member(id).path).into_owned();
        let Some(json) = index.contents(id) else {
            return self.findings.gap("deleted files", place, "its bytes can't be had");
        };
        let list = match deletions::parse_list(&json) {
            Ok(list) => list,
            Err(error) => return self.findings.gap("deleted files", place, error),
        };
        if self.subject.deletions == Deletions::Whiteouts {
            let why = "containerd marks deletions in the archive; this list is another writer's";
            self.findings.note("a list of deleted files", place, why);
        }
        self.entries.extend(list.into_iter().map(|listed| {
            let entry = deletion(number, Change::Deleted, listed.path.clone(), listed.path);
            Entry { name_uncertain: listed.uncertain, ..entry }
        }));
    }
}

fn deletion(store: usize, change: Change, path: Vec<u8>, stored_name: Vec<u8>) -> Entry {
    Entry {
        store,
        path,
        stored_name,
        change,
        facts: None,
        name_uncertain: false,
        replaced: false,
        made_by: None,
        notes: Vec::new(),
        source: None,
    }
}

fn leads_out(name: &[u8]) -> bool {
    name.starts_with(b"/") || name.split(|&byte| byte == b'/').any(|component| component == b"..")
}
