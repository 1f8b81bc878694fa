//! Unpacking ahead: a thread of its own unpacks while what came before is looked at, where that wins anything.
//!
//! Handing bytes from one processor to another costs a tenth of what unpacking zstd does. So the first bytes are unpacked here, and it is measured how long it takes to
//! look at them: only a question that takes its time gets the thread.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

/// How much is handed over at a time, in bytes: so much that waking each other costs nothing beside it, and little enough for the caches.
const PIECE: usize = 512 << 10;
/// How many pieces may wait; as many again are being filled and looked at.
const WAITING: usize = 2;
/// After so many bytes it is decided whether looking takes long, again and again.
const TRIED: u64 = if cfg!(test) { 1 << 20 } else { 8 << 20 };
/// Looking takes long when it takes at least this part of the time that reading does: one of so many.
const PART: u32 = 4;

/// Lets `look` read a stream, from a thread of its own when looking takes long, and there is a second processor to win.
pub(super) fn ahead<T>(
    stream: &mut (dyn Read + Send),
    threads: usize,
    look: impl FnOnce(&mut (dyn Read + Send)) -> T,
) -> T {
    if threads < 2 {
        return look(stream);
    }
    // Only who looks knows when there is enough: then its ends are gone, and the thread sees it at the next piece.
    thread::scope(|scope| look(&mut Looked { scope, from: From::Here(Trial::of(stream)) }))
}

/// A stream that one of two reads.
type Shared<'s> = Arc<Mutex<&'s mut (dyn Read + Send)>>;

/// What is looked at.
struct Looked<'scope, 'env, 's> {
    scope: &'scope Scope<'scope, 'env>,
    from: From<'s>,
}

enum From<'s> {
    Here(Trial<'s>),
    Thread(Ahead),
}

/// A stream that is read here, for as long as nothing speaks for a thread.
struct Trial<'s> {
    /// Shared with the thread, which has it alone once it is there; here if the system gives none.
    stream: Shared<'s>,
    /// When the last read ended.
    since: Instant,
    reading: Duration,
    looking: Duration,
    bytes: u64,
}

impl<'s> Trial<'s> {
    fn of(stream: &'s mut (dyn Read + Send)) -> Self {
        let stream = Arc::new(Mutex::new(stream));
        Self { stream, since: Instant::now(), reading: Duration::ZERO, looking: Duration::ZERO, bytes: 0 }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let result = self.stream.lock().unwrap_or_else(PoisonError::into_inner).read(buffer);
        let ended = Instant::now();
        self.looking += begun - self.since;
        self.reading += ended - begun;
        self.since = ended;
        self.bytes += result.as_ref().map_or(0, |count| *count as u64);
        result
    }

    /// Whether a thread would win something; a try that shows no such thing begins anew.
    fn takes_long(&mut self) -> bool {
        if self.bytes < TRIED {
            return false;
        }
        let takes_long = self.looking * PART >= self.reading;
        (self.reading, self.looking, self.bytes) = (Duration::ZERO, Duration::ZERO, 0);
        takes_long
    }
}

impl<'s: 'scope, 'scope> Read for Looked<'scope, '_, 's> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let From::Here(trial) = &mut self.from
            && trial.takes_long()
            && let Ok(ahead) = Ahead::start(self.scope, trial.stream.clone())
        {
            self.from = From::Thread(ahead);
        }
        match &mut self.from {
            From::Here(trial) => trial.read(buffer),
            From::Thread(ahead) => ahead.read(buffer),
        }
    }
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

impl Ahead {
    fn start<'scope, 's: 'scope>(scope: &'scope Scope<'scope, '_>, stream: Shared<'s>) -> io::Result<Self> {
        let (pieces, filled) = sync_channel(WAITING);
        let (empty, spare) = channel();
        thread::Builder::new().spawn_scoped(scope, move || {
            let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            fill(&mut **stream, &pieces, &spare);
        })?;
        Ok(Self { filled, empty, piece: Vec::new(), at: 0 })
    }
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

    /// Bytes enough for a try, and for pieces of the thread.
    fn bytes() -> Vec<u8> {
        (0..TRIED as usize + PIECE * 5 + 77).map(|number| (number % 251) as u8).collect()
    }

    /// Reads to the end, and takes its time at the start.
    fn slowly(stream: &mut dyn Read, seen: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        loop {
            let count = stream.read(&mut buffer)?;
            seen.extend_from_slice(&buffer[..count]);
            match count {
                0 => return Ok(()),
                _ if seen.len() == count => thread::sleep(Duration::from_millis(200)),
                _ => {}
            }
        }
    }

    #[test]
    fn all_bytes_come_in_order_and_then_the_error() {
        let bytes = bytes();
        for threads in [1, 2] {
            for look in [
                slowly as fn(&mut dyn Read, &mut Vec<u8>) -> _,
                |stream: &mut dyn Read, seen: &mut Vec<u8>| stream.read_to_end(seen).map(|_| ()),
            ] {
                let mut seen = Vec::new();
                let result = ahead(&mut Cut(&bytes), threads, |stream| look(stream, &mut seen));
                assert_eq!(result.unwrap_err().to_string(), "cut");
                assert!(seen == bytes, "{threads} threads");
                let mut whole = Vec::new();
                ahead(&mut bytes.as_slice(), threads, |stream| look(stream, &mut whole)).unwrap();
                assert!(whole == bytes, "{threads} threads");
            }
        }
    }

    #[test]
    fn who_has_enough_ends_it() {
        let mut seen = vec![0; TRIED as usize + 10];
        ahead(&mut io::repeat(7), 2, |endless| {
            endless.read_exact(&mut seen[..10])?;
            thread::sleep(Duration::from_millis(200));
            endless.read_exact(&mut seen[10..])?;
            endless.read_exact(&mut [0; 10])
        })
        .unwrap();
        assert!(seen.iter().all(|byte| *byte == 7));
    }
}
