//! The proof's test programs: each test target of the workspace that plain `cargo test` leaves out.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

/// A test target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub package: String,
    pub test: String,
    /// The package's folder: a test is run there.
    pub folder: PathBuf,
    /// What cargo calls the package.
    pub id: String,
}

impl Target {
    /// `lens/strace`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.package, self.test)
    }

    fn is_called(&self, name: &str) -> bool {
        self.test == name || self.package == name || self.name() == name
    }
}

/// What of `cargo metadata` is needed here (cargo-metadata(1)).
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_default_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Described>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    kind: Vec<String>,
    /// Whether plain `cargo test` has it.
    test: bool,
}

/// The cargo that runs us, so that a chosen toolchain stays chosen.
pub fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A command of that cargo, for the copy of the repository in which we are called.
pub fn cargo_for_this_copy(command: &str) -> Command {
    let mut cargo = Command::new(cargo());
    cargo.arg(command).stdin(Stdio::null()).stderr(Stdio::inherit());
    if let Some(package) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)
        && let Some(root) = package.ancestors().nth(2)
    {
        cargo.arg("--manifest-path").arg(root.join("Cargo.toml"));
    }
    cargo
}

/// All of them, in cargo's order.
///
/// # Errors
/// A sentence on what cargo doesn't tell.
pub fn all() -> Result<Vec<Target>, String> {
    let output = cargo_for_this_copy("metadata")
        .args(["--no-deps", "--format-version", "1"])
        .output()
        .map_err(|error| format!("can't run cargo: {error}"))?;
    if !output.status.success() {
        return Err("cargo doesn't say which tests there are".to_owned());
    }
    read(&String::from_utf8_lossy(&output.stdout))
}

fn read(metadata: &str) -> Result<Vec<Target>, String> {
    let metadata: Metadata = serde_json::from_str(metadata)
        .map_err(|error| format!("cargo metadata isn't understood: {error}"))?;
    let mut packages = metadata.packages;
    packages.retain(|package| metadata.workspace_default_members.contains(&package.id));
    packages.sort_by(|one, other| one.name.cmp(&other.name));
    let mut all = Vec::new();
    for package in packages {
        let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path).to_owned();
        for target in package.targets {
            if !target.test && target.kind.iter().any(|kind| kind == "test") {
                all.push(Target {
                    package: package.name.clone(),
                    test: target.name,
                    folder: folder.clone(),
                    id: package.id.clone(),
                });
            }
        }
    }
    Ok(all)
}

/// Those that are meant by `names`, or all.
///
/// # Errors
/// A sentence on the name that nothing bears.
pub fn chosen(all: &[Target], names: &[String]) -> Result<Vec<Target>, String> {
    for name in names {
        if !all.iter().any(|target| target.is_called(name)) {
            let names: Vec<String> = all.iter().map(Target::name).collect();
            return Err(format!("there is no {name} in the proof; there are {}", names.join(", ")));
        }
    }
    let meant =
        |target: &&Target| names.is_empty() || names.iter().any(|name| target.is_called(name));
    Ok(all.iter().filter(meant).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "packages": [
            {"id": "l", "name": "lens", "manifest_path": "/w/lens/Cargo.toml", "targets": [
                {"name": "lens", "kind": ["bin"], "test": false},
                {"name": "works", "kind": ["test"], "test": true},
                {"name": "strace", "kind": ["test"], "test": false},
                {"name": "book", "kind": ["test"], "test": false}
            ]},
            {"id": "b", "name": "book", "manifest_path": "/w/book/Cargo.toml", "targets": [
                {"name": "live", "kind": ["test"], "test": false}
            ]},
            {"id": "x", "name": "ex01", "manifest_path": "/w/ex01/Cargo.toml", "targets": [
                {"name": "graded01", "kind": ["test"], "test": false}
            ]}
        ],
        "workspace_default_members": ["b", "l"]
    }"#;

    fn names(targets: &[Target]) -> String {
        targets.iter().map(Target::name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_proof_is_what_plain_cargo_test_leaves_out() {
        let all = read(METADATA).expect("it's understood");
        assert_eq!(names(&all), "book/live lens/strace lens/book");
        assert_eq!(all[1].folder, PathBuf::from("/w/lens"));
    }

    #[test]
    fn a_part_is_chosen_by_its_test_its_package_or_both() {
        let all = read(METADATA).expect("it's understood");
        let find = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen(&all, &names)
        };
        assert_eq!(names(&find(&["strace"]).unwrap()), "lens/strace");
        assert_eq!(names(&find(&["lens/book", "live"]).unwrap()), "book/live lens/book");
        // A name of both kinds means both.
        assert_eq!(names(&find(&["book"]).unwrap()), "book/live lens/book");
        let refused = find(&["strance"]).unwrap_err();
        assert!(refused.contains("there is no strance") && refused.contains("lens/strace"));
    }
}
