//! `crit x`: crit's own text wherever crit is right, and what is true elsewhere.

#![allow(clippy::unwrap_used, missing_docs)] // a failure fails the test

mod corpus;
mod damage;
mod differences;
mod evidence;
mod goldens;
