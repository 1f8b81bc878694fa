//! Rides along while an evidence is opened, and reads the archives of files as they go by: what it saw needs no second pass.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use container_checkpoint::context::Context;
use container_checkpoint::evidence::{Index, LayerId, Member, MemberId, MemberKind, Passenger, split_path};

use super::collect::{self, Budget, Collected, From, Keep, Seen, Wants};
use super::store;

/// The passenger for [`Evidence::open`](container_checkpoint::evidence::Evidence::open) when the question will be about files.
///
/// It lists every archive of files that goes by, whichever dump it belongs to. What lies in evidence that can be read at any offset is not
/// shown to it and not needed.
#[derive(Debug)]
pub struct Rider {
    wants: Wants,
    context: Context,
    budget: Budget,
    /// In a second pass: what it is about.
    only: Option<Errand>,
    pub(super) archives: HashMap<MemberId, Collected>,
    /// Files of inner layers: containerd's own layout has the changes as a layer.
    pub(super) loose: HashMap<MemberId, Seen>,
}

/// What a second pass is about.
#[derive(Debug, Default)]
pub(super) struct Errand {
    /// Archives to list.
    pub(super) archives: HashSet<MemberId>,
    /// Files of a layer to hash.
    pub(super) loose: HashSet<MemberId>,
}

impl Errand {
    pub(super) fn is_empty(&self) -> bool {
        self.archives.is_empty() && self.loose.is_empty()
    }
}

impl Rider {
    /// A rider for the first pass. `hash`: it computes SHA-256 of each file on the way.
    pub fn new(hash: bool, keep: Keep, context: &Context) -> Self {
        Self {
            wants: Wants { hash, keep },
            context: context.clone(),
            budget: Budget::new(context),
            only: None,
            archives: HashMap::new(),
            loose: HashMap::new(),
        }
    }

    /// A rider for a second pass.
    pub(super) fn on_errand(errand: Errand, hash: bool, context: &Context) -> Self {
        Self { only: Some(errand), ..Self::new(hash, Keep::Nothing, context) }
    }

    /// Whether it computes hashes.
    pub(super) fn hashes(&self) -> bool {
        self.wants.hash
    }

    fn is_archive(&self, id: MemberId, member: &Member) -> bool {
        match &self.only {
            Some(errand) => errand.archives.contains(&id),
            None => store::kind_of(&member.path).is_some(),
        }
    }

    /// Which loose files of the first pass are worth a look: it is not known yet which layer holds the changes. Images are left out, since
    /// the pages of the processes are among them, and what may be a further layer, since then its own members would not be listed.
    fn is_loose(&self, so_far: &Index, id: MemberId, member: &Member) -> bool {
        let asked_for = self.wants.hash || self.wants.keep != Keep::Nothing;
        let base = member.base_name();
        let may_be_layer = split_path(member.directory()).0 == b"blobs"
            || base.ends_with(b".tgz")
            || base.windows(4).any(|part| part == b".tar");
        asked_for && so_far.layer_of(id) != LayerId::TOP && !base.ends_with(b".img") && !may_be_layer
    }
}

impl Passenger for Rider {
    fn wants(&mut self, so_far: &Index, id: MemberId, member: &Member) -> bool {
        let is_loose = || match &self.only {
            Some(errand) => errand.loose.contains(&id),
            None => self.is_loose(so_far, id, member),
        };
        member.kind == MemberKind::File && (self.is_archive(id, member) || is_loose())
    }

    fn contents(&mut self, so_far: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        let member = so_far.member(id);
        if self.is_archive(id, member) {
            let place = String::from_utf8_lossy(&member.path);
            // Damage inside is a finding about this archive, no reason to end the pass.
            let collected = collect::collect(
                &place,
                From::Stream(contents),
                &self.wants,
                &mut self.budget,
                &self.context,
            );
            self.archives.insert(id, collected);
        } else {
            let seen = collect::look_at(member, contents, &self.wants, &mut self.budget, &self.context)?;
            self.loose.insert(id, seen);
        }
        Ok(())
    }
}
