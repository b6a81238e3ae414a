//! The curves: a table of `book/figures`, drawn with a line for each of its columns. [`table`] reads it,
//! [`picture`] draws it. What a race has measured is drawn by the race itself; [`races`] says what of it.

pub mod picture;
pub mod races;
pub mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use visitors::files;

use crate::repo::Repo;
use table::Table;

/// The names of the tables that are drawn, and what it is that they measure.
pub const CURVES: [(&str, &str); 1] = [("08-turns", "One turn of the loop")];

/// What [`draw`] did.
#[derive(Default)]
pub struct Drawn {
    pub pictures: Vec<PathBuf>,
    /// What couldn't be drawn, and needn't be: no page shows it.
    pub missing: Vec<String>,
}

/// Draws those `wanted`, or all. Nothing is overwritten unless its figures are in order.
pub fn draw(repo: &Repo, wanted: &[String]) -> Result<Drawn> {
    let known: Vec<String> =
        CURVES.iter().map(|(name, _)| (*name).to_owned()).chain(races::names()).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        bail!("there is no curve {unknown}; there are {}", known.join(", "));
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let mut drawn = Drawn::default();
    for (name, what) in CURVES {
        if is_wanted(name) {
            drawn.pictures.push(write(repo, name, &drawing(repo, name, what)?)?);
        }
    }
    let races = races::drawings(repo, wanted)?;
    for (name, svg) in races.pictures {
        if is_wanted(&name) {
            drawn.pictures.push(write(repo, &name, &svg)?);
        }
    }
    drawn.missing = races.missing;
    Ok(drawn)
}

fn write(repo: &Repo, name: &str, svg: &str) -> Result<PathBuf> {
    let picture = repo.pictures().join(format!("{name}.svg"));
    files::write(&picture, svg).with_context(|| format!("writing {}", picture.display()))?;
    Ok(picture)
}

/// The picture that the table `name` gives as it stands.
pub fn drawing(repo: &Repo, name: &str, what: &str) -> Result<String> {
    let path = repo.figures().join(format!("{name}.txt"));
    let file = repo.shown(&path);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
    let table = Table::read(&file, &text)?;
    Ok(picture::draw(name, what, &table))
}
