//! Transcripts: what the commands in the book really say.
//!
//! `book/transcripts/scripts.toml` tells what to run; what it said lies beside it, and the pages
//! include it. Read [`scripts`] for what can be told, [`command`] and [`cargo`] for how a command
//! becomes a program, [`typed`] for what stands before it, [`running`] for how it is run,
//! [`addresses`] for how a program that the book shows on port 7002 runs on any, and [`compare`]
//! for what may differ from run to run.

pub mod addresses;
pub mod cargo;
pub mod command;
pub mod compare;
pub mod running;
pub mod scripts;
pub mod typed;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use visitors::files;

use crate::repo::Repo;
use addresses::Addresses;
use cargo::Executables;
use command::{Aliases, Program};
use running::Running;
use scripts::{Beside, Script};
use typed::{Typed, talk};

/// Where a program's executable lies. A test gives a stand-in's path.
pub type Resolve<'r> = &'r (dyn Fn(&Program) -> Result<PathBuf> + Sync);

/// How long a program beside must have been silent, before we take it that it has said all it
/// has to say of what happened. Only for recording: a look at the new file tells whether it has.
const SILENCE: Duration = Duration::from_millis(500);

/// How long we wait, when comparing, for a program beside to say what it said when recorded.
/// Costs nothing when all is well, unless it says its last words only when it is ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a script is played before it counts as changed. A busy machine can make a visitor late
/// once; a program that says something else says it each time.
const LOOKS: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Record,
    Compare,
}

/// What became of a transcript.
pub struct Outcome {
    /// The transcript's file, or, where a script failed as a whole, its command.
    what: String,
    kind: Kind,
}

enum Kind {
    Recorded,
    Same,
    Differs(String),
    Failed(String),
    /// A program isn't here, and isn't ours.
    Skipped(String),
}

impl Outcome {
    pub fn is_well(&self) -> bool {
        matches!(self.kind, Kind::Recorded | Kind::Same | Kind::Skipped(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Recorded => write!(f, "{}: recorded", self.what),
            Kind::Same => write!(f, "{}: as recorded", self.what),
            Kind::Differs(difference) => write!(
                f,
                "{}: not as recorded (- recorded, + now)\n{difference}\
                 run `cargo book transcripts` to record it anew, if the change is wanted",
                self.what
            ),
            Kind::Skipped(program) => {
                write!(f, "{}: skipped, there is no {program} on this machine", self.what)
            }
            Kind::Failed(why) => write!(f, "`{}` failed: {why}", self.what),
        }
    }
}

/// Plays all scripts, or those that make one of the files `names`.
///
/// # Errors
/// If the scripts can't be understood, or the programs can't be built. What fails later is an
/// [`Outcome`], so that the other scripts are still played.
pub fn all(repo: &Repo, mode: Mode, names: &[String]) -> Result<Vec<Outcome>> {
    let mut scripts = scripts::read(repo)?;
    for name in names {
        if !scripts.iter().any(|script| script.makes(name)) {
            bail!("no script in book/transcripts/scripts.toml makes a file `{name}`");
        }
    }
    scripts.retain(|script| names.is_empty() || names.iter().any(|name| script.makes(name)));

    let aliases = Aliases::read(repo.root())?;
    let mut packages = BTreeSet::new();
    for script in &scripts {
        let programs = script.programs(&aliases)?.into_iter();
        packages.extend(programs.filter(|one| !one.is_stranger()).map(|one| one.package));
    }
    let mut outcomes = Vec::new();
    if mode == Mode::Compare {
        scripts.retain(|script| match missing(script, &aliases) {
            Some(program) => {
                let what = script.run.clone();
                outcomes.push(Outcome { what, kind: Kind::Skipped(program) });
                false
            }
            None => true,
        });
    }
    let executables = Executables::build(repo.root(), &packages)?;
    let resolve: Resolve<'_> = &|program: &Program| executables.find(program);
    let aliases = &aliases;

    // What is recorded is shown, so nothing else runs beside it. To compare, they may wait together.
    let at_once = if mode == Mode::Record { 1 } else { 4 };

    for group in scripts.chunks(at_once) {
        thread::scope(|threads| {
            let look = |script| threads.spawn(move || look(repo, mode, script, aliases, resolve));
            let looking: Vec<_> = group.iter().map(look).collect();
            for thread in looking {
                let played = thread.join();
                outcomes.extend(played.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
    }
    Ok(outcomes)
}

/// The stranger that a script wants, if it isn't here.
fn missing(script: &Script, aliases: &Aliases) -> Option<String> {
    let mut programs = script.programs(aliases).unwrap_or_default().into_iter();
    let is_missing = |one: &Program| one.is_stranger() && cargo::stranger(one).is_none();
    programs.find(is_missing).map(|one| one.package)
}

/// Plays one script, and, if it doesn't say what is recorded, plays it again before that counts.
fn look(
    repo: &Repo,
    mode: Mode,
    script: &Script,
    aliases: &Aliases,
    resolve: Resolve<'_>,
) -> Vec<Outcome> {
    let mut played = play(repo, mode, script, aliases, resolve);
    for _ in 1..LOOKS {
        if mode == Mode::Record || played.iter().all(Outcome::is_well) {
            break;
        }
        played = play(repo, mode, script, aliases, resolve);
    }
    played
}

/// Plays one script, and records or compares each file that it makes.
pub fn play(
    repo: &Repo,
    mode: Mode,
    script: &Script,
    aliases: &Aliases,
    resolve: Resolve<'_>,
) -> Vec<Outcome> {
    let stage = Stage { repo, mode, script, aliases, resolve };
    match stage.play() {
        Err(error) => {
            vec![Outcome { what: script.run.clone(), kind: Kind::Failed(format!("{error:#}")) }]
        }
        Ok(transcripts) => {
            transcripts.into_iter().map(|(name, text)| stage.judge(&name, &text)).collect()
        }
    }
}

struct Stage<'s> {
    repo: &'s Repo,
    mode: Mode,
    script: &'s Script,
    aliases: &'s Aliases,
    resolve: Resolve<'s>,
}

impl Stage<'_> {
    /// Runs everything, and returns the text of each file.
    fn play(&self) -> Result<Vec<(String, String)>> {
        let mut addresses = Addresses::default();
        let mut beside = Vec::new();
        for program in &self.script.beside {
            let running = self
                .start_beside(program, &mut addresses)
                .with_context(|| format!("`{}`, which runs beside it", program.run))?;
            beside.push((program, running));
        }

        let said = self.say(&addresses, &beside)?;
        let mut transcripts =
            vec![self.transcript(&self.script.file(), &self.script.run, &said, &addresses)];

        for (program, mut running) in beside.into_iter().rev() {
            let Some(name) = program.file() else {
                running.stop();
                continue;
            };
            self.hear_it_out(&name, program, &mut running, &addresses);
            let said = running.stop();
            transcripts.push(self.transcript(&name, &program.run, &said, &addresses));
        }
        Ok(transcripts)
    }

    /// Runs the command itself, and returns what it said.
    fn say(&self, addresses: &Addresses, beside: &[(&Beside, Running)]) -> Result<String> {
        let typed = Typed::parse(&self.script.run)?;
        if let Some(shown) = typed.nc() {
            let address = addresses.to_real(&[shown]).concat();
            return talk(&address, &typed.input, self.script.timeout());
        }
        if let Some((signal, name)) = typed.pkill()? {
            for (program, running) in beside {
                if Program::parse(&program.run, self.aliases)?.name() == name {
                    running.signal(signal)?;
                    return Ok(String::new());
                }
            }
            bail!("no program beside it is called {name}");
        }
        let program = Program::parse(typed.command, self.aliases)?;
        let arguments = addresses.to_real(&program.arguments);
        let running = self.start(&program, &arguments, &typed.input)?;
        let (status, said) = running.finish(self.script.timeout())?;
        if status.code() != Some(self.script.status) {
            bail!(
                "it ended with {status}; if that is meant, say so with `status = …` in \
                 scripts.toml. It said:\n{said}"
            );
        }
        Ok(said)
    }

    fn start(&self, program: &Program, arguments: &[String], input: &[u8]) -> Result<Running> {
        let executable = (self.resolve)(program)?;
        Running::start(&executable, arguments, self.repo.root(), input)
    }

    /// Starts a program beside on any free port, waits until it listens, and notes which address
    /// the book shows instead.
    fn start_beside(&self, beside: &Beside, addresses: &mut Addresses) -> Result<Running> {
        let program = Program::parse(&beside.run, self.aliases)?;
        let shown = beside.shown_address(&program)?;
        let mut arguments = addresses.to_real(&program.arguments);
        let free = addresses::free()?;
        match arguments.iter_mut().find(|argument| **argument == shown) {
            Some(argument) => *argument = free,
            None => arguments.push(free),
        }
        let mut running = self.start(&program, &arguments, b"")?;
        let real = running.listening(self.script.timeout())?;
        addresses.add(&shown, &real);
        Ok(running)
    }

    /// Gives a program beside the time to say what it has to say, before it is ended.
    fn hear_it_out(
        &self,
        name: &str,
        program: &Beside,
        running: &mut Running,
        addresses: &Addresses,
    ) {
        match self.mode {
            Mode::Record => running.listen_while(SILENCE, |_| true),
            Mode::Compare => {
                let recorded = self.recorded(name).unwrap_or_default();
                running.listen_while(PATIENCE, |said| {
                    let (_, text) = self.transcript(name, &program.run, said, addresses);
                    self.difference(&recorded, &text).is_some()
                });
            }
        }
    }

    /// The name and the text of the file: the command, then what it said.
    fn transcript(
        &self,
        name: &str,
        command: &str,
        said: &str,
        addresses: &Addresses,
    ) -> (String, String) {
        // A path of this machine says nothing to the reader.
        let here = format!("{}/", self.repo.root().display());
        let said = addresses.to_shown(said).replace(&here, "");
        // Lines of HTTP end in \r\n, which git and editors would each change in their own way.
        let said = said.replace("\r\n", "\n");
        let end = if said.is_empty() || said.ends_with('\n') { "" } else { "\n" };
        (name.to_string(), format!("$ {command}\n{said}{end}"))
    }

    fn difference(&self, recorded: &str, now: &str) -> Option<String> {
        compare::difference(recorded, now, self.script.order, &self.script.sometimes)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.repo.transcripts().join(format!("{name}.txt"))
    }

    fn recorded(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    fn judge(&self, name: &str, text: &str) -> Outcome {
        let kind = match self.mode {
            Mode::Record => match files::write(&self.path(name), text) {
                Ok(()) => Kind::Recorded,
                Err(error) => Kind::Failed(error.to_string()),
            },
            Mode::Compare => {
                let recorded = self.recorded(name).unwrap_or_default();
                match self.difference(&recorded, text) {
                    None => Kind::Same,
                    Some(difference) => Kind::Differs(difference),
                }
            }
        };
        Outcome { what: self.repo.shown(&self.path(name)), kind }
    }
}
