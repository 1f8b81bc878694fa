//! What kinds of places there are, in the user's words.

/// A class of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Shared objects: shared memory without a name, memory files, SysV segments, whether a process maps them or not.
    Shared,
    /// Deleted files, memory files, and files of `/dev/shm` and tmpfs mounts.
    Files,
    /// What was on its way: pipes, sockets, terminals, SysV messages, BPF maps.
    Queues,
    /// Registers of threads.
    Registers,
    /// Changed files of the root file system, and volumes.
    Rootfs,
    /// Logs of engine, runtime and CRIU.
    Logs,
    /// What the engine says of the container.
    Metadata,
}

/// All classes with their names.
const NAMES: [(Class, &str); 7] = [
    (Class::Shared, "shared"),
    (Class::Files, "files"),
    (Class::Queues, "queues"),
    (Class::Registers, "registers"),
    (Class::Rootfs, "rootfs"),
    (Class::Logs, "logs"),
    (Class::Metadata, "metadata"),
];

impl Class {
    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(class, _)| *class == self).map_or("", |(_, name)| name)
    }

    /// The class of a name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(class, _)| *class)
    }

    /// All of them, in the order in which stores are read.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(class, _)| *class)
    }
}

/// Some classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u8);

impl Classes {
    /// All of them.
    pub const ALL: Self = Self(0x7f);

    /// Whether a class is among them.
    pub fn has(self, class: Class) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl FromIterator<Class> for Classes {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Self {
        Self(classes.into_iter().fold(0, |set, class| set | 1 << class as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_of_its_own() {
        assert_eq!(Class::all().collect::<Classes>(), Classes::ALL);
        for class in Class::all() {
            assert_eq!(Class::named(class.name()), Some(class));
            assert!([class].into_iter().collect::<Classes>().has(class));
        }
    }
}
