//! The exit status: decided here and nowhere else.
//!
//! | status | when |
//! |---|---|
//! | 0 | done; found |
//! | 1 | not found |
//! | 2 | could not do it: usage, or some evidence could not be read at all (the rest is still answered) |
//! | 3 | a complete or a negative answer that has gaps |
//!
//! A positive answer (found) stays true whatever is missing, and wins over 3. 2 wins over all.

use std::process::ExitCode;

/// What a command has to say about its question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It did or showed what it was asked to; there was nothing to decide.
    #[default]
    Done,
    /// A search found something.
    Found,
    /// A search found nothing.
    NotFound,
}

impl Answer {
    /// The status that stands for it, and whether missing evidence leaves it true.
    const fn row(self) -> (Status, bool) {
        match self {
            Self::Done => (Status::Yes, false),
            Self::Found => (Status::Yes, true),
            Self::NotFound => (Status::No, false),
        }
    }

    const fn is_positive(self) -> bool {
        self.row().1
    }
}

/// The four statuses; `as u8` gives the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done, found.
    Yes = 0,
    /// Not found.
    No = 1,
    /// Something could not be done at all.
    Failed = 2,
    /// The answer has gaps.
    Gaps = 3,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// Everything that bears on the status, collected while a command runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    answer: Answer,
    gaps: bool,
    failed: bool,
}

impl Outcome {
    /// Takes an answer; of several, for several pieces of evidence, a positive one stays.
    pub fn answer(&mut self, answer: Answer) {
        if !self.answer.is_positive() && answer != Answer::Done {
            self.answer = answer;
        }
    }

    /// Something that the evidence names isn't there.
    pub fn gap(&mut self) {
        self.gaps = true;
    }

    /// Something could not be done.
    pub fn failure(&mut self) {
        self.failed = true;
    }

    /// The status that all of it comes to.
    #[must_use]
    pub fn status(&self) -> Status {
        let (status, stays_true) = self.answer.row();
        match self {
            Self { failed: true, .. } => Status::Failed,
            Self { gaps: true, .. } if !stays_true => Status::Gaps,
            _ => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(answers: &[Answer], gaps: bool, failed: bool) -> u8 {
        let mut outcome = Outcome::default();
        if gaps {
            outcome.gap();
        }
        for &answer in answers {
            outcome.answer(answer);
        }
        if failed {
            outcome.failure();
        }
        outcome.status() as u8
    }

    #[test]
    fn the_table_holds() {
        use Answer::*;
        // answer, status, status with gaps
        let table = [(Done, 0, 3), (Found, 0, 0), (NotFound, 1, 3)];
        for (answer, complete, with_gaps) in table {
            assert_eq!(status(&[answer], false, false), complete, "{answer:?}");
            assert_eq!(status(&[answer], true, false), with_gaps, "{answer:?} with gaps");
            assert_eq!(status(&[answer], false, true), 2, "{answer:?}, failed");
            assert_eq!(status(&[answer], true, true), 2, "{answer:?} with gaps, failed");
        }
    }

    #[test]
    fn of_several_answers_a_positive_one_stays() {
        use Answer::*;
        assert_eq!(status(&[NotFound, Found, NotFound], true, false), 0);
        assert_eq!(status(&[NotFound, Done], false, false), 1);
        assert_eq!(status(&[], false, false), 0);
    }
}
