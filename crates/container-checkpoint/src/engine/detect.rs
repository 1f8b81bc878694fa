//! Who wrote a checkpoint: signs that hold, in the order of their weight.
//!
//! Keys of `config.dump` and names of members come from the engine alone. Annotations of the runtime spec can
//! be set by whoever runs the container, so they decide only where nothing better is left.

use super::sources::Sources;
use crate::container::Engine;

/// One sign of an engine.
pub(super) struct Rule {
    /// Whose sign it is.
    pub(super) engine: Engine,
    /// The sign in words.
    pub(super) sign: &'static str,
    /// Whether the sign rests on annotations alone.
    pub(super) by_annotation: bool,
    fits: fn(&Sources<'_>) -> bool,
}

/// Value of the annotation `io.container.manager`.
pub(super) const MANAGER: &str = "io.container.manager";

/// The first that fits decides.
const RULES: &[Rule] = &[
    Rule {
        engine: Engine::ContainerdClient,
        sign: "the OCI index lists a tar of CRIU images among its parts",
        by_annotation: false,
        fits: |s| s.oci.is_some_and(|oci| oci.lists_images()),
    },
    Rule {
        engine: Engine::Podman,
        sign: "config.dump has lockID, staticDir and spec",
        by_annotation: false,
        fits: |s| ["lockID", "staticDir", "spec"].iter().all(|key| s.config.get(&[key]).is_some()),
    },
    Rule {
        engine: Engine::Podman,
        sign: "config.dump is damaged, and has keys that only Podman writes",
        by_annotation: false,
        fits: |s| {
            let one = ["lockID", "staticDir", "spec", "CreateCommand"]
                .iter()
                .any(|key| s.config.get(&[key]).is_some());
            s.config.exists() && !s.config.is_whole() && one
        },
    },
    Rule {
        engine: Engine::Podman,
        sign: "config.dump can't be read; network.status or devshm-checkpoint.tar, which only Podman writes",
        by_annotation: false,
        fits: |s| !s.config.is_whole() && s.has_any(&["network.status", "devshm-checkpoint.tar"]),
    },
    Rule {
        engine: Engine::CriO,
        sign: "bind.mounts or io.kubernetes.cri-o.LogPath, which only CRI-O writes",
        by_annotation: false,
        fits: |s| s.has_any(&["bind.mounts", "io.kubernetes.cri-o.LogPath"]),
    },
    Rule {
        engine: Engine::Containerd,
        sign: "status or status.dump, which only containerd writes",
        by_annotation: false,
        fits: |s| s.status.exists() || s.cri_status.exists(),
    },
    Rule {
        engine: Engine::CriO,
        sign: "the name in config.dump is k8s_CTR_POD_NS_UID_ATTEMPT",
        by_annotation: false,
        fits: |s| {
            let name = s.config.get(&["name"]).and_then(serde_json::Value::as_str);
            name.is_some_and(|name| name.starts_with("k8s_") && name.matches('_').count() == 5)
        },
    },
    Rule {
        engine: Engine::Docker,
        sign: "config.v2.json or hostconfig.json, which only Docker writes",
        by_annotation: false,
        fits: |s| s.docker.exists() || s.host_config.exists(),
    },
    Rule {
        engine: Engine::CriO,
        sign: "the annotation io.kubernetes.cri-o.ContainerID is the id in config.dump",
        by_annotation: false, // whoever sets annotations can't know the id that will be given
        fits: |s| {
            let id = s.config.get(&["id"]).and_then(serde_json::Value::as_str);
            id.is_some() && id == s.annotation("io.kubernetes.cri-o.ContainerID")
        },
    },
    Rule {
        engine: Engine::Containerd,
        sign: "annotations io.kubernetes.cri.*, and no status: containerd 2.0",
        by_annotation: false, // they can be added to, but not taken away
        fits: |s| !s.annotation_keys("io.kubernetes.cri.").is_empty(),
    },
    Rule {
        engine: Engine::CriO,
        sign: "the annotation io.container.manager alone",
        by_annotation: true,
        fits: |s| s.annotation(MANAGER) == Some("cri-o"),
    },
    Rule {
        engine: Engine::Podman,
        sign: "the annotation io.container.manager alone",
        by_annotation: true,
        fits: |s| s.annotation(MANAGER) == Some("libpod"),
    },
    Rule {
        engine: Engine::Unknown,
        sign: "config.dump or spec.dump, with no engine's mark",
        by_annotation: false,
        fits: |s| s.config.exists() || s.spec.exists(),
    },
    Rule {
        engine: Engine::Runtime,
        sign: "descriptors.json beside the images, and no engine's metadata",
        by_annotation: false,
        fits: |s| s.images.has("descriptors.json"),
    },
    Rule {
        engine: Engine::PlainCriu,
        sign: "images and nothing else",
        by_annotation: false,
        fits: |s| s.images.names().iter().any(|name| name.ends_with(".img")),
    },
];

/// What is left when no rule fits.
const NONE: Rule = Rule {
    engine: Engine::Unknown,
    sign: "neither metadata nor images",
    by_annotation: false,
    fits: |_| true,
};

/// Finds the first rule that fits.
pub(super) fn detect(sources: &Sources<'_>) -> &'static Rule {
    RULES.iter().find(|rule| (rule.fits)(sources)).unwrap_or(&NONE)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::oci::OciFacts;
    use super::super::test_files::Files;
    use super::*;
    use crate::gap::Findings;

    const PODMAN: &str = r#"{"spec":{},"id":"a","name":"n","lockID":0,"staticDir":"/s"}"#;
    const CRI: &str = r#"{"id":"a","name":"n","createdTime":"2026-11-22T04:13:24Z"}"#;

    fn engine(bundle: &Files, images: &Files, oci: Option<&OciFacts>) -> (Engine, &'static str) {
        let findings = RefCell::new(Findings::default());
        let rule = detect(&Sources::load(bundle, images, oci, &findings));
        (rule.engine, rule.sign)
    }

    fn bundle(files: &[(&str, &str)]) -> Engine {
        let files = files.iter().fold(Files::default(), |files, (name, text)| files.with(name, text));
        engine(&files, &Files::default(), None).0
    }

    fn annotated(annotations: &str) -> String {
        format!(r#"{{"ociVersion":"1.2.1","annotations":{{{annotations}}}}}"#)
    }

    #[test]
    fn keys_of_config_dump_beat_every_annotation() {
        let forged = annotated(
            r#""io.container.manager":"cri-o","io.kubernetes.cri-o.ContainerID":"a","io.kubernetes.cri.container-type":"container""#,
        );
        assert_eq!(bundle(&[("config.dump", PODMAN), ("spec.dump", &forged)]), Engine::Podman);
    }

    #[test]
    fn members_beat_annotations() {
        let forged = annotated(r#""io.container.manager":"libpod""#);
        for (member, engine) in [
            ("bind.mounts", Engine::CriO),
            ("io.kubernetes.cri-o.LogPath", Engine::CriO),
            ("status", Engine::Containerd),
            ("status.dump", Engine::Containerd),
        ] {
            assert_eq!(
                bundle(&[("config.dump", CRI), ("spec.dump", &forged), (member, "[]")]),
                engine,
                "{member}"
            );
        }
    }

    #[test]
    fn annotations_decide_what_is_left() {
        for (annotations, engine) in [
            (r#""io.kubernetes.cri-o.ContainerID":"a","io.kubernetes.cri.sandbox-id":"x""#, Engine::CriO),
            (
                r#""io.kubernetes.cri.container-type":"container","io.container.manager":"cri-o""#,
                Engine::Containerd,
            ),
            (r#""io.container.manager":"cri-o""#, Engine::CriO),
            (r#""io.container.manager":"libpod""#, Engine::Podman),
            (r#""io.container.manager":"other""#, Engine::Unknown),
            ("", Engine::Unknown),
        ] {
            let spec = annotated(annotations);
            assert_eq!(bundle(&[("config.dump", CRI), ("spec.dump", &spec)]), engine, "{annotations}");
        }
    }

    #[test]
    fn a_damaged_config_is_told_by_what_is_left() {
        assert_eq!(bundle(&[("config.dump", &PODMAN[..40])]), Engine::Podman);
        assert_eq!(bundle(&[("config.dump", r#"{"spec":{"a"#), ("network.status", "null")]), Engine::Podman);
        assert_eq!(bundle(&[("network.status", "null")]), Engine::Podman);
        assert_eq!(bundle(&[("config.dump", r#"{"id":"a","name":"k8s_c_p_ns_u_0","#)]), Engine::CriO);
        assert_eq!(bundle(&[("config.dump", "")]), Engine::Unknown);
        assert_eq!(bundle(&[("config.dump", "[7]")]), Engine::Unknown);
    }

    #[test]
    fn what_has_no_config_dump() {
        assert_eq!(bundle(&[("config.v2.json", "{}")]), Engine::Docker);
        assert_eq!(bundle(&[("hostconfig.json", "not JSON")]), Engine::Docker);
        let spec = annotated(r#""io.container.manager":"libpod""#);
        assert_eq!(bundle(&[("config.json", &spec)]), Engine::Podman);
        assert_eq!(bundle(&[("config.json", r#"{"created":"x"}"#)]), Engine::Unknown);
        let none = Files::default();
        assert_eq!(engine(&none, &none.clone().with("descriptors.json", "[]"), None).0, Engine::Runtime);
        assert_eq!(engine(&none, &none.clone().with("inventory.img", ""), None).0, Engine::PlainCriu);
        assert_eq!(engine(&none, &none, None).0, Engine::Unknown);
        let descriptors = vec![(crate::oci::CRIU_TAR.to_owned(), String::new())];
        let oci = OciFacts { descriptors, ..OciFacts::default() };
        assert_eq!(engine(&none, &none, Some(&oci)).0, Engine::ContainerdClient);
    }
}
