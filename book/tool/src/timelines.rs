//! The timelines of the chapters: each chapter's program runs under the lens, in the same
//! half-second, and what was seen is written down and drawn.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::repo::Repo;

/// A timeline that was drawn anew.
pub struct Drawn {
    /// The run, and the picture of it.
    pub files: [PathBuf; 2],
}

/// The chapters that have a timeline: all of them. In order, by their folders' names.
pub fn chapters(repo: &Repo) -> Result<Vec<String>> {
    let folder = repo.root().join("chapters");
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Runs and draws `wanted` chapters, or all. Nothing is overwritten unless its run was a success.
pub fn draw(repo: &Repo, wanted: &[String]) -> Result<Vec<Drawn>> {
    let chapters = chapters(repo)?;
    if let Some(unknown) = wanted.iter().find(|name| !chapters.contains(name)) {
        bail!("there is no chapter {unknown}; there are {}", chapters.join(", "));
    }
    let scratch = tempfile::tempdir().context("making a folder for the runs")?;
    fs::create_dir_all(repo.timelines())?;
    let mut drawn = Vec::new();
    for name in chapters.iter().filter(|name| wanted.is_empty() || wanted.contains(name)) {
        let files = [format!("{name}.jsonl"), format!("{name}.svg")];
        let [run, picture] = files.clone().map(|file| scratch.path().join(file));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["run", "--quiet", "--package", "lens", "--bin", "lens", "--", name, "--quiet"])
            .arg("--json")
            .arg(&run)
            .arg("--svg")
            .arg(&picture)
            .current_dir(repo.root())
            .stdout(Stdio::null())
            .status()
            .context("running the lens")?;
        if !status.success() {
            bail!("the lens on {name}: {status}");
        }
        let places = files.map(|file| repo.timelines().join(file));
        for (from, to) in [run, picture].iter().zip(&places) {
            fs::copy(from, to).with_context(|| format!("writing {}", to.display()))?;
        }
        drawn.push(Drawn { files: places });
    }
    Ok(drawn)
}
