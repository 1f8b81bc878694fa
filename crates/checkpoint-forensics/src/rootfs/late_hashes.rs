//! Hashes of the few files that the common pass has to leave out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use container_checkpoint::context::Context;
use container_checkpoint::error::Error as EvidenceError;

use super::changes::Changes;
use super::collect;
use super::contents;
use super::entry::Entry;
use super::error::{Error, Result};
use super::store::Origin;

impl Changes<'_> {
    /// Hashes files that the index went into as layers: the common pass had to leave them out.
    ///
    /// # Errors
    /// When the caller asked to stop.
    pub(super) fn hash_the_rest(&mut self, context: &Context) -> Result<()> {
        let index = self.subject.evidence.index();
        let mut wanted = BTreeSet::new();
        for (number, store) in self.stores.iter().enumerate() {
            let Origin::Layer(layer) = store.origin else { continue };
            let members = index.members().filter(|(_, of, _)| *of == layer).map(|(id, ..)| id);
            let ordinals: Vec<usize> = members
                .enumerate()
                .filter(|(_, id)| contents::is_gone_into(index, *id))
                .map(|(ordinal, _)| ordinal)
                .collect();
            let is_one = |entry: &Entry| {
                let without_hash = entry.facts.as_ref().is_some_and(|facts| facts.sha256.is_none());
                let source =
                    entry.source.as_ref().filter(|source| ordinals.binary_search(&source.ordinal).is_ok());
                entry.store == number && without_hash && source.is_some()
            };
            wanted.extend((0..self.entries.len()).filter(|&entry| is_one(&self.entries[entry])));
        }
        let mut hashes: BTreeMap<usize, [u8; 32]> = BTreeMap::new();
        let result = contents::visit(self, &wanted, context, &mut |number, reader| {
            let size = self.entries[number].facts.as_ref().and_then(|facts| facts.size);
            let hashed = collect::hash(reader, context).ok().filter(|(_, count)| Some(*count) == size);
            hashes.extend(hashed.map(|(hash, _)| (number, hash)));
            ControlFlow::Continue(())
        });
        match result {
            Err(Error::Evidence(EvidenceError::Cancelled)) => return Err(EvidenceError::Cancelled.into()),
            Err(error) => self.findings.gap("hashes of files", self.subject.evidence.name(), error),
            Ok(()) => {}
        }
        for entry in &mut self.entries {
            let hash = entry.source.as_ref().and_then(|source| hashes.get(&source.same_as?));
            if let (Some(facts), Some(hash)) = (&mut entry.facts, hash) {
                facts.sha256 = Some(*hash);
            }
        }
        Ok(())
    }
}
