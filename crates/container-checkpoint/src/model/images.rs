//! The border to the wire: images by name, entry by entry, with a gap for whatever cannot be read.

use criu_images::Error;
use criu_images::framing::{Image, RawEntry};
use criu_images::schema::Entry;

use crate::files::FileSet;
use crate::gap::{Field, Findings};

/// How many bad entries of one image are told one by one; the others are counted.
const TOLD: usize = 8;

/// The images of a dump, and what was found missing so far.
pub(super) struct Images<'a> {
    files: &'a dyn FileSet,
    big_endian: Option<bool>,
    /// What could not be read, and what is worth knowing.
    pub findings: Findings,
}

/// How the reading of an image with many entries ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// There is no such image: it has no entries.
    Absent,
    /// All entries were read.
    Complete,
    /// Some entries, or all, could not be read; a gap says which.
    Damaged(String),
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Number of the entry in its image, from 0.
    pub entry: u64,
    /// Byte order of the machine that dumped.
    pub big_endian: bool,
}

impl<'a> Images<'a> {
    pub fn new(files: &'a dyn FileSet) -> Self {
        Self { files, big_endian: None, findings: Findings::default() }
    }

    /// Whether the machine that dumped was a big-endian one, as far as the images read so far show.
    pub fn big_endian(&self) -> bool {
        self.big_endian.unwrap_or(false)
    }

    /// Whether the evidence has the image, readable or not.
    pub fn has(&self, name: &str) -> bool {
        self.files.has(name)
    }

    /// Reads all entries of an image that are a `T`. Entries that are other messages are passed over;
    /// a bad entry costs itself, a bad frame all that follows it.
    ///
    /// `what` names in gaps what the image holds.
    pub fn each<T: Entry>(
        &mut self,
        name: &str,
        what: &str,
        mut take: impl FnMut(T, Place, &mut Findings),
    ) -> Reading {
        let files = self.files;
        let bytes = match self.open(files, name, what) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Reading::Absent,
            Err(why) => return Reading::Damaged(why),
        };
        let image = match self.parse(name, what, &bytes) {
            Ok(image) => image,
            Err(why) => return Reading::Damaged(why),
        };

        let mut faults = Faults::default();
        for entry in image.raw_entries() {
            match entry.and_then(|entry| decode::<T>(&entry)) {
                Ok(Some((message, entry))) => {
                    let place = Place { entry, big_endian: image.is_big_endian() };
                    take(message, place, &mut self.findings);
                }
                Ok(None) => {}
                Err(error) => faults.add(&mut self.findings, what, name, &error),
            }
        }
        faults.settle(&mut self.findings, what, name)
    }

    /// Reads all entries of an image; see [`Images::each`].
    pub fn all<T: Entry>(&mut self, name: &str, what: &str) -> (Vec<T>, Reading) {
        let mut entries = Vec::new();
        let reading = self.each(name, what, |entry, _, _| entries.push(entry));
        (entries, reading)
    }

    /// Reads the one entry of an image. `NotCaptured` when there is no such image.
    pub fn first<T: Entry>(&mut self, name: &str, what: &str) -> Field<T> {
        let files = self.files;
        let bytes = match self.open(files, name, what) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Field::NotCaptured,
            Err(why) => return Field::Unreadable(why),
        };
        let decoded = match self.parse(name, what, &bytes) {
            Ok(image) => image.entry::<T>(),
            Err(why) => return Field::Unparsable(why),
        };
        match decoded {
            Ok(entry) => Field::Known(entry),
            Err(error) => {
                self.findings.gap(what, name, &error);
                Field::Unparsable(format!("{name}: {error}"))
            }
        }
    }

    /// The numbers N of all images called `PREFIX-N.img`, ascending.
    pub fn numbered(&self, prefix: &str) -> Vec<u32> {
        let number = |name: &String| {
            let digits = name.strip_prefix(prefix)?.strip_prefix('-')?.strip_suffix(".img")?;
            // Only the form that CRIU writes: no sign, no leading zero.
            digits.parse::<u32>().ok().filter(|n| n.to_string() == digits)
        };
        let mut numbers: Vec<u32> = self.files.names().iter().filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// `Ok(None)` when there is no such image.
    fn open<'b>(
        &mut self,
        files: &'b dyn FileSet,
        name: &str,
        what: &str,
    ) -> Result<Option<std::borrow::Cow<'b, [u8]>>, String> {
        match files.file(name) {
            Some(bytes) => Ok(Some(bytes)),
            None if files.has(name) => {
                self.findings.gap(what, name, "the evidence has the image, but its bytes could not be read");
                Err(format!("the bytes of {name} could not be read"))
            }
            None => Ok(None),
        }
    }

    fn parse<'b>(&mut self, name: &str, what: &str, bytes: &'b [u8]) -> Result<Image<'b>, String> {
        match Image::parse_named(name.as_bytes(), bytes) {
            Ok(image) => {
                self.big_endian.get_or_insert(image.is_big_endian());
                Ok(image)
            }
            Err(error) => {
                self.findings.gap(what, name, &error);
                Err(format!("{name}: {error}"))
            }
        }
    }
}

/// `None` for an entry that is another message (the head of a pagemap).
fn decode<T: Entry>(entry: &RawEntry<'_>) -> Result<Option<(T, u64)>, Error> {
    match entry.decode::<T>() {
        Ok(message) => Ok(Some((message, entry.index))),
        Err(Error::OtherMessage { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Counts the bad entries of one image, so that a million of them don't become a million gaps.
#[derive(Default)]
struct Faults {
    count: usize,
    first: Option<String>,
}

impl Faults {
    fn add(&mut self, findings: &mut Findings, what: &str, image: &str, error: &Error) {
        self.count += 1;
        if self.count <= TOLD {
            findings.gap(what, image, error);
        }
        self.first.get_or_insert_with(|| format!("{image}: {error}"));
    }

    fn settle(self, findings: &mut Findings, what: &str, image: &str) -> Reading {
        if let Some(more) = self.count.checked_sub(TOLD).filter(|more| *more > 0) {
            findings.gap(what, image, format!("{more} further entries cannot be read"));
        }
        self.first.map_or(Reading::Complete, Reading::Damaged)
    }
}

/// What a field of an absent or broken part becomes: the same reason, for a value of another type.
pub(super) fn absence<T, U>(part: &Field<T>) -> Field<U> {
    match part {
        Field::Known(_) | Field::NotCaptured => Field::NotCaptured,
        Field::Unreadable(why) => Field::Unreadable(why.clone()),
        Field::Unparsable(why) => Field::Unparsable(why.clone()),
        Field::NotApplicable => Field::NotApplicable,
    }
}

/// Derives a field from a part that may be absent.
pub(super) fn from_part<'a, T, U>(part: &'a Field<T>, f: impl FnOnce(&'a T) -> Field<U>) -> Field<U> {
    match part {
        Field::Known(value) => f(value),
        other => absence(other),
    }
}
