//! Who a thread is: users, groups, capabilities, security labels.

use criu_images::schema::CredsEntry;

use crate::gap::Field;

/// Credentials of a thread (`creds_entry`); numbers are those of the task's own user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub euid: u32,
    /// Saved user.
    pub suid: u32,
    /// User for access to files.
    pub fsuid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective group.
    pub egid: u32,
    /// Saved group.
    pub sgid: u32,
    /// Group for access to files.
    pub fsgid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Inheritable capabilities: bit n is capability n.
    pub inheritable: Field<u64>,
    /// Permitted capabilities.
    pub permitted: Field<u64>,
    /// Effective capabilities.
    pub effective: Field<u64>,
    /// Bounding set.
    pub bounding: Field<u64>,
    /// Ambient capabilities (images by CRIU 4.1 and later).
    pub ambient: Field<u64>,
    /// `SECBIT_*`.
    pub secure_bits: u32,
    /// Whether execve(2) can grant no privileges any more (images by CRIU 3.19 and later).
    pub no_new_privs: Field<bool>,
    /// Label of the security module: an AppArmor profile or a SELinux context.
    pub lsm_profile: Field<Vec<u8>>,
    /// SELinux context of sockets that the task makes.
    pub lsm_sockcreate: Field<Vec<u8>>,
}

impl Credentials {
    pub(super) fn from_wire(creds: &CredsEntry) -> Self {
        Self {
            uid: creds.uid,
            euid: creds.euid,
            suid: creds.suid,
            fsuid: creds.fsuid,
            gid: creds.gid,
            egid: creds.egid,
            sgid: creds.sgid,
            fsgid: creds.fsgid,
            groups: creds.groups.clone(),
            inheritable: capabilities(&creds.cap_inh),
            permitted: capabilities(&creds.cap_prm),
            effective: capabilities(&creds.cap_eff),
            bounding: capabilities(&creds.cap_bnd),
            ambient: capabilities(&creds.cap_amb),
            secure_bits: creds.secbits,
            no_new_privs: creds.no_new_privs.map(|set| set != 0).into(),
            lsm_profile: creds.lsm_profile.clone().into(),
            lsm_sockcreate: creds.lsm_sockcreate.clone().into(),
        }
    }
}

/// Joins the 32-bit words, low word first. No word at all means that the set was not recorded.
fn capabilities(words: &[u32]) -> Field<u64> {
    match *words {
        [] => Field::NotCaptured,
        [low] => Field::Known(u64::from(low)),
        [low, high] => Field::Known(u64::from(high) << 32 | u64::from(low)),
        _ => Field::Unparsable(format!("a capability set of {} words", words.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_two_words_low_one_first() {
        let entry = CredsEntry {
            cap_eff: vec![0x400, 1],
            cap_amb: vec![],
            cap_bnd: vec![u32::MAX],
            no_new_privs: Some(1),
            ..Default::default()
        };
        let credentials = Credentials::from_wire(&entry);
        assert_eq!(credentials.effective, Field::Known(0x1_0000_0400));
        assert_eq!(credentials.bounding, Field::Known(0xffff_ffff));
        assert_eq!(credentials.ambient, Field::NotCaptured, "older images don't have the set");
        assert_eq!(credentials.no_new_privs, Field::Known(true));
    }
}
