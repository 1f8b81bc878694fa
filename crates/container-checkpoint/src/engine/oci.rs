//! What an OCI image around a checkpoint says of it.

use super::log::{DumpLog, Kernel};
use crate::gap::Field;
use crate::oci::CRIU_TAR;

/// Facts of the OCI layout that a checkpoint was found in, gathered by whoever opened it.
///
/// Two forms exist: an image whose one layer is a checkpoint archive (`podman container checkpoint
/// --create-image`, `checkpointctl build`), and containerd's index whose descriptors are the parts (`ctr
/// containers checkpoint`).
#[derive(Clone, Debug, Default)]
pub struct OciFacts {
    /// Annotations of the manifest or index, and before them those of the descriptors and indexes that lead
    /// to it: the last one counts.
    pub annotations: Vec<(String, String)>,
    /// Media type and digest of each descriptor of the manifest or index, in order.
    pub descriptors: Vec<(String, String)>,
    /// The blob of media type [`CONFIG_PROTO`](crate::oci::CONFIG_PROTO): a protobuf `Any` with the runtime
    /// spec as JSON, or that JSON alone.
    pub runtime_spec: Option<Vec<u8>>,
    /// The blob of media type [`RUNTIME_OPTIONS_PROTO`](crate::oci::RUNTIME_OPTIONS_PROTO): a protobuf `Any`
    /// with `containerd.runc.v1.Options`.
    pub runtime_options: Option<Vec<u8>>,
}

impl OciFacts {
    /// Whether the index lists the images of a dump as a part: containerd's form.
    pub(super) fn lists_images(&self) -> bool {
        self.descriptors.iter().any(|(media_type, _)| media_type == CRIU_TAR)
    }

    /// An annotation; empty ones count as absent, since `checkpointctl build` writes all that it knows of.
    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        let mut values = self.annotations.iter().rev().filter(|(k, value)| k == key && !value.is_empty());
        values.next().map(|(_, value)| value.as_str())
    }
}

/// What the annotations of checkpoint images begin with: Podman's own, and those of checkpointctl's library.
const PREFIXES: [&str; 2] = ["io.podman.annotations.checkpoint.", "org.criu.checkpoint."];

impl OciFacts {
    /// Adds what only annotations know of the dump, since Podman keeps no log.
    pub(super) fn complete(&self, dump: &mut DumpLog) {
        let annotation =
            |key: &str| PREFIXES.iter().find_map(|prefix| self.annotation(&format!("{prefix}{key}")));
        if dump.criu_version == Field::NotCaptured {
            dump.criu_version = annotation("criu.version").map(dotted_version).into();
        }
        if let (Field::NotCaptured, Some(release)) = (&dump.kernel, annotation("host.kernel")) {
            let machine = annotation("host.arch").map(str::to_owned);
            dump.kernel =
                Field::Known(Kernel { system: None, release: release.to_owned(), version: None, machine });
        }
    }
}

/// CRIU's version as a number, 40201, in dots: 4.2.1. Another text stays as it is.
fn dotted_version(text: &str) -> String {
    match text.parse::<u32>() {
        Ok(number) if number >= 10_000 => {
            let (major, minor, sublevel) = (number / 10_000, number / 100 % 100, number % 100);
            if sublevel == 0 { format!("{major}.{minor}") } else { format!("{major}.{minor}.{sublevel}") }
        }
        _ => text.to_owned(),
    }
}

/// Splits a protobuf `google.protobuf.Any` into its type URL (field 1) and its value (field 2).
///
/// `None` if the bytes are not such a message. Fields of other numbers are passed over.
pub fn any(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let url = field(bytes, 1)?.unwrap_or_default();
    Some((std::str::from_utf8(url).ok()?, field(bytes, 2)?.unwrap_or_default()))
}

/// The last occurrence of a field of bytes in a protobuf message; the outer `None` is for bytes that are no
/// message.
pub(super) fn field(message: &[u8], number: u64) -> Option<Option<&[u8]>> {
    let mut rest = message;
    let mut found = None;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match key & 7 {
            0 => drop(varint(&mut rest)?),
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (value, behind) = rest.split_at_checked(length)?;
                rest = behind;
                if key >> 3 == number {
                    found = Some(value);
                }
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(found)
}

/// Takes a base-128 number of at most ten bytes from the front.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_any_is_taken_apart() {
        assert_eq!(any(b"\x0a\x03url\x12\x02{}"), Some(("url", &b"{}"[..])));
        assert_eq!(any(b"\x12\x02{}\x0a\x03url\x18\x96\x01"), Some(("url", &b"{}"[..])));
        assert_eq!(any(b""), Some(("", &b""[..])));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [
            &b"\x0a"[..],
            b"\x0a\x05url",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x",
            b"\x0b\x00",
            b"{\"a\":1}",
            &[0xff; 30],
        ] {
            assert_eq!(any(bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn every_cut_of_a_message_is_refused_or_shorter() {
        let whole = b"\x0a\x03url\x12\x02{}";
        for cut in 0..whole.len() {
            assert_ne!(any(&whole[..cut]), Some(("url", &b"{}"[..])));
        }
    }

    #[test]
    fn the_innermost_annotation_counts_unless_it_is_empty() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let annotations = vec![pair("a", "y"), pair("b", "outer"), pair("a", ""), pair("b", "inner")];
        let facts = OciFacts { annotations, ..OciFacts::default() };
        assert_eq!(
            (facts.annotation("a"), facts.annotation("b"), facts.annotation("c")),
            (Some("y"), Some("inner"), None)
        );
    }

    #[test]
    fn annotations_fill_in_for_a_log() {
        let pair =
            |key: &str, value: &str| (format!("io.podman.annotations.checkpoint.{key}"), value.to_owned());
        let facts = OciFacts {
            annotations: vec![
                pair("criu.version", "40201"),
                pair("host.kernel", "6.1.0"),
                pair("host.arch", "amd64"),
            ],
            ..OciFacts::default()
        };
        let mut dump = DumpLog::default();
        facts.complete(&mut dump);
        assert_eq!(dump.criu_version, Field::Known("4.2.1".to_owned()));
        assert_eq!(dump.kernel.known().unwrap().release, "6.1.0");
        let mut dump = DumpLog { criu_version: Field::Known("3.19".to_owned()), ..DumpLog::default() };
        facts.complete(&mut dump);
        assert_eq!(dump.criu_version, Field::Known("3.19".to_owned()));
        assert_eq!((dotted_version("30000"), dotted_version("x")), ("3.0".to_owned(), "x".to_owned()));
    }
}
