//! Who runs: the chapters' servers, what else this machine has, and any address.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use visitors::chapters::{self, Chapter};
use visitors::destination::Destination;
use visitors::program::Start;

use crate::result::Role;

/// Chapters whose servers run where nobody says otherwise.
const USUAL: [u32; 9] = [2, 3, 4, 5, 6, 7, 8, 9, 11];
/// It runs twice, if it runs.
const TWICE: u32 = 8;
/// Deadlines that a crowd doesn't reach while it's measured, in seconds.
const LONG: &str = "600";
/// What the peers answer.
const PAGE: &str = "Good things come to those who wait.\n";

/// A server that is measured.
#[derive(Clone, Debug)]
pub struct Contestant {
    pub name: String,
    pub title: String,
    pub role: Role,
    pub place: Place,
}

/// Where it's to be had.
#[derive(Clone, Debug)]
pub enum Place {
    /// A chapter's program, which has to be built.
    Chapter(Chapter),
    /// A program that lies here, and what it's told. `PORT` and `FOLDER` are filled in.
    Program(PathBuf, Vec<String>),
    /// Somebody has started it.
    Address(Arc<Destination>),
    /// This program itself.
    Canned,
}

/// All that were asked for, and those without whom nothing can be said about them.
///
/// # Errors
/// A sentence that says what is wrong with what was asked for.
pub fn all(root: &Path, wanted: &[String], with_peers: bool) -> Result<Vec<Contestant>, String> {
    let mut all = Vec::new();
    if wanted.is_empty() {
        let there = chapters::all(root).map_err(|error| format!("no chapters: {error}"))?;
        let usual = there.into_iter().filter(|chapter| USUAL.contains(&chapter.number));
        all.extend(usual.map(Contestant::chapter));
    }
    for word in wanted {
        all.push(Contestant::named(root, word)?);
    }
    if with_peers {
        all.extend(peers());
    }
    // The one that runs twice, or the first one.
    let names_it = |one: &&Contestant| one.name == TWICE.to_string();
    if let Some(one) = all.iter().find(names_it).or(all.first()) {
        let again = Contestant {
            name: format!("{} again", one.name),
            title: format!("{}, a second time", one.title),
            role: Role::Again,
            place: one.place.clone(),
        };
        all.push(again);
    }
    all.push(Contestant {
        name: "load".to_owned(),
        title: "the load alone, answered without a look".to_owned(),
        role: Role::Limit,
        place: Place::Canned,
    });
    Ok(all)
}

impl Contestant {
    fn chapter(chapter: Chapter) -> Self {
        Self {
            name: chapter.number.to_string(),
            title: format!("chapter {}, {}", chapter.number, chapter.title()),
            role: Role::Measured,
            place: Place::Chapter(chapter),
        }
    }

    /// The name of a chapter's program.
    pub fn program(&self) -> Option<String> {
        match &self.place {
            Place::Chapter(chapter) => Some(chapter.server()),
            _ => None,
        }
    }

    /// A chapter by its number or name, or an address.
    fn named(root: &Path, word: &str) -> Result<Self, String> {
        let is_a_port = word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_digit());
        let is_an_address = word.contains(':');
        if !is_a_port && !is_an_address {
            let chapter = chapters::find(root, word)?;
            if !chapter.has_socket() || chapter.number < 2 {
                return Err(format!("chapter {} has no server", chapter.number));
            }
            return Ok(Self::chapter(chapter));
        }
        let destination = match word.parse() {
            Ok(port) => Destination::port(port),
            Err(_) => Destination::parse(word)?,
        };
        let (name, title) = (word.to_owned(), format!("whoever is at {word}"));
        let place = Place::Address(Arc::new(destination));
        Ok(Self { name, title, role: Role::Measured, place })
    }
}

/// What this machine has besides.
fn peers() -> Vec<Contestant> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = std::env::split_paths(&places).chain(["/usr/sbin".into()]).collect();
    let installed =
        |program: &str| places.iter().map(|place| place.join(program)).find(|path| path.is_file());
    let peer = |name: &str, path, arguments: &[&str]| Contestant {
        name: name.to_owned(),
        title: format!("{name}, as it's installed here"),
        role: Role::Measured,
        place: Place::Program(path, arguments.iter().map(|&word| word.to_owned()).collect()),
    };
    let nginx = installed("nginx").map(|path| {
        peer("nginx", path, &["-e", "FOLDER/errors", "-p", "FOLDER", "-c", "FOLDER/nginx.conf"])
    });
    let python = installed("python3").map(|path| {
        let arguments =
            ["-m", "http.server", "--bind", "127.0.0.1", "--directory", "FOLDER", "PORT"];
        peer("python3", path, &arguments)
    });
    nginx.into_iter().chain(python).collect()
}

/// What is to be started, and the address at which it will listen, where it doesn't say so itself.
///
/// # Errors
/// When no port can be had, a file can't be written, or somebody else has started it.
pub fn start(
    place: &Place,
    built: Option<&Path>,
    folder: &Path,
) -> io::Result<(Start, Option<SocketAddr>)> {
    Ok(match place {
        Place::Address(_) => return Err(io::Error::other("it's there already")),
        Place::Chapter(chapter) => {
            let path = built.ok_or_else(|| io::Error::other("it isn't built"))?;
            let start = Start::new(path).arg("127.0.0.1:0");
            let start = match chapter.number {
                9 => start.arg(LONG),
                11 => ["--workers", "1", "--head", LONG, "--idle", LONG]
                    .into_iter()
                    .fold(start, Start::arg),
                _ => start,
            };
            (start, None)
        }
        // Ourselves, even if another program lies at our place by now (proc_pid_exe(5)).
        Place::Canned => (Start::new("/proc/self/exe").arg("--canned"), None),
        Place::Program(path, arguments) => {
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let (port, place) = (address.port().to_string(), folder.display().to_string());
            fs::write(folder.join("index.html"), PAGE)?;
            fs::write(folder.join("nginx.conf"), nginx(address, folder))?;
            let filled =
                arguments.iter().map(|word| word.replace("FOLDER", &place).replace("PORT", &port));
            (filled.fold(Start::new(path), Start::arg), Some(address))
        }
    })
}

/// One process that answers, with room for the crowd, and without a log, as the others have none.
fn nginx(address: SocketAddr, folder: &Path) -> String {
    format!(
        "daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 20000; }}
http {{ access_log off; client_header_timeout {LONG}; keepalive_timeout {LONG}; keepalive_requests 1000000000;
  server {{ listen {address} backlog=4096; root {folder}; }} }}
",
        folder = folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn names(wanted: &[&str]) -> Result<Vec<String>, String> {
        let wanted: Vec<String> = wanted.iter().map(|&word| word.to_owned()).collect();
        let all = all(&chapters::root(), &wanted, false)?;
        Ok(all.into_iter().map(|one| one.name).collect())
    }

    #[test]
    fn all_chapters_with_a_server_that_all_visitors_can_call_on() {
        let names = names(&[]).expect("there are chapters");
        let wanted = ["2", "3", "4", "5", "6", "7", "8", "9", "11", "8 again", "load"];
        assert_eq!(names, wanted);
    }

    #[rstest]
    #[case(&["5", "07-callbacks"], &["5", "7", "5 again", "load"])]
    #[case(&["9", "8"], &["9", "8", "8 again", "load"])]
    #[case(&["7011"], &["7011", "7011 again", "load"])]
    #[case(&["http://127.0.0.1:80/a"], &["http://127.0.0.1:80/a", "http://127.0.0.1:80/a again", "load"])]
    fn by_name(#[case] wanted: &[&str], #[case] found: &[&str]) {
        assert_eq!(names(wanted).expect("they can be had"), found);
    }

    #[rstest]
    #[case("10", "no server")]
    #[case("1", "no server")]
    #[case("99", "there is no chapter 99")]
    #[case("selekt", "did you mean")]
    #[case("127.0.0.1:x", "is no address")]
    fn refused(#[case] wanted: &str, #[case] why: &str) {
        let error = names(&[wanted]).expect_err(wanted);
        assert!(error.contains(why), "{error}");
    }
}
