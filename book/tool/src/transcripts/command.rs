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

/// Programs that aren't built here, and that pages show all the same.
const STRANGERS: [&str; 1] = ["curl"];

/// A program of this workspace, or one of [`STRANGERS`], and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// Or the stranger's name.
    pub package: String,
    /// Not told where the package has a program of its own name, or only one.
    pub bin: Option<String>,
    pub arguments: Vec<String>,
}

impl Program {
    /// Understands `cargo run -p PACKAGE [--bin BIN] [-- ARGUMENTS]`, the aliases, and the strangers,
    /// with single quotes around an argument.
    ///
    /// # Errors
    /// If it is anything else: what isn't built here can't be had on every machine.
    pub fn parse(command: &str, aliases: &Aliases) -> Result<Program> {
        let name = command.split_whitespace().next().unwrap_or_default();
        if STRANGERS.contains(&name) {
            return parse_stranger(command);
        }
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

    /// What a list of processes calls it.
    pub fn name(&self) -> &str {
        self.bin.as_ref().unwrap_or(&self.package)
    }

    /// Whether it isn't built here, and may be missing.
    pub fn is_stranger(&self) -> bool {
        STRANGERS.contains(&self.package.as_str())
    }
}

/// As a shell would understand it that knows nothing but single quotes.
fn parse_stranger(command: &str) -> Result<Program> {
    let mut words = Vec::new();
    let mut word = None;
    let mut is_quoted = false;
    for sign in command.chars() {
        match sign {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_with(String::new);
            }
            ' ' if !is_quoted => words.extend(word.take()),
            '|' | '&' | ';' | '<' | '>' | '$' | '`' | '"' | '\\' | '*' if !is_quoted => {
                bail!("`{command}`: there is no shell that would understand `{sign}`")
            }
            _ => word.get_or_insert_with(String::new).push(sign),
        }
    }
    if is_quoted {
        bail!("`{command}`: a quote isn't closed");
    }
    words.extend(word);
    let mut words = words.into_iter();
    let package = words.next().unwrap_or_default();
    Ok(Program { package, bin: None, arguments: words.collect() })
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
            "--profile" if words.next() == Some("start") => {}
            other => bail!("`{other}` isn't understood"),
        }
    }
    // What only starts a tool (tests/start) isn't in between either.
    if package == Some("start") {
        bin = words.next();
        package = bin.map(package_of);
    }
    Ok(Program {
        package: package.context("it doesn't name its package")?.to_string(),
        bin: bin.map(str::to_string),
        arguments: words.map(str::to_string).collect(),
    })
}

/// The package of a tool.
fn package_of(tool: &str) -> &str {
    match tool {
        "grade" => "grader",
        "host" | "visit" => "visitors",
        named_alike => named_alike,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn aliases() -> Aliases {
        let text = "[alias]\nvisit = \"run --quiet --profile start --package start -- visit\"\n";
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
    #[case("curl -s -I http://a:1/", &["-s", "-I", "http://a:1/"])]
    #[case("curl -H 'A: \"b c\"' d", &["-H", "A: \"b c\"", "d"])]
    #[case("curl  '' a'b'c", &["", "abc"])]
    fn a_stranger(#[case] command: &str, #[case] arguments: &[&str]) {
        let program = Program::parse(command, &aliases()).expect(command);
        assert!(program.is_stranger());
        assert_eq!((program.package.as_str(), program.bin), ("curl", None));
        assert_eq!(program.arguments, arguments);
    }

    #[rstest]
    #[case("curl a > b", "no shell that would understand `>`")]
    #[case("curl a 'b", "a quote isn't closed")]
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
