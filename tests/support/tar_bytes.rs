//! Tar archives byte by byte: POSIX.1-1988 ustar as the page tar(5) describes it, and whatever lie a test wants to tell.

/// The size of a header and the unit of contents.
pub const BLOCK: usize = 512;

/// An archive in the making.
#[derive(Default)]
pub struct Tar(Vec<u8>);

/// One header; the fields that tests lie about.
pub struct Header<'a> {
    /// The name, up to 100 bytes.
    pub name: &'a [u8],
    /// The type: `0` file, `1` hard link, `2` symbolic link, `5` directory, `L` long name, `x` extended header.
    pub kind: u8,
    /// The size field as it stands there, 12 bytes.
    pub size: [u8; 12],
    /// The target of a link.
    pub link: &'a [u8],
}

impl Tar {
    /// Adds a file.
    pub fn file(self, name: &str, contents: &[u8]) -> Self {
        self.entry(
            &Header { name: name.as_bytes(), kind: b'0', size: octal(contents.len() as u64), link: b"" },
            contents,
        )
    }

    /// Adds a directory.
    pub fn directory(self, name: &str) -> Self {
        self.entry(&Header { name: name.as_bytes(), kind: b'5', size: octal(0), link: b"" }, b"")
    }

    /// Adds a symbolic link.
    pub fn link(self, name: &str, target: &str) -> Self {
        self.entry(
            &Header { name: name.as_bytes(), kind: b'2', size: octal(0), link: target.as_bytes() },
            b"",
        )
    }

    /// Adds a header with a right checksum, and bytes behind it, padded to whole blocks.
    pub fn entry(mut self, header: &Header<'_>, contents: &[u8]) -> Self {
        self.0.extend_from_slice(&block(header));
        self.0.extend_from_slice(contents);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// Adds bytes as they are.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// What there is up to now.
    pub fn so_far(&self) -> &[u8] {
        &self.0
    }

    /// Ends it with two empty blocks.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 2 * BLOCK]);
        self.0
    }
}

/// A header block with its checksum: the sum of all its bytes, those of the sum itself counted as blanks.
fn block(header: &Header<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &header.name[..header.name.len().min(100)]);
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, &header.size);
    put(136, b"14735452325\0");
    put(148, b"        ");
    put(156, &[header.kind]);
    put(157, &header.link[..header.link.len().min(100)]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A size as eleven octal digits.
pub fn octal(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[..11].copy_from_slice(format!("{size:011o}").as_bytes());
    field
}

/// A size as a binary number of 95 bits, GNU's way for large ones.
pub fn binary(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[0] = 0x80;
    field[4..].copy_from_slice(&size.to_be_bytes());
    field
}

/// A record of an extended header: its length, which counts itself, a key, a value.
pub fn extended(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// Where each header of a sound archive begins, with its name and the size of what follows.
pub fn headers(archive: &[u8]) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + BLOCK <= archive.len() && archive[at] != 0 {
        let text = |from: usize, length: usize| -> String {
            let field = &archive[at + from..at + from + length];
            let end = field.iter().position(|&byte| byte == 0).unwrap_or(length);
            String::from_utf8_lossy(&field[..end]).into_owned()
        };
        let size = usize::from_str_radix(text(124, 12).trim(), 8).unwrap();
        found.push((at, text(0, 100), size));
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    found
}

#[test]
fn the_tar_crate_reads_what_is_built_here() {
    let archive = Tar::default().directory("d/").file("d/a", &[7; 600]).link("l", "d/a").finish();
    let names: Vec<String> = tar::Archive::new(archive.as_slice())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["d/", "d/a", "l"]);
    let own: Vec<(usize, String, usize)> = headers(&archive);
    assert_eq!(own, [(0, "d/".into(), 0), (512, "d/a".into(), 600), (2048, "l".into(), 0)]);
    assert_eq!(extended("path", b"x"), b"9 path=x\n");
}
