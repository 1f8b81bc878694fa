//! The checkpoint that is measured with: a container of two processes, of which one fills memory.

use crate::PAGE;
use crate::checkpoint::Checkpoint;
use crate::contents::Contents;
use crate::mapping::Mapping;
use crate::pages::Pages;
use crate::process::Process;

/// Where the large anonymous mapping begins.
const LARGE: u64 = 0x7e00_0000_0000;
/// What else stands in it, in turn: what an analyst looks for. The key is the one of its maker's documentation.
const SECRETS: [&str; 3] = [
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ3b3JrZXIifQ.c2lnbmVkIGJ5IG5vYm9keQ",
    "-----BEGIN RSA PRIVATE KEY-----",
];
const ENVIRONMENT: [&str; 3] = ["PATH=/usr/local/bin:/usr/bin:/bin", "HOSTNAME=worker", "container=podman"];

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Bytes of memory that are stored beside what every process has; rounded down to pages.
    pub memory: u64,
    /// How many needles are planted in it, in even distances: `NEEDLE_big_0007_SECRET`. Every tenth lies across the border of two pages, where these follow each other.
    pub needles: u64,
    /// How many keys and tokens stand between the first of them.
    pub secrets: u64,
    /// Pages an entry of the pagemap.
    pub run: u64,
    /// Pages between two entries that were never written to.
    pub apart: u64,
}

impl Default for Worker {
    fn default() -> Self {
        Self { memory: 0, needles: 0, secrets: 0, run: 256, apart: 0 }
    }
}

impl Worker {
    /// The process that fills memory.
    pub const PID: u32 = 2;

    /// The same with every second page written to only, as in a heap at its worst: each page is an entry of the pagemap.
    #[must_use]
    pub fn scattered(self) -> Self {
        Self { run: 1, apart: 1, ..self }
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> Checkpoint {
        let supervise = ["/usr/bin/supervise", "--restart", "/usr/bin/worker"];
        let worker = ["/usr/bin/worker", "--cache", "large"];
        let mut large = Process::usual(Self::PID, "worker", &worker, &ENVIRONMENT);
        let pages = self.memory / PAGE;
        if pages > 0 {
            let stored = Pages::in_runs(pages, self.run, self.apart, Contents::Generated { seed: 0 });
            let stored = self.planted().fold(stored, |stored, (at, text)| stored.plant(at, text.as_bytes()));
            let len = self.place(pages * PAGE - 1) + 1;
            large = large.mapping(Mapping::anonymous(LARGE, len).with(stored));
        }
        Checkpoint::new().process(Process::usual(1, "supervise", &supervise, &ENVIRONMENT)).process(large)
    }

    /// What is planted in the worker's memory: address, text.
    pub fn needles(&self) -> Vec<(u64, String)> {
        self.planted().map(|(at, text)| (LARGE + at, text)).collect()
    }

    /// Texts by their distance from the start of the mapping.
    fn planted(&self) -> impl Iterator<Item = (u64, String)> + '_ {
        let distance = (self.memory / self.needles.max(1) / PAGE * PAGE).max(PAGE);
        let is_inside = move |at: &u64| at + PAGE <= self.memory;
        let needle = move |number: u64| {
            let crosses = number % 10 == 1 && self.apart == 0;
            let at = number * distance + if crosses { distance - 10 } else { 200 };
            is_inside(&at).then(|| (self.place(at), format!("NEEDLE_big_{number:04}_SECRET")))
        };
        let secret = move |number: u64| {
            let at = number * distance + 1000;
            is_inside(&at).then(|| (self.place(at), SECRETS[(number % 3) as usize].to_owned()))
        };
        (0..self.needles).filter_map(needle).chain((0..self.secrets).filter_map(secret))
    }

    /// Where a stored byte stands in the mapping.
    fn place(&self, stored: u64) -> u64 {
        let page = stored / PAGE;
        (page + page / self.run * self.apart) * PAGE + stored % PAGE
    }
}
