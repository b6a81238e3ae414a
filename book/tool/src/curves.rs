//! The curves: a table of `book/figures`, drawn with a line for each of its columns. [`table`] reads it,
//! [`picture`] draws it.

pub mod picture;
pub mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use visitors::files;

use crate::repo::Repo;
use table::Table;

/// The names of the tables that are drawn, and what it is that they measure.
pub const CURVES: [(&str, &str); 1] = [("08-turns", "One turn of the loop")];

/// Draws those `wanted`, or all; returns the pictures. Nothing is overwritten unless its table is in order.
pub fn draw(repo: &Repo, wanted: &[String]) -> Result<Vec<PathBuf>> {
    if let Some(unknown) = wanted.iter().find(|name| CURVES.iter().all(|(known, _)| known != name))
    {
        bail!("there is no curve {unknown}; there are {}", CURVES.map(|(name, _)| name).join(", "));
    }
    let mut drawn = Vec::new();
    for (name, what) in CURVES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let picture = repo.pictures().join(format!("{name}.svg"));
            let svg = drawing(repo, name, what)?;
            files::write(&picture, &svg)
                .with_context(|| format!("writing {}", picture.display()))?;
            drawn.push(picture);
        }
    }
    Ok(drawn)
}

/// The picture that the table `name` gives as it stands.
pub fn drawing(repo: &Repo, name: &str, what: &str) -> Result<String> {
    let path = repo.figures().join(format!("{name}.txt"));
    let file = repo.shown(&path);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
    let table = Table::read(&file, &text)?;
    Ok(picture::draw(name, what, &table))
}
