//! `coldcase modules` and `coldcase gdb`.

use std::process::Command;

use serde_json::Value;

use crate::support::archives::{corpus, testdata};
use crate::support::program::coldcase;

#[test]
fn modules_have_the_build_ids_that_criu_recorded() {
    let ran = coldcase(&["modules", "--format=json", &testdata("counter.tar.zst")]).run().ends_with(0);
    let documents = ran.documents();
    let processes = documents[0]["processes"].as_array().unwrap();
    let names: Vec<&str> = processes.iter().map(|process| process["command"].as_str().unwrap()).collect();
    assert_eq!(names, ["bash", "counter.py", "tee"]);
    let modules = processes[2]["modules"].as_array().unwrap();
    let tee = &modules[0];
    // As readelf(1) prints it of the file in the image that the container ran.
    assert_eq!(tee["build_id"], "ed29420cf113ece75edf166d38b52286cc4ac2f2");
    assert_eq!(tee["debuginfod"]["debuginfo"], "/buildid/ed29420cf113ece75edf166d38b52286cc4ac2f2/debuginfo");
    assert_eq!(
        (&tee["main"], &tee["executed"], &tee["deleted"]),
        (&true.into(), &true.into(), &false.into())
    );
    let starts: Vec<&str> = modules.iter().map(|module| module["start"].as_str().unwrap()).collect();
    assert!(starts.is_sorted() && starts.len() == 3, "{starts:?}");
}

/// What runs from no file that anybody can find is what an analyst looks for first.
#[test]
fn deleted_executables_are_told() {
    let kitchen = testdata("kitchen.tar.zst");
    let ran = coldcase(&["modules", "--format=json", "-p40", &kitchen]).run().ends_with(0);
    let module = &ran.documents()[0]["processes"][0]["modules"][0];
    assert_eq!((&module["name"], &module["deleted"]), (&"/tmp/ghost-exe (deleted)".into(), &true.into()));
    let ran = coldcase(&["modules", "--format=json", "-p4000", &kitchen]).run().ends_with(3);
    assert_eq!(ran.documents()[0]["gaps"].as_array().map(Vec::len), Some(1), "{}", ran.told());
}

#[test]
fn a_program_that_runs_from_memory_alone_is_told() {
    let Some(corpus) = corpus() else { return };
    let compromised = corpus.join("checkpoints/compromised.tar.zst");
    let ran = coldcase(&["modules", compromised.to_str().unwrap()]).run().ends_with(0);
    assert!(ran.text().contains("/memfd:") && ran.text().contains(" (deleted)"), "{}", ran.told());
}

#[test]
fn gdb_is_started_on_a_core_that_goes_when_it_ends() {
    if Command::new("gdb").arg("--version").output().is_err() {
        println!("skipped: no gdb");
        return;
    }
    let directory = tempfile::TempDir::new().unwrap();
    let tiny = testdata("tiny.tar");
    let ran = coldcase(&["gdb", &tiny, "--batch", "-x", "info threads", "-x", "x/s $sp"])
        .environment("TMPDIR", directory.path().to_str().unwrap())
        .raw()
        .run()
        .ends_with(0);
    assert!(String::from_utf8_lossy(&ran.stdout).contains("* 1 "), "{}", ran.told());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    let kept = directory.path().join("kept");
    coldcase(&["gdb", &tiny, "--batch", "-o", kept.to_str().unwrap()]).raw().run().ends_with(0);
    let mut names: Vec<_> = std::fs::read_dir(&kept)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["core.1", "core.1.gdb", "core.1.json"]);
    let ran = coldcase(&["gdb", &tiny, "--gdb", "no-such-debugger"]).run().ends_with(2);
    assert!(ran.messages("error")[0].contains("no-such-debugger"), "{}", ran.told());
    let _: Value = serde_json::from_slice(&std::fs::read(kept.join("core.1.json")).unwrap()).unwrap();
}
