//! An error's advice: what to do next, apart from what went wrong.

use std::error::Error;
use std::fmt;

/// An error that carries a hint for the user.
#[derive(Debug)]
struct Hinted {
    error: anyhow::Error,
    hint: String,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Hinted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Adds hints to results.
pub trait WithHint<T> {
    /// Adds a sentence that says what to do about an error; it is shown below the error.
    ///
    /// # Errors
    /// The error itself, its text unchanged.
    fn hint(self, hint: impl fmt::Display) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithHint<T> for Result<T, E> {
    fn hint(self, hint: impl fmt::Display) -> anyhow::Result<T> {
        self.map_err(|error| Hinted { error: error.into(), hint: hint.to_string() }.into())
    }
}

/// The hints that an error and its causes carry, outermost first.
pub fn hints(error: &anyhow::Error) -> Vec<&str> {
    let mut found = Vec::new();
    let mut error = error;
    // A hinted error hides the error inside from the chain, so as not to be told twice: follow it by hand.
    loop {
        match error.chain().find_map(|cause| cause.downcast_ref::<Hinted>()) {
            Some(hinted) => {
                found.push(hinted.hint.as_str());
                error = &hinted.error;
            }
            None => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn a_hint_leaves_the_message_alone() {
        let error = Err::<(), _>(anyhow!("inner").context("outer")).hint("try --spool").unwrap_err();
        assert_eq!(format!("{error:#}"), "outer: inner");
        assert_eq!(hints(&error), ["try --spool"]);
    }

    #[test]
    fn hints_of_all_causes_are_found() {
        let inner = Err::<(), _>(anyhow!("a")).hint("first").context("b");
        let error = inner.hint("second").hint("third").unwrap_err();
        assert_eq!(format!("{error:#}"), "b: a");
        assert_eq!(hints(&error), ["third", "second", "first"]);
    }

    #[test]
    fn most_errors_have_no_hint() {
        assert!(hints(&anyhow!("a")).is_empty());
    }
}
