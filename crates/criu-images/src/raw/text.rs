//! Rules of packet filters: the text of `iptables-save`, `ip6tables-save` and `nft list ruleset`.

use super::{RawImage, Value};
use crate::kinds::Kind;

/// Reads the whole text, and each line of it as an entry. An empty file is one without rules: CRIU writes that where
/// the host's iptables has no legacy tables.
pub(super) fn read<'a>(kind: &'static Kind, bytes: &'a [u8]) -> RawImage<'a> {
    let mut image = RawImage::new(kind);
    image.facts.push(("text", Value::from(bytes)));
    let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(Value::from).collect();
    // What stands behind the last line feed is no line of its own, unless something does.
    if bytes.is_empty() || bytes.ends_with(b"\n") {
        lines.pop();
    }
    image.entries = lines;
    image
}
