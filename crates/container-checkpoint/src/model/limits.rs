//! Resource limits.

use criu_images::schema::RlimitEntry;

/// Names of the resources in the order of their numbers (`RLIMIT_*` of the kernel's asm-generic/resource.h), without `RLIMIT_`.
pub const RESOURCES: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

/// A resource limit (`rlimit_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// The resource's number; [`RESOURCES`] names it (on MIPS 5 to 9 mean other ones).
    pub resource: usize,
    /// The limit in force; `None` is unlimited.
    pub soft: Option<u64>,
    /// What the soft limit may be raised to; `None` is unlimited.
    pub hard: Option<u64>,
}

impl ResourceLimit {
    /// Takes the limits, which stand in the order of the resources' numbers.
    pub(super) fn from_wire(entries: &[RlimitEntry]) -> Vec<Self> {
        let limit = |(resource, entry): (usize, &RlimitEntry)| Self {
            resource,
            soft: finite(entry.cur),
            hard: finite(entry.max),
        };
        entries.iter().enumerate().map(limit).collect()
    }

    /// The resource's name, such as `NOFILE`.
    pub fn name(&self) -> Option<&'static str> {
        RESOURCES.get(self.resource).copied()
    }
}

/// `RLIM_INFINITY` is all ones.
fn finite(limit: u64) -> Option<u64> {
    (limit != u64::MAX).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ones_is_no_limit() {
        let mut entries = vec![RlimitEntry { cur: u64::MAX, max: u64::MAX }; 7];
        entries.push(RlimitEntry { cur: 200, max: 300 });
        let limits = ResourceLimit::from_wire(&entries);
        assert_eq!(limits[0], ResourceLimit { resource: 0, soft: None, hard: None });
        assert_eq!(
            (limits[7].name(), limits[7].soft, limits[7].hard),
            (Some("NOFILE"), Some(200), Some(300))
        );
        assert_eq!(ResourceLimit { resource: 16, soft: None, hard: None }.name(), None);
    }
}
