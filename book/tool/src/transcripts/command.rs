//! From a command, as the reader types it, to the program that it means.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The aliases of `.cargo/config.toml`, so that they are told in one place.
#[derive(Deserialize, Default)]
pub struct Aliases {
    #[serde(default)]
    alias: BTreeMap<String, String>,
}

impl Aliases {
    /// # Errors
    /// If the file can't be read or understood.
    pub fn read(root: &Path) -> Result<Aliases> {
        let text = std::fs::read_to_string(root.join(".cargo/config.toml"))
            .context(".cargo/config.toml can't be read: it tells what `cargo visit` means")?;
        toml::from_str(&text).context(".cargo/config.toml can't be understood")
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.alias.keys().map(String::as_str).collect();
        names.join(", ")
    }
}

/// A program of this workspace, and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    pub package: String,
    /// Not told where the package has a program of its own name, or only one.
    pub bin: Option<String>,
    pub arguments: Vec<String>,
}

impl Program {
    /// Understands `cargo run -p PACKAGE [--bin BIN] [-- ARGUMENTS]` and the aliases.
    ///
    /// # Errors
    /// If it is anything else: what isn't built here can't be had on every machine.
    pub fn parse(command: &str, aliases: &Aliases) -> Result<Program> {
        if let Some(sign) = command.chars().find(|c| "|&;<>$`'\"\\*".contains(*c)) {
            bail!("`{command}`: there is no shell that would understand `{sign}`");
        }
        let words: Vec<&str> = command.split_whitespace().collect();
        let words = match words.split_first() {
            Some((&"cargo", words)) => words,
            _ => bail!("{}", refusal(command, aliases)),
        };
        let alias = words.first().and_then(|name| aliases.alias.get(*name));
        let words: Vec<&str> = match alias {
            Some(meaning) => meaning.split_whitespace().chain(words[1..].iter().copied()).collect(),
            None => words.to_vec(),
        };
        parse_run(&words).with_context(|| refusal(command, aliases))
    }
}

fn refusal(command: &str, aliases: &Aliases) -> String {
    format!(
        "`{command}` can't be in a transcript: write `cargo run -p PACKAGE [--bin BIN] [-- ARGUMENTS]`, \
         or an alias of .cargo/config.toml ({})",
        aliases.names()
    )
}

fn parse_run(words: &[&str]) -> Result<Program> {
    let mut words = words.iter().copied().peekable();
    if words.next() != Some("run") {
        bail!("it isn't `cargo run`");
    }
    let mut package = None;
    let mut bin = None;
    while let Some(word) = words.next_if(|word| word.starts_with('-')) {
        match word {
            "--" => break,
            "-q" | "--quiet" => {}
            "-p" | "--package" => package = words.next(),
            "--bin" => bin = words.next(),
            other => bail!("`{other}` isn't understood"),
        }
    }
    Ok(Program {
        package: package.context("it doesn't name its package")?.to_string(),
        bin: bin.map(str::to_string),
        arguments: words.map(str::to_string).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn aliases() -> Aliases {
        let text = "[alias]\nvisit = \"run --quiet --package visitors --bin visit --\"\n";
        toml::from_str(text).expect("the aliases are right")
    }

    #[rstest]
    #[case("cargo run -p ch02-blocking-server", "ch02-blocking-server", None, "")]
    #[case("cargo run -p a -- --help", "a", None, "--help")]
    #[case("cargo run -p a 127.0.0.1:0 -x", "a", None, "127.0.0.1:0 -x")]
    #[case("cargo run -q -p a --bin b -- c -- d", "a", Some("b"), "c -- d")]
    #[case("cargo visit 2 --help quick", "visitors", Some("visit"), "2 --help quick")]
    fn understood(
        #[case] command: &str,
        #[case] package: &str,
        #[case] bin: Option<&str>,
        #[case] arguments: &str,
    ) {
        let program = Program::parse(command, &aliases()).expect(command);
        assert_eq!(program.package, package);
        assert_eq!(program.bin.as_deref(), bin);
        assert_eq!(program.arguments.join(" "), arguments);
    }

    #[rstest]
    #[case("python3 -m http.server", "can't be in a transcript")]
    #[case("cargo test", "can't be in a transcript")]
    #[case("cargo lens -- true", "an alias of .cargo/config.toml (visit)")]
    #[case("cargo run", "it doesn't name its package")]
    #[case("cargo run --release -p a", "`--release` isn't understood")]
    #[case("cargo visit 2 | head", "no shell that would understand `|`")]
    #[case("cargo visit 2 '", "no shell that would understand `'`")]
    fn refused(#[case] command: &str, #[case] message: &str) {
        let error = Program::parse(command, &aliases()).expect_err(command);
        let error = format!("{error:#}");
        assert!(error.contains(message), "{error}");
    }
}
