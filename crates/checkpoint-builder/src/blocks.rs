//! Pages packed in LZ4 blocks, as CRIU 4.3 does with `--compress`.

use std::sync::Arc;

use crate::pages::{Place, Run};

/// How a dump packs its pages. Runs are counted in each mapping and object by itself, from 1 on.
#[derive(Clone, Debug)]
pub struct Blocks {
    pub(crate) pages: u64,
    /// Each so many-th run begins at a page of the page image.
    aligned: u64,
    /// Each so many-th run is not packed, as memory of huge pages is not.
    plain: u64,
    /// What stands in blocks that are broken.
    broken: Option<Arc<[u8]>>,
}

impl Blocks {
    /// Blocks of so many pages.
    pub fn of(pages: u64) -> Self {
        Self { pages, aligned: u64::MAX, plain: u64::MAX, broken: None }
    }

    /// The same, and each so many-th run begins at a page of the page image.
    #[must_use]
    pub fn aligned(mut self, each: u64) -> Self {
        self.aligned = each;
        self
    }

    /// The same, and each so many-th run is not packed.
    #[must_use]
    pub fn plain(mut self, each: u64) -> Self {
        self.plain = each;
        self
    }

    /// The same, and a block in which this text stands can't be unpacked: nobody can tell what is in it.
    #[must_use]
    pub fn broken_with(mut self, text: &[u8]) -> Self {
        self.broken = Some(text.into());
        self
    }

    /// Whether a run begins at a page; `number` counts from 1 on.
    pub(crate) fn is_aligned(&self, number: u64, run: &Run) -> bool {
        run.place == Place::Stored && number.is_multiple_of(self.aligned)
    }

    /// Whether a run is packed.
    pub(crate) fn is_packed(&self, number: u64, run: &Run) -> bool {
        run.place == Place::Stored && !number.is_multiple_of(self.plain)
    }

    /// Whether a block with these bytes is broken.
    pub(crate) fn is_broken(&self, block: &[u8]) -> bool {
        self.broken.as_ref().is_some_and(|text| block.windows(text.len()).any(|part| part == &text[..]))
    }

    /// A block as it is stored: nothing of zeros, as it is when packing saves less than an eighth.
    pub(crate) fn pack(&self, block: &[u8]) -> Vec<u8> {
        if self.is_broken(block) {
            // A run of literals that goes on far behind the end.
            return vec![0xff; block.len() / 2];
        }
        if block.iter().all(|&byte| byte == 0) {
            return Vec::new();
        }
        let packed = lz4_flex::block::compress(block);
        if packed.len() > block.len() / 8 * 7 { block.to_vec() } else { packed }
    }
}
