//! What the images themselves say about the container: its UTS namespace, its control group, its first
//! descriptors.

use std::cell::RefCell;

use criu_images::Image;
use criu_images::schema::{CgroupEntry, InventoryEntry, UtsnsEntry};
use serde_json::Value;

use super::document::Document;
use crate::container::{ContainerInfo, Engine};
use crate::files::FileSet;
use crate::gap::{Field, Findings};

/// Takes over what the images hold.
pub(super) fn fill(info: &mut ContainerInfo, images: &dyn FileSet, findings: &RefCell<Findings>) {
    let uts = images.names().into_iter().find(|name| name.starts_with("utsns-") && name.ends_with(".img"));
    if let Some(name) = uts {
        match entry::<UtsnsEntry>(images, &name, findings) {
            Field::Known(uts) => {
                info.uts_node_name = Field::Known(uts.nodename);
                info.uts_domain_name = Field::Known(uts.domainname);
            }
            Field::Unreadable(why) => {
                info.uts_node_name = Field::Unreadable(why.clone());
                info.uts_domain_name = Field::Unreadable(why);
            }
            _ => {}
        }
    }
    info.cgroup_path_at_dump = cgroup_path(images, findings);
    descriptors(info, images, findings);
}

/// The one entry of an image; not captured if there is no such image.
fn entry<T: criu_images::schema::Entry>(
    images: &dyn FileSet,
    name: &str,
    findings: &RefCell<Findings>,
) -> Field<T> {
    let why = match images.file(name) {
        Some(bytes) => match Image::parse_named(name.as_bytes(), &bytes).and_then(|image| image.entry::<T>())
        {
            Ok(entry) => return Field::Known(entry),
            Err(error) => error.to_string(),
        },
        None if images.has(name) => "the evidence has it, its bytes could not be had".to_owned(),
        None => return Field::NotCaptured,
    };
    findings.borrow_mut().gap("container facts in the images", name, &why);
    Field::Unreadable(why)
}

/// The control group of the dumped tasks: in the first set of `cgroup_entry` that isn't CRIU's own
/// (`inventory_entry.root_cg_set`), the path in the unified hierarchy (no name); on a host without one, the
/// first path that is not the root.
fn cgroup_path(images: &dyn FileSet, findings: &RefCell<Findings>) -> Field<String> {
    let groups = match entry::<CgroupEntry>(images, "cgroup.img", findings) {
        Field::Known(groups) => groups,
        Field::Unreadable(why) => return Field::Unreadable(why),
        _ => return Field::NotCaptured,
    };
    // The inventory is read by others too, who record what is wrong with it.
    let inventory = entry::<InventoryEntry>(images, "inventory.img", &RefCell::default());
    let own = inventory.known().and_then(|inventory| inventory.root_cg_set);
    let set = groups.sets.iter().find(|set| Some(set.id) != own).or(groups.sets.first());
    let members = set.map(|set| set.ctls.as_slice()).unwrap_or_default();
    let unified = members.iter().filter(|member| member.name.is_empty());
    let path = unified.chain(members).map(|member| &member.path).find(|path| path.len() > 1);
    path.map(|path| String::from_utf8_lossy(path).into_owned()).into()
}

/// `descriptors.json`: three texts, and the hand that wrote them.
fn descriptors(info: &mut ContainerInfo, images: &dyn FileSet, findings: &RefCell<Findings>) {
    let document = Document::load(images, "descriptors.json", findings);
    if !document.exists() {
        return;
    }
    info.initial_descriptors = match document.root() {
        Value::Array(_) => document.texts(&[]),
        Value::Null => document.nothing(),
        other => document.wrong(&[], "a list", other),
    };
    if info.initial_descriptors.known().is_some_and(|list| !list.is_empty())
        && let Some(bytes) = images.file("descriptors.json")
    {
        info.runtime_family = family(&bytes);
    }
}

/// crun indents the list and writes `\/` for each slash; runc does neither. A mixture comes from another
/// hand.
fn family(bytes: &[u8]) -> Field<&'static str> {
    let indented = bytes.contains(&b'\n');
    let slashes = bytes.iter().filter(|byte| **byte == b'/').count();
    let escaped = bytes.windows(2).filter(|pair| pair == br"\/").count();
    match (indented, escaped) {
        (true, escaped) if escaped == slashes => Field::Known("crun"),
        (false, 0) => Field::Known("runc"),
        _ => Field::NotCaptured,
    }
}

/// A container's id and engine as a control group's path names them.
pub(super) struct CgroupName<'a> {
    /// The id: 64 hexadecimal digits.
    pub(super) id: &'a str,
    /// Whose way of naming it is; none for a bare id.
    pub(super) engine: Option<Engine>,
}

/// Engines by what they put before the id, with the systemd manager (`NAME-ID.scope`) or without.
const PREFIXES: &[(&str, Engine)] = &[
    ("libpod-", Engine::Podman),
    ("crio-", Engine::CriO),
    ("cri-containerd-", Engine::Containerd),
    ("docker-", Engine::Docker),
];

/// Finds the part of a control group's path that is named after a container: the last, or the one before
/// (`libpod-ID.scope/container`).
///
/// Parts further up may be of a container around the engine.
pub(super) fn cgroup_name(path: &str) -> Option<CgroupName<'_>> {
    let mut parts = path.rsplit('/');
    for _ in 0..2 {
        let part = parts.next()?;
        let bare = part.strip_suffix(".scope").unwrap_or(part);
        let prefixed =
            PREFIXES.iter().find_map(|(prefix, engine)| Some((bare.strip_prefix(prefix)?, *engine)));
        let (id, mut engine) = prefixed.map_or((bare, None), |(id, engine)| (id, Some(engine)));
        if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            if engine.is_none() && parts.next() == Some("docker") {
                engine = Some(Engine::Docker);
            }
            return Some(CgroupName { id, engine });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::test_files::Files;
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn read(images: &Files) -> (ContainerInfo, usize) {
        let findings = RefCell::new(Findings::default());
        let mut info = ContainerInfo::blank(Engine::Unknown, "");
        fill(&mut info, images, &findings);
        (info, findings.into_inner().gaps.len())
    }

    #[test]
    fn host_name_at_the_dump_keeps_its_bytes() {
        // Head word, UTSNS, one entry: nodename "h\x1b\xff", domainname "d".
        let bytes = b"\x19\x43\x56\x54\x03\x32\x47\x54\x08\0\0\0\x0a\x03h\x1b\xff\x12\x01d";
        let (info, gaps) = read(&Files::default().with("utsns-12.img", bytes));
        assert_eq!(
            (info.uts_node_name, info.uts_domain_name),
            (Field::Known(b"h\x1b\xff".to_vec()), Field::Known(b"d".to_vec()))
        );
        assert_eq!(gaps, 0);
        let (info, gaps) = read(&Files::default().with("utsns-12.img", &bytes[..15]));
        assert!(matches!(info.uts_node_name, Field::Unreadable(_)));
        assert_eq!(gaps, 1);
    }

    #[test]
    fn the_control_group_is_not_crius_own() {
        // cgroup_entry { sets { id 1, ctls { name "", path "/criu" } }, sets { id 2, ctls { name "cpu", path
        // "/" }, ctls { name "", path "/docker/x" } } }
        let own = b"\x08\x01\x12\x09\x0a\x00\x12\x05/criu";
        let tasks = b"\x08\x02\x12\x08\x0a\x03cpu\x12\x01/\x12\x0d\x0a\x00\x12\x09/docker/x";
        let mut message = vec![0x0a, own.len() as u8];
        message.extend_from_slice(own);
        message.extend_from_slice(&[0x0a, tasks.len() as u8]);
        message.extend_from_slice(tasks);
        let mut image = b"\x19\x43\x56\x54\x30\x33\x38\x59".to_vec();
        image.extend_from_slice(&(message.len() as u32).to_le_bytes());
        image.extend_from_slice(&message);
        // INVENTORY (it has no head word), one entry: img_version 2, fdinfo_per_id 1, ns_per_id 1,
        // root_cg_set 1.
        let inventory = b"\x16\x31\x31\x58\x08\0\0\0\x08\x02\x10\x01\x20\x01\x28\x01";
        let files = Files::default().with("cgroup.img", &image);
        let (info, gaps) = read(&files.clone().with("inventory.img", inventory));
        assert_eq!((info.cgroup_path_at_dump, gaps), (Field::Known("/docker/x".to_owned()), 0));
        assert_eq!(read(&files).0.cgroup_path_at_dump, Field::Known("/criu".to_owned()));
    }

    #[test]
    fn descriptors_tell_crun_from_runc() {
        let crun = "[\n    \"\\/dev\\/null\",\n    \"pipe:[1]\",\n    \"pipe:[2]\"\n]\n";
        let runc = r#"["/dev/null","pipe:[1]","pipe:[2]"]"#;
        let read = |text: &str| read(&Files::default().with("descriptors.json", text)).0;
        assert_eq!(read(crun).runtime_family, Field::Known("crun"));
        assert_eq!(read(runc).runtime_family, Field::Known("runc"));
        assert_eq!(read(crun).initial_descriptors, read(runc).initial_descriptors);
        assert_eq!(read("[\n\"/dev/null\"]").runtime_family, Field::NotCaptured);
        assert!(matches!(read("{}").initial_descriptors, Field::Unparsable(_)));
    }

    #[test]
    fn control_groups_name_engines() {
        for (path, engine) in [
            (format!("/libpod_parent/libpod-{ID}"), Some(Engine::Podman)),
            (format!("/machine.slice/libpod-{ID}.scope/container"), Some(Engine::Podman)),
            (format!("/kubepods/pod1/crio-{ID}"), Some(Engine::CriO)),
            (format!("/kubepods.slice/cri-containerd-{ID}.scope"), Some(Engine::Containerd)),
            (format!("/kubepods/pod1/{ID}"), None),
            (format!("/docker/{ID}"), Some(Engine::Docker)),
            (format!("/system.slice/docker-{ID}.scope"), Some(Engine::Docker)),
        ] {
            let name = cgroup_name(&path).unwrap();
            assert_eq!((name.id, name.engine), (ID, engine), "{path}");
        }
        let outer = format!("/docker/{ID}/default/ctrcounter");
        for path in ["", "/", "/default/ctrcounter", "/libpod-short", "////", &outer] {
            assert!(cgroup_name(path).is_none(), "{path}");
        }
    }
}
