//! Tar archives byte by byte, after POSIX.1-1988 `ustar` and pax; none of the reader's code is in it.

/// An archive under construction.
#[derive(Default)]
pub(super) struct Tar(Vec<u8>);

/// What a header says.
#[derive(Clone)]
pub(super) struct Head<'a> {
    pub(super) name: &'a [u8],
    /// The type byte: `0` file, `1` hard link, `2` symbolic link, `3` and `4` devices, `5` directory, `6` named pipe.
    pub(super) kind: u8,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: u64,
    pub(super) link: &'a [u8],
    pub(super) device: (u32, u32),
    /// The size field, if it is to differ from the length of the contents.
    pub(super) size: Option<u64>,
}

impl Default for Head<'_> {
    fn default() -> Self {
        Self {
            name: b"x",
            kind: b'0',
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 1_700_000_000,
            link: b"",
            device: (0, 0),
            size: None,
        }
    }
}

impl Tar {
    pub(super) fn file(&mut self, name: &str, contents: &[u8]) -> &mut Self {
        self.entry(&Head { name: name.as_bytes(), ..Head::default() }, contents)
    }

    pub(super) fn directory(&mut self, name: &str) -> &mut Self {
        self.entry(&Head { name: name.as_bytes(), kind: b'5', mode: 0o755, ..Head::default() }, b"")
    }

    pub(super) fn link(&mut self, kind: u8, name: &str, target: &str) -> &mut Self {
        self.entry(&Head { name: name.as_bytes(), kind, link: target.as_bytes(), ..Head::default() }, b"")
    }

    /// A whiteout as containerd writes it.
    pub(super) fn whiteout(&mut self, name: &str) -> &mut Self {
        self.entry(&Head { name: name.as_bytes(), mode: 0, mtime: 0, ..Head::default() }, b"")
    }

    /// Pax records that hold for the next entry.
    pub(super) fn pax(&mut self, records: &[(&[u8], &[u8])]) -> &mut Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3; // blank, equals sign, line feed
            let digits = (1..9).find(|digits| (rest + digits).to_string().len() == *digits).unwrap();
            body.extend_from_slice(format!("{} ", rest + digits).as_bytes());
            body.extend_from_slice(&[key, &b"="[..], value, b"\n"].concat());
        }
        self.entry(&Head { name: b"pax", kind: b'x', ..Head::default() }, &body)
    }

    pub(super) fn entry(&mut self, head: &Head<'_>, contents: &[u8]) -> &mut Self {
        let mut block = [0u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, head.name);
        put(100, format!("{:07o}\0", head.mode).as_bytes());
        put(108, format!("{:07o}\0", head.uid).as_bytes());
        put(116, format!("{:07o}\0", head.gid).as_bytes());
        put(124, format!("{:011o}\0", head.size.unwrap_or(contents.len() as u64)).as_bytes());
        put(136, format!("{:011o}\0", head.mtime).as_bytes());
        put(148, b"        ");
        put(156, &[head.kind]);
        put(157, head.link);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}\0", head.device.0).as_bytes());
        put(337, format!("{:07o}\0", head.device.1).as_bytes());
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(contents);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The archive without its end mark.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.clone()
    }

    /// The archive.
    pub(super) fn end(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }
}
