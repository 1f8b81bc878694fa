//! Small steps between fields: follow one, take the first of several, see whether several agree.

use std::cell::RefCell;
use std::fmt;

use super::json::short;
use crate::gap::{Field, Findings};

/// Goes on with a known value; a reason for absence stays as it is.
pub(super) fn then<T, U>(field: Field<T>, f: impl FnOnce(T) -> Field<U>) -> Field<U> {
    match field {
        Field::Known(value) => f(value),
        Field::NotCaptured => Field::NotCaptured,
        Field::Unreadable(why) => Field::Unreadable(why),
        Field::Unparsable(why) => Field::Unparsable(why),
        Field::NotApplicable => Field::NotApplicable,
    }
}

/// The first known field of several sources; if none is, the first that says more than "not captured".
pub(super) fn first<T>(fields: impl IntoIterator<Item = Field<T>>) -> Field<T> {
    let mut reason = Field::NotCaptured;
    for field in fields {
        match field {
            Field::Known(_) => return field,
            Field::NotCaptured => {}
            other if matches!(reason, Field::NotCaptured) => reason = other,
            _ => {}
        }
    }
    reason
}

/// The value alone, where the reason for its absence does not matter.
pub(super) fn value<T>(field: Field<T>) -> Option<T> {
    match field {
        Field::Known(value) => Some(value),
        _ => None,
    }
}

/// The first known field of several places, each named; a note if two of them differ.
///
/// Places come in the order of trust: what the engine wrote by itself before what a user can set.
pub(super) fn agree<T: PartialEq + fmt::Display>(
    findings: &RefCell<Findings>,
    what: &str,
    places: Vec<(&str, Field<T>)>,
) -> Field<T> {
    if let Some((trusted_place, trusted)) = places.iter().find_map(|(place, f)| Some((*place, f.known()?))) {
        for (place, value) in places.iter().filter_map(|(place, f)| Some((*place, f.known()?))) {
            if value != trusted {
                disagreement(&mut findings.borrow_mut(), what, (trusted_place, trusted), (place, value));
            }
        }
    }
    first(places.into_iter().map(|(_, field)| field))
}

/// Notes that two places name different values.
pub(super) fn disagreement(
    findings: &mut Findings,
    what: &str,
    (trusted_place, trusted): (&str, &dyn fmt::Display),
    (place, value): (&str, &dyn fmt::Display),
) {
    findings.note(
        format!("{what}: two answers"),
        place,
        format!(
            "{} here, {} in {trusted_place}: one of them was altered, or belongs to another container",
            short(&value.to_string()),
            short(&trusted.to_string())
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_wins_and_else_the_first_reason() {
        assert_eq!(first([Field::NotCaptured, Field::Known(1), Field::Known(2)]), Field::Known(1));
        let cut = || Field::<u8>::Unreadable("cut".to_owned());
        assert_eq!(first([Field::NotCaptured, cut(), Field::Unparsable("x".to_owned())]), cut());
        assert_eq!(first::<u8>([]), Field::NotCaptured);
        assert_eq!(first([cut(), Field::Known(1)]), Field::Known(1));
    }

    #[test]
    fn disagreement_is_noted_and_the_trusted_place_wins() {
        let findings = RefCell::default();
        let places = vec![("a", Field::NotCaptured), ("b", Field::Known("x")), ("c", Field::Known("y"))];
        assert_eq!(agree(&findings, "container name", places), Field::Known("x"));
        let findings = findings.into_inner();
        assert_eq!(findings.notes.len(), 1);
        assert_eq!(findings.notes[0].place, "c");

        let findings = RefCell::default();
        let places = vec![("a", Field::Known("x")), ("b", Field::NotCaptured), ("c", Field::Known("x"))];
        assert_eq!(agree(&findings, "container name", places), Field::Known("x"));
        assert!(findings.into_inner().notes.is_empty());
    }
}
