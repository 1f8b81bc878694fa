//! What one has to know to trust a core.

use std::collections::BTreeMap;
use std::fmt;

use super::Written;

/// Something that a core can't know or does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// How much of it.
    pub amount: u64,
    /// Whether the amount is one of bytes.
    pub is_bytes: bool,
    /// Of what, in words of our own: no bytes of evidence. Equal for cores that lack the same.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.is_bytes { " bytes" } else { "" };
        write!(f, "{}{unit} {}", self.amount, self.what)
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
        let mut warnings: Vec<Warning> = missing
            .into_iter()
            .map(|(why, amount)| bytes(amount, &format!("of memory are missing ({why})")))
            .collect();
        warnings.push(count(
            self.threads_without_registers.len(),
            "threads are missing: their registers can't be had",
        ));
        let interrupted = if self.restarts_taken_back {
            "threads were in system calls: shown as before CRIU stopped them, which is a guess"
        } else {
            "threads were in system calls: CRIU set them back before the call, or lets it end in EINTR; --undo-restart \
             shows them as they were"
        };
        warnings.push(count(self.restarts.len(), interrupted));
        warnings.push(bytes(
            self.left_to_files,
            "of file pages were never written to: they are in the container's files, and without those gdb shows zeros",
        ));
        warnings.push(bytes(
            self.not_captured,
            "are never captured ([vvar], rings, pages for lazy restore): no zeros, although gdb may show some",
        ));
        let dontdump = if self.dontdump_left_out {
            "of mappings are left out, as the program asked for (MADV_DONTDUMP)"
        } else {
            "of mappings are here that the program asked to leave out of cores (MADV_DONTDUMP)"
        };
        warnings.push(bytes(self.dontdump, dontdump));
        let cut = "auxiliary vector may lack its last entries: CRIU keeps 22";
        warnings.push(count(usize::from(self.auxv_was_cut), cut));
        warnings.push(count(
            self.unnamed_mappings,
            "mappings are not in the list of mapped files, which is full",
        ));
        warnings.retain(|warning| warning.amount > 0);
        warnings
    }
}

fn bytes(amount: u64, what: &str) -> Warning {
    Warning { amount, is_bytes: true, what: what.to_owned() }
}

fn count(amount: usize, what: &str) -> Warning {
    Warning { amount: amount as u64, is_bytes: false, what: what.to_owned() }
}
