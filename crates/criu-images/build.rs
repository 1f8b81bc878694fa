//! Compiles `proto/*.proto` into Rust types (prost) and into static tables (`build/tables.rs`).
//!
//! No `protoc` is called, and nothing of a descriptor is left to decode at run time.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::FileDescriptorSet;

#[path = "build/tables.rs"]
mod tables;

/// Files that carry options, no image: nothing is generated for them.
const WITHOUT_TYPES: [&str; 2] = ["opts.proto", "google/protobuf/descriptor.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let proto = Path::new("proto");
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build/tables.rs");

    let mut compiler = protox::Compiler::new([proto])?;
    compiler.include_imports(true).include_source_info(true).open_files(schema_files(proto)?)?;
    // The encoded set keeps the `(criu)` options; the decoded one of prost-types has no place for them.
    let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice())?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("tables.rs"), tables::generate(&pool)?)?;

    let set = FileDescriptorSet {
        file: compiler
            .file_descriptor_set()
            .file
            .into_iter()
            .filter(|file| !WITHOUT_TYPES.contains(&file.name()))
            .collect(),
    };
    prost_build::Config::new().default_package_filename("types").compile_fds(set)?;
    Ok(())
}

/// The names of all schema files in sorted order, so that the generated code never depends on the file system.
fn schema_files(directory: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().into_string().map_err(|name| format!("odd file name {name:?}"))?;
        if name.ends_with(".proto") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
