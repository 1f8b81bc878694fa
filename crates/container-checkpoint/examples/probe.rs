#![allow(missing_docs, clippy::print_stdout)]
use container_checkpoint::{case::Case, context::Context, evidence::Nobody, naming::Locator, files::FileSet};
fn main() {
    let mut case = Case::default();
    for a in std::env::args_os().skip(1) { case.add(Locator::parse(&a), &Context::default(), &mut Nobody); }
    for (n, e) in &case.failures { println!("FAIL {n}: {e}"); }
    for o in &case.evidences {
        println!("{}: {} members, {} layers", o.name(), o.evidence.index().len(), o.evidence.index().layers().count());
        for d in &o.dumps { println!("   dump {:?} images={:?} bundle={:?} n={} rootfs={:?} ann={}", d.name, d.images.as_ref().map(|i| String::from_utf8_lossy(i).into_owned()), String::from_utf8_lossy(&d.bundle), d.image_files(o.evidence.index()).names().len(), d.rootfs_layer, d.manifest.as_ref().map_or(0, |m| m.annotations().count())); }
        for g in &o.evidence.index().findings.gaps { println!("   gap {g:?}"); }
        for g in &o.evidence.index().findings.notes { println!("   note {g:?}"); }
    }
}
