//! Strings that were found before it is known whether they will be asked for.

use std::ops::ControlFlow;

use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::memory::Object;

use super::{Coding, Found};

/// The most memory that they take, in bytes.
const KEPT_MAX: usize = 16 << 20;

/// Strings in the order in which they were found, as long as they are few.
#[derive(Debug, Default)]
pub(super) struct Kept {
    strings: Vec<Entry>,
    sightings: Vec<(Pid, VirtualAddress)>,
    text: Vec<u8>,
    is_full: bool,
}

/// One string; its sightings and its text go on where those of the one before end.
#[derive(Debug)]
struct Entry {
    sightings: usize,
    text: usize,
    object: u32,
    offset: u64,
    len: u64,
    coding: Coding,
    is_cut: bool,
}

impl Kept {
    /// Adds one whose first byte is in this page image; breaks when there is no more room.
    pub(super) fn add(&mut self, object: u32, found: &Found<'_>) -> ControlFlow<()> {
        let Found { sightings, offset, coding, text, len, is_cut, .. } = found;
        // Lists grow to twice their length.
        let size = size_of_val(*sightings) + size_of::<Entry>() + text.len();
        let taken = size_of_val(&self.sightings[..]) + size_of_val(&self.strings[..]) + self.text.len();
        if (taken + size) * 2 > KEPT_MAX {
            self.is_full = true;
            return ControlFlow::Break(());
        }
        self.sightings.extend_from_slice(sightings);
        self.text.extend_from_slice(text);
        self.strings.push(Entry {
            sightings: self.sightings.len(),
            text: self.text.len(),
            object,
            offset: *offset,
            len: *len,
            coding: *coding,
            is_cut: *is_cut,
        });
        ControlFlow::Continue(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Hands all of them out, until nobody wants more.
    pub(super) fn tell(&self, objects: &[Object], sink: &mut dyn FnMut(&Found<'_>) -> ControlFlow<()>) {
        let (mut sighting, mut start) = (0, 0);
        for entry in &self.strings {
            let found = Found {
                sightings: &self.sightings[sighting..entry.sightings],
                object: &objects[entry.object as usize],
                offset: entry.offset,
                coding: entry.coding,
                text: &self.text[start..entry.text],
                len: entry.len,
                is_cut: entry.is_cut,
            };
            (sighting, start) = (entry.sightings, entry.text);
            if sink(&found).is_break() {
                return;
            }
        }
    }
}
