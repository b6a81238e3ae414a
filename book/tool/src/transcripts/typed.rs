//! What the reader types around a program: `printf 'GET /' | PROGRAM`, and `nc` and `pkill` for a program.
//!
//! No shell understands it here, and no `nc` needs to be installed: the little of them that the
//! book shows is done by hand, so that its transcripts can be had on every machine.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

/// A command, and what it's given to read.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed<'c> {
    /// What `printf` writes into the pipe before it. Without a pipe: nothing.
    pub input: Vec<u8>,
    pub command: &'c str,
}

impl Typed<'_> {
    /// Understands `COMMAND` and `printf '…' … | COMMAND`.
    ///
    /// # Errors
    /// If `printf` would write something that isn't done here.
    pub fn parse(text: &str) -> Result<Typed<'_>> {
        let Some(mut rest) = text.strip_prefix("printf ") else {
            return Ok(Typed { input: Vec::new(), command: text });
        };
        let mut arguments = Vec::new();
        loop {
            // A backslash at a line's end goes on with the next one.
            rest = rest.trim_start_matches([' ', '\n']);
            if let Some(behind) = rest.strip_prefix("\\\n") {
                rest = behind;
            } else if let Some(command) = rest.strip_prefix('|') {
                let input = printed(&arguments).with_context(|| format!("`{text}`"))?;
                return Ok(Typed { input, command: command.trim_start() });
            } else if let Some((argument, behind)) =
                rest.strip_prefix('\'').and_then(|rest| rest.split_once('\''))
            {
                arguments.push(argument);
                rest = behind;
            } else {
                bail!("`{text}`: write `printf 'TEXT' … | COMMAND`, all of TEXT between quotes");
            }
        }
    }

    /// Where it connects, if the command is `nc HOST PORT`.
    pub fn nc(&self) -> Option<String> {
        let mut words = self.command.strip_prefix("nc ")?.split_whitespace();
        let (host, port) = (words.next()?, words.next()?);
        words.next().is_none().then(|| format!("{host}:{port}"))
    }

    /// The signal, and to which program, if the command is `pkill -SIGNAL PROGRAM`.
    ///
    /// # Errors
    /// If it's another `pkill`.
    pub fn pkill(&self) -> Result<Option<(Signal, &str)>> {
        let Some(words) = self.command.strip_prefix("pkill ") else { return Ok(None) };
        let parts = words.trim().strip_prefix('-').and_then(|words| words.split_once(' '));
        let Some((signal, program)) = parts else {
            bail!("`{}`: write `pkill -SIGNAL PROGRAM`", self.command)
        };
        let signal =
            format!("SIG{signal}").parse().with_context(|| format!("`{}`", self.command))?;
        Ok(Some((signal, program.trim())))
    }
}

/// What `printf` writes: its first argument, or, where that has a `%s`, the same for each of the
/// others.
fn printed(arguments: &[&str]) -> Result<Vec<u8>> {
    let Some((format, arguments)) = arguments.split_first() else { bail!("there is no text") };
    let text = match format.split_once("%s") {
        None => {
            let text = escaped(format)?;
            if !arguments.is_empty() {
                bail!("a text without `%s` is the only one");
            }
            text
        }
        Some((before, behind)) => {
            let (before, behind) = (escaped(before)?, escaped(behind)?);
            arguments.iter().map(|argument| format!("{before}{argument}{behind}")).collect()
        }
    };
    Ok(text.into_bytes())
}

fn escaped(format: &str) -> Result<String> {
    if format.contains('%') {
        bail!("of printf's `%…` only one `%s` is done here");
    }
    let mut text = String::new();
    let mut rest = format.chars();
    while let Some(next) = rest.next() {
        text.push(match next {
            '\\' => match rest.next() {
                Some('r') => '\r',
                Some('n') => '\n',
                Some('t') => '\t',
                Some('\\') => '\\',
                other => bail!("`\\{}` isn't done here", other.map_or(String::new(), String::from)),
            },
            next => next,
        });
    }
    Ok(text)
}

/// What `nc` does: sends what it's given, and says what comes back, until nothing more will.
///
/// # Errors
/// If nobody is there, or the time is over.
pub fn talk(address: &str, input: &[u8], timeout: Duration) -> Result<String> {
    let address: SocketAddr = address.parse().context("nc needs an address in numbers")?;
    let mut socket = TcpStream::connect_timeout(&address, timeout).context("nobody is there")?;
    socket.set_read_timeout(Some(timeout))?;
    socket.write_all(input)?;
    let mut said = Vec::new();
    socket.read_to_end(&mut said).context("it isn't hung up on")?;
    // It may be gone already.
    let _ = socket.shutdown(Shutdown::Both);
    Ok(String::from_utf8_lossy(&said).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("cargo visit 2", "", "cargo visit 2")]
    #[case(r"printf 'a\r\n\t\\' | nc ::1 7", "a\r\n\t\\", "nc ::1 7")]
    #[case("printf '%s\\r\\n' 'a b' '' \\\n    'c|' |\n  cargo x", "a b\r\n\r\nc|\r\n", "cargo x")]
    #[case(r"printf '<%s>' '\n%' | x", r"<\n%>", "x")]
    fn understood(#[case] text: &str, #[case] input: &str, #[case] command: &str) {
        let typed = Typed::parse(text).expect(text);
        assert_eq!((typed.input.as_slice(), typed.command), (input.as_bytes(), command));
    }

    #[rstest]
    #[case("printf 'a", "all of TEXT between quotes")]
    #[case("printf a | x", "all of TEXT between quotes")]
    #[case("printf 'a'", "all of TEXT between quotes")]
    #[case("printf 'a' > x", "all of TEXT between quotes")]
    #[case("printf | x", "there is no text")]
    #[case(r"printf '\x41' | x", r"`\x` isn't done here")]
    #[case("printf '%d' '1' | x", "only one `%s`")]
    #[case("printf '%s%s' '1' '2' | x", "only one `%s`")]
    #[case("printf 'a' 'b' | x", "is the only one")]
    fn refused(#[case] text: &str, #[case] message: &str) {
        let error = format!("{:#}", Typed::parse(text).expect_err(text));
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn nc_has_a_host_and_a_port() {
        let nc = |command| Typed { input: Vec::new(), command }.nc();
        assert_eq!(nc("nc 127.0.0.1 7009").as_deref(), Some("127.0.0.1:7009"));
        assert_eq!((nc("nc 127.0.0.1"), nc("nc -l 1 2"), nc("ncx 1 2")), (None, None, None));
    }

    #[test]
    fn pkill_has_a_signal_and_a_program() {
        let pkill = |command| {
            let typed = Typed { input: Vec::new(), command };
            let found = typed.pkill();
            found.map(|found| found.map(|(signal, program)| format!("{signal} {program}"))).ok()
        };
        assert_eq!(pkill("pkill -USR2 a-b"), Some(Some("SIGUSR2 a-b".to_owned())));
        assert_eq!(pkill("pkill a"), None);
        assert_eq!(pkill("pkill -NONE a"), None);
        assert_eq!(pkill("cargo run"), Some(None));
    }

    #[test]
    fn nc_says_what_comes_back() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address").to_string();
        let answers = std::thread::spawn(move || {
            let (mut visitor, _) = listener.accept().expect("somebody comes");
            let mut bytes = [0; 5];
            visitor.read_exact(&mut bytes).expect("five bytes come");
            visitor.write_all(&bytes).expect("they go back");
        });
        let said = talk(&address, b"hello", Duration::from_secs(20)).expect("somebody is there");
        answers.join().expect("all went well");
        assert_eq!(said, "hello");
    }
}
