//! What is true of the evidence: taken from the running system, reduced by testdata/make-truth.py.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::archives::testdata;

/// Where a text stands: process and address.
pub type Place = (u64, u64);

/// The facts of one checkpoint.
pub struct Truth(pub Value);

impl Truth {
    /// Reads testdata/truth/NAME.json.
    #[track_caller]
    pub fn of(name: &str) -> Self {
        let text = fs::read(testdata(&format!("truth/{name}.json"))).unwrap();
        Self(serde_json::from_slice(&text).unwrap())
    }

    /// The archive in testdata/.
    pub fn archive(&self) -> String {
        testdata(self.0["archive"].as_str().unwrap())
    }

    /// A fact about the container, if it is known.
    pub fn fact(&self, key: &str) -> Option<&str> {
        self.0["facts"][key].as_str()
    }

    /// A size in bytes, if it is known.
    pub fn size(&self, key: &str) -> Option<u64> {
        self.0["facts"][key].as_u64()
    }

    /// The processes as /proc had them.
    pub fn processes(&self) -> &[Value] {
        self.0["processes"].as_array().unwrap()
    }

    /// The texts that were planted.
    pub fn needles(&self) -> Vec<Needle> {
        let all = self.0["needles"].as_array().unwrap();
        all.iter()
            .map(|needle| Needle {
                kind: needle["kind"].as_str().unwrap().to_owned(),
                text: needle["text"].as_str().unwrap().to_owned(),
                dumped: places(&needle["in_dumped_memory"]),
                live_only: places(&needle["live_only"]),
            })
            .collect()
    }
}

/// A text that was planted, and where it was found by other means.
pub struct Needle {
    /// What it was planted as; `utf16le` says how.
    pub kind: String,
    /// The text.
    pub text: String,
    /// Every place in memory that was dumped.
    pub dumped: BTreeSet<Place>,
    /// Places that the running process had and the dump has not: clean pages of files.
    pub live_only: BTreeSet<Place>,
}

impl Needle {
    /// Its bytes in memory.
    pub fn bytes(&self) -> Vec<u8> {
        match self.kind.as_str() {
            "utf16le" => self.text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            _ => self.text.as_bytes().to_vec(),
        }
    }

    /// A regular expression for its bytes in memory.
    pub fn pattern(&self) -> String {
        bytes_pattern(&self.bytes())
    }
}

/// A regular expression that matches just these bytes.
pub fn bytes_pattern(bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!(r"\x{byte:02x}")).collect();
    format!("(?-u:{escaped})")
}

fn places(list: &Value) -> BTreeSet<Place> {
    let list = list.as_array().unwrap();
    let set: BTreeSet<Place> = list
        .iter()
        .map(|hit| (hit["pid"].as_u64().unwrap(), number(hit["address"].as_str().unwrap())))
        .collect();
    assert_eq!(set.len(), list.len(), "the truth has a place twice");
    set
}

/// Reads `0x…`, or hexadecimal digits without a prefix.
#[track_caller]
pub fn number(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// The pages of each process, by hash.
#[derive(Default)]
pub struct Pages {
    /// The first 16 digits of the SHA-256 of each page that the process had, by process and address. `-` has no bytes, `!` could not be read.
    pub present: BTreeMap<Place, String>,
    /// Hashes of the pages of shared objects, mapped or not.
    pub of_objects: BTreeSet<String>,
    /// Pages that no page image holds, with the reason.
    pub absent: BTreeMap<Place, String>,
}

impl Pages {
    /// Reads testdata/truth/NAME.pages.tsv.
    pub fn of(name: &str) -> Self {
        let mut pages = Self::default();
        pages.read(Path::new(&testdata(&format!("truth/{name}.pages.tsv"))));
        pages
    }

    /// Reads the corpus's `pages.tsv` and, if there is one, `absent.tsv`.
    pub fn of_corpus(truth: &Path, stem: &str) -> Self {
        let mut pages = Self::default();
        pages.read(&truth.join(format!("{stem}.pages.tsv")));
        let absent = truth.join(format!("{stem}.absent.tsv"));
        if absent.exists() {
            for line in fs::read_to_string(absent).unwrap().lines().skip(1) {
                let columns: Vec<&str> = line.split('\t').collect();
                pages.add_absent(columns[0], columns[1], columns[2], columns[4]);
            }
        }
        pages
    }

    fn read(&mut self, path: &Path) {
        for line in fs::read_to_string(path).unwrap().lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            match columns.as_slice() {
                ["pid", ..] => {}
                ["object", hash] | ["object", _, _, hash, _] => {
                    self.of_objects.insert((*hash).to_owned());
                }
                ["absent", pid, first, end, reason] => self.add_absent(pid, first, end, reason),
                [pid, address, hash, ..] => {
                    let place = (pid.parse().unwrap(), number(address));
                    self.present.insert(place, (*hash).to_owned());
                }
                _ => panic!("{}: {line:?}", path.display()),
            }
        }
        assert!(!self.present.is_empty());
    }

    fn add_absent(&mut self, pid: &str, first: &str, end: &str, reason: &str) {
        for page in (number(first)..number(end)).step_by(4096) {
            self.absent.insert((pid.parse().unwrap(), page), reason.to_owned());
        }
    }
}
