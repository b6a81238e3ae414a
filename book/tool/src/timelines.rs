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

/// In these one program replaces another. That takes so little time that the moment has a picture of its own.
const WITH_A_HAND_OVER: [&str; 1] = ["13-upgrade"];

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
        let files = files_of(name);
        let [run, picture] = files.clone().map(|file| scratch.path().join(file));
        let what = OTHERS.iter().find(|(other, _)| other == name);
        let what = what.map_or(vec![name.as_str()], |(_, arguments)| arguments.to_vec());
        run_the_lens(repo, name, |lens| {
            lens.arg("--quiet").arg("--json").arg(&run).arg("--svg").arg(&picture).args(&what);
        })?;
        let mut all = vec![files];
        if WITH_A_HAND_OVER.contains(&name.as_str()) {
            let files = files_of(&format!("{name}-hand-over"));
            let [part, of_part] = files.clone().map(|file| scratch.path().join(file));
            run_the_lens(repo, name, |lens| {
                lens.arg("--draw").arg(&run).arg("--hand-over");
                lens.arg("--json").arg(part).arg("--svg").arg(of_part);
            })?;
            all.push(files);
        }
        for files in all {
            let places = files.clone().map(|file| repo.timelines().join(file));
            for (from, to) in files.iter().zip(&places) {
                fs::copy(scratch.path().join(from), to)
                    .with_context(|| format!("writing {}", to.display()))?;
            }
            drawn.push(Drawn { files: places });
        }
    }
    Ok(drawn)
}

/// A timeline's run, and the picture of it.
fn files_of(name: &str) -> [String; 2] {
    [format!("{name}.jsonl"), format!("{name}.svg")]
}

fn run_the_lens(repo: &Repo, name: &str, told: impl FnOnce(&mut Command)) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut lens = Command::new(cargo);
    lens.args(["run", "--quiet", "--package", "lens", "--bin", "lens", "--"]);
    told(&mut lens);
    lens.current_dir(repo.root()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = lens.output().context("running the lens")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("the lens on {name}: {}\n{said}", output.status);
    }
    Ok(())
}
