//! Where the parts of an address space are: code, data, heap, stack, arguments, environment; and the auxiliary vector.

use criu_images::schema::MmEntry;

use crate::ids::VirtualAddress;

/// The kernel's `mm_struct` marks, all of them addresses (`mm_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLayout {
    /// First byte of the code.
    pub start_code: VirtualAddress,
    /// End of the code.
    pub end_code: VirtualAddress,
    /// First byte of the initialised data.
    pub start_data: VirtualAddress,
    /// End of the initialised data.
    pub end_data: VirtualAddress,
    /// Where the stack pointer stood when the program started.
    pub start_stack: VirtualAddress,
    /// First byte of the heap of brk(2).
    pub start_brk: VirtualAddress,
    /// End of that heap.
    pub brk: VirtualAddress,
    /// First byte of the arguments.
    pub arg_start: VirtualAddress,
    /// End of the arguments.
    pub arg_end: VirtualAddress,
    /// First byte of the environment.
    pub env_start: VirtualAddress,
    /// End of the environment.
    pub env_end: VirtualAddress,
}

impl MemoryLayout {
    pub(super) fn from_wire(mm: &MmEntry) -> Self {
        Self {
            start_code: VirtualAddress(mm.mm_start_code),
            end_code: VirtualAddress(mm.mm_end_code),
            start_data: VirtualAddress(mm.mm_start_data),
            end_data: VirtualAddress(mm.mm_end_data),
            start_stack: VirtualAddress(mm.mm_start_stack),
            start_brk: VirtualAddress(mm.mm_start_brk),
            brk: VirtualAddress(mm.mm_brk),
            arg_start: VirtualAddress(mm.mm_arg_start),
            arg_end: VirtualAddress(mm.mm_arg_end),
            env_start: VirtualAddress(mm.mm_env_start),
            env_end: VirtualAddress(mm.mm_env_end),
        }
    }
}

/// The auxiliary vector that the kernel gave to the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuxiliaryVector {
    /// Type (`AT_*`) and value, without the closing `AT_NULL`.
    pub entries: Vec<(u64, u64)>,
    /// Whether the closing `AT_NULL` was there. CRIU keeps 44 words (22 pairs) and cuts longer vectors.
    pub complete: bool,
}

/// Type of the page size, `AT_PAGESZ`.
const AT_PAGESZ: u64 = 6;

impl AuxiliaryVector {
    /// Reads `mm_saved_auxv`: pairs of type and value. A 32-bit task on a 64-bit kernel has one pair in each word,
    /// the value in the upper half.
    pub(super) fn from_wire(words: &[u64], packed: bool) -> Self {
        let pairs: Box<dyn Iterator<Item = (u64, u64)>> = if packed {
            Box::new(words.iter().map(|word| (word & 0xffff_ffff, word >> 32)))
        } else {
            // A last word without a partner is a cut pair.
            let (pairs, _) = words.as_chunks::<2>();
            Box::new(pairs.iter().map(|[kind, value]| (*kind, *value)))
        };
        let mut vector = Self::default();
        for (kind, value) in pairs {
            if kind == 0 {
                vector.complete = true;
                break;
            }
            vector.entries.push((kind, value));
        }
        vector
    }

    /// Guesses for a task of unknown mode whether the words are packed pairs: whether they name a page size only so.
    pub(super) fn looks_packed(words: &[u64]) -> bool {
        let has_page_size = |packed| Self::from_wire(words, packed).page_size().is_some();
        has_page_size(true) && !has_page_size(false)
    }

    /// The first value of this type.
    pub fn get(&self, kind: u64) -> Option<u64> {
        self.entries.iter().find(|(known, _)| *known == kind).map(|(_, value)| *value)
    }

    /// The page size in bytes, if the vector has one that a machine can have (a power of two, 4 KiB to 1 MiB).
    pub fn page_size(&self) -> Option<u64> {
        self.get(AT_PAGESZ).filter(|size| size.is_power_of_two() && (4096..=1 << 20).contains(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_end_at_the_null_entry() {
        let vector = AuxiliaryVector::from_wire(&[33, 7, 6, 16384, 0, 0, 25, 9], false);
        assert_eq!(vector.entries, [(33, 7), (6, 16384)]);
        assert!(vector.complete);
        assert_eq!(vector.page_size(), Some(16384));
    }

    #[test]
    fn a_cut_vector_says_so() {
        let vector = AuxiliaryVector::from_wire(&[33, 7, 6], false);
        assert_eq!(vector.entries, [(33, 7)]);
        assert!(!vector.complete);
        assert_eq!(vector.page_size(), None);
    }

    #[test]
    fn a_32_bit_task_has_a_pair_in_each_word() {
        let words = [32 | 0xf7fc_8570 << 32, 6 | 4096 << 32, 0, 0];
        assert!(AuxiliaryVector::looks_packed(&words));
        let vector = AuxiliaryVector::from_wire(&words, true);
        assert_eq!(vector.entries, [(32, 0xf7fc_8570), (6, 4096)]);
        assert!(!AuxiliaryVector::looks_packed(&[33, 7, 6, 4096, 0, 0]));
    }

    #[test]
    fn a_page_size_that_no_machine_has_is_none() {
        for size in [0, 1, 4095, 5000, 1 << 40, u64::MAX] {
            assert_eq!(AuxiliaryVector::from_wire(&[6, size], false).page_size(), None, "{size}");
        }
    }
}
