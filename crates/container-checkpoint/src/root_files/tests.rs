//! The same root in a directory, an archive and an image gives the same files.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// Paths as a process knows them, and what they lead to.
const PATHS: [(&str, Option<&str>); 7] = [
    ("/usr/lib/libc.so.6", Some("usr/lib/libc.so.6")),
    ("/lib/libc.so.6", Some("usr/lib/libc.so.6")),
    ("/opt/up", Some("etc/passwd")),
    ("/opt/outside", None),
    ("/usr/lib", None),
    ("/nothing", None),
    ("/etc/fifo", None),
];

/// Contents of the regular files of the root.
const FILES: [(&str, &str); 2] = [("usr/lib/libc.so.6", "the library"), ("etc/passwd", "root:x:0:0")];
/// Symbolic links of the root.
const LINKS: [(&str, &str); 3] =
    [("lib", "usr/lib"), ("opt/up", "/etc/passwd"), ("opt/outside", "../../../../../../etc/hostname")];

fn directory(top: &TempDir) -> PathBuf {
    let root = top.path().join("root");
    for (path, contents) in FILES {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    fs::create_dir_all(root.join("opt")).unwrap();
    for (path, target) in LINKS {
        std::os::unix::fs::symlink(target, root.join(path)).unwrap();
    }
    root
}

/// An archive without members for directories, as some tools write them.
fn archive(hidden: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, contents: &[u8], target: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        match target {
            "" => tar.append_data(&mut header, path, contents).unwrap(),
            target => tar.append_link(&mut header, path, target).unwrap(),
        }
    };
    for (path, contents) in FILES {
        add(path, tar::EntryType::Regular, contents.as_bytes(), "");
    }
    for (path, target) in LINKS {
        add(path, tar::EntryType::Symlink, b"", target);
    }
    for path in hidden {
        add(path, tar::EntryType::Regular, b"", "");
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// A layout of one image with these layers, lowest first.
fn layout(top: &TempDir, layers: &[Vec<u8>]) -> PathBuf {
    let root = top.path().join("layout");
    let blobs = root.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let descriptor = |name: &str, media_type: &str| serde_json::json!({"mediaType": media_type, "digest": format!("sha256:{name}")});
    let mut listed = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let name = format!("a{number}");
        fs::write(blobs.join(&name), layer).unwrap();
        listed.push(descriptor(&name, "application/vnd.oci.image.layer.v1.tar+gzip"));
    }
    let manifest = serde_json::json!({"schemaVersion": 2, "layers": listed});
    fs::write(blobs.join("m"), manifest.to_string()).unwrap();
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [descriptor("m", "application/vnd.oci.image.manifest.v1+json")]});
    fs::write(root.join("index.json"), index.to_string()).unwrap();
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    root
}

fn assert_has_files(path: PathBuf) {
    let context = Context::default();
    let root = Root::open(&path, &context).unwrap();
    let asked: Vec<Vec<u8>> = PATHS.iter().map(|(path, _)| path.as_bytes().to_vec()).collect();
    let found = root.files(&asked, 1 << 20, &context).unwrap();
    for (path, resolved) in PATHS {
        let file = found.get(path.as_bytes());
        let Some(resolved) = resolved else {
            assert!(file.is_none(), "{path}");
            continue;
        };
        let file = file.unwrap().as_ref().unwrap();
        assert_eq!(file.path, resolved.as_bytes());
        let contents = FILES.iter().find(|(name, _)| *name == resolved).unwrap().1;
        assert_eq!(&*file.bytes.to_cow().unwrap(), contents.as_bytes(), "{path}");
    }
}

#[test]
fn a_directory_an_archive_and_an_image_give_the_same_files() {
    let top = TempDir::new().unwrap();
    assert_has_files(directory(&top));
    let write = |name: &str, bytes: Vec<u8>| {
        let path = top.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    assert_has_files(write("root.tar", archive(&[])));
    assert_has_files(write("root.tar.gz", gzip(&archive(&[]))));
    assert_has_files(layout(&top, &[gzip(&archive(&[])), archive(&["var/other"])]));
}

#[test]
fn what_an_upper_layer_took_away_is_not_there() {
    let top = TempDir::new().unwrap();
    let upper = {
        let mut tar = tar::Builder::new(Vec::new());
        for path in ["etc/.wh.passwd", "usr/lib/.wh..wh..opq"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            tar.append_data(&mut header, path, &b""[..]).unwrap();
        }
        tar.into_inner().unwrap()
    };
    let context = Context::default();
    let root = Root::open(&layout(&top, &[gzip(&archive(&[])), upper]), &context).unwrap();
    let asked = [b"/etc/passwd".to_vec(), b"/usr/lib/libc.so.6".to_vec()];
    assert!(root.files(&asked, 1 << 20, &context).unwrap().is_empty());
}

#[test]
fn files_of_a_stream_are_kept_up_to_a_bound() {
    let top = TempDir::new().unwrap();
    let path = top.path().join("root.tar.gz");
    fs::write(&path, gzip(&archive(&[]))).unwrap();
    let context = Context::default();
    let root = Root::open(&path, &context).unwrap();
    let asked = [b"/usr/lib/libc.so.6".to_vec(), b"/etc/passwd".to_vec()];
    let found = root.files(&asked, 12, &context).unwrap();
    let kept = found.values().filter(|file| file.is_ok()).count();
    assert_eq!((found.len(), kept), (2, 1));
}

/// Directories that have no member of their own are known by what is in them. To list each of them took the square of a path's length: gigabytes for this archive.
#[test]
fn long_paths_take_no_more_than_their_length() {
    let top = TempDir::new().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    for number in 0..500 {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        let path = format!("{number}/{}x", "d/".repeat(2000));
        tar.append_data(&mut header, path, &b"x"[..]).unwrap();
    }
    let path = top.path().join("root.tar");
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    let context = Context::default();
    let start = std::time::Instant::now();
    let root = Root::open(&path, &context).unwrap();
    let asked = [format!("/77/{}x", "d/".repeat(2000)).into_bytes(), b"/77/d".to_vec()];
    assert_eq!(root.files(&asked, 1 << 20, &context).unwrap().len(), 1);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
