//! A root file system in an image or archive: layers of files, the upper ones over the lower.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::resolve::{Node, resolve};
use super::{Found, RootFile};
use crate::context::Context;
use crate::dump::find_through_layers;
use crate::error::Result;
use crate::evidence::{Bytes, Evidence, Index, LayerId, Member, MemberId, MemberKind, Nobody, Passenger};
use crate::gap::Findings;
use crate::oci;

/// The layers of an image.
#[derive(Debug)]
pub(super) struct Layers {
    evidence: Evidence,
    /// Uppermost first.
    layers: Vec<LayerId>,
    /// All members by path: a directory that holds something may have no member of its own, as some archives leave them out.
    by_path: Vec<MemberId>,
}

/// Paths as asked for and as resolved, by the member that has the contents.
type Passing<'p> = HashMap<MemberId, Vec<(&'p Vec<u8>, Vec<u8>)>>;

impl Layers {
    pub(super) fn open(path: &Path, context: &Context) -> Result<Self> {
        let evidence = Evidence::open(path, context, &mut Nobody)?;
        let layers = layers_of_first_image(evidence.index());
        let index = evidence.index();
        let of_layers = index.members().filter(|(_, layer, _)| layers.contains(layer));
        let mut by_path: Vec<MemberId> = of_layers.map(|(id, ..)| id).collect();
        by_path.sort_by(|a, b| index.member(*a).path.cmp(&index.member(*b).path));
        Ok(Self { evidence, layers, by_path })
    }

    pub(super) fn files(&self, paths: &[Vec<u8>], most: u64, context: &Context) -> Result<Found> {
        let index = self.evidence.index();
        let mut found = Found::new();
        let mut passing = Passing::new();
        for path in paths {
            let Some(resolved) = resolve(path, |at| self.look(at)) else { continue };
            let Some(id) = find_through_layers(index, &self.layers, &resolved) else { continue };
            let id = index.resolved(id);
            match index.member(id).body.at_hand() {
                Some(bytes) => {
                    let file = RootFile { bytes, path: resolved };
                    found.insert(path.clone(), Ok(file));
                }
                None => passing.entry(id).or_default().push((path, resolved)),
            }
        }
        if passing.is_empty() {
            return Ok(found);
        }
        let mut collector = Collector { wanted: passing.keys().map(|id| (*id, None)).collect(), left: most };
        self.evidence.pass_again(context, &mut collector)?;
        for (id, mut contents) in collector.wanted {
            let contents =
                contents.take().unwrap_or_else(|| Err("the archive can't be read up to there".to_owned()));
            for (path, resolved) in passing.remove(&id).unwrap_or_default() {
                let file = contents.clone().map(|bytes| RootFile { bytes, path: resolved });
                found.insert(path.clone(), file);
            }
        }
        Ok(found)
    }

    /// Whether a path is a directory above some member.
    fn holds_something(&self, path: &[u8]) -> bool {
        let index = self.evidence.index();
        let inside = [path, b"/"].concat();
        let behind = self.by_path.partition_point(|id| *index.member(*id).path < *inside);
        self.by_path.get(behind).is_some_and(|id| index.member(*id).path.starts_with(&inside))
    }

    fn look(&self, path: &[u8]) -> Option<Node> {
        let index = self.evidence.index();
        let Some(id) = find_through_layers(index, &self.layers, path) else {
            return self.holds_something(path).then_some(Node::Directory);
        };
        let member = index.member(index.resolved(id));
        Some(match (&member.kind, &member.link) {
            (MemberKind::File, _) => Node::File,
            (MemberKind::Directory, _) => Node::Directory,
            (MemberKind::Symlink, Some(target)) => Node::Symlink(target.clone()),
            _ => Node::Other,
        })
    }
}

/// The layers of the first image of a layout, uppermost first; of anything else, all there is.
fn layers_of_first_image(index: &Index) -> Vec<LayerId> {
    let by_digest = oci::layers_by_digest(index);
    let layers = |manifest: &Arc<oci::Manifest>| {
        let listed = manifest.descriptors.iter().rev();
        listed.filter_map(|(_, digest)| by_digest.get(digest).copied()).collect::<Vec<_>>()
    };
    let images = oci::manifests(index, &mut Findings::default());
    images.iter().map(layers).find(|layers| !layers.is_empty()).unwrap_or_else(|| vec![LayerId::TOP])
}

/// Keeps contents as they go by.
struct Collector {
    wanted: HashMap<MemberId, Option<std::result::Result<Bytes, String>>>,
    /// How many bytes may still be kept.
    left: u64,
}

impl Passenger for Collector {
    fn wants(&mut self, _: &Index, id: MemberId, _: &Member) -> bool {
        self.wanted.contains_key(&id)
    }

    fn contents(&mut self, _: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        // One byte more than may be kept shows that there is more.
        let read = contents.take(self.left.saturating_add(1)).read_to_end(&mut bytes);
        let kept = match read {
            Ok(_) if bytes.len() as u64 > self.left => Err(format!(
                "with it, files that are kept in memory would take more than {} bytes; unpack the archive",
                self.left
            )),
            Ok(_) => {
                self.left -= bytes.len() as u64;
                Ok(Bytes::new(Arc::new(bytes)))
            }
            Err(error) => Err(error.to_string()),
        };
        self.wanted.insert(id, Some(kept));
        Ok(())
    }
}
