//! Exercise 11-path: no path leaves the root.
//!
//! A folder of files is served, and the paths come from strangers. Whoever joins a path to the folder's
//! name and opens that serves `/../../etc/passwd` as well; whoever looks for dots serves
//! `/%2e%2e/%2e%2e/etc/passwd`. So a path is taken apart into names, and each is judged as it is when it's
//! used: percent-decoded, once. Those that are empty are refused, and those that begin with a dot (hidden
//! files, and `.` and `..` among them), and those with a slash, a backslash or a NUL inside. All others are
//! served as they are, be there a tab in them, or blanks alone. Then the file is opened step by step, name by name, from the root that is
//! held open since the start: its name may change, and another folder may get the old one. No link is followed,
//! neither to the file nor on the way, wherever it leads; and nothing that lies there makes the server wait.
//! What is refused is answered as what isn't there: 404. Whatever else goes wrong when a file is opened is passed
//! on as it is.
//!
//! Run it:      cargo run -p ex11-http-server --bin ex11-path      and, in a second terminal,
//!              curl -i --path-as-is 127.0.0.1:7011/README.md
//!              curl -i --path-as-is 127.0.0.1:7011/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd
//! Be graded:   cargo grade 11

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ch07_callbacks::program::{self, say};
use ch09_timers::{Clock, Timers};
use ch10_http::Status;
use ch11_http_server::listen::listen_on;
use ch11_http_server::{Body, Response, Routes, Server, Settings};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use percent_encoding::percent_decode_str;

const NAME: &str = "ex11-path";
const HELP: &str = "ex11-path [ADDRESS [ROOT]]

Serves the files below ROOT, and none elsewhere.
ADDRESS is 127.0.0.1:7011 where not given; port 0 means any free one. ROOT is the folder that you are
in where not given.";

/// The names that a request's path is made of: `/folder/a%20file.txt` is `folder` and `a file.txt`, in
/// bytes. None: it isn't served. `path` is as it was sent, without the query.
fn names(path: &str) -> Option<Vec<Vec<u8>>> {
    // your turn: take the path apart, decode each name, and refuse what isn't served
    // hint: In which order? Before it's decoded, `%2e%2e` has no dot in it, and `%2f` is no slash. After it, a
    //   slash that is part of a name can't be told from one between two names. So: split at the slashes, decode
    //   each part, and then look at it.
    // hint: Some names are odd and fine: `a..b.txt`, `100%25.txt`, `t%C3%BCr.txt`. Refuse what the header says,
    //   and no more. `"a//b".split('/')` has an empty part in the middle, and `"a/".split('/')` has one at its end:
    //   those are the empty names.
    // hint: `percent_decode_str(part).collect()` decodes once, to bytes: a name needn't be UTF-8. Nearly all of it:
    //       let mut names = Vec::new();
    //       for part in path.strip_prefix('/')?.split('/') {
    //           let name: Vec<u8> = …;
    //           if name.is_empty() || … {
    //               return None;
    //           }
    //           names.push(name);
    //       }
    //       Some(names)
    let mut names = Vec::new();
    for part in path.strip_prefix('/')?.split('/') {
        let name: Vec<u8> = percent_decode_str(part).collect();
        let is_odd = |byte: &u8| matches!(byte, b'/' | b'\\' | 0);
        if name.is_empty() || name[0] == b'.' || name.iter().any(is_odd) {
            return None;
        }
        names.push(name);
    }
    Some(names)
    // end
}

/// The folder that is served.
struct Root {
    /// As it was given.
    path: PathBuf,
    /// Held open: what is below it is found from here, whatever becomes of its name.
    folder: OwnedFd,
}

impl Root {
    /// Opens what has these names: a folder, one in it, …, and last a file.
    ///
    /// # Errors
    /// Those of `open`. What isn't there, or is a link, is among them.
    fn open(&self, names: &[Vec<u8>]) -> io::Result<File> {
        // your turn: open it step by step, without following a link, and without waiting
        // hint: To look first where a link leads, and to open then, isn't safe: in between, somebody may change it.
        //   O_NOFOLLOW looks while it opens, but at the last name of a path alone. So the kernel is asked for one name
        //   at a time: `openat` begins at a folder that is open already (openat(2)). And opened to be read, a named
        //   pipe waits until somebody writes into it, and all visitors with it: O_NONBLOCK forbids that.
        // hint: Nearly all of it:
        //       let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        //       let mut within = self.folder.try_clone()?;
        //       for name in folders {
        //           within = openat(&within, name.as_slice(), flags | OFlag::O_DIRECTORY, Mode::empty())?;
        //       }
        //   and the last one without O_DIRECTORY: `File::from(openat(…)?)`. `names.split_last()` tells it from the
        //   others.
        let (last, folders) = names.split_last().ok_or(Errno::ENOENT)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let mut within = self.folder.try_clone()?;
        for name in folders {
            within = openat(&within, name.as_slice(), flags | OFlag::O_DIRECTORY, Mode::empty())?;
        }
        Ok(openat(&within, last.as_slice(), flags, Mode::empty())?.into())
        // end
    }

    /// The answer to a request for `path`.
    fn answer(&self, path: &str) -> Response {
        let file = match names(path).map(|names| self.open(&names)) {
            None => return not_found(),
            Some(Ok(file)) => file,
            Some(Err(error)) if is_not_there(&error) => return not_found(),
            Some(Err(error)) => return cannot_say(path, &error),
        };
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => {
                let length = metadata.len();
                let body = Body::File { file: Rc::new(file), start: 0, length };
                Response::new(Status::OK).with_type("text/plain; charset=utf-8").with(body)
            }
            // A folder, or something that isn't read like a file.
            Ok(_) => not_found(),
            Err(error) => cannot_say(path, &error),
        }
    }
}

fn not_found() -> Response {
    Response::error(Status::NOT_FOUND, "There is nothing of that name here.")
}

/// That something can't be opened doesn't mean that it isn't there: descriptors may be used up, say.
fn cannot_say(path: &str, error: &io::Error) -> Response {
    say(&format!("{path}: {error}"));
    Response::error(Status::SERVICE_UNAVAILABLE, "This can't be read just now.")
}

/// What `open` says of a name that there isn't, that is none of a folder, that is a link, that may not be
/// read, that is too long, or that is a socket.
fn is_not_there(error: &io::Error) -> bool {
    use Errno::{EACCES, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOTDIR, ENXIO, EPERM};
    let not_there = [ENOENT, ENOTDIR, ELOOP, EMLINK, EACCES, EPERM, ENAMETOOLONG, ENXIO];
    error.raw_os_error().is_some_and(|number| not_there.contains(&Errno::from_raw(number)))
}

fn main() {
    let arguments = program::arguments(HELP);
    let (address, root) = match arguments.as_slice() {
        [] => ("127.0.0.1:7011", "."),
        [address] => (address.as_str(), "."),
        [address, root] => (address.as_str(), root.as_str()),
        _ => program::complain(NAME, 2, "give an ADDRESS and a ROOT; see --help"),
    };
    let address = program::address(NAME, address);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let folder = open(Path::new(root), flags, Mode::empty()).unwrap_or_else(|error| {
        program::complain(NAME, 1, &format!("can't serve {root}: {}", error.desc()))
    });
    if let Err(error) = serve(address, Root { path: root.into(), folder }) {
        program::complain(NAME, 1, &format!("can't serve on {address}: {error}"));
    }
}

fn serve(address: SocketAddr, root: Root) -> io::Result<()> {
    let listener = listen_on(address, false)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    say(&format!("the root is {}", root.path.display()));
    let mut event_loop = ch08_epoll::event_loop()?;
    let timers = Timers::start(&mut event_loop, Clock::system());
    let mut routes = Routes::new();
    routes.get("/{path...}", move |_, request| root.answer(request.head.path()));
    Server::start(&mut event_loop, timers, listener, Settings::USUAL, routes)?;
    event_loop.run() // waits: inside, for all of them
}
