//! Whose addresses memory is seen at: a process's, or a shared object's, whose addresses are its offsets.

use std::ops::Range;

use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{AddressSpace, Extent, Memory, Place, SharedPages};
use container_checkpoint::model::SharedObjectId;

/// What has stored bytes at addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Space<'m> {
    Process(&'m AddressSpace),
    Object(&'m SharedPages),
}

/// Who sees memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A process.
    Process(Pid),
    /// A shared object, whether a process maps it or not.
    Object(SharedObjectId),
}

impl<'m> Space<'m> {
    /// All of them in the order of their numbers: the processes, then the shared objects.
    pub(crate) fn all(memory: &'m Memory) -> impl Iterator<Item = Self> {
        memory.spaces.iter().map(Self::Process).chain(memory.shared.iter().map(Self::Object))
    }

    /// The one of a number, which [`Space::all`] gave.
    pub(crate) fn of(memory: &'m Memory, number: usize) -> Self {
        match memory.spaces.get(number) {
            Some(space) => Self::Process(space),
            None => Self::Object(&memory.shared[number - memory.spaces.len()]),
        }
    }

    pub(crate) fn who(self) -> Who {
        match self {
            Self::Process(space) => Who::Process(space.pid),
            Self::Object(object) => Who::Object(object.id),
        }
    }

    /// What is stored in a range, ascending.
    pub(crate) fn within(self, range: Range<u64>) -> impl Iterator<Item = Extent> + 'm {
        let (of_process, of_object) = match self {
            Self::Process(space) => (Some(space.stored.within(range)), None),
            Self::Object(object) => (None, Some(object.pages.within(range))),
        };
        of_process.into_iter().flatten().chain(of_object.into_iter().flatten())
    }

    /// The stored byte at an address.
    pub(crate) fn at(self, address: u64) -> Option<Place> {
        let extent = self.within(address..address.checked_add(1)?).next()?;
        matches!(extent.place, Place::Image(..)).then_some(extent.place)
    }
}
