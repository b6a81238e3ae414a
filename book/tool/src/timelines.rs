//! The timelines: programs run under the lens, and what was seen is written down and drawn. Each
//! chapter's program has the same half-second for it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use visitors::chapters::{self, Chapter};

use crate::repo::Repo;

/// A timeline that was drawn anew.
pub struct Drawn {
    /// The run, and the picture of it.
    pub files: [PathBuf; 2],
}

/// Besides the chapters' programs: the picture's name, and what the lens is told.
const OTHERS: [(&str, &[&str]); 1] = [("watching", &["--", "sh", "-c", "sleep 0.3 | cat"])];

/// The names of all timelines: the chapters' in order, by their folders, then the others.
pub fn names(repo: &Repo) -> Result<Vec<String>> {
    let chapters = chapters::all(repo.root()).context("looking for the chapters")?;
    let with_sockets = chapters.into_iter().filter(Chapter::has_socket);
    let others = OTHERS.iter().map(|(name, _)| (*name).to_owned());
    Ok(with_sockets.map(|chapter| chapter.name).chain(others).collect())
}

/// Runs and draws those `wanted`, or all. Nothing is overwritten unless its run was a success.
pub fn draw(repo: &Repo, wanted: &[String]) -> Result<Vec<Drawn>> {
    let names = names(repo)?;
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(name)) {
        bail!("there is no timeline {unknown}; there are {}", names.join(", "));
    }
    let scratch = tempfile::tempdir().context("making a folder for the runs")?;
    fs::create_dir_all(repo.timelines())?;
    let mut drawn = Vec::new();
    for name in names.iter().filter(|name| wanted.is_empty() || wanted.contains(name)) {
        let files = [format!("{name}.jsonl"), format!("{name}.svg")];
        let [run, picture] = files.clone().map(|file| scratch.path().join(file));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["run", "--quiet", "--package", "lens", "--bin", "lens", "--", "--quiet"])
            .arg("--json")
            .arg(&run)
            .arg("--svg")
            .arg(&picture)
            .args(
                OTHERS
                    .iter()
                    .find(|(other, _)| other == name)
                    .map_or(&[name.as_str()][..], |o| o.1),
            )
            .current_dir(repo.root())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .context("running the lens")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("the lens on {name}: {}\n{said}", output.status);
        }
        let places = files.map(|file| repo.timelines().join(file));
        for (from, to) in [run, picture].iter().zip(&places) {
            fs::copy(from, to).with_context(|| format!("writing {}", to.display()))?;
        }
        drawn.push(Drawn { files: places });
    }
    Ok(drawn)
}
