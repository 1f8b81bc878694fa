//! Brings the contents of chosen entries: at any offset where they can be had so, else from one pass for all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::ops::ControlFlow;

use container_checkpoint::context::Context;
use container_checkpoint::error::Error as EvidenceError;
use container_checkpoint::evidence::{Body, Index, Member, MemberId, Passenger, nested};

use super::changes::Changes;
use super::error::Result;
use super::store::Origin;

/// Takes the contents of an entry, given by its number. `Break` ends the visit. What reading says is the receiver's to keep.
pub(super) type Receiver<'a> = dyn FnMut(usize, &mut dyn Read) -> ControlFlow<()> + 'a;

/// Entries of one archive: their ordinals in it, and their numbers in the list.
type Ordinals = BTreeMap<usize, usize>;

/// Hands the contents of entries to a receiver, each once. An entry whose contents can't be reached is not handed over.
///
/// # Errors
/// When they only go by and the evidence can't be read again, and when the caller asked to stop. What could be had before that was handed over.
pub(super) fn visit(
    changes: &Changes<'_>,
    wanted: &BTreeSet<usize>,
    context: &Context,
    receiver: &mut Receiver<'_>,
) -> Result<()> {
    let mut passing: BTreeMap<usize, Ordinals> = BTreeMap::new();
    for &number in wanted {
        let Some(entry) = changes.entries.get(number) else { continue };
        let Some(source) = &entry.source else { continue };
        let flow = match &source.body {
            Body::At(bytes) => receiver(number, &mut bytes.reader()),
            Body::Held(bytes) => receiver(number, &mut &bytes[..]),
            Body::Passing => {
                passing.entry(entry.store).or_default().insert(source.ordinal, number);
                ControlFlow::Continue(())
            }
        };
        if flow.is_break() {
            return Ok(());
        }
    }
    let index = changes.subject.evidence.index();
    let mut fetcher =
        Fetcher { archives: HashMap::new(), loose: HashMap::new(), context, receiver, ended: false };
    let mut alone: Vec<(MemberId, usize)> = Vec::new();
    for (store, ordinals) in passing {
        match changes.stores[store].origin {
            Origin::Archive(id) => match &index.member(id).body {
                Body::At(bytes) => fetcher.walk(ordinals, &mut |visit| {
                    nested::walk_at("", bytes, context, visit);
                }),
                Body::Held(bytes) => fetcher.walk(ordinals, &mut |visit| {
                    nested::walk("", &mut &bytes[..], context, visit);
                }),
                Body::Passing => {
                    fetcher.archives.insert(id, ordinals);
                }
            },
            Origin::Layer(layer) => {
                let of_layer =
                    index.members().filter(|(_, of, _)| *of == layer).map(|(id, ..)| id).enumerate();
                let wanted = of_layer.filter_map(|(ordinal, id)| Some((id, *ordinals.get(&ordinal)?)));
                let (own_pass, together): (Vec<_>, Vec<_>) =
                    wanted.partition(|(id, _)| is_gone_into(index, *id));
                fetcher.loose.extend(together);
                alone.extend(own_pass);
            }
            Origin::Nothing => {}
        }
    }
    let evidence = changes.subject.evidence;
    if !fetcher.is_done() {
        evidence.pass_again(context, &mut fetcher)?;
    }
    for one in alone {
        if fetcher.ended {
            break;
        }
        fetcher.loose = HashMap::from([one]);
        evidence.pass_again(context, &mut fetcher)?;
    }
    if context.cancelled() { Err(EvidenceError::Cancelled.into()) } else { Ok(()) }
}

/// Whether a file is an archive whose members the index lists as a layer: a tar at the top of a root file system in containerd's layout. A
/// pass that is given such a file does not go into it, and counts its members no more: what comes behind would go by under wrong numbers.
pub(super) fn is_gone_into(index: &Index, id: MemberId) -> bool {
    let (outer, path) = (Some(index.layer_of(id)), &index.member(id).path);
    index.layers().any(|(_, layer)| layer.outer == outer && layer.origin == *path)
}

/// Picks the wanted contents out of what goes by.
struct Fetcher<'a, 'r> {
    archives: HashMap<MemberId, Ordinals>,
    loose: HashMap<MemberId, usize>,
    context: &'a Context,
    receiver: &'a mut Receiver<'r>,
    /// The receiver wants no more.
    ended: bool,
}

impl Fetcher<'_, '_> {
    fn is_done(&self) -> bool {
        self.ended || (self.archives.is_empty() && self.loose.is_empty())
    }

    /// Goes over one archive; `walk` is given what to do with each of its members.
    fn walk(&mut self, mut ordinals: Ordinals, walk: &mut dyn FnMut(&mut nested::Visit<'_>)) {
        if self.ended {
            return;
        }
        let mut ordinal = 0;
        walk(&mut |_, contents| {
            if let Some(number) = ordinals.remove(&ordinal) {
                self.ended = (self.receiver)(number, contents).is_break();
            }
            ordinal += 1;
            let enough = self.ended || ordinals.is_empty();
            Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
    }
}

impl Passenger for Fetcher<'_, '_> {
    fn wants(&mut self, _: &Index, id: MemberId, _: &Member) -> bool {
        self.archives.contains_key(&id) || self.loose.contains_key(&id)
    }

    fn contents(&mut self, _: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        if let Some(number) = self.loose.remove(&id) {
            self.ended = (self.receiver)(number, contents).is_break();
        } else if let Some(ordinals) = self.archives.remove(&id) {
            let context = self.context;
            self.walk(ordinals, &mut |visit| {
                nested::walk("", contents, context, visit);
            });
        }
        // An error is the way to end a pass early; this one is told to nobody.
        if self.is_done() { Err(io::Error::other("all that was wanted has gone by")) } else { Ok(()) }
    }
}
