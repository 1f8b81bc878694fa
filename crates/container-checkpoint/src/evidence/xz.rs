//! Xz, read so that a cut stream gives all that stands before the cut: xz packs in chunks of up to 2 MiB, and a reader that waits for whole ones would lose the last.

use std::io::{self, BufRead, Read};

use lzma_rust2::{Action, Status, XzStream};

/// The most memory a decoder may take, in KiB: enough for `xz -9` of one thread and more.
const MEMORY_KIB: u32 = 256 << 10;

/// Reads the unpacked bytes of xz streams, one behind the other.
pub(super) struct XzDecoder<R> {
    packed: R,
    stream: XzStream,
    is_done: bool,
    /// What went wrong behind bytes that were given first.
    failure: Option<io::Error>,
}

impl<R: BufRead> XzDecoder<R> {
    pub(super) fn new(packed: R) -> Self {
        Self { packed, stream: XzStream::new_mem_limit(true, MEMORY_KIB), is_done: false, failure: None }
    }
}

impl<R: BufRead> Read for XzDecoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        while !self.is_done && !buffer.is_empty() {
            let input = self.packed.fill_buf()?;
            let (action, before) =
                (if input.is_empty() { Action::Finish } else { Action::Run }, self.stream.total_out());
            match self.stream.process(input, buffer, action) {
                Ok(step) => {
                    self.packed.consume(step.bytes_consumed);
                    self.is_done = step.status == Status::StreamEnd;
                    if step.bytes_produced > 0 {
                        return Ok(step.bytes_produced);
                    }
                    if step.bytes_consumed == 0 && action == Action::Finish && !self.is_done {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(failure) => {
                    self.is_done = true;
                    let produced = (self.stream.total_out() - before) as usize;
                    if produced == 0 {
                        return Err(failure);
                    }
                    self.failure = Some(failure);
                    return Ok(produced);
                }
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(packed: &[u8]) -> (Vec<u8>, io::Result<usize>) {
        let mut bytes = Vec::new();
        let result = XzDecoder::new(packed).read_to_end(&mut bytes);
        (bytes, result)
    }

    /// A chunk of this archive has 64 KiB packed: who waits for whole ones gives no more for 2 KiB more.
    #[test]
    fn each_part_of_a_chunk_gives_what_it_holds() {
        let packed = include_bytes!("../../../../testdata/counter-later.tar.xz");
        let (whole, result) = unpacked(packed);
        result.unwrap();
        let mut last = 0;
        for cut in (400_000..430_000).step_by(2048) {
            let (part, result) = unpacked(&packed[..cut]);
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert!(whole.starts_with(&part), "cut at {cut}");
            assert!(part.len() > last, "nothing more at {cut} than {last} bytes");
            last = part.len();
        }
        // Damage behind good bytes gives the good ones too.
        let mut broken = packed.to_vec();
        broken[420_000..].fill(0xee);
        let (part, result) = unpacked(&broken);
        assert!(result.is_err() && part.len() > 1 << 20);
    }

    #[test]
    fn streams_stand_one_behind_the_other() {
        let packed = include_bytes!("../../../../testdata/tiny.tar.xz");
        let (once, _) = unpacked(packed);
        let (twice, result) = unpacked(&packed.repeat(2));
        result.unwrap();
        assert!(twice == once.repeat(2));
    }
}
