//! Evidence that somebody made to deceive: no byte may be shown that the dump does not hold, and nothing may take time or memory out of
//! proportion.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod asked;
mod bounds;
mod documents;
mod inner;
mod links;
mod made;
mod pages;
mod parents;
mod sparse;
mod zeros;
