//! Tests of the whole model: on images made here, and on real checkpoints with a known truth.

mod broken;
mod compare;
mod corpus;
mod generations;
mod live;
mod made;
mod peers;
mod registers;
mod workloads;
