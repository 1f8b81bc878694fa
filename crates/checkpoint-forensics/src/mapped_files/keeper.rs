//! Keeps the contents of some stores.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use container_checkpoint::evidence::Bytes;

use super::Origin;
use crate::rootfs::StoreKind;
use crate::stores::{Chunk, Contents, Kind, Sink, Store};

/// What has a file's contents in the evidence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A ghost file.
    Ghost(u32),
    /// A changed file of the root file system, by its absolute path.
    Path(Vec<u8>),
}

impl Key {
    fn of(store: &Store) -> Option<Self> {
        match &store.kind {
            Kind::Ghost(id) => Some(Self::Ghost(*id)),
            Kind::Archived(StoreKind::Rootfs) => Some(Self::Path([b"/", store.inner.as_deref()?].concat())),
            _ => None,
        }
    }

    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::Ghost(id) => Origin::Ghost(*id),
            Self::Path(path) => Origin::Changes(path.clone()),
        }
    }
}

/// Contents, or why they can't be used.
pub(super) type Kept = Result<Bytes, String>;

/// A sink that keeps what is wanted, as long as there is room.
pub(super) struct Keeper<'w> {
    wanted: &'w BTreeSet<Key>,
    /// How many bytes may still be kept, by all keepers together.
    left: &'w Cell<u64>,
    /// What comes in.
    bytes: Vec<u8>,
    /// There was no room for all of it.
    is_full: bool,
    kept: Vec<(Key, Kept)>,
}

impl<'w> Keeper<'w> {
    pub(super) fn new(wanted: &'w BTreeSet<Key>, left: &'w Cell<u64>) -> Self {
        Self { wanted, left, bytes: Vec::new(), is_full: false, kept: Vec::new() }
    }

    pub(super) fn into_kept(self) -> Vec<(Key, Kept)> {
        self.kept
    }

    fn is_wanted(&self, store: &Store) -> bool {
        Key::of(store).is_some_and(|key| self.wanted.contains(&key))
    }

    /// Makes the contents so long, with zeros; false when there is no room.
    fn grow(&mut self, len: u64) -> bool {
        let more = len.saturating_sub(self.bytes.len() as u64);
        let Some(left) = self.left.get().checked_sub(more) else {
            self.is_full = true;
            return false;
        };
        self.left.set(left);
        self.bytes.resize(self.bytes.len() + more as usize, 0);
        true
    }
}

impl Sink for Keeper<'_> {
    fn begin(&mut self, store: &Store) -> ControlFlow<()> {
        (self.bytes, self.is_full) = (Vec::new(), false);
        if self.is_wanted(store) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn bytes(&mut self, _: &Store, chunk: Chunk<'_>) -> ControlFlow<()> {
        let Some(end) = chunk.at.checked_add(chunk.bytes.len() as u64) else { return ControlFlow::Break(()) };
        // What is left out in between is a hole of the file: zeros.
        if !self.grow(end) {
            return ControlFlow::Break(());
        }
        self.bytes[chunk.at as usize..end as usize].copy_from_slice(chunk.bytes);
        ControlFlow::Continue(())
    }

    fn end(&mut self, store: &Store, contents: &Contents) {
        let Some(key) = Key::of(store).filter(|key| self.wanted.contains(key)) else { return };
        let kept = if self.is_full || !self.grow(contents.len) {
            Err("the mapped files together are too large to be kept; unpack the archive".to_owned())
        } else if let Some(lack) = contents.lacks.first() {
            Err(format!(
                "{} of its {} bytes are there: {}",
                contents.len - contents.lacking(),
                contents.len,
                lack.why
            ))
        } else {
            Ok(Bytes::new(Arc::new(std::mem::take(&mut self.bytes))))
        };
        self.kept.push((key, kept));
    }
}
