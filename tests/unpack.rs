//! `coldcase unpack`: the plain archive inside a packed one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use checkpoint_builder::{Archive, Packing, Worker};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::archives::{plain, testdata, unpacked};
use crate::support::program::{Ran, coldcase};

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unpack(evidence: &str, output: &Path, more: &[&str]) -> Ran {
    coldcase(&[&["unpack", evidence, "-o", output.to_str().unwrap()], more].concat()).run()
}

#[test]
fn the_plain_archive_has_the_same_bytes_and_both_hashes_are_told() {
    let directory = TempDir::new().unwrap();
    for name in ["counter.tar.zst", "tiny.tar.gz", "tiny.tar.xz", "checkpoint-image.oci.tar.zst"] {
        let (packed, output) = (testdata(name), directory.path().join(name));
        let ran = unpack(&packed, &output, &[]).ends_with(0);
        let bytes = fs::read(&output).unwrap();
        assert!(bytes == plain(&packed), "{name}");
        let expected = format!(
            "{}  {packed}\n{}  {}\n",
            hash(&fs::read(&packed).unwrap()),
            hash(&bytes),
            output.display()
        );
        assert_eq!(ran.text(), expected);
        assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // The same dump in other packings.
    for name in ["tiny.tar.bz2", "tiny.tar.lz4"] {
        let output = directory.path().join(name);
        unpack(&testdata(name), &output, &[]).ends_with(0);
        assert!(fs::read(&output).unwrap() == fs::read(testdata("tiny.tar")).unwrap(), "{name}");
    }
}

#[test]
fn it_answers_as_the_packed_one_does() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("plain.tar");
    let packed = testdata("counter.tar.zst");
    unpack(&packed, &output, &[]).ends_with(0);
    let ask = |evidence: &str| {
        coldcase(&["inspect", "--all", "--format=json", evidence]).run().text().replace(evidence, "-")
    };
    assert!(ask(&packed) == ask(output.to_str().unwrap()));
}

#[test]
fn it_goes_to_standard_output_too() {
    let packed = testdata("tiny.tar.gz");
    let ran = coldcase(&["unpack", &packed, "-o", "-"]).raw().run().ends_with(0);
    assert!(ran.stdout == plain(&packed));
    let hashes = ran.messages("note");
    assert!(hashes[0].contains(&hash(&fs::read(&packed).unwrap())), "{hashes:?}");
    assert!(hashes[1].contains(&hash(&ran.stdout)), "{hashes:?}");
    // From a pipe, and a plain one is worth keeping then.
    for evidence in [packed, testdata("tiny.tar")] {
        let ran =
            coldcase(&["unpack", "-", "-o", "-"]).fed(fs::read(&evidence).unwrap()).raw().run().ends_with(0);
        assert!(ran.stdout == plain(&evidence));
    }
}

#[test]
fn nothing_is_overwritten_unasked() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("x.tar");
    fs::write(&output, "precious").unwrap();
    let packed = testdata("tiny.tar.gz");
    unpack(&packed, &output, &[]).ends_with(2);
    assert_eq!(fs::read(&output).unwrap(), b"precious");
    unpack(&packed, &output, &["--force"]).ends_with(0);
    assert!(fs::read(&output).unwrap() == plain(&packed));
    // Evidence least of all.
    let evidence = directory.path().join("tiny.tar.gz");
    fs::copy(&packed, &evidence).unwrap();
    unpack(evidence.to_str().unwrap(), &evidence, &["--force"]).ends_with(2);
    assert!(fs::read(&evidence).unwrap() == fs::read(&packed).unwrap());
}

#[test]
fn what_is_not_packed_is_refused() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("x.tar");
    let folder = unpacked(testdata("tiny.tar"));
    let text = directory.path().join("text.gz");
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&text).unwrap(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &[b'x'; 5000]).unwrap();
    encoder.finish().unwrap();
    for (evidence, why) in [
        (testdata("tiny.tar"), "plain archive"),
        (folder.path().to_str().unwrap().to_owned(), "directory"),
        (text.to_str().unwrap().to_owned(), "not a checkpoint"),
        ("/nonexistent".to_owned(), "cannot open"),
    ] {
        let ran = unpack(&evidence, &output, &[]).ends_with(2);
        assert!(ran.stderr.contains(why), "{}", ran.told());
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_damaged_archive_is_not_half_written() {
    let directory = TempDir::new().unwrap();
    let (cut, output) = (directory.path().join("cut.tar.zst"), directory.path().join("x.tar"));
    for (name, keep) in [("counter.tar.zst", 1_000_000), ("tiny.tar.gz", 20_000), ("tiny.tar.xz", 200)] {
        let mut bytes = fs::read(testdata(name)).unwrap();
        bytes.truncate(keep);
        fs::write(&cut, &bytes).unwrap();
        let ran = unpack(cut.to_str().unwrap(), &output, &[]).ends_with(2);
        assert!(ran.stderr.contains("cut short or damaged"), "{}", ran.told());
        assert!(ran.stderr.contains("hint: --partial"), "{}", ran.told());
        assert!(!output.exists() && ran.stderr.contains("nothing is written"), "{}", ran.told());
        // What went to a pipe can't be taken back.
        let ran = coldcase(&["unpack", "-o", "-", cut.to_str().unwrap()]).raw().run().ends_with(2);
        assert!(ran.stderr.contains("what was written is not whole"), "{}", ran.told());
    }
    // What stands behind the packed data is said, not swallowed.
    let mut bytes = fs::read(testdata("tiny.tar.bz2")).unwrap();
    bytes.extend_from_slice(b"hidden");
    fs::write(&cut, &bytes).unwrap();
    let ran = unpack(cut.to_str().unwrap(), &output, &[]);
    assert!(ran.status == 2 || ran.stderr.contains("behind the compressed data"), "{}", ran.told());
}

/// A member of noise makes an archive so large that unpacking it twice is worth a word.
fn large_archive(directory: &Path) -> String {
    let mut tar = tar::Builder::new(plain_without_end(&testdata("pre-checkpoint.tar.zst")));
    let mut state = 1u64;
    let noise: Vec<u8> = (0..9 << 20)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect();
    let mut header = tar::Header::new_gnu();
    header.set_size(noise.len() as u64);
    header.set_mode(0o600);
    tar.append_data(&mut header, "ctr.log.1", noise.as_slice()).unwrap();
    let path = directory.join("large.tar.gz");
    let file = fs::File::create(&path).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &tar.into_inner().unwrap()).unwrap();
    encoder.finish().unwrap();
    path.to_str().unwrap().to_owned()
}

fn plain_without_end(archive: &str) -> Vec<u8> {
    let mut bytes = plain(archive);
    // The last member may end in zeros, as does the archive.
    let mut archive = tar::Archive::new(bytes.as_slice());
    let ends = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.raw_file_position() + entry.size()).next_multiple_of(512)
    });
    let end = ends.max().unwrap() as usize;
    bytes.truncate(end);
    bytes
}

#[test]
fn a_second_pass_over_a_large_archive_is_said() {
    let directory = TempDir::new().unwrap();
    let large = large_archive(directory.path());
    let hint = "hint: `coldcase unpack` once makes further questions fast";
    let twice = ["memparse", "-p", "1", "--range", "4ae000-4ae010", &large];
    let ran = coldcase(&twice).run().ends_with(0);
    assert!(ran.text().contains("NEEDLE_PRE_STAYS") && ran.stderr.contains(hint), "{}", ran.told());
    assert!(!coldcase(&[&twice[..], &["-q"]].concat()).run().stderr.contains("hint"));
    assert!(!coldcase(&["grep", "-c", "NEEDLE", &large]).run().stderr.contains("hint"), "one pass is enough");
    let small = testdata("pre-checkpoint.tar.zst");
    assert!(
        !coldcase(&["memparse", "-p", "1", "--range", "4ae000-4ae010", &small]).run().stderr.contains("hint")
    );
}

/// With `--partial` what stands before the damage is written as it is, and what is missing is told.
#[test]
fn what_stands_before_the_damage_can_be_had() {
    let directory = TempDir::new().unwrap();
    let place = |name: &str| directory.path().join(name);
    let checkpoint = Worker { memory: 12 << 20, ..Worker::default() }.checkpoint();
    let whole = Archive::podman(&checkpoint).write(Vec::new()).unwrap();
    for packing in Packing::ALL.into_iter().filter(|packing| *packing != Packing::Plain) {
        let packed = Archive::podman(&checkpoint).write_packed(packing, Vec::new()).unwrap();
        let (evidence, output) = (place("damaged"), place("part.tar"));
        let middle = packed.len() / 2;
        let cut = packed[..middle].to_vec();
        let mut broken = packed.clone();
        broken[middle..middle + 4096].fill(0xee);
        // Zstandard and LZ4 were told to write no checksums.
        let is_checked = matches!(packing, Packing::Gzip | Packing::Xz | Packing::Bzip2);
        let damaged = [("cut", cut)].into_iter().chain(is_checked.then_some(("broken", broken)));
        for (damage, bytes) in damaged {
            fs::write(&evidence, &bytes).unwrap();
            let name = evidence.to_str().unwrap();
            let ran = unpack(name, &output, &["--partial", "--force"]).ends_with(3);
            let part = fs::read(&output).unwrap();
            let told = ran.messages("gap");
            // Damage may show no earlier than in the checksum at the end.
            assert!(told[0].contains(&format!("byte {} of its unpacked bytes", part.len())), "{told:?}");
            if damage == "cut" {
                assert!(
                    whole.starts_with(&part) && part.len() > whole.len() / 4,
                    "{packing:?}: {}",
                    part.len()
                );
                assert!(told[0].contains("the rest of an archive"), "{told:?}");
                assert!(
                    told[1].contains("checkpoint/pages-") && told[1].contains("stored bytes are there"),
                    "{told:?}"
                );
            }
            let lines = format!("{}  {name}\n{}  {}\n", hash(&bytes), hash(&part), output.display());
            assert_eq!(ran.text(), lines, "{packing:?}");

            let ran = coldcase(&["unpack", "--partial", "-o", "-", name]).raw().run().ends_with(3);
            assert!(ran.stdout == part, "{packing:?}, {damage}");
            // The rest of the house takes it as what it is: an archive that ends there.
            if damage == "cut" {
                let ran = coldcase(&["inspect", output.to_str().unwrap()]).run().ends_with(3);
                assert!(ran.told().contains(&format!("byte {}", part.len())), "{}", ran.told());
            }
        }
    }
    // Of a whole one it is no other than without.
    let (packed, output) = (testdata("tiny.tar.gz"), place("whole.tar"));
    unpack(&packed, &output, &["--partial"]).ends_with(0);
    assert!(fs::read(&output).unwrap() == plain(&packed));
    // The members are whole, and the checksum behind them is not right.
    let mut bytes = fs::read(&packed).unwrap();
    let sum = bytes.len() - 6;
    bytes[sum] ^= 1;
    fs::write(place("sum"), &bytes).unwrap();
    let ran = unpack(place("sum").to_str().unwrap(), &output, &["--partial", "--force"]).ends_with(3);
    assert!(fs::read(&output).unwrap() == plain(&packed));
    assert!(ran.messages("gap")[0].contains("behind the last member"), "{}", ran.told());
    // Where nothing can be unpacked, nothing is written.
    bytes.truncate(30);
    fs::write(place("sum"), &bytes).unwrap();
    unpack(place("sum").to_str().unwrap(), &place("nothing.tar"), &["--partial"]).ends_with(2);
    assert!(!place("nothing.tar").exists());
}
