//! `book/transcripts/scripts.toml`: which commands are run, and which files they make.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use toml::Spanned;

use super::addresses;
use super::command::{Aliases, Program};
use super::typed::Typed;
use crate::fault::{Fault, line_at};
use crate::repo::{Repo, files_in};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scripts {
    #[serde(default)]
    script: Vec<Script>,
}

/// A command, and what it made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Programs that are started before the command, in this order, and ended after it.
    #[serde(default)]
    pub beside: Vec<Beside>,
    /// The command, as the reader types it.
    pub run: String,
    /// The transcript's name, without its folder and `.txt`.
    file: Spanned<String>,
    /// Whether the lines must come in the recorded order.
    #[serde(default)]
    pub order: Order,
    /// Beginnings of lines that only come sometimes: they aren't compared.
    #[serde(default)]
    pub sometimes: Vec<String>,
    /// The exit status that the command must end with.
    #[serde(default)]
    pub status: i32,
    /// How long the command may take, and a program beside until it listens.
    #[serde(default = "thirty")]
    timeout_seconds: u64,
}

/// A program that runs while the command does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// The command, as the reader types it.
    pub run: String,
    /// The name of the transcript of what it said, if the book shows that.
    file: Option<Spanned<String>>,
    /// The address that the book shows, where the command doesn't name it and isn't a chapter's.
    address: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The same lines in the same order.
    #[default]
    Same,
    /// The same lines: which comes first is chance.
    Any,
}

fn thirty() -> u64 {
    30
}

impl Script {
    pub fn file(&self) -> String {
        self.file.get_ref().clone()
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    /// All programs that it runs.
    ///
    /// # Errors
    /// If a command is none that can be run.
    pub fn programs(&self, aliases: &Aliases) -> Result<Vec<Program>> {
        let beside = self.beside.iter().map(|beside| Program::parse(&beside.run, aliases));
        let mut programs = beside.collect::<Result<Vec<_>>>()?;
        let typed = Typed::parse(&self.run)?;
        if typed.nc().is_none() && typed.pkill()?.is_none() {
            programs.push(Program::parse(typed.command, aliases)?);
        }
        Ok(programs)
    }

    pub fn makes(&self, name: &str) -> bool {
        self.files().any(|file| file.get_ref() == name)
    }

    fn files(&self) -> impl Iterator<Item = &Spanned<String>> {
        let beside = self.beside.iter().filter_map(|beside| beside.file.as_ref());
        [&self.file].into_iter().chain(beside)
    }
}

impl Beside {
    pub fn file(&self) -> Option<String> {
        self.file.as_ref().map(|file| file.get_ref().clone())
    }

    /// The address that the book shows for this program.
    ///
    /// # Errors
    /// If it isn't told, isn't among the arguments, and the program is no chapter's.
    pub fn shown_address(&self, program: &Program) -> Result<String> {
        if let Some(address) = &self.address {
            return Ok(address.clone());
        }
        let named = program.arguments.iter().find(|argument| addresses::is_address(argument));
        if let Some(named) = named {
            return Ok(named.clone());
        }
        // A chapter's program listens on 127.0.0.1:70NN if it isn't told where.
        let chapter = program
            .package
            .strip_prefix("ch")
            .and_then(|rest| rest.get(..2))
            .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        match chapter {
            Some(number) => Ok(format!("127.0.0.1:70{number}")),
            None => bail!(
                "which address is it shown at? Say it with `address = \"127.0.0.1:…\"` in scripts.toml"
            ),
        }
    }
}

/// All scripts; none if there is no `scripts.toml`.
///
/// # Errors
/// If the file can't be understood.
pub fn read(repo: &Repo) -> Result<Vec<Script>> {
    let path = repo.transcripts().join("scripts.toml");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let shown = repo.shown(&path);
    let text = std::fs::read_to_string(&path).with_context(|| format!("{shown} can't be read"))?;
    parse(&text).with_context(|| format!("{shown} can't be understood"))
}

fn parse(text: &str) -> Result<Vec<Script>, toml::de::Error> {
    Ok(toml::from_str::<Scripts>(text)?.script)
}

/// What can be seen to be wrong without running anything; `included` are the files that pages
/// show.
pub fn faults(repo: &Repo, included: &BTreeSet<PathBuf>) -> Vec<Fault> {
    let path = repo.transcripts().join("scripts.toml");
    let shown = repo.shown(&path);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let scripts = match parse(&text) {
        Ok(scripts) => scripts,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_at(&text, span.start));
            return vec![Fault::new(shown, line, error.message())];
        }
    };

    let mut faults = Vec::new();
    let mut made = BTreeMap::new();
    for script in &scripts {
        let line = line_at(&text, script.file.span().start);
        if let Err(error) = understand(repo, script) {
            faults.push(Fault::new(&shown, line, format!("{error:#}")));
        }
        for file in script.files() {
            let line = line_at(&text, file.span().start);
            let name = file.get_ref();
            let path = repo.transcripts().join(format!("{name}.txt"));
            if !path.is_file() {
                let message =
                    format!("`{name}` isn't recorded: run `cargo book transcripts {name}`");
                faults.push(Fault::new(&shown, line, message));
            }
            if let Some(first) = made.insert(path, line) {
                let message =
                    format!("`{name}` is made in line {first} already: name one otherwise");
                faults.push(Fault::new(&shown, line, message));
            }
        }
    }

    for path in files_in(&repo.transcripts()) {
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        if !made.contains_key(&path) {
            let message =
                "no script in scripts.toml makes this transcript: add one, or remove the file";
            faults.push(Fault::new(repo.shown(&path), 1, message));
        }
        if !included.contains(&path) {
            let message =
                "no page includes this transcript: include it, or remove it and its script";
            faults.push(Fault::new(repo.shown(&path), 1, message));
        }
    }
    faults
}

/// Is each command of `script` one that can be run?
fn understand(repo: &Repo, script: &Script) -> Result<()> {
    let aliases = Aliases::read(repo.root())?;
    script.programs(&aliases)?;
    for beside in &script.beside {
        let program = Program::parse(&beside.run, &aliases)?;
        beside.shown_address(&program).with_context(|| format!("`{}`", beside.run))?;
    }
    Ok(())
}
