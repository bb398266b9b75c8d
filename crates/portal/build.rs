//! Puts what `npm run build` made in `portal/ui/dist` into the program: a table of files with their content, type
//! and mark. Without it (a machine without Node) the table is empty, and `/` says how to build the portal.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Forms that the build leaves beside a file.
const PACKED: [(&str, &str); 2] = [("br", "br"), ("gz", "gzip")];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let dist = root.join("../../portal/ui/dist");
    // A directory that is not there would make cargo run this, and build what stands on it, each time.
    let _ = fs::create_dir_all(&dist);
    println!("cargo:rerun-if-changed={}", dist.display());
    println!("cargo:rerun-if-changed=build.rs");
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        collect(&dist, &mut files)?;
    }
    files.sort();
    let mut table = String::from("pub const FILES: &[File] = &[\n");
    for file in files.iter().filter(|f| !is_packed(f)) {
        entry(&dist, file, &mut table)?;
    }
    table.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("files.rs"), table)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_none_or(|e| e != "map") {
            files.push(path.canonicalize()?);
        }
    }
    Ok(())
}

/// `a.js.br` beside `a.js`.
fn is_packed(file: &Path) -> bool {
    PACKED.iter().any(|(suffix, _)| {
        let plain = file.to_string_lossy().strip_suffix(&format!(".{suffix}")).map(PathBuf::from);
        plain.is_some_and(|p| p.is_file())
    })
}

fn entry(dist: &Path, file: &Path, table: &mut String) -> io::Result<()> {
    let dist = dist.canonicalize()?;
    let name = file.strip_prefix(&dist).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
    let mut mark = DefaultHasher::new();
    fs::read(file)?.hash(&mut mark);
    let mut packed = String::new();
    for (suffix, coding) in PACKED {
        let beside = PathBuf::from(format!("{}.{suffix}", file.display()));
        if beside.is_file() {
            write!(packed, "({coding:?}, include_bytes!({:?})),", beside.display().to_string())
                .map_err(io::Error::other)?;
        }
    }
    let path = file.display().to_string();
    writeln!(
        table,
        "    File {{ path: {name:?}, mark: \"\\\"{:016x}\\\"\", plain: include_bytes!({path:?}), packed: &[{packed}] }},",
        mark.finish()
    )
    .map_err(io::Error::other)
}
