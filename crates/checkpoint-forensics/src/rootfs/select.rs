//! Which entry a path means.

use super::changes::Changes;
use super::error::{Error, Result};
use super::store::StoreKind;

impl Changes<'_> {
    /// The stores of a name, as numbers; without a name all of them, the root file system first.
    pub(super) fn stores_called(&self, word: Option<&[u8]>) -> Result<Vec<usize>> {
        let Some(word) = word else { return Ok((0..self.stores.len()).collect()) };
        let called: Vec<usize> =
            (0..self.stores.len()).filter(|&store| self.stores[store].is_called(word)).collect();
        if called.is_empty() {
            let names: Vec<_> =
                self.stores.iter().map(|store| String::from_utf8_lossy(&store.name()).into_owned()).collect();
            return Err(Error::NoSuchStore {
                name: String::from_utf8_lossy(word).into_owned(),
                known: names.join(", "),
            });
        }
        Ok(called)
    }

    /// The number of the entry that a path means: in the first of the stores that has it, the last one of that name that is there; else a
    /// deletion of it.
    ///
    /// The path may lack its leading slash. Within a store that was named, a name relative to its top will do as well.
    pub(super) fn entry_of(&self, path: &[u8], stores: &[usize], store_was_named: bool) -> Option<usize> {
        let wanted = without_slashes(path);
        let is_meant = |number: &usize| {
            let entry = &self.entries[*number];
            without_slashes(&entry.path) == wanted || (store_was_named && entry.stored_name == wanted)
        };
        let meant: Vec<usize> = (0..self.entries.len()).filter(is_meant).collect();
        let in_store = |store: &usize| {
            meant
                .iter()
                .rev()
                .find(|&&number| self.entries[number].store == *store && !self.entries[number].is_deletion())
        };
        let deleted = || meant.iter().find(|&&number| stores.contains(&self.entries[number].store));
        stores.iter().find_map(in_store).or_else(deleted).copied()
    }

    /// Whether a store's files have a known place in the container.
    pub(super) fn is_placed(&self, store: usize) -> bool {
        !self.stores[store].mount_points.is_empty()
    }

    /// The store of the root file system, if there is one.
    pub(super) fn rootfs(&self) -> Option<usize> {
        self.stores.iter().position(|store| store.kind == StoreKind::Rootfs)
    }
}

/// A path without one leading slash and without those at its end.
pub(super) fn without_slashes(path: &[u8]) -> &[u8] {
    let mut path = path.strip_prefix(b"/").unwrap_or(path);
    while let Some(shorter) = path.strip_suffix(b"/") {
        path = shorter;
    }
    path
}
