//! Questions to a container checkpoint: search, cores, file system changes.
