//! `crit decode`, `encode`, `show`, `info`, `compress`, `decompress`: the wiring. What is printed of each kind of image is
//! tested in the crate criu-images.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::archives::{testdata, unpacked};
use crate::support::program::{coldcase, coldcase_filing};

fn dump(name: &str) -> TempDir {
    unpacked(testdata(&format!("images/{name}.tar.zst")))
}

fn path(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).into_os_string().into_string().unwrap()
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
}

/// Contents by name.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let read =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    fs::read_dir(directory).unwrap().map(|entry| read(entry.unwrap())).collect()
}

#[test]
fn every_image_of_a_dump_comes_back_through_files_and_pipes() {
    let dump = dump("tree");
    let out = TempDir::new().unwrap();
    let (text, again) = (path(&out, "text.json"), path(&out, "again.img"));
    let mut images = 0;
    for (name, bytes) in files(dump.path()).into_iter().filter(|(name, _)| !name.starts_with("pages-")) {
        let image = path(&dump, &name);
        for pretty in [&[][..], &["--pretty"]] {
            let decode: Vec<&str> = [&["crit", "decode", "-i", &image, "-o", &text][..], pretty].concat();
            assert!(coldcase(&decode).run().ends_with(0).quietly().stdout.is_empty());
            coldcase(&["crit", "encode", "-i", &text, "-o", &again]).run().ends_with(0).quietly();
            assert!(fs::read(&again).unwrap() == bytes, "{name}");
        }
        let text = coldcase(&["crit", "decode"]).fed(bytes.clone()).run().ends_with(0).quietly().stdout;
        let encoded = coldcase(&["crit", "encode"]).fed(text).raw().run().ends_with(0).quietly();
        assert!(encoded.stdout == bytes, "{name}");
        images += 1;
    }
    assert!(images > 30, "only {images} images");
}

#[test]
fn standard_output_ends_with_a_line_feed_and_files_do_not() {
    let dump = dump("tree");
    let (image, file) = (path(&dump, "pstree.img"), path(&dump, "text.json"));
    coldcase(&["crit", "decode", "-i", &image, "-o", &file]).run().ends_with(0).quietly();
    let written = fs::read(&file).unwrap();
    assert!(written.ends_with(b"}"));
    for arguments in
        [&["crit", "decode", "-i", &image][..], &["crit", "show", &image], &["crit", "info", &image]]
    {
        let ran = coldcase(arguments).run().ends_with(0).quietly();
        assert!(ran.stdout.ends_with(b"}\n"), "{}", ran.told());
    }
    // A new file is one like others, and one that exists stays what it is: a link, or no file at all.
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o600, 0o600);
    assert_ne!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0);
    let link = path(&dump, "link.json");
    std::os::unix::fs::symlink("text.json", &link).unwrap();
    fs::write(&file, "old").unwrap();
    coldcase(&["crit", "decode", "-i", &image, "-o", &link]).run().ends_with(0).quietly();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&file).unwrap(), written);
    let ran = coldcase(&["crit", "decode", "-i", &image, "-o", "/dev/stdout"]).run().ends_with(0).quietly();
    assert_eq!(ran.stdout, written);
}

#[test]
fn a_damaged_image_is_printed_as_far_as_it_is_whole() {
    let dump = dump("tree");
    let (image, file) = (path(&dump, "pstree.img"), path(&dump, "text.json"));
    let mut bytes = fs::read(&image).unwrap();
    bytes.truncate(bytes.len() - 3);
    fs::write(&image, &bytes).unwrap();
    let ran = coldcase(&["crit", "decode", "-i", &image]).run().ends_with(3);
    let told = ran.messages("gap").join("\n");
    assert!(
        told.contains("pstree.img: entry 2 of PSTREE, byte ") && told.contains("(damaged or cut)"),
        "{told}"
    );
    let text = json(&ran.stdout);
    assert_eq!(text["entries"].as_array().unwrap().len(), 2);
    assert!(text["coldcase"]["damage"].as_str().unwrap().starts_with("entry 2 of PSTREE"));
    // Also into a file, which then becomes the damaged image again.
    coldcase(&["crit", "decode", "-i", &image, "-o", &file]).run().ends_with(3);
    let again = coldcase(&["crit", "encode", "-i", &file]).raw().run().ends_with(0).quietly();
    assert!(again.stdout == bytes);
    let info = coldcase(&["crit", "info", &image]).run().ends_with(3);
    assert_eq!(json(&info.stdout)["count"], 2);
    let show = coldcase(&["crit", "show", &image]).run().ends_with(3);
    assert_eq!(json(&show.stdout)["entries"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_no_image_and_no_text_of_one_is_refused() {
    let dump = dump("tree");
    let out = path(&dump, "out");
    for command in [&["crit", "decode"][..], &["crit", "decode", "-o", &out]] {
        let ran = coldcase(command).fed(b"neither an image".to_vec()).run().ends_with(2);
        assert!(
            ran.stdout.is_empty() && ran.messages("error")[0].contains("unknown magic"),
            "{}",
            ran.told()
        );
    }
    for (text, error) in [
        (&b"\x19\x43\x56\x54"[..], "no JSON: line 1, byte 0"),
        (br#"{"magic": "PSTREE", "entries": [{"pid": 1}]}"#, "pstree_entry lacks the required field ppid"),
        (br#"{"magic": "PSTREE", "entries": [{"pid": "x"}]}"#, r#"entries[0].pid: "x" is no value of it"#),
        (br#"{"magic": "NONE", "entries": []}"#, "there is no kind of image with the magic"),
        (
            br#"{"magic": null, "raw": "RULE", "entries": []}"#,
            "no image: the text describes a raw file, RULE",
        ),
    ] {
        let ran = coldcase(&["crit", "encode", "-o", &out]).fed(text.to_vec()).run().ends_with(2);
        assert!(ran.messages("error")[0].contains(error), "{}", ran.told());
        assert!(!Path::new(&out).exists(), "{}", ran.told());
    }
    coldcase(&["crit", "decode", "-i", &path(&dump, "absent.img")]).run().ends_with(2);
    coldcase(&["crit", "encode", "-o", "/nowhere/out"])
        .fed(*br#"{"magic": "PSTREE", "entries": []}"#)
        .run()
        .ends_with(2);
}

#[test]
fn ignored_keys_are_told() {
    let text =
        br#"{"magic": "PSTREE", "entries": [{"pid": 1, "ppid": 0, "pgid": 1, "sid": 1, "comm": "x"}]}"#;
    let ran = coldcase(&["crit", "encode"]).fed(*text).raw().run().ends_with(0);
    assert_eq!(ran.messages("note"), ["standard input: ignored entries[0].comm, which no field is called"]);
    coldcase(&["-q", "crit", "encode"]).fed(*text).raw().run().ends_with(0).quietly();
}

#[test]
fn images_inside_evidence_are_reached_by_name() {
    let archive = testdata("counter.tar.zst");
    let named =
        coldcase(&["crit", "decode", "-i", &format!("{archive}//checkpoint/pstree.img")]).run().ends_with(0);
    let member =
        coldcase(&["crit", "decode", "-i", &archive, "--member", "checkpoint/pstree.img"]).run().ends_with(0);
    assert_eq!(named.stdout, member.stdout);
    assert_eq!(json(&named.stdout)["magic"], "PSTREE");
}

#[test]
fn page_files_are_described_by_their_pagemap() {
    let dump = dump("compressed-region");
    let plain = unpacked(testdata("images/tree.tar.zst"));
    let shown =
        json(&coldcase(&["crit", "show", &path(&plain, "pages-3.img")]).run().ends_with(0).quietly().stdout);
    assert_eq!((&shown["magic"], &shown["raw"]), (&Value::Null, &"PAGES".into()));
    assert_eq!(
        (&shown["size"], &shown["pagemap"], &shown["page_size"]),
        (&143360.into(), &"pagemap-57.img".into(), &4096.into())
    );
    let pages: u64 =
        shown["entries"].as_array().unwrap().iter().map(|entry| entry["pages"].as_u64().unwrap()).sum();
    assert_eq!(pages, 35);
    let shown =
        json(&coldcase(&["crit", "show", &path(&dump, "pages-3.img")]).run().ends_with(0).quietly().stdout);
    let forms: Vec<_> =
        shown["entries"].as_array().unwrap().iter().map(|entry| entry["form"].as_str().unwrap()).collect();
    assert!(["plain", "zero", "lz4"].iter().all(|form| forms.contains(form)), "{forms:?}");

    // In an archive, too, and alone.
    let archive = testdata("counter.tar.zst");
    let named = coldcase(&["crit", "info", &format!("{archive}//checkpoint/pages-1.img")])
        .run()
        .ends_with(0)
        .quietly();
    assert!(json(&named.stdout)["count"].as_u64().unwrap() > 10);
    let alone = TempDir::new().unwrap();
    fs::copy(path(&plain, "pages-1.img"), path(&alone, "pages-1.img")).unwrap();
    let ran = coldcase(&["crit", "decode", "-i", &path(&alone, "pages-1.img")]).run().ends_with(0);
    assert_eq!(json(&ran.stdout)["size"], 4096);
    assert_eq!(ran.messages("note").len(), 1);
    // One that is cut is not what its pagemap says.
    let cut = fs::File::options().write(true).open(path(&plain, "pages-3.img")).unwrap();
    cut.set_len(5000).unwrap();
    coldcase(&["crit", "decode", "-i", &path(&plain, "pages-3.img")]).run().ends_with(3);
}

#[test]
fn archives_of_a_tmpfs_are_listed() {
    let dump = dump("netns");
    let image = path(&dump, "images/tmpfs-dev-32.tar.gz.img");
    let shown = json(&coldcase(&["crit", "show", &image]).run().ends_with(0).quietly().stdout);
    assert_eq!(shown["raw"], "TMPFS_DEV");
    let live = fs::read_to_string(testdata("images/netns.live.txt")).unwrap();
    let live = live.split("## tmpfs\n").nth(1).unwrap();
    let mut compared = 0;
    for entry in shown["entries"].as_array().unwrap() {
        let (path, kind) = (entry["path"].as_str().unwrap(), entry["type"].as_str().unwrap());
        let name = if path.is_empty() { ".".to_owned() } else { format!("./{path}") };
        let mode = entry["mode"].as_str().unwrap().trim_start_matches('0');
        let kind = if kind == "symlink" {
            'l'
        } else if kind == "hardlink" {
            'f'
        } else {
            kind.chars().next().unwrap()
        };
        let kind = if name == "./fifo" { 'p' } else { kind };
        let start = format!("{name} {kind} {mode} {}:{} ", entry["uid"], entry["gid"]);
        assert!(live.lines().any(|line| line.starts_with(&start)), "{start}");
        compared += 1;
    }
    assert_eq!(compared, 10);
    let bytes = fs::read(&image).unwrap();
    fs::write(&image, &bytes[..bytes.len() / 2]).unwrap();
    coldcase(&["crit", "show", &image]).run().ends_with(3);
}

#[test]
fn compressing_and_decompressing_give_back_every_file() {
    let dump = dump("tree");
    let directory = dump.path().to_str().unwrap();
    let before = files(dump.path());
    let pages = path(&dump, "pages-3.img");
    fs::set_permissions(&pages, fs::Permissions::from_mode(0o640)).unwrap();
    let time = fs::metadata(&pages).unwrap().mtime();

    let ran = coldcase(&["crit", "compress", directory]).run().ends_with(0).quietly();
    let text = ran.text();
    assert!(
        text.starts_with(&format!(
            "Compressing checkpoint in {directory}\n  pagemap-57.img: 35 pages (140K -> "
        )),
        "{text}"
    );
    assert!(text.contains("% saved)\n") && text.ends_with("\nDone\n"), "{text}");
    let packed = files(dump.path());
    for (name, bytes) in &before {
        let changes = name.starts_with("page") || name == "inventory.img";
        assert_eq!(packed[name] != *bytes, changes, "{name}");
        assert_eq!(packed.get(&format!("{name}.bak")), changes.then_some(bytes), "{name}");
    }
    let metadata = fs::metadata(&pages).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o7777, metadata.mtime()), (0o640, time));

    let ran = coldcase(&["crit", "compress", "--acceleration", "3", directory]).run().ends_with(0).quietly();
    assert_eq!(ran.text(), format!("Checkpoint in {directory} is already compressed\n"));
    // Backups are never overwritten.
    let ran = coldcase(&["crit", "decompress", directory]).run().ends_with(2);
    assert!(ran.messages("error")[0].ends_with(".bak exists and is not overwritten"), "{}", ran.told());
    assert_eq!(files(dump.path()), packed);

    let ran = coldcase(&["crit", "decompress", "--in-place", directory]).run().ends_with(0).quietly();
    assert!(ran.text().contains("K -> 140K)\n"), "{}", ran.told());
    let mut after = files(dump.path());
    after.retain(|name, _| !name.ends_with(".bak"));
    assert_eq!(after, before);
    let ran = coldcase(&["crit", "decompress", directory]).run().ends_with(0).quietly();
    assert_eq!(ran.text(), format!("Checkpoint in {directory} is not compressed\n"));
}

#[test]
fn what_crit_compressed_is_decompressed() {
    let (packed, plain) = (dump("compressed-page"), dump("tree"));
    let directory = packed.path().to_str().unwrap();
    coldcase(&["crit", "decompress", "--in-place", directory]).run().ends_with(0).quietly();
    assert!(files(packed.path()) == files(plain.path()));
}

#[test]
fn a_dump_that_does_not_fit_together_stays_as_it_is() {
    for (name, length) in [("pages-3.img", 5000), ("pages-3.img", 143361), ("pagemap-60.img", 100)] {
        let dump = dump("tree");
        fs::File::options().write(true).open(path(&dump, name)).unwrap().set_len(length).unwrap();
        let before = files(dump.path());
        for arguments in [&["--in-place"][..], &[]] {
            let ran =
                coldcase(&[&["crit", "compress"][..], arguments, &[dump.path().to_str().unwrap()]].concat())
                    .run()
                    .ends_with(2);
            assert!(ran.stderr.contains(name), "{}", ran.told());
            assert!(files(dump.path()) == before, "{name}");
        }
    }
    // A link could lead anywhere.
    let dump = dump("tree");
    let elsewhere = TempDir::new().unwrap();
    let target = path(&elsewhere, "pages");
    fs::rename(path(&dump, "pages-4.img"), &target).unwrap();
    std::os::unix::fs::symlink(&target, path(&dump, "pages-4.img")).unwrap();
    let ran = coldcase(&["crit", "compress", "--in-place", dump.path().to_str().unwrap()]).run().ends_with(2);
    assert!(ran.stderr.contains("pages-4.img is no regular file"), "{}", ran.told());
    let empty = TempDir::new().unwrap();
    coldcase(&["crit", "compress", empty.path().to_str().unwrap()]).run().ends_with(2);
}

#[test]
fn options_are_taken_as_crit_takes_them() {
    let dump = dump("tree");
    let (image, file) = (path(&dump, "pstree.img"), path(&dump, "text.json"));
    let expected = coldcase(&["crit", "show", &image]).run().ends_with(0).quietly().stdout;
    for arguments in [
        &["decode", "--p", "--i", &image][..],
        &["decode", "--pretty", "--pretty", "-i", "absent.img", "-i", &image],
        &["decode", &format!("-i={image}"), "--pret"],
        &["show", "--n", &image],
        &["show", &image, "--no"],
    ] {
        let ran = coldcase(&[&["crit"], arguments].concat()).run().ends_with(0).quietly();
        assert!(ran.stdout == expected, "{}", ran.told());
    }
    coldcase(&["crit", "decode", "--i", &image, "--o", &file]).run().ends_with(0).quietly();
    assert!(fs::read(&file).unwrap().starts_with(b"{\"magic\": \"PSTREE\""));
    // A name that a script left empty is none: it does not stand for standard input, as it does to crit.
    for option in ["-i", "-o"] {
        coldcase(&["crit", "decode", option, ""]).fed(fs::read(&image).unwrap()).run().ends_with(2);
    }
}

#[test]
fn errors_name_the_file() {
    let dump = dump("tree");
    let (image, broken) = (path(&dump, "pstree.img"), path(&dump, "broken.img"));
    for contents in [&b""[..], b"abc", b"no image"] {
        fs::write(&broken, contents).unwrap();
        for arguments in [&["decode", "-i", &broken][..], &["show", &broken], &["info", &broken]] {
            let ran = coldcase(&[&["crit"], arguments].concat()).run().ends_with(2);
            assert!(ran.messages("error")[0].starts_with(&format!("{broken}: ")), "{}", ran.told());
        }
    }
    let ran = coldcase(&["crit", "decode"]).fed(*b"abc").run().ends_with(2);
    assert!(ran.messages("error")[0].starts_with("standard input: "), "{}", ran.told());
    let text = coldcase(&["crit", "decode", "-i", &image]).run().ends_with(0).stdout;
    for (action, input) in [("decode", fs::read(&image).unwrap()), ("encode", text)] {
        let ran = coldcase(&["crit", action, "-o", "/dev/full"]).fed(input).run().ends_with(2);
        assert!(ran.messages("error")[0].contains("writing to /dev/full: "), "{}", ran.told());
    }
}

#[test]
fn an_output_file_stays_what_it_is() {
    let dump = dump("tree");
    let image = path(&dump, "pstree.img");
    let text = coldcase(&["crit", "decode", "-i", &image]).run().ends_with(0).stdout;
    let text = text.strip_suffix(b"\n").unwrap();
    let private = path(&dump, "private.json");
    fs::write(&private, "old").unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
    coldcase(&["crit", "decode", "-i", &image, "-o", &private]).run().ends_with(0).quietly();
    assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(fs::read(&private).unwrap() == text);
    // A link to a file that is to be made, by way of another link.
    let [link, further, made] = ["link", "further", "made"].map(|name| path(&dump, name));
    std::os::unix::fs::symlink("further", &link).unwrap();
    std::os::unix::fs::symlink(&made, &further).unwrap();
    coldcase(&["crit", "decode", "-i", &image, "-o", &link]).run().ends_with(0).quietly();
    assert!([&link, &further].iter().all(|link| fs::symlink_metadata(link).unwrap().is_symlink()));
    assert!(fs::read(&made).unwrap() == text);
    std::os::unix::fs::symlink("circle", path(&dump, "circle")).unwrap();
    coldcase(&["crit", "decode", "-i", &image, "-o", &path(&dump, "circle")]).run().ends_with(2);
    // An image may be replaced by its own text.
    coldcase(&["crit", "decode", "-i", &image, "-o", &image]).run().ends_with(0).quietly();
    assert!(fs::read(&image).unwrap() == text);
}

#[test]
fn a_file_that_cannot_be_written_to_its_end_leaves_nothing_behind() {
    let dump = dump("tree");
    let before = files(dump.path());
    let directory = dump.path().to_str().unwrap();
    let [image, text, out] = ["files.img", "text.json", "out"].map(|name| path(&dump, name));
    coldcase(&["crit", "decode", "-i", &image, "-o", &text]).run().ends_with(0).quietly();
    for arguments in [
        &["decode", "-i", &image, "-o", &text][..],
        &["decode", "-i", &image, "-o", &out],
        &["encode", "-i", &text, "-o", &out],
        &["compress", directory],
        &["compress", "--in-place", directory],
    ] {
        let here = files(dump.path());
        let ran = coldcase_filing(512, &[&["crit"], arguments].concat()).raw().run().ends_with(2);
        assert!(ran.messages("error")[0].contains("File too large"), "{}", ran.told());
        assert!(files(dump.path()) == here, "{}", ran.told());
    }
    fs::remove_file(&text).unwrap();
    assert!(files(dump.path()) == before);
}

#[test]
fn of_several_pagemaps_the_one_that_fits_describes_the_pages() {
    let dump = dump("tree");
    let pages = path(&dump, "pages-3.img");
    let expected = coldcase(&["crit", "show", &pages]).run().ends_with(0).quietly().stdout;
    // Left behind by an older dump into the same directory, and first by name.
    let text = coldcase(&["crit", "decode", "-i", &path(&dump, "pagemap-57.img")]).run().ends_with(0);
    let mut text = json(&text.stdout);
    text["entries"].as_array_mut().unwrap().pop().unwrap();
    let encode = ["crit", "encode", "-o", &path(&dump, "pagemap-5.img")];
    coldcase(&encode).fed(text.to_string()).run().ends_with(0).quietly();
    assert!(coldcase(&["crit", "show", &pages]).run().ends_with(0).quietly().stdout == expected);
}

#[test]
fn x_has_the_gaps_of_its_table_alone() {
    // An image that is cut, and the tables that rest on it.
    for (image, resting) in [
        ("pagemap-57.img", &["rss"][..]),
        ("mm-57.img", &["mems", "rss"]),
        ("files.img", &["fds", "mems", "rss"]),
        ("fdinfo-2.img", &["fds"]),
        ("inventory.img", &[]),
        ("pstree.img", &["ps", "fds", "mems", "rss"]),
    ] {
        let dump = dump("tree");
        let cut = fs::File::options().write(true).open(path(&dump, image)).unwrap();
        cut.set_len(cut.metadata().unwrap().len() - 3).unwrap();
        for table in ["ps", "fds", "mems", "rss"] {
            let status = if resting.contains(&table) { 3 } else { 0 };
            let ran =
                coldcase(&["crit", "x", dump.path().to_str().unwrap(), table]).raw().run().ends_with(status);
            let gaps = ran.messages("gap");
            assert_eq!(gaps.iter().any(|gap| gap.contains(image)), status == 3, "{}", ran.told());
            assert_eq!(gaps.is_empty(), status == 0, "{}", ran.told());
        }
    }
}
