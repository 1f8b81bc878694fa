//! Progress on a terminal: bytes read, of how many, how fast.

use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text::Text;

/// Nothing is shown for what takes less: a bar that flashes up is noise.
const DELAY: Duration = Duration::from_millis(400);

const KNOWN: &str =
    "{prefix} [{wide_bar}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta}";
const UNKNOWN: &str = "{prefix} {spinner} {binary_bytes}, {binary_bytes_per_sec}";

/// The progress of one piece of work; its bar goes away when this is dropped.
#[derive(Debug)]
pub struct Progress {
    work: Option<Arc<Work>>,
}

#[derive(Debug)]
struct Work {
    screen: MultiProgress,
    begun: Instant,
    bar: ProgressBar,
    shown: Once,
}

impl Progress {
    /// Progress that is shown on `screen`, or on none: then nothing is shown and nothing is spent on it.
    ///
    /// The label should be short: a name that takes the whole line leaves no room for the bar.
    #[must_use]
    pub fn new(screen: Option<&MultiProgress>, label: Text) -> Self {
        Self { work: screen.map(|screen| Arc::new(Work::new(screen.clone(), &label))) }
    }

    /// A function for a library to call, from any thread, with the bytes done and their total if it is known.
    pub fn callback(&self) -> impl Fn(u64, Option<u64>) + Send + Sync + 'static {
        let work = self.work.clone();
        move |done, total| {
            if let Some(work) = work.as_deref() {
                work.advance(done, total);
            }
        }
    }
}

/// A function for a library to call that shows one piece of work after another, each with a bar of its own: a piece begins when something is done and ends when all of it is.
pub fn of_each_pass(
    screen: Option<MultiProgress>,
    label: &'static str,
) -> impl Fn(u64, Option<u64>) + Send + Sync + 'static {
    let current: Mutex<Option<Progress>> = Mutex::new(None);
    move |done, total| {
        if screen.is_none() {
            return;
        }
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if total.is_some_and(|total| done >= total) {
            *current = None;
            return;
        }
        let progress = current.get_or_insert_with(|| Progress::new(screen.as_ref(), Text::own(label)));
        if let Some(work) = progress.work.as_deref() {
            work.advance(done, total);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.bar.finish_and_clear();
        }
    }
}

impl Work {
    /// Measures from now on, so that the rate is right when it is shown at last.
    fn new(screen: MultiProgress, label: &Text) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style(UNKNOWN));
        bar.set_prefix(label.to_string());
        Self { screen, begun: Instant::now(), bar, shown: Once::new() }
    }

    fn advance(&self, done: u64, total: Option<u64>) {
        if self.bar.length() != total {
            match total {
                Some(total) => {
                    self.bar.set_style(style(KNOWN));
                    self.bar.set_length(total);
                }
                None => {
                    self.bar.set_style(style(UNKNOWN));
                    self.bar.unset_length();
                }
            }
        }
        self.bar.set_position(done);
        if !self.shown.is_completed() && self.begun.elapsed() >= DELAY {
            self.shown.call_once(|| drop(self.screen.add(self.bar.clone())));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours, and a test reads them.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden_screen() -> MultiProgress {
        MultiProgress::with_draw_target(ProgressDrawTarget::hidden())
    }

    #[test]
    fn each_pass_has_a_bar_that_goes_when_it_ends() {
        let told = of_each_pass(Some(hidden_screen()), "reading again");
        for _ in 0..2 {
            (0..=10).for_each(|done| told(done, Some(10)));
        }
        of_each_pass(None, "nothing is shown")(1, None);
    }

    #[test]
    fn templates_are_valid() {
        for template in [KNOWN, UNKNOWN] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn the_total_may_become_known_and_unknown_again() {
        let progress = Progress::new(Some(&hidden_screen()), Text::own("reading"));
        let work = progress.work.clone().unwrap();
        let callback = progress.callback();
        for total in [None, Some(100), Some(200), None] {
            callback(42, total);
            assert_eq!((work.bar.position(), work.bar.length()), (42, total));
        }
        drop(progress);
        assert!(work.bar.is_finished());
    }

    #[test]
    fn only_long_work_is_shown() {
        for (age, shown) in [(Duration::ZERO, false), (DELAY, true)] {
            let mut work = Work::new(hidden_screen(), &Text::own("reading"));
            work.begun = work.begun.checked_sub(age).unwrap();
            work.advance(1, Some(2));
            assert_eq!(work.shown.is_completed(), shown, "{age:?}");
        }
    }

    #[test]
    fn nobody_watching_costs_nothing() {
        let progress = Progress::new(None, Text::own("reading"));
        progress.callback()(1, Some(2));
        assert!(progress.work.is_none());
    }
}
