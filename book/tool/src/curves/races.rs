//! Which pictures the book has of races, and the files that they come from: `race.json`, and the two of one server
//! that was timed in two ways. How they look is the race's own affair ([`race::pictures`]).

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use race::figures::Figure;
use race::pictures::{self, PICTURES};
use race::result::{Race, Role};

use crate::repo::{Repo, files_below};

const RACE: &str = "race.json";
/// One server: timed from when a request was due, and from when it was sent.
const WAYS: [&str; 2] = ["race-open.json", "race-closed.json"];
const TWO_WAYS: &str = "race-two-ways";

/// What a chapter's server is compared in with the one before: what its page is about.
const CHAPTERS: [(&str, &str, Figure); 8] = [
    ("3", "2", Figure::Slowest),
    ("4", "3", Figure::Memory),
    ("5", "4", Figure::Slowest),
    ("6", "5", Figure::Most),
    ("7", "6", Figure::Cpu),
    ("8", "7", Figure::Cpu),
    ("9", "8", Figure::Cpu),
    ("11", "9", Figure::Most),
];

/// The names of all such pictures.
pub fn names() -> Vec<String> {
    let mut names = of_the_race();
    names.push(TWO_WAYS.to_owned());
    names
}

fn of_the_race() -> Vec<String> {
    let all = PICTURES.iter().map(|(name, _)| format!("race-{name}"));
    all.chain(CHAPTERS.iter().map(|(name, ..)| pictures::chapters_name(name))).collect()
}

#[derive(Default)]
pub struct Drawings {
    /// Their names and their SVG.
    pub pictures: Vec<(String, String)>,
    /// What there is none of, and why.
    pub missing: Vec<String>,
}

/// The pictures that the files give as they stand. It's no error if a file is missing, unless one of its pictures is
/// `wanted` by name, or shown on a page.
pub fn drawings(repo: &Repo, wanted: &[String]) -> Result<Drawings> {
    let mut drawings = Drawings::default();
    let is_wanted =
        |names: &[String]| wanted.is_empty() || names.iter().any(|name| wanted.contains(name));
    let names = of_the_race();
    if is_wanted(&names) {
        match read(repo, RACE)? {
            Some(race) => draw_race(&race, &mut drawings),
            None => drawings.missing.push(missing(repo, &[RACE], &names)),
        }
    }
    let names = [TWO_WAYS.to_owned()];
    if is_wanted(&names) {
        match (read(repo, WAYS[0])?, read(repo, WAYS[1])?) {
            (Some(open), Some(closed)) => {
                drawings.pictures.push((TWO_WAYS.to_owned(), draw_two_ways(&open, &closed)?));
            }
            _ => drawings.missing.push(missing(repo, &WAYS, &names)),
        }
    }
    let drawn = |name: &String| drawings.pictures.iter().any(|(drawn, _)| drawn == name);
    for name in self::names().iter().filter(|name| is_wanted(&[(*name).clone()]) && !drawn(name)) {
        if wanted.contains(name) {
            bail!("{name} can't be drawn: {}", drawings.missing.join("; "));
        }
        if let Some(page) = page_that_shows(repo, name) {
            bail!("{page} shows {name}, and it can't be drawn: {}", drawings.missing.join("; "));
        }
    }
    Ok(drawings)
}

/// `None`: it isn't there.
fn read(repo: &Repo, name: &str) -> Result<Option<Race>> {
    let path = repo.figures().join(name);
    if !path.exists() {
        return Ok(None);
    }
    let file = repo.shown(&path);
    let read = fs::read_to_string(&path).map_err(Into::into).and_then(|json| Race::read(&json));
    read.map(Some).with_context(|| format!("reading {file}"))
}

fn draw_race(race: &Race, drawings: &mut Drawings) {
    let all = pictures::all(race).into_iter();
    drawings.pictures.extend(all.map(|(name, svg)| (format!("race-{name}"), svg)));
    for (name, before, figure) in CHAPTERS {
        let absent = [name, before]
            .into_iter()
            .find(|name| race.servers.iter().all(|server| server.name != *name));
        let picture = pictures::chapters_name(name);
        match absent {
            Some(absent) => {
                drawings
                    .missing
                    .push(format!("{picture}, for {absent} isn't among {RACE}'s servers"));
            }
            None => {
                let svg = pictures::of_chapter(race, figure, name, before);
                drawings.pictures.push((picture, svg));
            }
        }
    }
}

fn draw_two_ways(open: &Race, closed: &Race) -> Result<String> {
    let measured = open.servers.iter().find(|server| server.role == Role::Measured);
    let name = measured.map_or("", |server| server.name.as_str());
    ensure!(
        closed.servers.iter().any(|server| server.name == name),
        "{} and {} have no server in common: the first one's is `{name}`",
        WAYS[0],
        WAYS[1]
    );
    Ok(pictures::two_ways(open, closed, name))
}

fn missing(repo: &Repo, files: &[&str], names: &[String]) -> String {
    let paths = files.iter().map(|file| repo.figures().join(file)).filter(|path| !path.exists());
    let files: Vec<String> = paths.map(|path| repo.shown(&path)).collect();
    let verb = if files.len() == 1 { "isn't" } else { "aren't" };
    format!("{}, for {} {verb} there", names.join(", "), files.join(" and "))
}

fn page_that_shows(repo: &Repo, name: &str) -> Option<String> {
    let include = format!("pictures/{name}.svg");
    let shows = |path: &_| fs::read_to_string(path).is_ok_and(|page| page.contains(&include));
    files_below(&repo.src()).iter().find(|path| shows(path)).map(|path| repo.shown(path))
}
