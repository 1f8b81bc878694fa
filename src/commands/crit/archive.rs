//! `tmpfs-dev-N.tar.gz.img`: what is in the packed archive of a mounted tmpfs.

use std::io::Cursor;

use anyhow::{Context as _, Result};
use container_checkpoint::context::Context;
use container_checkpoint::evidence::{Evidence, LayerId, Member, MemberKind, Nobody};
use criu_images::kinds::Kind;
use criu_images::raw::{RawImage, Value};

use crate::present::text::Text;
use crate::session::Session;

/// Lists the members of an archive. What is damaged in it is told.
pub fn list<'a>(
    session: &Session<'_>,
    kind: &'static Kind,
    bytes: &[u8],
    shown: &Text,
) -> Result<RawImage<'a>> {
    let stream = Box::new(Cursor::new(bytes.to_vec()));
    // One pass is enough: nothing needs to be kept on disk.
    let context = Context { spool: None, ..session.context.clone() };
    let archive = Evidence::from_stream(shown.to_string(), stream, &context, &mut Nobody)
        .with_context(|| format!("no archive of a tmpfs: {shown}"))?;
    let index = archive.index();
    for gap in &index.findings.gaps {
        session.ui.gap(Text::evidence(&gap.what), Text::evidence(&gap.place), Text::evidence(&gap.why));
    }
    let mut image = RawImage::new(kind);
    let here = index.members().filter(|(_, layer, _)| *layer == LayerId::TOP);
    image.entries = here.map(|(_, _, member)| entry(member)).collect();
    Ok(image)
}

fn entry(member: &Member) -> Value {
    let mut members = vec![
        ("path", Value::from(member.path.as_slice())),
        ("type", Value::from(kind(member))),
        ("mode", Value::from(format!("{:04o}", member.mode))),
        ("uid", Value::Number(member.uid)),
        ("gid", Value::Number(member.gid)),
        ("size", Value::Number(member.size)),
        // Seconds since 1970.
        ("mtime", Value::Signed(member.modified.seconds)),
    ];
    if let Some(link) = &member.link {
        members.push(("link", Value::from(link.as_slice())));
    }
    Value::Object(members)
}

fn kind(member: &Member) -> &'static str {
    match member.kind {
        MemberKind::File => "file",
        MemberKind::Directory => "directory",
        MemberKind::Symlink => "symlink",
        MemberKind::HardLink => "hardlink",
        MemberKind::Fifo => "fifo",
        MemberKind::CharDevice(..) => "character device",
        MemberKind::BlockDevice(..) => "block device",
        MemberKind::Socket => "socket",
        MemberKind::Other(_) => "other",
    }
}
