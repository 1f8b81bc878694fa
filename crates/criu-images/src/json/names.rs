//! The names that crit prints for bits and numbers. This is the one place that knows them.
//!
//! They are those of crit 4.3. Up to 4.2.1 crit has two states of tasks the wrong way round (3 and 6).

/// A set of bits with names: the words of `(criu).flags`.
pub(crate) struct Flags {
    pub name: &'static str,
    /// In the order in which crit prints them.
    pub bits: &'static [(&'static str, u32)],
}

/// A set of numbers with names: what `(criu).dict` means for one field.
pub(crate) struct Dictionary {
    pub name: &'static str,
    pub field: &'static str,
    pub values: &'static [(&'static str, u32)],
}

/// Returns the bits of a `(criu).flags` option.
pub(crate) fn flags(name: &str) -> Option<&'static [(&'static str, u32)]> {
    FLAGS.iter().find(|flags| flags.name == name).map(|flags| flags.bits)
}

/// Returns the values of a `(criu).dict` option for the field of this name.
pub(crate) fn dictionary(name: &str, field: &str) -> Option<&'static [(&'static str, u32)]> {
    DICTIONARIES.iter().find(|it| it.name == name && it.field == field).map(|it| it.values)
}

static FLAGS: &[Flags] = &[
    Flags { name: "mmap.prot", bits: &[("PROT_READ", 0x1), ("PROT_WRITE", 0x2), ("PROT_EXEC", 0x4)] },
    Flags {
        name: "mmap.flags",
        bits: &[
            ("MAP_SHARED", 0x1),
            ("MAP_PRIVATE", 0x2),
            ("MAP_DROPPABLE", 0x8),
            ("MAP_ANON", 0x20),
            ("MAP_GROWSDOWN", 0x100),
        ],
    },
    Flags {
        name: "mmap.status",
        bits: &[
            ("VMA_AREA_REGULAR", 1),
            ("VMA_AREA_STACK", 1 << 1),
            ("VMA_AREA_VSYSCALL", 1 << 2),
            ("VMA_AREA_VDSO", 1 << 3),
            ("VMA_AREA_HEAP", 1 << 5),
            ("VMA_FILE_PRIVATE", 1 << 6),
            ("VMA_FILE_SHARED", 1 << 7),
            ("VMA_ANON_SHARED", 1 << 8),
            ("VMA_ANON_PRIVATE", 1 << 9),
            ("VMA_AREA_SYSVIPC", 1 << 10),
            ("VMA_AREA_SOCKET", 1 << 11),
            ("VMA_AREA_VVAR", 1 << 12),
            ("VMA_AREA_AIORING", 1 << 13),
            ("VMA_AREA_MEMFD", 1 << 14),
            ("VMA_AREA_SHSTK", 1 << 15),
            ("VMA_AREA_UPROBES", 1 << 17),
            ("VMA_AREA_NOT_ACCOUNTABLE", 1 << 18),
            ("VMA_UNSUPP", 1 << 31),
        ],
    },
    Flags {
        name: "rfile.flags",
        // The numbers of x86, whatever machine the image is of: so does crit.
        bits: &[
            ("O_WRONLY", 0o1),
            ("O_RDWR", 0o2),
            ("O_CREAT", 0o100),
            ("O_EXCL", 0o200),
            ("O_NOCTTY", 0o400),
            ("O_TRUNC", 0o1000),
            ("O_APPEND", 0o2000),
            ("O_NONBLOCK", 0o4000),
            ("O_DSYNC", 0o10000),
            ("FASYNC", 0o20000),
            ("O_DIRECT", 0o40000),
            ("O_LARGEFILE", 0o100000),
            ("O_DIRECTORY", 0o200000),
            ("O_NOFOLLOW", 0o400000),
            ("O_NOATIME", 0o1000000),
            ("O_CLOEXEC", 0o2000000),
        ],
    },
    Flags {
        name: "pmap.flags",
        bits: &[("PE_PARENT", 0x1), ("PE_LAZY", 0x2), ("PE_PRESENT", 0x4), ("PE_PAYLOAD_ALIGNED", 0x8)],
    },
    Flags {
        name: "seals.flags",
        bits: &[
            ("F_SEAL_SEAL", 0x1),
            ("F_SEAL_SHRINK", 0x2),
            ("F_SEAL_GROW", 0x4),
            ("F_SEAL_WRITE", 0x8),
            ("F_SEAL_FUTURE_WRITE", 0x10),
        ],
    },
];

static DICTIONARIES: &[Dictionary] = &[
    Dictionary {
        name: "gen",
        field: "task_state",
        values: &[("Alive", 1), ("Dead", 2), ("Stopped", 3), ("Zombie", 6)],
    },
    Dictionary {
        name: "sk",
        field: "family",
        values: &[("UNIX", 1), ("INET", 2), ("INET6", 10), ("NETLINK", 16), ("PACKET", 17)],
    },
    Dictionary {
        name: "sk",
        field: "type",
        values: &[("STREAM", 1), ("DGRAM", 2), ("RAW", 3), ("SEQPACKET", 5), ("PACKET", 10)],
    },
    Dictionary {
        name: "sk",
        field: "state",
        values: &[
            ("ESTABLISHED", 1),
            ("SYN_SENT", 2),
            ("SYN_RECV", 3),
            ("FIN_WAIT1", 4),
            ("FIN_WAIT2", 5),
            ("TIME_WAIT", 6),
            ("CLOSE", 7),
            ("CLOSE_WAIT", 8),
            ("LAST_ACK", 9),
            ("LISTEN", 10),
        ],
    },
    Dictionary {
        name: "sk",
        field: "proto",
        values: &[("IP", 0), ("TCP", 6), ("UDP", 17), ("UDPLITE", 136)],
    },
];
