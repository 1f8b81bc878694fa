//! Unpacking ahead: a thread of its own unpacks while what came before is looked at.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How much is handed over at a time, in bytes: so much that waking each other costs nothing beside it, and little enough for the caches.
const PIECE: usize = 512 << 10;
/// How many pieces may wait; as many again are being filled and looked at.
const WAITING: usize = 2;

/// Reads a stream from a thread of its own for as long as `look` lasts. Where there is no second processor to win, or the system gives no thread, it is read here.
pub(super) fn ahead<T>(
    stream: &mut (dyn Read + Send),
    threads: usize,
    look: impl FnOnce(&mut (dyn Read + Send)) -> T,
) -> T {
    if threads < 2 {
        return look(stream);
    }
    // Held by the thread, or by us where there is none.
    let stream = Mutex::new(stream);
    let locked = || stream.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        let (pieces, filled) = sync_channel(WAITING);
        let (empty, spare) = channel();
        // Only who looks knows when there is enough: then its ends are gone, and the thread sees it at the next piece.
        let mut ahead = Ahead { filled, empty, piece: Vec::new(), at: 0 };
        let started =
            thread::Builder::new().spawn_scoped(scope, move || fill(&mut **locked(), &pieces, &spare));
        match started {
            Ok(_) => look(&mut ahead),
            Err(_) => look(&mut **locked()),
        }
    })
}

/// Reads pieces until the end, an error, or until nobody wants more. What came before an error is handed over first.
fn fill(stream: &mut (dyn Read + Send), pieces: &SyncSender<io::Result<Vec<u8>>>, spare: &Receiver<Vec<u8>>) {
    loop {
        let mut piece = spare.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let mut len = 0;
        let ended = loop {
            match stream.read(&mut piece[len..]) {
                Ok(0) => break Some(Ok(())),
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(Err(error)),
            }
            if len == PIECE {
                break None;
            }
        };
        piece.truncate(len);
        let is_wanted = pieces.send(Ok(piece)).is_ok();
        match ended {
            None if is_wanted => {}
            Some(Err(error)) => return drop(pieces.send(Err(error))),
            _ => return,
        }
    }
}

/// What a thread reads.
struct Ahead {
    filled: Receiver<io::Result<Vec<u8>>>,
    /// Takes back what was looked at.
    empty: Sender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            let Ok(next) = self.filled.recv() else { return Ok(0) };
            let last = std::mem::replace(&mut self.piece, next?);
            self.at = 0;
            // The thread may have ended already.
            let _ = self.empty.send(last);
        }
        let count = buffer.len().min(self.piece.len() - self.at);
        buffer[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes in odd pieces, then an error.
    struct Cut<'a>(&'a [u8]);

    impl Read for Cut<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::Error::other("cut"));
            }
            let count = self.0.len().min(buffer.len()).min(7001);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn all_bytes_come_in_order_and_then_the_error() {
        let bytes: Vec<u8> = (0..PIECE * 5 + 77).map(|number| (number % 251) as u8).collect();
        for threads in [1, 2] {
            let mut seen = Vec::new();
            let result = ahead(&mut Cut(&bytes), threads, |stream| stream.read_to_end(&mut seen));
            assert_eq!(result.unwrap_err().to_string(), "cut");
            assert!(seen == bytes, "{threads} threads");
            let whole = ahead(&mut bytes.as_slice(), threads, |stream| {
                let mut seen = Vec::new();
                stream.read_to_end(&mut seen).map(|_| seen)
            });
            assert!(whole.unwrap() == bytes, "{threads} threads");
        }
    }

    #[test]
    fn who_has_enough_ends_it() {
        let mut buffer = [0; 10];
        ahead(&mut io::repeat(7), 2, |endless| endless.read_exact(&mut buffer)).unwrap();
        assert_eq!(buffer, [7; 10]);
    }
}
