//! Makes seed corpora out of testdata: `fuzz/corpus/TARGET/`.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::Path;

use criu_images::framing::Image;
use criu_images::json::{self, Options};
use criu_images::kinds;
use criu_images::pagemap::Pagemap;

/// Seeds longer than this slow a fuzzer down more than they teach it.
const MOST: usize = 16 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = Seeds { root, written: 0 };
    for archive in ["synthetic", "tree", "criu43", "compressed-page", "compressed-region", "netns"] {
        let packed = fs::read(root.join(format!("../testdata/images/{archive}.tar.zst")))?;
        let mut bytes = Vec::new();
        ruzstd::decoding::StreamingDecoder::new(packed.as_slice())?.read_to_end(&mut bytes)?;
        for entry in tar::Archive::new(bytes.as_slice()).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
            let mut image = Vec::new();
            entry.read_to_end(&mut image)?;
            if entry.header().entry_type().is_file() && image.len() <= MOST {
                seeds.add_image(&format!("{archive}-{}", path.replace('/', "-")), &path, &image)?;
            }
        }
    }
    seeds.add_pages()?;
    println!("{} seeds in {}", seeds.written, root.join("corpus").display());
    Ok(())
}

struct Seeds<'r> {
    root: &'r Path,
    written: usize,
}

impl Seeds<'_> {
    fn write(&mut self, target: &str, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        let directory = self.root.join("corpus").join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(name), bytes)?;
        self.written += 1;
        Ok(())
    }

    fn add_image(&mut self, name: &str, path: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        let base = path.rsplit('/').next().unwrap_or_default();
        if let Some((kind, _)) = kinds::by_file_name(base.as_bytes())
            && kind.magic.is_none()
        {
            let number = kinds::ALL.iter().position(|it| it.name == kind.name).unwrap_or_default();
            return self.write("raw", name, &[&[u8::try_from(number)?], bytes].concat());
        }
        let Ok(image) = Image::parse(bytes) else { return Ok(()) };
        self.write("decode", name, bytes)?;
        self.write("round_trip", name, bytes)?;
        if Pagemap::parse(bytes).is_ok() {
            self.write("pagemap", name, &[&[12], bytes].concat())?;
        }
        let mut text = Vec::new();
        let options = Options { pretty: name.len() % 2 == 0, salvage: true, ..Options::default() };
        let _ = json::decode(&image, &options, &mut text);
        self.write("encode", name, &text)
    }

    /// Two small dumps of two entries each.
    fn add_pages(&mut self) -> Result<(), Box<dyn Error>> {
        let pagemap = b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x01\x07\0\0\0\x08\x80\x04\x10\x02\x20\x04\x07\0\0\0\x08\x80\x20\x10\x01\x20\x04";
        for (name, byte) in [("zeros", 0u8), ("text", b'x')] {
            let pages = vec![byte; 3 * 512];
            let seed = [&[u8::try_from(pagemap.len())?][..], pagemap, &pages].concat();
            self.write("compress", name, &seed)?;
        }
        Ok(())
    }
}
