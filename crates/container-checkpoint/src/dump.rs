//! The dumps of an evidence: directories of images, with the engine's metadata around them.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::evidence::{Index, LayerId, Member, MemberId, MemberKind, split_path};
use crate::files::FileSet;
use crate::gap::Findings;
use crate::oci::{self, Manifest};

/// One dump: a directory of images and where its metadata stands.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    /// The name by which it is chosen: `checkpoint`, `chain/3`, `cp1`.
    pub name: String,
    /// The layers it is looked up in, uppermost first; one but for images of several layers.
    pub layers: Vec<LayerId>,
    /// The directory of its images within the layer; `None` when only the engine's metadata is there.
    pub images: Option<Vec<u8>>,
    /// The directory of the engine's metadata.
    pub bundle: Vec<u8>,
    /// The manifest of the image that it came in.
    pub manifest: Option<Arc<Manifest>>,
    /// For containerd's own layout: the layer that holds the changes of the file system.
    pub rootfs_layer: Option<LayerId>,
}

/// Base names (or starts of them) that make a directory one of images. Any one will do: the archive may be cut.
const IMAGE_FILES: &[&str] = &["inventory.img", "pstree.img", "files.img"];
const IMAGE_FILES_BY_NUMBER: &[&str] = &["core-", "fs-", "ids-", "mm-", "pagemap-"];
/// Metadata files any of which makes a directory the bundle of the images below it.
const BUNDLE_FILES: &[&str] =
    &["config.dump", "spec.dump", "config.v2.json", "hostconfig.json", "status.dump"];

/// The most dumps of one evidence that are told apart.
pub(crate) const DUMPS_MAX: usize = 10_000;

/// A directory of a layer.
type Place = (LayerId, Vec<u8>);

/// Finds the dumps of an evidence, in stored order.
pub fn find(index: &Index) -> Vec<Dump> {
    find_with(index, &mut Findings::default())
}

/// Finds the dumps of an evidence; says what of them can't be had.
pub(crate) fn find_with(index: &Index, findings: &mut Findings) -> Vec<Dump> {
    let mut image_directories: HashSet<Place> = HashSet::new();
    let mut order: Vec<Place> = Vec::new();
    let mut bundles: BTreeSet<Place> = BTreeSet::new();
    for (_, layer, member) in index.members().filter(|(.., member)| has_contents(member)) {
        let (directory, base) = split_path(&member.path);
        let place = || (layer, directory.to_vec());
        if is_image_of_a_dump(base) {
            if image_directories.insert(place()) {
                order.push(place());
            }
        } else if BUNDLE_FILES.iter().any(|name| base == name.as_bytes()) {
            bundles.insert(place());
        }
    }
    let images = order.into_iter().take(DUMPS_MAX);
    let mut dumps: Vec<Dump> = images.map(|(layer, images)| from_images(layer, images, &bundles)).collect();
    let used: HashSet<Place> = dumps.iter().map(|dump| (dump.layers[0], dump.bundle.clone())).collect();
    // Metadata without images: the archive is cut, or the images were taken out.
    let alone =
        bundles.into_iter().filter(|place| !used.contains(place) && !image_directories.contains(place));
    let mut alone = alone.map(|(layer, bundle)| Dump { layers: vec![layer], bundle, ..Dump::default() });
    let room = DUMPS_MAX - dumps.len();
    dumps.extend(alone.by_ref().take(room));
    if image_directories.len() > DUMPS_MAX || alone.next().is_some() {
        let why =
            format!("more than {DUMPS_MAX} directories of images or metadata; the rest is not looked at");
        findings.gap("dumps", "the archive", why);
    }
    attach_manifests(index, &mut dumps, findings);
    // Files of the container that are named like images are no dump.
    let changes: HashSet<LayerId> = dumps.iter().filter_map(|dump| dump.rootfs_layer).collect();
    dumps.retain(|dump| !changes.contains(&dump.layers[0]));
    give_names(index, &mut dumps);
    report_lost_links(index, &dumps, findings);
    dumps
}

/// Whether a member is a file, or a further name of one. Directories and links of other kinds hold no image, whatever they are called.
fn has_contents(member: &Member) -> bool {
    matches!(member.kind, MemberKind::File | MemberKind::HardLink)
}

/// Files of a dump that are hard links to what the archive does not hold.
fn report_lost_links(index: &Index, dumps: &[Dump], findings: &mut Findings) {
    let places = dumps.iter().flat_map(|dump| {
        let directories = [dump.images.as_deref(), Some(dump.bundle.as_slice())].into_iter().flatten();
        directories.flat_map(|directory| {
            dump.layers.iter().flat_map(move |&layer| index.in_directory(layer, directory))
        })
    });
    let mut told = HashSet::new();
    for &id in places {
        let member = index.member(id);
        let is_lost =
            member.kind == MemberKind::HardLink && index.member(index.resolved(id)).kind != MemberKind::File;
        if is_lost && told.insert(id) {
            let target = String::from_utf8_lossy(member.link.as_deref().unwrap_or_default());
            let why = format!("a hard link to '{target}', which is no file that stands before it");
            findings.gap("a file of a dump", String::from_utf8_lossy(&member.path), why);
        }
    }
}

fn is_image_of_a_dump(base: &[u8]) -> bool {
    let numbered = |start: &&str| {
        let number = base.strip_prefix(start.as_bytes()).and_then(|rest| rest.strip_suffix(b".img"));
        number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
    };
    IMAGE_FILES.iter().any(|name| base == name.as_bytes()) || IMAGE_FILES_BY_NUMBER.iter().any(numbered)
}

/// The metadata stands beside the directory of images, in it, or two levels above it (Docker: `ID/checkpoints/NAME`).
fn from_images(layer: LayerId, images: Vec<u8>, bundles: &BTreeSet<Place>) -> Dump {
    let above = split_path(&images).0.to_vec();
    let two_above = split_path(&above).0.to_vec();
    let has_parent = !images.is_empty();
    let bundle = [has_parent.then_some(&above), Some(&images), (!above.is_empty()).then_some(&two_above)]
        .into_iter()
        .flatten()
        .find(|directory| bundles.contains(&(layer, (*directory).clone())))
        // Without any, what belongs to the dump alone (statistics, log) lies beside or among the images.
        .unwrap_or(if has_parent && split_path(&images).1.ends_with(b"checkpoint") {
            &above
        } else {
            &images
        })
        .clone();
    Dump { layers: vec![layer], images: Some(images), bundle, ..Dump::default() }
}

/// Finds, for each dump, the first manifest that lists its layer.
fn attach_manifests(index: &Index, dumps: &mut [Dump], findings: &mut Findings) {
    let manifests = oci::manifests(index, findings);
    let layers = oci::layers_by_digest(index);
    let mut listed_by: HashMap<LayerId, &Arc<Manifest>> = HashMap::new();
    for manifest in &manifests {
        for layer in manifest.descriptors.iter().filter_map(|(_, digest)| layers.get(digest)) {
            listed_by.entry(*layer).or_insert(manifest);
        }
    }
    for dump in dumps {
        let Some(&manifest) = listed_by.get(&dump.layers[0]) else { continue };
        if manifest.digest_of(oci::CRIU_TAR).is_some() {
            let is_rootfs =
                |media_type: &str| media_type.contains("image.layer") || media_type.contains("rootfs.diff");
            dump.rootfs_layer = manifest
                .descriptors
                .iter()
                .filter(|(media_type, _)| is_rootfs(media_type))
                .find_map(|(_, digest)| layers.get(digest).copied());
        } else {
            let mut seen = HashSet::new();
            let upper_first =
                manifest.descriptors.iter().rev().filter_map(|(_, digest)| layers.get(digest).copied());
            dump.layers = upper_first.filter(|layer| seen.insert(*layer)).collect();
        }
        dump.manifest = Some(manifest.clone());
    }
}

/// One dump goes by the last part of its path; several by what tells them apart.
fn give_names(index: &Index, dumps: &mut [Dump]) {
    let directories: Vec<Vec<u8>> =
        dumps.iter().map(|dump| dump.images.clone().unwrap_or_else(|| dump.bundle.clone())).collect();
    let common = common_directory(&directories);
    let several = dumps.len() > 1;
    let mut taken: HashMap<String, usize> = HashMap::new();
    for (dump, directory) in dumps.iter_mut().zip(&directories) {
        let path = if several { &directory[common.min(directory.len())..] } else { split_path(directory).1 };
        let path = path.strip_prefix(b"checkpoints/").unwrap_or(path);
        let path = if several && path.ends_with(b"/checkpoint") { split_path(path).0 } else { path };
        let mut name = String::from_utf8_lossy(path).into_owned();
        if name.is_empty() {
            name = "checkpoint".into();
        }
        if several
            && let origin = &index.layer(dump.layers[0]).origin
            && !origin.is_empty()
        {
            let blob = String::from_utf8_lossy(split_path(origin).1).into_owned();
            let short: String = blob.chars().take(12).collect();
            name = if name == "checkpoint" { short } else { format!("{short}/{name}") };
        }
        let count = taken.entry(name.clone()).or_default();
        *count += 1;
        dump.name = if *count > 1 { format!("{name}#{count}") } else { name };
    }
}

/// The length of the leading directories that all have in common, their last slash included.
fn common_directory(directories: &[Vec<u8>]) -> usize {
    let Some(first) = directories.first() else { return 0 };
    let shared = directories.iter().fold(first.len(), |shared, directory| {
        first.iter().zip(directory).take(shared).take_while(|(a, b)| a == b).count()
    });
    first[..shared].iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1)
}

impl Dump {
    /// Whether a user's word means this dump: its name, or the path of its images or metadata.
    pub fn is_called(&self, word: &str) -> bool {
        let word = word.trim_end_matches('/');
        let is = |path: &[u8]| !path.is_empty() && path == word.as_bytes();
        self.name == word || self.images.as_deref().is_some_and(is)
    }

    /// The images as a set of files.
    pub fn image_files<'a>(&'a self, index: &'a Index) -> DirectoryFiles<'a> {
        DirectoryFiles { index, layers: &self.layers, directory: self.images.as_deref() }
    }

    /// The metadata files as a set of files.
    pub fn bundle_files<'a>(&'a self, index: &'a Index) -> DirectoryFiles<'a> {
        DirectoryFiles { index, layers: &self.layers, directory: Some(&self.bundle) }
    }
}

/// The files directly in one directory of an evidence.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryFiles<'a> {
    pub(crate) index: &'a Index,
    pub(crate) layers: &'a [LayerId],
    pub(crate) directory: Option<&'a [u8]>,
}

impl DirectoryFiles<'_> {
    /// The file of a name; of a hard link, the one that has the contents. A link to nothing is none.
    pub fn member(&self, name: &[u8]) -> Option<MemberId> {
        let id = self.index.resolved(self.entry(name)?);
        (self.index.member(id).kind == MemberKind::File).then_some(id)
    }

    /// What stands under a name, if it is a file or a further name of one.
    pub(crate) fn entry(&self, name: &[u8]) -> Option<MemberId> {
        let mut path = self.directory?.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        find_through_layers(self.index, self.layers, &path).filter(|id| has_contents(self.index.member(*id)))
    }

    /// All files directly in the directory, in stored order.
    pub fn members(&self) -> Vec<MemberId> {
        let Some(directory) = self.directory else { return Vec::new() };
        let here = self.layers.iter().flat_map(|&layer| self.index.in_directory(layer, directory));
        // What another member of that name replaced, or an upper layer took away, is not there.
        let is_current = |id: &MemberId| self.entry(self.index.member(*id).base_name()) == Some(*id);
        let mut members: Vec<MemberId> = here.copied().filter(is_current).collect();
        members.sort_unstable();
        members
    }
}

impl FileSet for DirectoryFiles<'_> {
    fn file(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.index.contents(self.entry(name.as_bytes())?)
    }

    fn has(&self, name: &str) -> bool {
        self.entry(name.as_bytes()).is_some()
    }

    fn size(&self, name: &str) -> Option<u64> {
        Some(self.index.member(self.member(name.as_bytes())?).size)
    }

    fn names(&self) -> Vec<String> {
        let base = |id: MemberId| String::from_utf8(self.index.member(id).base_name().to_vec()).ok();
        let mut names: Vec<String> = self.members().into_iter().filter_map(base).collect();
        names.sort();
        names
    }
}

/// Looks a path up in the uppermost layer first. An upper layer's whiteouts (`.wh.NAME`, `.wh..wh..opq`) hide what lies below.
pub(crate) fn find_through_layers(index: &Index, layers: &[LayerId], path: &[u8]) -> Option<MemberId> {
    for (depth, &layer) in layers.iter().enumerate() {
        if let Some(id) = index.find(layer, path) {
            return Some(id);
        }
        if depth + 1 < layers.len() && is_hidden_by(index, layer, path) {
            return None;
        }
    }
    None
}

fn is_hidden_by(index: &Index, layer: LayerId, path: &[u8]) -> bool {
    let mut current = path;
    while !current.is_empty() {
        let (directory, base) = split_path(current);
        let in_directory =
            |name: &[u8]| if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() };
        let whiteout = in_directory(&[b".wh.", base].concat());
        if index.find(layer, &whiteout).is_some()
            || index.find(layer, &in_directory(b".wh..wh..opq")).is_some()
        {
            return true;
        }
        current = directory;
    }
    false
}
