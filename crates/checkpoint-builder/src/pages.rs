//! Which pages of a mapping or of a shared object the images hold, and in which runs.

use std::sync::Arc;

use crate::contents::{Contents, Planted, Reader};

/// Pages that CRIU puts in one entry of a pagemap at most, when it takes memory from a process.
const PAGES_PER_ENTRY: u64 = 256;

/// Where the pages of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the dump's own page image.
    Stored,
    /// In a parent's.
    Parent,
    /// Left for lazy restore: nowhere.
    Lazy,
}

/// Pages that follow each other: one entry of a pagemap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first one: pages from the start of the mapping or object.
    pub first: u64,
    /// How many.
    pub pages: u64,
    /// Where they are.
    pub place: Place,
}

/// The pages that the images hold of a mapping or of a shared object.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    pub(crate) runs: Vec<Run>,
    contents: Option<Contents>,
    /// Texts by their distance from the start of the mapping or object, in bytes.
    planted: Vec<(u64, Arc<[u8]>)>,
}

impl Pages {
    /// Runs in the order in which their entries stand in the pagemap, and their bytes in the page image. CRIU lets them ascend.
    pub fn new(runs: Vec<Run>, contents: Contents) -> Self {
        Self { runs, contents: Some(contents), planted: Vec::new() }
    }

    /// All pages from the first on, in runs as CRIU makes them.
    pub fn whole(pages: u64, contents: Contents) -> Self {
        Self::in_runs(pages, PAGES_PER_ENTRY, 0, contents)
    }

    /// So many stored pages in runs of one length, with so many never touched between two of them.
    pub fn in_runs(pages: u64, length: u64, apart: u64, contents: Contents) -> Self {
        let run = |stored: u64| {
            let first = stored / length * (length + apart);
            Run { first, pages: length.min(pages - stored), place: Place::Stored }
        };
        Self::new((0..pages).step_by(length as usize).map(run).collect(), contents)
    }

    /// The same with a text planted so many bytes behind the start of the mapping or object, in stored pages.
    #[must_use]
    pub fn plant(mut self, at: u64, text: &[u8]) -> Self {
        self.planted.push((at, text.into()));
        self
    }

    /// Bytes in the page image.
    pub fn stored(&self, page: u64) -> u64 {
        self.runs.iter().filter(|run| run.place == Place::Stored).map(|run| run.pages * page).sum()
    }

    /// The bytes in the page image, run behind run.
    ///
    /// # Panics
    /// When a text is planted where nothing is stored.
    pub(crate) fn reader(&self, page: u64) -> Reader {
        // Of each stored run: where it begins, where it ends, where its bytes are.
        let mut places: Vec<(u64, u64, u64)> = Vec::new();
        let mut stored = 0;
        for run in self.runs.iter().filter(|run| run.place == Place::Stored) {
            places.push((run.first * page, (run.first + run.pages) * page, stored));
            stored += run.pages * page;
        }
        places.sort_unstable();
        let mut planted = Vec::new();
        for (at, text) in &self.planted {
            let (mut at, mut text) = (*at, &text[..]);
            while !text.is_empty() {
                let number = places.partition_point(|(start, ..)| *start <= at);
                let place = number.checked_sub(1).map(|number| places[number]);
                let Some((start, end, stored)) = place.filter(|(_, end, _)| at < *end) else {
                    panic!("a text is planted at {at:#x}, where no page is stored")
                };
                let (now, later) = text.split_at(text.len().min((end - at) as usize));
                planted.push(Planted { at: stored + at - start, text: now.into() });
                (at, text) = (at + now.len() as u64, later);
            }
        }
        Reader::new(self.contents.as_ref().unwrap_or(&Contents::Given([].into())), stored, planted)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Pages of a letter each, stored in another order than their addresses.
    #[test]
    fn a_text_over_two_runs_goes_where_each_of_them_is() {
        let run = |first, place| Run { first, pages: 1, place };
        let runs = vec![run(3, Place::Stored), run(1, Place::Parent), run(2, Place::Stored)];
        let letters = [[b'a'; 8], [b'b'; 8]].concat();
        let pages = Pages::new(runs, Contents::given(letters)).plant(22, b"1234");
        let mut bytes = Vec::new();
        pages.reader(8).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"34aaaaaabbbbbb12");
    }

    #[test]
    fn runs_have_the_length_that_was_asked_for() {
        let pages = Pages::in_runs(5, 2, 3, Contents::given([]));
        let runs: Vec<_> = pages.runs.iter().map(|run| (run.first, run.pages)).collect();
        assert_eq!(runs, [(0, 2), (5, 2), (10, 1)]);
    }
}
