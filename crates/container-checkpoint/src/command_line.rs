//! Arguments and environments as they stand in the memory of the processes.
//!
//! A program may have written over them: what is read is what `/proc/PID/cmdline` and `/proc/PID/environ` showed at the dump.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use crate::gap::Field;
use crate::ids::Pid;
use crate::memory::{AddressSpace, Backing, Memory, Missing, Place, Question, Want};

/// The most bytes of arguments, or of an environment, that are read: the kernel takes no more for both together (`bprm_stack_limits`).
const LONGEST: u64 = 6 << 20;
/// The most bytes that are read of all processes together.
const ALL_TOGETHER: u64 = 128 << 20;
/// The most texts that one range is taken apart into: each costs memory, even an empty one.
const MOST_TEXTS: usize = 1 << 20;
/// How far a title written over the arguments may run into the environment: the kernel looks at one page of 4 KiB.
const TITLE: u64 = 4096;

/// What a process was started with, or has made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The arguments, the program's name first.
    pub arguments: Field<Vec<Vec<u8>>>,
    /// The environment: `NAME=VALUE`, in order, as far as programs keep to that.
    pub environment: Field<Vec<Vec<u8>>>,
}

/// Reads arguments and environments: a [`Question`] to the pages of a dump.
#[derive(Debug, Default)]
pub struct CommandLines {
    /// Only of these processes; of all when empty.
    pids: Vec<Pid>,
    with_environment: bool,
    texts: Vec<Text>,
    /// How many bytes are read in all.
    taken: u64,
    /// For each want: which text, and where in it the bytes belong.
    parts: Vec<(usize, usize)>,
}

/// One range of memory that is being read.
#[derive(Clone, Debug)]
struct Text {
    pid: Pid,
    part: Part,
    /// How much of it is the arguments proper; what follows is looked at for a title only.
    proper: usize,
    bytes: Vec<u8>,
    /// Bytes that came or are known to be zero.
    known: usize,
    /// Why some can't be had.
    missing: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Arguments,
    Environment,
}

impl CommandLines {
    /// Prepares to read the command lines of these processes (of all when there are none), with their environments if wanted.
    pub fn new(pids: Vec<Pid>, with_environment: bool) -> Self {
        Self { pids, with_environment, ..Self::default() }
    }

    /// What was read, by process. A process without an address space has no entry.
    pub fn by_process(&self) -> BTreeMap<Pid, CommandLine> {
        let mut all: BTreeMap<Pid, CommandLine> = BTreeMap::new();
        for text in &self.texts {
            let line = all.entry(text.pid).or_default();
            match text.part {
                Part::Arguments => {
                    line.arguments = taken_apart(text.value().map(|bytes| arguments(bytes, text.proper)))
                }
                Part::Environment => line.environment = taken_apart(text.value()),
            }
        }
        all
    }

    fn add(
        &mut self,
        space: &AddressSpace,
        part: Part,
        range: Range<u64>,
        proper: u64,
        wants: &mut Vec<Want>,
    ) {
        let len = range.end.saturating_sub(range.start);
        let mut text = Text {
            pid: space.pid,
            part,
            proper: proper.min(len) as usize,
            bytes: Vec::new(),
            known: 0,
            missing: None,
        };
        if len > LONGEST {
            text.missing = Some(format!(
                "{len} bytes by the marks of the address space, more than any process can have"
            ));
        } else if self.taken.saturating_add(len) > ALL_TOGETHER {
            text.missing = Some(format!(
                "with it, command lines would take more than {ALL_TOGETHER} bytes; ask for fewer processes"
            ));
        } else {
            self.taken += len;
            let number = self.texts.len();
            text.bytes = vec![0; len as usize];
            for piece in space.locate(range.clone()) {
                match piece.backing {
                    Backing::Stored(Place::Image(object, offset)) => {
                        self.parts.push((number, (piece.start.0 - range.start) as usize));
                        wants.push(Want { object, offset, len: piece.len });
                    }
                    Backing::Zero => text.known += piece.len as usize,
                    Backing::Stored(Place::Missing(why)) => {
                        text.missing = Some(format!("{} bytes are {}", piece.len, why.why()))
                    }
                    // Behind the arguments proper, what isn't there is no title.
                    _ if piece.start.0 >= range.start + proper => {
                        text.bytes.truncate((piece.start.0 - range.start) as usize);
                        break;
                    }
                    _ => {
                        text.missing =
                            Some(format!("{} bytes at {} are not in the images", piece.len, piece.start))
                    }
                }
            }
        }
        self.texts.push(text);
    }
}

impl Question for CommandLines {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        let mut wants = Vec::new();
        for space in &memory.spaces {
            let Some(map) =
                space.map.as_ref().filter(|_| self.pids.is_empty() || self.pids.contains(&space.pid))
            else {
                continue;
            };
            let layout = &map.layout;
            let (start, end) = (layout.arg_start.0, layout.arg_end.0);
            let title_end = if layout.env_start == layout.arg_end {
                layout.env_end.0.min(start.saturating_add(TITLE))
            } else {
                end
            };
            let proper = end.saturating_sub(start);
            self.add(space, Part::Arguments, start..end.max(title_end), proper, &mut wants);
            if self.with_environment {
                let range = layout.env_start.0..layout.env_end.0;
                let len = range.end.saturating_sub(range.start);
                self.add(space, Part::Environment, range, len, &mut wants);
            }
        }
        wants
    }

    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        let (number, position) = self.parts[want];
        let text = &mut self.texts[number];
        let start = position + at as usize;
        // What was cut off as no part of a title is not asked for any more.
        if let Some(place) = text.bytes.get_mut(start..start + bytes.len()) {
            place.copy_from_slice(bytes);
            text.known += bytes.len();
        }
        ControlFlow::Continue(())
    }

    fn lost(&mut self, want: usize, at: u64, len: u64) {
        let (number, position) = self.parts[want];
        let text = &mut self.texts[number];
        // What was cut off as no part of a title is not missed.
        if position + (at as usize) < text.bytes.len() {
            text.missing = Some(format!("{len} bytes are {}", Missing::BrokenBlock.why()));
        }
    }
}

impl Text {
    fn value(&self) -> Field<&[u8]> {
        match &self.missing {
            Some(why) => Field::Unreadable(why.clone()),
            None if self.known < self.bytes.len() => Field::Unreadable(format!(
                "{} of {} bytes are not in the evidence",
                self.bytes.len() - self.known,
                self.bytes.len()
            )),
            None => Field::Known(&self.bytes),
        }
    }
}

/// The kernel's rule (`get_mm_cmdline`): arguments that still end in a NUL are what they are. Else the program has written a title
/// over them, which may run into the environment, and ends at its first NUL.
fn arguments(bytes: &[u8], proper: usize) -> &[u8] {
    match bytes[..proper].last() {
        None | Some(0) => &bytes[..proper],
        Some(_) => {
            let title = &bytes[..bytes.len().min(TITLE as usize).max(proper)];
            let end = title.iter().position(|&byte| byte == 0).unwrap_or(title.len());
            &title[..end]
        }
    }
}

fn taken_apart(bytes: Field<&[u8]>) -> Field<Vec<Vec<u8>>> {
    match bytes {
        Field::Known(bytes) if count_of_nuls(bytes) > MOST_TEXTS => {
            Field::Unparsable(format!("{} bytes with more than {MOST_TEXTS} NULs in them", bytes.len()))
        }
        bytes => bytes.map(split),
    }
}

fn count_of_nuls(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == 0).count()
}

/// Splits at NULs; the last one ends a text and begins none.
fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.strip_suffix(b"\0").unwrap_or(bytes).split(|&byte| byte == 0).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_end_with_their_last_nul() {
        assert_eq!(split(arguments(b"tee\0/log\0", 9)), [b"tee".to_vec(), b"/log".to_vec()]);
        assert_eq!(split(arguments(b"a\0\0b\0", 5)), [b"a".to_vec(), b"".to_vec(), b"b".to_vec()]);
        assert_eq!(split(arguments(b"", 0)), Vec::<Vec<u8>>::new());
        assert_eq!(split(arguments(b"\0", 1)), [b"".to_vec()]);
    }

    #[test]
    fn a_title_may_run_into_the_environment() {
        let memory = b"nginx: worker process is long\0rest=1\0";
        assert_eq!(split(arguments(memory, 10)), [b"nginx: worker process is long".to_vec()]);
        // A title that is shorter than the arguments were ends at its first NUL.
        assert_eq!(split(arguments(b"short\0old\0arg", 13)), [b"short".to_vec()]);
    }
}
