//! Device numbers.

use std::fmt;

/// A device by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl Device {
    /// Takes the kernel's own form apart, which most images have: `major << 20 | minor`.
    pub(super) fn from_kernel(dev: u32) -> Self {
        Self { major: dev >> 20, minor: dev & 0xf_ffff }
    }

    /// Takes the form of `st_rdev` apart: minor in bits 0 to 7 and 20 to 31, major in bits 8 to 19.
    pub(super) fn from_user(dev: u32) -> Self {
        Self { major: dev >> 8 & 0xfff, minor: dev & 0xff | dev >> 12 & 0xf_ff00 }
    }
}

impl fmt::Display for Device {
    /// `MAJOR:MINOR`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_taken_apart() {
        assert_eq!(Device::from_kernel(8 << 20 | 300).to_string(), "8:300");
        // /dev/ptmx is 5:2, /dev/pts/0 is 136:0 (both as CRIU dumped them), and a minor beyond 8 bits.
        assert_eq!(Device::from_user(1282).to_string(), "5:2");
        assert_eq!(Device::from_user(34816).to_string(), "136:0");
        assert_eq!(Device::from_user(0x0010_8834).to_string(), "136:308");
    }
}
