//! Types of open files, by CRIU's numbers and names.

use std::fmt;

/// A type of open files (`fd_types`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileType(pub i32);

/// Names in the order of their numbers.
const NAMES: [&str; 21] = [
    "UND",
    "REG",
    "PIPE",
    "FIFO",
    "INETSK",
    "UNIXSK",
    "EVENTFD",
    "EVENTPOLL",
    "INOTIFY",
    "SIGNALFD",
    "PACKETSK",
    "TTY",
    "FANOTIFY",
    "NETLINKSK",
    "NS",
    "TUNF",
    "EXT",
    "TIMERFD",
    "MEMFD",
    "BPFMAP",
    "PIDFD",
];

#[allow(missing_docs, reason = "the names are CRIU's and say it all")]
impl FileType {
    pub const REG: Self = Self(1);
    pub const PIPE: Self = Self(2);
    pub const FIFO: Self = Self(3);
    pub const INETSK: Self = Self(4);
    pub const UNIXSK: Self = Self(5);
    pub const EVENTFD: Self = Self(6);
    pub const EVENTPOLL: Self = Self(7);
    pub const INOTIFY: Self = Self(8);
    pub const SIGNALFD: Self = Self(9);
    pub const PACKETSK: Self = Self(10);
    pub const TTY: Self = Self(11);
    pub const FANOTIFY: Self = Self(12);
    pub const NETLINKSK: Self = Self(13);
    pub const NS: Self = Self(14);
    pub const TUNF: Self = Self(15);
    pub const EXT: Self = Self(16);
    pub const TIMERFD: Self = Self(17);
    pub const MEMFD: Self = Self(18);
    pub const BPFMAP: Self = Self(19);
    pub const PIDFD: Self = Self(20);
}

impl FileType {
    /// CRIU's name of the type, if it has one.
    pub fn name(self) -> Option<&'static str> {
        usize::try_from(self.0).ok().and_then(|number| NAMES.get(number).copied())
    }
}

impl fmt::Display for FileType {
    /// The name, or the number of a type that has none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use criu_images::schema::FdTypes;

    use super::*;

    #[test]
    fn names_are_those_of_the_schema() {
        for number in 0..21 {
            let in_schema = FdTypes::try_from(number).unwrap().as_str_name();
            assert_eq!(FileType(number).name(), Some(in_schema));
        }
        assert_eq!(FileType::PIDFD.to_string(), "PIDFD");
        assert_eq!(FileType(21).to_string(), "21");
        assert_eq!(FileType(-1).name(), None);
    }
}
