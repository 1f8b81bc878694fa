//! What one has to know to trust a core.

use std::collections::BTreeMap;
use std::fmt;

use super::Written;

/// Something that a core can't know or does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// How much of it.
    pub amount: u64,
    /// What the amount counts.
    pub unit: Unit,
    /// The rest of the sentence, in words of our own: no bytes of evidence. Equal for cores that lack the same.
    pub what: String,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things: the word for one of them, to which an `s` makes several.
    Things(&'static str),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (amount, what) = (self.amount, &self.what);
        match self.unit {
            Unit::Bytes => write!(f, "{amount} bytes {what}"),
            Unit::Things(thing) => write!(f, "{amount} {thing}{} {what}", if amount == 1 { "" } else { "s" }),
        }
    }
}

impl Written {
    /// What one has to know to trust the core, the gravest first.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut missing = BTreeMap::new();
        for absent in &self.absent {
            let sum = missing.entry(absent.why.why()).or_insert(0_u64);
            *sum = sum.saturating_add(absent.len);
        }
        let interrupted = if self.restarts_taken_back {
            "in system calls, shown as before CRIU stopped them: a guess"
        } else {
            "in system calls, which CRIU undid: --undo-restart shows them as they were"
        };
        let dontdump = if self.dontdump_left_out {
            "in MADV_DONTDUMP mappings, left out as the program asked for"
        } else {
            "in MADV_DONTDUMP mappings, kept: --honour-dontdump leaves them out"
        };
        let (bytes, things) = (Unit::Bytes, Unit::Things);
        let rest: [(u64, Unit, &str); 7] = [
            (
                self.threads_without_registers.len() as u64,
                things("thread"),
                "missing: the registers can't be had",
            ),
            (self.restarts.len() as u64, things("thread"), interrupted),
            (
                self.left_to_files,
                bytes,
                "of file pages left to the container's files: gdb shows zeros without --rootfs",
            ),
            (
                self.not_captured,
                bytes,
                "never captured (rings, pages for lazy restore): not zero, though gdb may say so",
            ),
            (self.dontdump, bytes, dontdump),
            (u64::from(self.auxv_was_cut), things("auxiliary vector"), "cut to 22 entries by CRIU"),
            (
                self.unnamed_mappings as u64,
                things("mapping"),
                "not in the list of mapped files, which is full",
            ),
        ];
        let missing = missing.into_iter().map(|(why, sum)| (sum, bytes, format!("of memory missing: {why}")));
        missing
            .chain(rest.map(|(amount, unit, what)| (amount, unit, what.to_owned())))
            .filter(|(amount, ..)| *amount > 0)
            .map(|(amount, unit, what)| Warning { amount, unit, what })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_one() {
        let warning = |amount| Warning { amount, unit: Unit::Things("thread"), what: "missing".to_owned() };
        assert_eq!(
            [0, 1, 2].map(|amount| warning(amount).to_string()),
            ["0 threads missing", "1 thread missing", "2 threads missing"]
        );
    }
}
