//! What is said on standard error: notes, warnings, hints, errors, gaps.

use std::io::{self, ErrorKind, Write as _};

use anstyle::Style;

use super::{Ui, lock};
use crate::present::bytes::count_text;
use crate::present::hint;
use crate::present::text::Text;

/// So many gaps are told one by one; a cut archive may have thousands.
const GAPS_SHOWN: u64 = 20;

impl Ui {
    /// Tells something worth knowing; not with `--quiet`.
    pub fn note(&self, text: impl Into<Text>) {
        if !self.quiet {
            self.tell("note", Style::new(), &text.into());
        }
    }

    /// Warns of something that may not be what the user thinks.
    pub fn warning(&self, text: impl Into<Text>) {
        self.tell("warning", self.err_palette.warning, &text.into());
    }

    /// Says what the user may do next; not with `--quiet`.
    pub fn hint(&self, text: impl Into<Text>) {
        if !self.quiet {
            let style = self.err_palette.hint;
            self.say(&format!("{style}hint:{style:#} {}\n", text.into()));
        }
    }

    /// Tells that something could not be done, and makes the exit status say so too.
    pub fn error(&self, text: impl Into<Text>) {
        self.tell("error", self.err_palette.error, &text.into());
        lock(&self.outcome).failure();
    }

    /// Tells an error with its causes and hints, as [`Ui::error`]; a reader who went away is no error.
    pub fn report(&self, error: &anyhow::Error) {
        let is_broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
        };
        if lock(&self.out).is_closed() && error.chain().any(is_broken_pipe) {
            return;
        }
        let mut text = String::new();
        for cause in error.chain().map(ToString::to_string) {
            // Some errors tell their cause themselves.
            if text.is_empty() {
                text = cause;
            } else if !text.ends_with(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        self.error(Text::own(text));
        for hint in hint::hints(error) {
            self.hint(Text::own(hint));
        }
    }

    /// Tells what the evidence names and does not yield, and remembers it for the exit status.
    pub fn gap(&self, what: impl Into<Text>, place: impl Into<Text>, why: impl Into<Text>) {
        lock(&self.outcome).gap();
        let number = {
            let mut gaps = lock(&self.gaps);
            *gaps += 1;
            *gaps
        };
        if number <= GAPS_SHOWN {
            let text = Text::own(what.into()).and(", ").and(place.into()).and(": ").and(why.into());
            self.tell("gap", self.err_palette.warning, &text);
        }
    }

    /// Says how many gaps were not told one by one.
    pub(super) fn tell_of_untold_gaps(&self) {
        let untold = lock(&self.gaps).saturating_sub(GAPS_SHOWN);
        if untold > 0 {
            let text =
                Text::own(count_text(untold, "more gap is", "more gaps are")).and(" in the JSON output");
            self.tell("gap", self.err_palette.warning, &text);
        }
    }

    fn tell(&self, kind: &str, style: Style, text: &Text) {
        self.say(&format!("{}: {style}{kind}:{style:#} {text}\n", self.program));
    }

    /// Writes to standard error, in the order in which things were said, beside any progress.
    fn say(&self, line: &str) {
        if self.out_is_terminal {
            // A failure shows at the next write to it.
            let _ = lock(&self.out).flush();
        }
        // Nobody is left to be told that standard error fails.
        let write = || drop(lock(&self.err).write_all(line.as_bytes()));
        match &self.screen {
            Some(screen) => screen.suspend(write),
            None => write(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use anyhow::Context as _;

    use super::*;
    use crate::exit::{Answer, Status};
    use crate::present::hint::WithHint as _;
    use crate::ui::tests::recorded;

    #[test]
    fn quiet_keeps_warnings_errors_and_gaps() {
        let (_, err, status) = recorded(true, |ui| {
            ui.note("n");
            ui.hint("h");
            ui.warning("w");
            ui.error("e");
            ui.gap("pages-1.img", "cp.tar", "missing");
        });
        assert_eq!(
            err,
            "coldcase: warning: w\ncoldcase: error: e\ncoldcase: gap: pages-1.img, cp.tar: missing\n"
        );
        assert_eq!(status, Status::Failed);
    }

    #[test]
    fn errors_tell_causes_once_and_hints_below() {
        let (_, err, status) = recorded(false, |ui| {
            let cause = io::Error::other("disk on fire\x1b");
            let error = Err::<(), _>(cause)
                .context("reading: disk on fire\x1b")
                .context("cp.tar")
                .hint("buy a new one");
            ui.report(&error.unwrap_err());
        });
        assert_eq!(err, "coldcase: error: cp.tar: reading: disk on fire\\x1b\nhint: buy a new one\n");
        assert_eq!(status, Status::Failed);
    }

    #[test]
    fn gaps_beyond_some_are_counted() {
        let (_, err, status) = recorded(false, |ui| {
            ui.answer(Answer::NotFound);
            for number in 0..GAPS_SHOWN + 2 {
                ui.gap(Text::own(number), "cp.tar", "cut");
            }
        });
        assert_eq!(err.lines().count() as u64, GAPS_SHOWN + 1);
        assert!(err.ends_with("coldcase: gap: 2 more gaps are in the JSON output\n"), "{err}");
        assert_eq!(status, Status::Gaps);
    }

    #[test]
    fn a_broken_pipe_elsewhere_is_an_error() {
        let (_, err, status) = recorded(false, |ui| {
            ui.report(&io::Error::from(ErrorKind::BrokenPipe).into());
        });
        assert_eq!(err.lines().count(), 1);
        assert_eq!(status, Status::Failed);
    }

    #[test]
    fn messages_may_be_told_while_a_line_is_written() {
        struct Talkative<'a>(&'a Ui);
        impl std::fmt::Display for Talkative<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.warning("talking");
                let _ = write!(self.0.stdout(), "first ");
                f.write_str("second")
            }
        }
        let (out, err, _) = recorded(false, |ui| writeln!(ui.stdout(), "{}", Talkative(ui)).unwrap());
        assert_eq!((out.as_str(), err.as_str()), ("first second\n", "coldcase: warning: talking\n"));
    }
}
