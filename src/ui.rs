//! What the program says: the result on standard output, everything else (`messages`) on standard error.

mod messages;

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::MultiProgress;
use serde::Serialize;

use crate::cli::GlobalOptions;
use crate::exit::{Answer, Outcome, Status};
use crate::present::json;
use crate::present::progress::{Progress, of_each_pass};
use crate::present::sink::Sink;
use crate::present::style::Palette;
use crate::present::table::{Column, Rows, Table, write_long};
use crate::present::terminal;
use crate::present::text::Text;
use crate::present::time::Clock;
use crate::present::tree::Tree;

/// The program's voice, and its memory of how things went.
///
/// All methods take `&self`, so that the sinks given to libraries may use it. No method keeps a lock while it runs code
/// of others.
pub struct Ui {
    program: &'static str,
    quiet: bool,
    out: Mutex<Sink>,
    out_is_terminal: bool,
    width: Option<usize>,
    palette: Palette,
    err: Mutex<Box<dyn Write + Send>>,
    err_palette: Palette,
    screen: Option<MultiProgress>,
    clock: Clock,
    outcome: Mutex<Outcome>,
    gaps: Mutex<u64>,
}

impl Ui {
    /// Speaks as `program` on the standard streams.
    #[must_use]
    pub fn new(program: &'static str, options: &GlobalOptions) -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let wants_progress = stderr.is_terminal() && !options.quiet && !options.no_progress;
        let screen = wants_progress.then(MultiProgress::new);
        let out_is_terminal = stdout.is_terminal();
        // A stream of our own: the standard library's looks for line feeds in all that passes, also in a core of 10 GB.
        let stream: Box<dyn Write + Send> = match stdout.as_fd().try_clone_to_owned() {
            Ok(descriptor) => Box::new(File::from(descriptor)),
            Err(_) => Box::new(io::stdout()),
        };
        Self {
            program,
            quiet: options.quiet,
            out: Mutex::new(Sink::new(stream, out_is_terminal, screen.as_ref())),
            out_is_terminal,
            width: terminal::width(&stdout),
            palette: Palette::for_stream(options.color, &stdout),
            err_palette: Palette::for_stream(options.color, &stderr),
            err: Mutex::new(Box::new(stderr)),
            screen,
            clock: Clock::new(options.utc),
            outcome: Mutex::default(),
            gaps: Mutex::default(),
        }
    }

    /// The result's stream, for text that was made safe and for raw bytes that the user asked for.
    pub fn stdout(&self) -> Stdout<'_> {
        Stdout { ui: self }
    }

    /// Whether the result goes to a terminal: no place for raw bytes.
    #[must_use]
    pub fn stdout_is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// How many columns the result may take; `None` where lines may be long.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// How times are shown.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Writes a line of the result.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn line(&self, text: impl Into<Text>) -> io::Result<()> {
        writeln!(self.stdout(), "{}", text.into())
    }

    /// Writes a table, fitted to the terminal if there is one.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn table<const N: usize>(&self, table: &Table<N>) -> io::Result<()> {
        table.write_to(&mut self.stdout(), self.width, &self.palette)
    }

    /// Writes a table that may have too many rows to be kept: where they are many, `rows` is asked for them twice. None is written for no row.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn long_table<const N: usize>(&self, columns: [Column; N], rows: Rows<'_, N>) -> io::Result<()> {
        write_long(columns, rows, &mut self.stdout(), self.width, &self.palette)
    }

    /// Writes a tree.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn tree(&self, tree: &Tree) -> io::Result<()> {
        tree.write_to(&mut self.stdout(), &self.palette)
    }

    /// Writes a JSON document.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn json(&self, document: &impl Serialize) -> io::Result<()> {
        json::write_pretty(&mut self.stdout(), document)
    }

    /// Shows how far a piece of work has come, until the value is dropped.
    #[must_use]
    pub fn progress(&self, label: impl Into<Text>) -> Progress {
        Progress::new(self.screen.as_ref(), label.into())
    }

    /// Progress of passes over evidence that was opened before.
    pub fn progress_of_passes(&self) -> impl Fn(u64, Option<u64>) + Send + Sync + 'static {
        of_each_pass(self.screen.clone(), "reading again")
    }

    /// Remembers the answer for the exit status.
    pub fn answer(&self, answer: Answer) {
        lock(&self.outcome).answer(answer);
    }

    /// Ends: sends what is still buffered, tells what was left untold, and decides the exit status.
    #[must_use]
    pub fn finish(self) -> Status {
        let (flushed, closed) = {
            let mut out = lock(&self.out);
            // An earlier failure was reported when it happened.
            let flushed = if out.has_ended() { Ok(()) } else { out.flush() };
            (flushed, out.is_closed())
        };
        if let Err(error) = flushed
            && !closed
        {
            self.error(Text::own(error));
        }
        self.tell_of_untold_gaps();
        let outcome = *lock(&self.outcome);
        outcome.status()
    }
}

impl std::fmt::Debug for Ui {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ui")
            .field("program", &self.program)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// Standard output as a writer; locked for each call only, so that messages may be told between two.
#[derive(Clone, Copy, Debug)]
pub struct Stdout<'a> {
    ui: &'a Ui,
}

impl Write for Stdout<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.ui.out).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        lock(&self.ui.out).flush()
    }

    fn write_fmt(&mut self, arguments: std::fmt::Arguments<'_>) -> io::Result<()> {
        // Formatted first: arguments may speak themselves, and a line reaches the buffer in one piece.
        self.write_all(arguments.to_string().as_bytes())
    }
}

/// A lock that a panicking thread left behind still guards sound values here.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::ErrorKind;
    use std::sync::Arc;

    use anyhow::Context as _;
    use serde_json::json;

    use super::*;
    use crate::present::cell::Cell;

    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<u8>>>, Option<ErrorKind>);

    impl Recorder {
        fn text(&self) -> String {
            String::from_utf8(lock(&self.0).clone()).unwrap()
        }
    }

    impl Write for Recorder {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(kind) = self.1 {
                return Err(kind.into());
            }
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ui(out: &Recorder, err: &Recorder, quiet: bool) -> Ui {
        Ui {
            program: "coldcase",
            quiet,
            out: Mutex::new(Sink::new(Box::new(out.clone()), false, None)),
            out_is_terminal: false,
            width: None,
            palette: Palette::default(),
            err: Mutex::new(Box::new(err.clone())),
            err_palette: Palette::default(),
            screen: None,
            clock: Clock::new(true),
            outcome: Mutex::default(),
            gaps: Mutex::default(),
        }
    }

    pub(in crate::ui) fn recorded(quiet: bool, speak: impl FnOnce(&Ui)) -> (String, String, Status) {
        let (out, err) = (Recorder::default(), Recorder::default());
        let ui = ui(&out, &err, quiet);
        speak(&ui);
        let status = ui.finish();
        (out.text(), err.text(), status)
    }

    #[test]
    fn results_and_messages_go_separate_ways() {
        let (out, err, status) = recorded(false, |ui| {
            ui.note("n");
            ui.warning(Text::evidence(b"\x1b[2J"));
            ui.hint("h");
            ui.line("result").unwrap();
            ui.tree(&Tree::new("root")).unwrap();
            ui.json(&json!({})).unwrap();
            let mut table = Table::new([Column::whole("PID")]);
            table.row([Cell::own(1)]);
            ui.table(&table).unwrap();
        });
        assert_eq!(out, "result\nroot\n{}\nPID\n---\n1\n");
        assert_eq!(err, "coldcase: note: n\ncoldcase: warning: \\x1b[2J\nhint: h\n");
        assert_eq!(status, Status::Yes);
    }

    fn ended_with(kind: ErrorKind) -> (String, Status) {
        let (out, err) = (Recorder(Arc::default(), Some(kind)), Recorder::default());
        let ui = ui(&out, &err, false);
        ui.answer(Answer::Found);
        let result = (|| -> anyhow::Result<()> {
            ui.stdout().write_all(&[b'x'; 100_000]).context("writing matches")?;
            Ok(())
        })();
        ui.report(&result.unwrap_err());
        let status = ui.finish();
        (err.text(), status)
    }

    #[test]
    fn a_reader_who_went_away_is_no_error() {
        assert_eq!(ended_with(ErrorKind::BrokenPipe), (String::new(), Status::Yes));
    }

    #[test]
    fn a_full_disk_is_told_once() {
        let (err, status) = ended_with(ErrorKind::StorageFull);
        assert!(err.starts_with("coldcase: error: writing matches: writing to standard output: "), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert_eq!(status, Status::Failed);
    }

    #[test]
    fn a_failure_at_the_very_end_is_noticed() {
        for (kind, lines, expected) in
            [(ErrorKind::BrokenPipe, 0, Status::Yes), (ErrorKind::StorageFull, 1, Status::Failed)]
        {
            let (out, err) = (Recorder(Arc::default(), Some(kind)), Recorder::default());
            let ui = ui(&out, &err, false);
            ui.line("short").unwrap();
            assert_eq!(ui.finish(), expected);
            assert_eq!(err.text().lines().count(), lines);
        }
    }

    #[test]
    fn the_voice_may_be_used_from_every_thread() {
        fn shared<T: Send + Sync>() {}
        shared::<Ui>();
    }
}
