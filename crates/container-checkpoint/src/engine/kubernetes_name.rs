//! The names that CRI engines give to containers, made of the names in the pod's description.

use crate::gap::Field;

/// The parts of `k8s_CTR_POD_NS_UID_ATTEMPT` (CRI-O) or `CTR_POD_NS_UID_ATTEMPT` (containerd).
///
/// Names in Kubernetes hold no `_`, so the split is sure. A client other than the kubelet may use other
/// names: then there are no parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KubernetesName {
    pub(super) container: String,
    pub(super) pod: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) attempt: u32,
}

impl KubernetesName {
    /// Splits a name behind its prefix, `k8s_` or nothing.
    pub(super) fn split(name: &str, prefix: &str) -> Option<Self> {
        let parts: Vec<&str> = name.strip_prefix(prefix)?.split('_').collect();
        let [container, pod, namespace, uid, attempt] = parts.as_slice() else { return None };
        let attempt = attempt.parse().ok()?;
        let [container, pod, namespace, uid] =
            [container, pod, namespace, uid].map(|part| (*part).to_owned());
        Some(Self { container, pod, namespace, uid, attempt })
    }
}

/// One part of a name that may not be there.
pub(super) fn part<T>(name: Option<&KubernetesName>, of: impl FnOnce(&KubernetesName) -> T) -> Field<T> {
    name.map(of).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_what_engines_write() {
        let name = KubernetesName::split("k8s_c-1_p_default_5f1c0de0-8088_3", "k8s_").unwrap();
        assert_eq!((name.container.as_str(), name.pod.as_str(), name.attempt), ("c-1", "p", 3));
        assert_eq!(KubernetesName::split("c-1_p_default_5f1c0de0-8088_3", ""), Some(name));
    }

    #[test]
    fn leaves_other_names_alone() {
        for name in
            ["", "counter", "k8s_c_p_n_u", "k8s_c_p_n_u_x", "k8s_c_p_n_u_1_2", "c_p_n_u_1", "k8s_c_p_n_u_-1"]
        {
            assert_eq!(KubernetesName::split(name, "k8s_"), None, "{name}");
        }
    }
}
