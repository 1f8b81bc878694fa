//! What the OCI runtime spec says: `spec.dump`, Podman's `config.json`, or ctr's configuration blob.

use serde_json::Value;

use super::document::Document;
use super::facts::value;
use crate::container::{ContainerInfo, Mount, Resources, Security, SpecNamespace};
use crate::gap::Field;

/// Takes over all facts that a runtime spec holds, whatever engine made it.
pub(super) fn fill(info: &mut ContainerInfo, spec: &Document<'_>) {
    info.host_name = spec.text(&["hostname"]);
    info.command = spec.texts(&["process", "args"]);
    info.environment = spec.or_empty(spec.texts(&["process", "env"]));
    info.working_directory = spec.text(&["process", "cwd"]);
    info.annotations = spec.or_empty(spec.pairs(&["annotations"]));
    info.mounts = spec.or_empty(items(spec, &["mounts"], mount));
    info.cgroup_path = spec.text(&["linux", "cgroupsPath"]);
    info.resources = resources(spec);
    info.security = security(spec);
}

/// A list of maps, each read by `read`; what that refuses is left out, with a gap.
fn items<T>(
    spec: &Document<'_>,
    path: &[&str],
    read: fn(&Value) -> Result<T, &'static str>,
) -> Field<Vec<T>> {
    let list = match spec.get(path) {
        Some(Value::Array(list)) => list,
        Some(other) => return spec.wrong(path, "a list", other),
        None => return spec.nothing(),
    };
    let mut items = Vec::with_capacity(list.len());
    for item in list {
        match read(item) {
            Ok(item) => items.push(item),
            Err(why) => spec.complain(path, why),
        }
    }
    Field::Known(items)
}

fn mount(entry: &Value) -> Result<Mount, &'static str> {
    let destination = text(entry, "destination").ok_or("a mount without a destination")?;
    let options = entry.get("options").and_then(Value::as_array).into_iter().flatten();
    let options = options.filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(Mount { destination, kind: text(entry, "type"), source: text(entry, "source"), options })
}

fn namespace(entry: &Value) -> Result<SpecNamespace, &'static str> {
    let kind = text(entry, "type").ok_or("a namespace without a type")?;
    Ok(SpecNamespace { kind, path: text(entry, "path") })
}

/// A text that is not empty.
fn text(entry: &Value, key: &str) -> Option<String> {
    entry.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn resources(spec: &Document<'_>) -> Field<Resources> {
    fn number<T: TryFrom<i128>>(spec: &Document<'_>, group: &str, key: &str) -> Option<T> {
        value(spec.number(&["linux", "resources", group, key]))
    }
    if spec.get(&["linux", "resources"]).is_none() && !spec.is_whole() {
        return spec.nothing();
    }
    let list = |key| value(spec.text(&["linux", "resources", "cpu", key]));
    Field::Known(Resources {
        memory_limit: number(spec, "memory", "limit"),
        memory_reservation: number(spec, "memory", "reservation"),
        memory_swap: number(spec, "memory", "swap"),
        cpu_shares: number(spec, "cpu", "shares"),
        cpu_quota: number(spec, "cpu", "quota"),
        cpu_period: number(spec, "cpu", "period"),
        cpus: list("cpus"),
        memory_nodes: list("mems"),
        pids_limit: number(spec, "pids", "limit"),
    })
}

fn security(spec: &Document<'_>) -> Security {
    // What Go leaves out when it is false or empty is known to be so once its parent is there.
    let flag = |path: &[&str], parent: &[&str]| match spec.flag(path) {
        Field::NotCaptured if spec.get(parent).is_some() => Field::Known(false),
        other => other,
    };
    let process = ["process"];
    let capabilities = spec.texts(&["process", "capabilities", "bounding"]);
    Security {
        privileged: Field::NotCaptured,
        uid: spec.number(&["process", "user", "uid"]),
        gid: spec.number(&["process", "user", "gid"]),
        bounding_capabilities: match capabilities {
            Field::NotCaptured if spec.get(&process).is_some() => Field::Known(Vec::new()),
            other => other,
        },
        seccomp: match spec.get(&["linux", "seccomp"]) {
            Some(_) => Field::Known(true),
            None if spec.get(&["linux"]).is_some() => Field::Known(false),
            None => spec.nothing(),
        },
        no_new_privileges: flag(&["process", "noNewPrivileges"], &process),
        read_only_root: flag(&["root", "readonly"], &["root"]),
        namespaces: items(spec, &["linux", "namespaces"], namespace),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::container::Engine;
    use crate::gap::Findings;

    fn read(json: &str) -> (ContainerInfo, usize) {
        let findings = RefCell::new(Findings::default());
        let mut info = ContainerInfo::blank(Engine::Unknown, "");
        fill(&mut info, &Document::parse("spec.dump".to_owned(), json.as_bytes(), &findings));
        (info, findings.into_inner().gaps.len())
    }

    #[test]
    fn takes_everything_in_order() {
        let (info, gaps) = read(
            r#"{"ociVersion":"1.2.1","process":{"args":["sh","-c",""],"env":["B=1","A=2","B=3","NOEQUALS"],"cwd":"/w",
                "user":{"uid":1000,"gid":5},"capabilities":{"bounding":["CAP_KILL"]},"noNewPrivileges":true},
                "root":{"path":"rootfs"},"hostname":"h",
                "mounts":[{"destination":"/proc","type":"proc","source":"proc","options":["nosuid","ro"]},{"destination":"/x"}],
                "annotations":{"z":"1","":"emptykey","a":"\u001b[2J"},
                "linux":{"cgroupsPath":"/c/x","resources":{"memory":{"limit":9223372036854775807},"cpu":{"shares":1024,"cpus":"0-3"},
                "pids":{"limit":-1}},"namespaces":[{"type":"pid"},{"type":"network","path":"/run/netns/x"}],"seccomp":{}}}"#,
        );
        assert_eq!(gaps, 0);
        assert_eq!(info.command.known().unwrap(), &["sh", "-c", ""]);
        assert_eq!(info.environment.known().unwrap(), &["B=1", "A=2", "B=3", "NOEQUALS"]);
        let keys: Vec<_> = info.annotations.known().unwrap().iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["z", "", "a"]);
        let mounts = info.mounts.known().unwrap();
        assert_eq!((mounts[0].options.len(), mounts[1].kind.clone(), mounts.len()), (2, None, 2));
        let resources = info.resources.known().unwrap();
        assert_eq!(
            (resources.memory_limit, resources.pids_limit, resources.cpu_quota),
            (Some(i64::MAX), Some(-1), None)
        );
        assert_eq!(resources.cpus.as_deref(), Some("0-3"));
        let security = &info.security;
        assert_eq!((security.uid.known(), security.seccomp.known()), (Some(&1000), Some(&true)));
        assert_eq!(
            (security.no_new_privileges.known(), security.read_only_root.known()),
            (Some(&true), Some(&false))
        );
        assert_eq!(security.namespaces.known().unwrap()[1].path.as_deref(), Some("/run/netns/x"));
    }

    #[test]
    fn wrong_types_cost_only_themselves() {
        let (info, gaps) = read(
            r#"{"process":{"args":"sh","env":["A=1",2],"cwd":3},"hostname":"h","mounts":[{"type":"x"},7,{"destination":"/"}],
                "annotations":{"a":1},"linux":{"resources":{"memory":{"limit":"much"}},"namespaces":{}}}"#,
        );
        assert_eq!(info.host_name, Field::Known("h".to_owned()));
        assert!(matches!(info.command, Field::Unparsable(_)));
        assert_eq!(info.environment.known().unwrap(), &["A=1"]);
        assert_eq!(info.mounts.known().unwrap().len(), 1);
        assert_eq!(info.annotations, Field::Known(Vec::new()));
        assert_eq!(gaps, 8);
    }

    #[test]
    fn a_cut_spec_leaves_the_rest_unreadable_and_an_absent_one_not_captured() {
        let (info, gaps) = read(r#"{"process":{"args":["sh"]},"hostname":"h","mounts":[{"destin"#);
        assert_eq!(info.command.known().unwrap(), &["sh"]);
        assert!(
            matches!(info.mounts, Field::Unreadable(_)) && matches!(info.resources, Field::Unreadable(_))
        );
        assert_eq!(gaps, 1);

        let findings = RefCell::new(Findings::default());
        let mut info = ContainerInfo::blank(Engine::PlainCriu, "");
        fill(&mut info, &Document::absent("spec.dump", &findings));
        assert_eq!((info.environment, info.mounts), (Field::NotCaptured, Field::NotCaptured));
        assert_eq!(info.resources, Field::NotCaptured);
        assert!(findings.into_inner().gaps.is_empty());
    }
}
