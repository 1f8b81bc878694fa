//! End to end: what the program promises, shown on the binary with real checkpoints.
//!
//! Truth was taken from the running systems (testdata/README.md). Tests stand on testdata/ alone; with COLDCASE_CORPUS
//! naming a larger corpus they look at that too, without it they say "skipped: no corpus".

// Helpers outside of test functions may fail loudly, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod aarch64;
mod beside_cores;
mod coredump;
mod crit;
mod crit_images;
mod damage;
mod exit_status;
mod filling;
mod generations;
mod grep;
mod grep_everywhere;
mod grep_matches;
mod guide;
mod hostile;
mod hostile_archives;
mod hostile_images;
mod inspect;
mod json_contract;
mod list;
mod maps;
mod memory_bound;
mod memparse;
mod modules;
mod naming;
mod packed;
mod peer;
mod recover;
mod rootfs;
mod show;
mod streaming;
mod strings;
mod support;
mod unpack;
mod workloads;

/// One executable, one file a command: a file that is not listed above would silently not run.
#[test]
fn no_test_file_is_forgotten() {
    let source = include_str!("main.rs");
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for entry in std::fs::read_dir(tests).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        assert!(module == "main" || source.contains(&format!("\nmod {module};\n")), "{name} is in no `mod`");
    }
}
