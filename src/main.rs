//! The forensic toolkit for container checkpoints.

fn main() {}
