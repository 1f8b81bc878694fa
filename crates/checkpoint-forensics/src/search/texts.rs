//! The bytes of matches with what is around them, one behind the other: a match costs no allocation of its own.

/// The first block is so large; each further one is twice as large as the one before, up to [`BLOCK_MAX`].
const BLOCK_MIN: usize = 256;
/// Blocks are not made larger than this, but for a text that is.
const BLOCK_MAX: usize = 1 << 20;
/// The most bytes that a text takes beside those that it has when all lengths are small: three lengths.
pub(super) const HEADER: usize = 3;

/// Where a text is: the number of its block, and its place in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    block: u32,
    place: u32,
}

/// A match's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'t> {
    pub(super) text: &'t [u8],
    /// Whether the match may go on, and is told only as far as matches may be long.
    pub(super) is_cut: bool,
    /// What is right before it.
    pub(super) before: &'t [u8],
    /// What is right behind it.
    pub(super) after: &'t [u8],
}

impl Text<'_> {
    /// How many bytes it is, with those around it.
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.before.len() + self.after.len()
    }
}

/// All texts that a searcher keeps. Blocks are never moved: growing does not take twice the memory for a while.
#[derive(Debug, Default)]
pub(super) struct Texts {
    blocks: Vec<Vec<u8>>,
}

impl Texts {
    /// Keeps a text.
    pub(super) fn add(&mut self, text: Text<'_>) -> At {
        let lengths = [text.text.len() << 1 | usize::from(text.is_cut), text.before.len(), text.after.len()];
        let needed = text.len() + lengths.iter().map(|&length| width(length)).sum::<usize>();
        if self.blocks.last().is_none_or(|block| block.capacity() - block.len() < needed) {
            let usual = self.blocks.last().map_or(BLOCK_MIN, |last| (last.capacity() * 2).min(BLOCK_MAX));
            self.blocks.push(Vec::with_capacity(usual.max(needed)));
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        // Blocks that hold more than one text are no longer than BLOCK_MAX.
        let at = At { block: number as u32, place: block.len() as u32 };
        lengths.into_iter().for_each(|length| put(block, length));
        for part in [text.before, text.text, text.after] {
            block.extend_from_slice(part);
        }
        at
    }

    /// A text that was kept.
    pub(super) fn get(&self, at: At) -> Text<'_> {
        let mut rest = &self.blocks[at.block as usize][at.place as usize..];
        let [text, before, after] = [(); 3].map(|()| take(&mut rest));
        let (before, rest) = rest.split_at(before);
        let (bytes, rest) = rest.split_at(text >> 1);
        Text { text: bytes, is_cut: text & 1 == 1, before, after: &rest[..after] }
    }
}

/// Adds a number as seven bits a byte, the low ones first.
pub(super) fn put(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number that [`put`] added from the front.
pub(super) fn take(bytes: &mut &[u8]) -> usize {
    let (mut number, mut shift) = (0, 0);
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// How many bytes [`put`] adds for a number.
fn width(number: usize) -> usize {
    (usize::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_come_back() {
        let bytes: Vec<u8> = (0..3 << 20).map(|n: u32| n as u8).collect();
        let lengths = [0, 1, 5, 63, 64, 127, 128, 300, 20_000, BLOCK_MAX - 1, BLOCK_MAX, 2 * BLOCK_MAX, 3];
        let all: Vec<Text<'_>> = lengths
            .iter()
            .enumerate()
            .map(|(number, &len)| Text {
                text: &bytes[number..number + len],
                is_cut: number % 2 == 0,
                before: &bytes[..number * 20],
                after: &bytes[..len % 200],
            })
            .collect();
        let mut texts = Texts::default();
        let places: Vec<At> = all.iter().map(|text| texts.add(*text)).collect();
        for (at, text) in places.into_iter().zip(all) {
            assert!(texts.get(at) == text, "{} bytes", text.text.len());
        }
    }

    #[test]
    fn numbers_take_the_bytes_that_are_planned_for() {
        for number in [0, 1, 127, 128, 16_383, 16_384, usize::MAX >> 1, usize::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            assert_eq!(bytes.len(), width(number), "{number}");
            assert_eq!(take(&mut &bytes[..]), number);
        }
    }
}
