//! Reads the stores of a dump: from what the rider of the first pass saw, at any offset, or in a second pass.

use std::io::Read;

use container_checkpoint::context::Context;
use container_checkpoint::error::Error as EvidenceError;
use container_checkpoint::evidence::{Body, Evidence, Index, LayerId, MemberId, MemberKind};
use container_checkpoint::gap::Findings;

use super::collect::{self, Budget, Collected, Found, From, Wants};
use super::contents;
use super::error::Result;
use super::rider::{Errand, Rider};
use super::store::{Origin, Store};

/// The entries of each store, in the order of the stores, and what was noticed on the way to them.
///
/// # Errors
/// When the caller asked to stop.
pub(super) fn gather(
    evidence: &Evidence,
    stores: &[Store],
    hash: bool,
    rider: &Rider,
    context: &Context,
) -> Result<(Vec<Collected>, Findings)> {
    let index = evidence.index();
    let wants = Wants { hash, ..Wants::default() };
    let mut findings = Findings::default();
    let second = second_pass(evidence, stores, hash, rider, context, &mut findings)?;
    let riders = [&second, rider];
    let mut budget = Budget::new(context);
    let mut all = Vec::new();
    for store in stores {
        all.push(match store.origin {
            Origin::Archive(id) => archive(index, id, &wants, riders, &mut budget, context),
            Origin::Layer(layer) => of_layer(index, layer, hash, riders, context),
            Origin::Nothing => Collected::default(),
        });
        if context.cancelled() {
            return Err(EvidenceError::Cancelled.into());
        }
    }
    Ok((all, findings))
}

/// Goes over the evidence once more for what only goes by and was not seen the first time.
fn second_pass(
    evidence: &Evidence,
    stores: &[Store],
    hash: bool,
    rider: &Rider,
    context: &Context,
    findings: &mut Findings,
) -> Result<Rider> {
    let errand = errand(evidence.index(), stores, hash, rider);
    let (archives, nothing_to_do) = (errand.archives.clone(), errand.is_empty());
    let mut second = Rider::on_errand(errand, hash, context);
    if nothing_to_do {
        return Ok(second);
    }
    match evidence.pass_again(context, &mut second) {
        Ok(()) if !context.cancelled() => {}
        Ok(()) | Err(EvidenceError::Cancelled) => return Err(EvidenceError::Cancelled.into()),
        Err(error) => {
            let unseen = archives.iter().filter(|id| !rider.archives.contains_key(id));
            let mut places: Vec<_> =
                unseen.map(|id| String::from_utf8_lossy(&evidence.index().member(*id).path)).collect();
            places.sort();
            places.into_iter().for_each(|place| findings.gap("files", place, &error));
            if hash {
                findings.gap("hashes of files", evidence.name(), &error);
            }
        }
    }
    Ok(second)
}

fn errand(index: &Index, stores: &[Store], hash: bool, rider: &Rider) -> Errand {
    let mut errand = Errand::default();
    for store in stores {
        match store.origin {
            Origin::Archive(id) => {
                let seen = rider.archives.get(&id);
                let is_enough = seen.is_some_and(|_| !hash || rider.hashes());
                if matches!(index.member(id).body, Body::Passing) && !is_enough {
                    errand.archives.insert(id);
                }
            }
            Origin::Layer(layer) if hash => {
                let files =
                    index.members().filter(|(_, of, member)| *of == layer && member.kind == MemberKind::File);
                let passing =
                    files.filter(|(_, _, member)| matches!(member.body, Body::Passing)).map(|(id, ..)| id);
                let unseen = |id: &MemberId| rider.loose.get(id).is_none_or(|seen| seen.sha256.is_none());
                errand.loose.extend(passing.filter(|id| unseen(id) && !contents::is_gone_into(index, *id)));
            }
            Origin::Layer(_) | Origin::Nothing => {}
        }
    }
    errand
}

/// An archive's entries: the first rider that has seen it tells them.
fn archive(
    index: &Index,
    id: MemberId,
    wants: &Wants,
    riders: [&Rider; 2],
    budget: &mut Budget,
    context: &Context,
) -> Collected {
    let member = index.member(id);
    let place = String::from_utf8_lossy(&member.path);
    match &member.body {
        Body::At(bytes) => collect::collect(&place, From::Bytes(bytes), wants, budget, context),
        Body::Held(held) => collect::collect(&place, From::Stream(&mut &held[..]), wants, budget, context),
        Body::Passing => riders.iter().find_map(|rider| rider.archives.get(&id)).cloned().unwrap_or_default(),
    }
}

/// A layer's entries: the index has listed them.
fn of_layer(index: &Index, layer: LayerId, hash: bool, riders: [&Rider; 2], context: &Context) -> Collected {
    let mut collected = Collected::default();
    for (id, _, member) in index.members().filter(|(_, of, _)| *of == layer) {
        let mut found = Found { member: member.clone(), sha256: None, present: None };
        if member.kind == MemberKind::File {
            let seen = riders
                .iter()
                .find_map(|rider| rider.loose.get(&id).filter(|seen| !hash || seen.sha256.is_some()));
            let (present, sha256) = match &member.body {
                Body::At(bytes) => (
                    bytes.len(),
                    hash.then(|| complete_hash(&mut bytes.reader(), member.size, context)).flatten(),
                ),
                Body::Held(held) => (
                    held.len() as u64,
                    hash.then(|| complete_hash(&mut &held[..], member.size, context)).flatten(),
                ),
                Body::Passing => (member.size, seen.and_then(|seen| seen.sha256)),
            };
            found.present = Some(present).filter(|present| *present < member.size);
            found.sha256 = sha256;
            if let Some(held) = seen.and_then(|seen| seen.held.clone()) {
                found.member.body = Body::Held(held);
            }
        }
        collected.entries.push(found);
    }
    collected
}

fn complete_hash(contents: &mut dyn Read, size: u64, context: &Context) -> Option<[u8; 32]> {
    let (sha256, count) = collect::hash(contents, context).ok()?;
    (count == size).then_some(sha256)
}
