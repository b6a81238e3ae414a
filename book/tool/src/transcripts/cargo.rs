//! Builds the programs that the transcripts need, and finds them.
//!
//! Cargo is not in between when they run: it would add its own lines to the transcript, and stand
//! between us and the program's end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::command::Program;

/// Where cargo put each program.
pub struct Executables(Vec<Executable>);

struct Executable {
    package: String,
    bin: String,
    path: PathBuf,
}

/// One line of what cargo tells: only what a program's line has is named here.
#[derive(Deserialize)]
struct Message {
    package_id: Option<String>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Executables {
    /// Builds `packages`, with one run of cargo.
    ///
    /// # Errors
    /// If one doesn't compile: cargo has said why.
    pub fn build(root: &Path, packages: &BTreeSet<String>) -> Result<Executables> {
        if packages.is_empty() {
            return Ok(Executables(Vec::new()));
        }
        // Cargo says which cargo it is to the programs that it runs.
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
        for package in packages {
            command.args(["--package", package]);
        }
        let built = command
            .current_dir(root)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cargo can't be started")?;
        if !built.status.success() {
            bail!("the programs of the transcripts don't build: see what cargo says above");
        }
        Ok(Executables::read(&String::from_utf8_lossy(&built.stdout)))
    }

    /// Reads what cargo told, a line of JSON for each thing it made.
    fn read(messages: &str) -> Executables {
        let mut executables = Vec::new();
        for line in messages.lines() {
            let Ok(message) = serde_json::from_str::<Message>(line) else {
                continue; // a kind of line that we don't know, and don't need
            };
            if let (Some(id), Some(target), Some(path)) =
                (message.package_id, message.target, message.executable)
                && target.kind.iter().any(|kind| kind == "bin")
            {
                executables.push(Executable {
                    package: package_name(&id).to_string(),
                    bin: target.name,
                    path,
                });
            }
        }
        Executables(executables)
    }

    /// The program: the one that is named, or the one that is named like its package, or the only
    /// one.
    ///
    /// # Errors
    /// If the package has no such program, or a stranger isn't here.
    pub fn find(&self, program: &Program) -> Result<PathBuf> {
        if program.is_stranger() {
            return stranger(program)
                .with_context(|| format!("there is no {} on this machine", program.package));
        }
        let of_package: Vec<&Executable> =
            self.0.iter().filter(|executable| executable.package == program.package).collect();
        let name = program.bin.as_ref().unwrap_or(&program.package);
        let named = of_package.iter().find(|executable| executable.bin == *name);
        match (named, of_package.as_slice()) {
            (Some(executable), _) => Ok(executable.path.clone()),
            (None, [only]) if program.bin.is_none() => Ok(only.path.clone()),
            _ => bail!(
                "the package `{}` has no program `{name}`: name one of its own with --bin",
                program.package
            ),
        }
    }
}

/// Where a program lies that isn't built here, if it's there.
pub fn stranger(program: &Program) -> Option<PathBuf> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&places)
        .map(|place| place.join(&program.package))
        .find(|path| path.is_file())
}

/// The name in a package id: `path+file:///…/02-blocking-server#ch02-blocking-server@0.1.0`, or,
/// where the folder has the package's name, `path+file:///…/visitors#0.1.0`.
fn package_name(id: &str) -> &str {
    let (path, rest) = id.rsplit_once('#').unwrap_or((id, ""));
    match rest.split_once('@') {
        Some((name, _version)) => name,
        None => path.rsplit('/').next().unwrap_or(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const MESSAGES: &str = r#"
{"reason":"compiler-artifact","package_id":"path+file:///x/02-blocking-server#ch02-blocking-server@0.1.0","target":{"kind":["bin"],"name":"answer02-pieces"},"executable":"/t/answer02-pieces"}
{"reason":"compiler-artifact","package_id":"path+file:///x/02-blocking-server#ch02-blocking-server@0.1.0","target":{"kind":["bin"],"name":"ch02-blocking-server"},"executable":"/t/ch02-blocking-server"}
{"reason":"compiler-artifact","package_id":"path+file:///x/visitors#0.1.0","target":{"kind":["lib"],"name":"visitors"},"executable":null}
{"reason":"compiler-artifact","package_id":"path+file:///x/visitors#0.1.0","target":{"kind":["bin"],"name":"visit"},"executable":"/t/visit"}
{"reason":"compiler-artifact","package_id":"path+file:///x/visitors#0.1.0","target":{"kind":["bin"],"name":"host"},"executable":"/t/host"}
{"reason":"compiler-artifact","package_id":"path+file:///x/grader#0.1.0","target":{"kind":["bin"],"name":"grade"},"executable":"/t/grade"}
{"reason":"build-finished","success":true}
"#;

    fn program(package: &str, bin: Option<&str>) -> Program {
        Program {
            package: package.to_string(),
            bin: bin.map(str::to_string),
            arguments: Vec::new(),
        }
    }

    #[rstest]
    #[case::of_several_the_packages_own("ch02-blocking-server", None, "/t/ch02-blocking-server")]
    #[case::named("ch02-blocking-server", Some("answer02-pieces"), "/t/answer02-pieces")]
    #[case::of_a_folder_named_alike("visitors", Some("host"), "/t/host")]
    #[case::the_only_one("grader", None, "/t/grade")]
    fn found(#[case] package: &str, #[case] bin: Option<&str>, #[case] path: &str) {
        let found = Executables::read(MESSAGES).find(&program(package, bin));
        assert_eq!(found.expect("it is there"), Path::new(path));
    }

    #[rstest]
    #[case::one_of_two_nobody_knows_which("visitors", None)]
    #[case::another_packages("grader", Some("visit"))]
    fn not_found(#[case] package: &str, #[case] bin: Option<&str>) {
        let found = Executables::read(MESSAGES).find(&program(package, bin));
        assert!(found.is_err());
    }
}
