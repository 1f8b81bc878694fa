//! Keeps the contents of some stores.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;
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

/// How many bytes may still be kept, by all keepers together.
#[derive(Clone, Debug)]
pub struct Room {
    left: Rc<Cell<u64>>,
    was_enough: Rc<Cell<bool>>,
}

impl Room {
    /// Room for so many bytes.
    pub fn new(bytes: u64) -> Self {
        Self { left: Rc::new(Cell::new(bytes)), was_enough: Rc::new(Cell::new(true)) }
    }

    /// Whether there was room for all that came so far.
    pub fn was_enough(&self) -> bool {
        self.was_enough.get()
    }

    fn take(&self, bytes: u64) -> bool {
        let left = self.left.get().checked_sub(bytes);
        match left {
            Some(left) => self.left.set(left),
            None => self.was_enough.set(false),
        }
        left.is_some()
    }
}

/// A sink that keeps what is wanted, as long as there is room.
#[derive(Debug)]
pub struct Keeper {
    /// `None` while nobody knows what is mapped: then all ELF files are wanted.
    wanted: Option<Rc<BTreeSet<Key>>>,
    room: Room,
    /// What comes in; holes take no memory.
    bytes: Bytes,
    /// There was no room for all of it.
    is_full: bool,
    /// It begins as ELF files do.
    is_elf: bool,
    kept: Vec<(Key, Kept)>,
}

/// What an ELF file begins with.
const ELF: &[u8] = b"\x7fELF";

impl Keeper {
    pub(super) fn of(wanted: &Rc<BTreeSet<Key>>, room: &Room) -> Self {
        Self { wanted: Some(wanted.clone()), ..Self::any_elf(room) }
    }

    /// Keeps all ELF files: for a first pass, in which it is not known yet what is mapped.
    pub fn any_elf(room: &Room) -> Self {
        Self {
            wanted: None,
            room: room.clone(),
            bytes: Bytes::default(),
            is_full: false,
            is_elf: false,
            kept: Vec::new(),
        }
    }

    pub(super) fn into_kept(self) -> Vec<(Key, Kept)> {
        self.kept
    }

    /// Under what a store is kept.
    fn key(&self, store: &Store) -> Option<Key> {
        let key = Key::of(store)?;
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&key)).then_some(key)
    }
}

impl Sink for Keeper {
    fn begin(&mut self, store: &Store) -> ControlFlow<()> {
        (self.bytes, self.is_full, self.is_elf) = (Bytes::default(), false, false);
        if self.key(store).is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn bytes(&mut self, _: &Store, chunk: Chunk<'_>) -> ControlFlow<()> {
        if chunk.at == 0 {
            self.is_elf = chunk.bytes.starts_with(ELF);
        }
        if self.wanted.is_none() && !self.is_elf {
            return ControlFlow::Break(());
        }
        let (Some(hole), true) =
            (chunk.at.checked_sub(self.bytes.len()), self.room.take(chunk.bytes.len() as u64))
        else {
            self.is_full = true;
            return ControlFlow::Break(());
        };
        self.bytes.push_hole(hole);
        self.bytes.append(Bytes::new(Arc::new(chunk.bytes.to_vec())));
        ControlFlow::Continue(())
    }

    fn end(&mut self, store: &Store, contents: &Contents) {
        let Some(key) = self.key(store).filter(|_| self.is_elf || self.wanted.is_some()) else { return };
        let kept = if self.is_full {
            Err("the mapped files together are too large to be kept; unpack the archive".to_owned())
        } else if let Some(lack) = contents.lacks.first() {
            Err(format!(
                "{} of its {} bytes are there: {}",
                contents.len - contents.lacking(),
                contents.len,
                lack.why
            ))
        } else {
            self.bytes.push_hole(contents.len.saturating_sub(self.bytes.len()));
            Ok(std::mem::take(&mut self.bytes))
        };
        self.kept.push((key, kept));
    }
}
