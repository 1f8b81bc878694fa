//! Memory that a core lacks because the evidence does.

use container_checkpoint::ids::VirtualAddress;
use container_checkpoint::memory::Missing;

/// Memory that the evidence names and does not yield: the core has nothing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// First address.
    pub start: VirtualAddress,
    /// Length in bytes.
    pub len: u64,
    /// Why.
    pub why: Absence,
}

/// Why memory is not in a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Its bytes are said to be stored, and can't be had.
    NotStored(Missing),
    /// What the images would hold of it can't be known.
    Unknown,
    /// The page image ends before them, or is not in the evidence.
    ImageEndsEarly,
    /// A core of a 32-bit process has no such addresses.
    BeyondAddresses,
}

impl Absence {
    /// The reason in words.
    pub fn why(self) -> &'static str {
        match self {
            Self::NotStored(missing) => missing.why(),
            Self::Unknown => "not known: what the images would hold of it can't be told",
            Self::ImageEndsEarly => "the page image ends before them, or is not in the evidence",
            Self::BeyondAddresses => "above the highest address of a 32-bit process",
        }
    }
}
