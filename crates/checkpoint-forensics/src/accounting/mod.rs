//! Accounting: for every byte of a mapping where it is, or why it is nowhere. The sum is always the mapping's size.

mod zeros;

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::{AddAssign, Range};

use container_checkpoint::ids::VirtualAddress;
use container_checkpoint::memory::{AddressSpace, Backing, Extent, Memory, Missing, Place};
use container_checkpoint::model::Mapping;

pub use zeros::WrittenZeros;

/// Where bytes of a mapping are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// In the dump's own page images, as pages of the process.
    Own,
    /// In the page images of a parent dump.
    Parent,
    /// In the dump's own page images, as pages of a shared object.
    Shared,
    /// In page images of any of these, as pages that hold nothing but zeros. Told apart only when all pages are read: [`WrittenZeros`].
    WrittenZero,
    /// Nowhere, and known: never written, they read as zeros.
    Zero,
    /// As [`Zero`](Self::Zero), in a mapping that nobody may access (`PROT_NONE`): addresses that were set aside.
    Reserved,
    /// In a mapped file that the case was given: pages of it that the process did not write to.
    Filled,
    /// In the mapped file alone: pages of it that the process did not write to.
    File,
    /// In a guard region, where nobody can read.
    Guard,
    /// Mapped, and never dumped by CRIU (`[vvar]`, rings).
    NotCaptured,
    /// Left for lazy restore: they never came into an image.
    Lazy,
    /// The evidence says that there are bytes, and they can't be had: a gap.
    Missing,
    /// What the images would hold can't be known: a gap.
    Unknown,
}

/// The words for the sources, in tables and in JSON.
const NAMES: [(Source, &str); 13] = [
    (Source::Own, "own"),
    (Source::Parent, "parent"),
    (Source::Shared, "shared"),
    (Source::WrittenZero, "written zero"),
    (Source::Zero, "zero"),
    (Source::Reserved, "reserved"),
    (Source::Filled, "filled"),
    (Source::File, "file"),
    (Source::Guard, "guard"),
    (Source::NotCaptured, "not captured"),
    (Source::Lazy, "lazy"),
    (Source::Missing, "missing"),
    (Source::Unknown, "unknown"),
];

impl Source {
    /// The word for it: `own`, `not captured`.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(source, _)| *source == self).map_or("unknown", |(_, name)| name)
    }
}

/// How many bytes are where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    sources: BTreeMap<Source, u64>,
    /// Of [`Source::Missing`]: how many bytes for which reason.
    pub missing: BTreeMap<Missing, u64>,
    /// Of [`Source::Own`] and [`Source::Parent`]: pages of private mappings of files, which are there because they were written to. In bytes.
    pub dirty_file: u64,
}

impl Account {
    /// How many bytes are there.
    pub fn of(&self, source: Source) -> u64 {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    /// The sources that have any bytes, in the order of their definition.
    pub fn sources(&self) -> impl Iterator<Item = (Source, u64)> + '_ {
        self.sources.iter().map(|(&source, &bytes)| (source, bytes))
    }

    /// All bytes together: the size of what was accounted for.
    pub fn total(&self) -> u64 {
        self.sources.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// Bytes that can be read from the images: own, of a parent, of shared objects.
    pub fn captured(&self) -> u64 {
        let stored =
            [Source::Own, Source::Parent, Source::Shared, Source::WrittenZero].map(|source| self.of(source));
        stored.into_iter().fold(0, u64::saturating_add)
    }

    /// Tells pages of zeros apart from the stored pages of a source.
    fn set_apart_zeros(&mut self, source: Source, bytes: u64) {
        let Some(all) = self.sources.get_mut(&source) else { return };
        let bytes = bytes.min(*all);
        *all -= bytes;
        if *all == 0 {
            self.sources.remove(&source);
        }
        self.add(Source::WrittenZero, bytes);
    }

    fn add(&mut self, source: Source, bytes: u64) {
        if bytes > 0 {
            let sum = self.sources.entry(source).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }
}

impl AddAssign<&Self> for Account {
    fn add_assign(&mut self, other: &Self) {
        other.sources().for_each(|(source, bytes)| self.add(source, bytes));
        for (why, bytes) in &other.missing {
            let sum = self.missing.entry(*why).or_default();
            *sum = sum.saturating_add(*bytes);
        }
        self.dirty_file = self.dirty_file.saturating_add(other.dirty_file);
    }
}

/// Accounts for the bytes of a mapping.
pub fn account(memory: &Memory, space: &AddressSpace, mapping: &Mapping) -> Account {
    let range = mapping.start.0..mapping.end.0;
    let mut account = Account::default();
    let guards = space.map.as_ref().map_or(&[][..], |map| &map.guards);
    let is_private_file = !mapping.is_shared() && mapping.file.is_some();
    let mut own = OwnPages::within(space, range.clone());
    for piece in space.locate(range) {
        let (start, len) = (piece.start.0, piece.len);
        match piece.backing {
            Backing::Stored(place) => {
                let is_own = own.has(start);
                let mut len = len;
                if let Place::Image(object, offset) = place {
                    let (there, why) = memory.present(object, offset, len);
                    account.add(Source::Missing, len - there);
                    if there < len {
                        *account.missing.entry(why).or_default() += len - there;
                    }
                    len = there;
                }
                let source = source_of(memory, place, is_own);
                account.add(source, len);
                if let Place::Missing(why) = place
                    && source == Source::Missing
                {
                    *account.missing.entry(why).or_default() += len;
                }
                if is_own && is_private_file && matches!(place, Place::Image(..)) {
                    account.dirty_file += len;
                }
            }
            Backing::Zero if mapping.protection.0 == 0 => account.add(Source::Reserved, len),
            Backing::Zero => account.add(Source::Zero, len),
            Backing::File(..) => account.add(Source::File, len),
            Backing::NotCaptured if is_guarded(guards, piece.start) => account.add(Source::Guard, len),
            Backing::NotCaptured => account.add(Source::NotCaptured, len),
            Backing::Unknown | Backing::Unmapped => account.add(Source::Unknown, len),
        }
    }
    account
}

/// Tells a process's own pages from those of shared objects, for ascending addresses.
struct OwnPages<'a>(Peekable<Box<dyn Iterator<Item = Extent> + 'a>>);

impl<'a> OwnPages<'a> {
    fn within(space: &'a AddressSpace, range: Range<u64>) -> Self {
        let own: Box<dyn Iterator<Item = Extent> + 'a> = Box::new(space.stored.own_within(range));
        Self(own.peekable())
    }

    fn has(&mut self, address: u64) -> bool {
        while self.0.next_if(|extent| extent.end() <= address).is_some() {}
        self.0.peek().is_some_and(|extent| extent.start <= address)
    }
}

fn source_of(memory: &Memory, place: Place, is_own: bool) -> Source {
    match place {
        Place::Image(object, _) if memory.object(object).contents.is_some() => Source::Filled,
        Place::Image(object, _) if memory.object(object).ancestor > 0 => Source::Parent,
        Place::Image(..) if is_own => Source::Own,
        Place::Image(..) => Source::Shared,
        Place::Missing(Missing::Lazy) => Source::Lazy,
        Place::Missing(_) => Source::Missing,
    }
}

/// Whether an address is in a guard region. They ascend by start, and don't overlap unless the image is forged.
fn is_guarded(guards: &[Mapping], address: VirtualAddress) -> bool {
    let behind = guards.partition_point(|guard| guard.start <= address);
    behind.checked_sub(1).is_some_and(|number| guards[number].contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = NAMES.iter().map(|(source, _)| source.name()).collect();
        assert_eq!(names.len(), NAMES.len());
    }

    #[test]
    fn accounts_add_up() {
        let mut sum = Account::default();
        let mut one = Account::default();
        one.add(Source::Own, 4096);
        one.add(Source::Zero, 8192);
        one.add(Source::File, 0);
        sum += &one;
        sum += &one;
        assert_eq!((sum.total(), sum.captured(), sum.of(Source::File)), (24576, 8192, 0));
        assert_eq!(sum.sources().count(), 2);
    }
}
