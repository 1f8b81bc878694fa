//! Which engine wrote a checkpoint, and what its metadata files say.
