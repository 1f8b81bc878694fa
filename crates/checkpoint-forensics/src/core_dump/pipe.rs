//! A core into a pipe: who gets it, in which order its parts are known and written.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use container_checkpoint::error::Error::Cancelled;
use container_checkpoint::memory::{self, Beside};
use container_checkpoint::root_files::Root;

use super::frame::Frame;
use super::notes::{self, Facts};
use super::peeked::Peeked;
use super::stream::{Flow, Pass, Survey};
use super::subject::Refusal;
use super::{Answer, Error, Help, Options, Skipped};
use crate::LookedAt;

/// Writes the core of the one process that the options choose into a pipe: the same bytes as [`write`](super::write) gives a file. Nothing is written beside it.
///
/// Memory goes out in the order of addresses, with a bounded part of it held. Where that is not enough, and for evidence that can be read only once, `spool` names a directory for
/// a temporary file.
///
/// # Errors
/// As [`write`](super::write); when several processes would have a core; when too much comes out of order and no file is allowed. Then some of the core may be out.
pub fn stream(
    looked_at: LookedAt<'_>,
    roots: &[Root],
    options: &Options,
    spool: Option<&Path>,
    out: &mut dyn Write,
) -> Result<Answer, Error> {
    let LookedAt { case, id, model, context } = looked_at;
    let failed = |source| Error::Write { path: PathBuf::from("-"), source };
    let candidates = super::candidates(model, &options.pids);
    let (mut live, mut skipped) = (Vec::new(), Vec::new());
    for (pid, subject) in candidates {
        match subject {
            Ok(subject) => live.push(subject),
            Err(why) => skipped.push(Skipped { pid, why }),
        }
    }
    let subject = match live.as_slice() {
        [] => return Ok(Answer { skipped, ..Answer::default() }),
        [subject] => subject,
        several => return Err(Error::Several(several.len())),
    };
    let pid = subject.process.pid;
    if let Some(spool) = spool {
        let directory = tempfile::tempdir_in(spool).map_err(failed)?;
        let options = Options { directory: directory.path().to_owned(), pids: vec![pid], ..options.clone() };
        let help = Help { roots, ..Help::default() };
        let mut answer = super::write(looked_at, help, &options)?;
        for written in &mut answer.written {
            let mut core = File::open(&written.path).map_err(failed)?;
            io::copy(&mut core, out).map_err(failed)?;
            written.script = None;
        }
        answer.skipped.extend(skipped);
        return Ok(answer);
    }
    let make = || Survey::new(pid, options.rules(), context);
    let pass = |beside: Option<Beside<'_>>| memory::answer_beside(case, id, context, None, make, beside);
    let (mut surveyed, files, more) = options.fill.gather(looked_at, &[pid], roots, None, pass)?;
    surveyed.findings.extend(more);
    if surveyed.question.is_too_much() {
        return Err(Error::OutOfOrder);
    }
    if context.cancelled() {
        return Err(Cancelled.into());
    }
    let Survey { layout, passes, received, kept, .. } = surveyed.question;
    let too_large = |mut skipped: Vec<Skipped>| {
        skipped.push(Skipped { pid, why: Refusal::TooLarge });
        Ok(Answer { skipped, ..Answer::default() })
    };
    let Some(mut layout) = layout else { return too_large(skipped) };
    layout.leave_to_files(&files);
    if layout.fit(subject.machine.class, &received).is_err() {
        return too_large(skipped);
    }
    let pass = Pass { passes, received, kept };
    let frame = Frame::new(subject, model, &layout, options).map_err(failed)?;
    frame.write_head(out, &layout).map_err(failed)?;
    let mut peeked = Peeked::of(subject);
    let head = frame.head_len(&layout);
    let flow = Flow::new(&mut *out, context, &layout, &pass, head, &mut peeked, &files);
    let flow = memory::answer(case, id, context, None, || flow)?.question;
    let end = flow.end(&mut peeked);
    if context.cancelled() {
        return Err(Cancelled.into());
    }
    let mut at = end.map_err(failed)?;
    let restarts = peeked.interrupted(subject);
    while at < frame.notes.0 {
        out.write_all(&[0]).map_err(failed)?;
        at += 1;
    }
    let facts = Facts::new(subject, model, &layout, &peeked, &restarts, options);
    notes::write(out, facts).map_err(failed)?;
    frame.write_tail(out, &layout).map_err(failed)?;
    surveyed.findings.settle();
    let written = vec![frame.written(subject, &layout, restarts, options)];
    Ok(Answer { written, skipped, refused: files.refused, findings: surveyed.findings })
}
