//! Where the result goes: standard output, buffered, with an eye on whether anybody still reads it.

use std::io::{self, BufWriter, ErrorKind, Write};

use indicatif::MultiProgress;

/// Enough to make few system calls of many short lines; larger pieces aren't copied.
const BUFFER: usize = 64 * 1024;

/// A buffered stream that remembers how it ended.
pub struct Sink {
    stream: BufWriter<BesideProgress>,
    line_by_line: bool,
    end: Option<ErrorKind>,
}

impl Sink {
    /// Buffers `stream`; on a terminal, each full line is shown at once, and never on top of the progress of `screen`.
    #[must_use]
    pub fn new(stream: Box<dyn Write + Send>, is_terminal: bool, screen: Option<&MultiProgress>) -> Self {
        let screen = screen.filter(|_| is_terminal).cloned();
        let stream = BufWriter::with_capacity(BUFFER, BesideProgress { stream, screen });
        Self { stream, line_by_line: is_terminal, end: None }
    }

    /// Whether a write failed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether the reader went away: the `head` in `coldcase … | head`.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.end == Some(ErrorKind::BrokenPipe)
    }

    /// Remembers a failure, and says in its text what failed.
    fn remember<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            if error.kind() == ErrorKind::Interrupted {
                return error;
            }
            self.end.get_or_insert(error.kind());
            io::Error::new(error.kind(), format!("writing to standard output: {error}"))
        })
    }

    /// After the first error all others are the same: nothing more is sent.
    fn check(&self) -> io::Result<()> {
        self.end.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let result = self.stream.write(bytes);
        let written = self.remember(result)?;
        if self.line_by_line && bytes[..written].ends_with(b"\n") {
            self.flush()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check()?;
        let result = self.stream.flush();
        self.remember(result)
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("line_by_line", &self.line_by_line).field("end", &self.end).finish()
    }
}

/// A stream that may share its terminal with progress bars, which step aside for each write.
struct BesideProgress {
    stream: Box<dyn Write + Send>,
    screen: Option<MultiProgress>,
}

impl Write for BesideProgress {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.screen {
            Some(screen) => screen.suspend(|| self.stream.write(bytes)),
            None => self.stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes a number of bytes, then fails.
    struct Limited {
        taken: Arc<Mutex<Vec<u8>>>,
        room: usize,
        then: ErrorKind,
    }

    impl Write for Limited {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut taken = self.taken.lock().unwrap();
            if taken.len() + bytes.len() > self.room {
                return Err(self.then.into());
            }
            taken.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sink(room: usize, then: ErrorKind, is_terminal: bool) -> (Sink, Arc<Mutex<Vec<u8>>>) {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let stream = Box::new(Limited { taken: Arc::clone(&taken), room, then });
        (Sink::new(stream, is_terminal, None), taken)
    }

    #[test]
    fn a_pipe_is_written_in_large_pieces_and_a_terminal_line_by_line() {
        let (mut pipe, taken) = sink(usize::MAX, ErrorKind::Other, false);
        pipe.write_all(b"line\n").unwrap();
        assert!(taken.lock().unwrap().is_empty());
        pipe.flush().unwrap();
        assert_eq!(*taken.lock().unwrap(), b"line\n");

        let (mut terminal, taken) = sink(usize::MAX, ErrorKind::Other, true);
        terminal.write_all(b"line\n").unwrap();
        assert_eq!(*taken.lock().unwrap(), b"line\n");
    }

    #[test]
    fn a_closed_pipe_is_told_from_a_full_disk() {
        for (kind, closed) in [(ErrorKind::BrokenPipe, true), (ErrorKind::StorageFull, false)] {
            let (mut sink, _) = sink(4, kind, true);
            sink.write_all(b"ab\n").unwrap();
            assert!(!sink.is_closed());
            assert_eq!(sink.write_all(b"cd\n").unwrap_err().kind(), kind);
            assert_eq!(sink.is_closed(), closed);
            assert_eq!(sink.write(b"").unwrap_err().kind(), kind, "the end is remembered");
        }
    }
}
