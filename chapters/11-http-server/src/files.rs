//! A folder of files, served.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ch07_callbacks::program::say;
use ch10_http::{Date, Fields, Status};

use crate::answer::{Body, Response};
use crate::conditions::{Conditions, Present, Verdict};
use crate::folder::{FRESH, Folder, Held};
use crate::path::names;
use crate::routes::{Context, Request};

/// Files up to so many bytes are kept in memory: read once, sent often.
const KEPT: u64 = 256 * 1024;
/// All that are kept, in bytes, for each loop.
const ALL_KEPT: u64 = 16 * 1024 * 1024;
/// How many are remembered, large ones among them, of which only the descriptor is kept.
const REMEMBERED: usize = 512;
/// How many large ones are held open: a file with many names (`/a`, `/%61`) mustn't take
/// all descriptors.
const HELD_OPEN: usize = 16;
/// The coarsest clock by which file systems note changes ticks that fast.
const SETTLES: Duration = Duration::from_secs(2);
/// What a folder's own page is called.
const INDEX: &[u8] = b"index.html";
/// The page for what isn't there, if there is one.
const NOT_FOUND: &[u8] = b"404.html";

/// Serves the files of a folder. It has what it read last in memory, one for each loop.
pub struct Files {
    folder: RefCell<Held>,
    /// A field more on each page of HTML, and what it says.
    marked: Option<(&'static str, &'static str)>,
    remembered: RefCell<Remembered>,
}

#[derive(Default)]
struct Remembered {
    /// By the path as it was sent.
    files: HashMap<Box<str>, Rc<Served>>,
    /// How many bytes of them are in memory.
    kept: u64,
    /// How many aren't.
    open: usize,
}

/// A file as it was when it was last looked at.
struct Served {
    looked: Duration,
    version: Version,
    /// It wasn't changed in the last seconds before it was read.
    had_settled: bool,
    /// `ETag`, `Last-Modified`, `Accept-Ranges`, and on a page the one that marks it.
    fields: Fields,
    tag: String,
    modified: SystemTime,
    content_type: Cow<'static, str>,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Kept(Rc<[u8]>),
    /// Too large for that.
    Open(Rc<File>),
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    length: u64,
    /// When its content was changed, in seconds and nanoseconds. Anybody may set that back:
    /// `tar` and `rsync` do.
    written: (i64, i64),
    /// When anything of it was changed, its time among that. The kernel alone sets that.
    changed: (i64, i64),
}

/// What a path leads to.
enum Found {
    File(Rc<Served>),
    /// A folder, whose path has no slash at the end.
    Folder,
    Nothing,
}

impl Files {
    /// Of a folder that no other loop serves.
    ///
    /// # Errors
    /// When it can't be opened, or isn't a folder.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        Self::of(&Folder::new(root))
    }

    /// Of a folder.
    ///
    /// # Errors
    /// When it can't be opened, or isn't one.
    pub fn of(folder: &Folder) -> io::Result<Self> {
        let folder = RefCell::new(folder.open()?);
        Ok(Self { folder, marked: None, remembered: RefCell::default() })
    }

    /// The same, with a field more on each page of HTML.
    #[must_use]
    pub fn marked(mut self, name: &'static str, value: &'static str) -> Self {
        self.marked = Some((name, value));
        self
    }

    /// The answer to a request whose path begins at this folder.
    pub fn answer(&self, context: &mut Context<'_>, request: &Request<'_>) -> Response {
        let path = request.head.path();
        let now = context.now;
        match self.find(path, now) {
            Ok(Found::File(served)) => {
                let mut conditions = Conditions::of(request.head);
                // A part goes with GET alone (RFC 9110, section 14.2).
                conditions.range = conditions.range.filter(|_| request.head.method == "GET");
                Self::respond(&served, conditions)
            }
            Ok(Found::Folder) => moved(path, request.head.query()),
            Ok(Found::Nothing) => self.not_found(now),
            Err(error) => {
                say(&format!("{path}: {error}"));
                Response::error(Status::SERVICE_UNAVAILABLE, "This can't be read just now.")
            }
        }
    }

    fn respond(served: &Served, conditions: Conditions<'_>) -> Response {
        let length = served.version.length;
        let present = Present { tag: &served.tag, modified: served.modified, length };
        let verdict = conditions.judge(present);
        let mut response = match &verdict {
            Verdict::Whole => Response::new(Status::OK).with(served.body(0, length)),
            Verdict::Part(part) => Response::new(Status::PARTIAL_CONTENT)
                .with(served.body(part.start, part.end - part.start)),
            Verdict::NotModified => Response::new(Status::NOT_MODIFIED),
            Verdict::Failed => {
                return Response::error(Status::PRECONDITION_FAILED, "It isn't that one any more.");
            }
            Verdict::NoSuchPart => {
                let why = "It has no such part.";
                let mut response = Response::error(Status::RANGE_NOT_SATISFIABLE, why);
                add_field(&mut response.fields, "Content-Range", &format!("bytes */{length}"));
                return response;
            }
        };
        response.fields = served.fields.clone();
        if let Verdict::Part(part) = verdict {
            let says = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            add_field(&mut response.fields, "Content-Range", &says);
        }
        if response.status != Status::NOT_MODIFIED {
            response.content_type = Some(served.content_type.clone());
        }
        response
    }

    /// The folder's own page for it, if it has one. That is read anew each time: it isn't asked for
    /// often.
    fn not_found(&self, now: Duration) -> Response {
        let own = self.look(&[NOT_FOUND.to_vec()], now).ok().flatten();
        match own {
            Some(served) => {
                let mut response = Response::new(Status::NOT_FOUND)
                    .with_type(served.content_type.clone())
                    .with(served.body(0, served.version.length));
                if let Some((name, value)) = self.marked {
                    add_field(&mut response.fields, name, value);
                }
                response
            }
            None => Response::error(Status::NOT_FOUND, "There is nothing of that name here."),
        }
    }

    /// What a path leads to, from memory if it was looked at a moment ago.
    fn find(&self, path: &str, now: Duration) -> io::Result<Found> {
        if self.folder.borrow_mut().look(now)? {
            *self.remembered.borrow_mut() = Remembered::default();
        }
        let before = self.remembered.borrow().files.get(path).cloned();
        if let Some(served) = &before
            && now < served.looked + FRESH
            && served.is_what_it_was()?
        {
            return Ok(Found::File(Rc::clone(served)));
        }
        self.forget(path);
        let Some((mut names, is_folder)) = names(path) else { return Ok(Found::Nothing) };
        if is_folder {
            names.push(INDEX.to_vec());
        }
        let Some(file) = self.open(&names)? else { return Ok(Found::Nothing) };
        let metadata = file.metadata()?;
        if metadata.is_dir() && !is_folder {
            return Ok(Found::Folder);
        }
        if !metadata.is_file() {
            return Ok(Found::Nothing);
        }
        let served = match before {
            Some(before) if before.is_still(&metadata) => before.looked_at(now),
            _ => self.read(file, &metadata, &names, now)?,
        };
        let served = Rc::new(served);
        self.remember(path, &served);
        Ok(Found::File(served))
    }

    fn open(&self, names: &[Vec<u8>]) -> io::Result<Option<File>> {
        self.folder.borrow().root().map_or(Ok(None), |root| root.find(names))
    }

    fn look(&self, names: &[Vec<u8>], now: Duration) -> io::Result<Option<Served>> {
        let Some(file) = self.open(names)? else { return Ok(None) };
        let metadata = file.metadata()?;
        match metadata.is_file() {
            true => self.read(file, &metadata, names, now).map(Some),
            false => Ok(None),
        }
    }

    fn read(
        &self,
        mut file: File,
        metadata: &Metadata,
        names: &[Vec<u8>],
        now: Duration,
    ) -> io::Result<Served> {
        let version = Version::of(metadata);
        let content = if version.length <= KEPT {
            let mut all = Vec::new();
            // waits: for the disk, if the kernel hasn't got it in memory. There is no "not
            // yet" for files
            file.by_ref().take(version.length).read_to_end(&mut all)?;
            if all.len() as u64 != version.length {
                return Err(io::Error::other("it changes while it's being read"));
            }
            Content::Kept(Rc::from(all))
        } else {
            Content::Open(Rc::new(file))
        };
        let tag = match &content {
            Content::Kept(bytes) => tag_of(bytes),
            Content::Open(_) => version.tag(),
        };
        let had_settled = version.has_settled();
        let modified = version.modified();
        let content_type = content_type(names.last().map_or(b"", Vec::as_slice));
        let mut fields = Fields::default();
        add_field(&mut fields, "ETag", &tag);
        add_field(&mut fields, "Last-Modified", Date::of(modified).as_str());
        add_field(&mut fields, "Accept-Ranges", "bytes");
        if let Some((name, value)) = self.marked.filter(|_| content_type.starts_with("text/html")) {
            add_field(&mut fields, name, value);
        }
        Ok(Served {
            looked: now,
            version,
            had_settled,
            fields,
            tag,
            modified,
            content_type,
            content,
        })
    }

    fn remember(&self, path: &str, served: &Rc<Served>) {
        let mut remembered = self.remembered.borrow_mut();
        let is_full = remembered.files.len() >= REMEMBERED
            || remembered.kept + served.kept() > ALL_KEPT
            || remembered.open >= HELD_OPEN;
        if is_full {
            // All at once: what is wanted is soon there again.
            *remembered = Remembered::default();
        }
        remembered.kept += served.kept();
        remembered.open += usize::from(served.is_open());
        remembered.files.insert(path.into(), Rc::clone(served));
    }

    fn forget(&self, path: &str) {
        let mut remembered = self.remembered.borrow_mut();
        if let Some(served) = remembered.files.remove(path) {
            remembered.kept -= served.kept();
            remembered.open -= usize::from(served.is_open());
        }
    }
}

impl Served {
    fn body(&self, start: u64, length: u64) -> Body {
        match &self.content {
            Content::Kept(bytes) => {
                let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
                Body::Shared(Rc::clone(bytes), at(start)..at(start + length))
            }
            Content::Open(file) => Body::File { file: Rc::clone(file), start, length },
        }
    }

    fn kept(&self) -> u64 {
        match &self.content {
            Content::Kept(bytes) => bytes.len() as u64,
            Content::Open(_) => 0,
        }
    }

    /// Whether its content is that of its tag. Bytes in memory are what they were when they
    /// were read. A large file may be written to at any time, and for half a second its new
    /// content would go out with its old tag.
    fn is_what_it_was(&self) -> io::Result<bool> {
        match &self.content {
            Content::Kept(_) => Ok(true),
            Content::Open(file) => Ok(Version::of(&file.metadata()?) == self.version),
        }
    }

    /// Whether what lies there now is still that. A file that was changed a moment before it
    /// was read may have been changed again in the same tick of the file system's clock: that
    /// one is read anew.
    fn is_still(&self, metadata: &Metadata) -> bool {
        self.version == Version::of(metadata) && self.had_settled
    }

    fn is_open(&self) -> bool {
        matches!(self.content, Content::Open(_))
    }

    fn looked_at(&self, now: Duration) -> Self {
        Self {
            looked: now,
            fields: self.fields.clone(),
            tag: self.tag.clone(),
            content_type: self.content_type.clone(),
            content: self.content.clone(),
            ..*self
        }
    }
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn has_settled(&self) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or(0);
        let age = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(seconds));
        age.is_ok_and(|age| age > SETTLES)
    }

    /// Another one for another content, as far as the file system tells.
    fn tag(&self) -> String {
        let Self { inode, length, written, changed, .. } = self;
        let time = |(seconds, nanoseconds): &(i64, i64)| format!("{seconds:x}.{nanoseconds:x}");
        format!("\"{}-{}-{length:x}-{inode:x}\"", time(written), time(changed))
    }

    /// In whole seconds: the later of the two times, for another content may have been put
    /// here with an old date. Never in the future (RFC 9110, section 8.8.2.1).
    fn modified(&self) -> SystemTime {
        let seconds = u64::try_from(self.written.0.max(self.changed.0)).unwrap_or(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        UNIX_EPOCH + Duration::from_secs(seconds.min(now))
    }
}

/// Another one for another content. The same in each loop, and after a restart.
fn tag_of(bytes: &[u8]) -> String {
    // Of fixed keys: nobody gains anything by two pages of one tag.
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("\"{:x}-{:x}\"", bytes.len(), hasher.finish())
}

/// Where a folder really is. The path has no empty part, so that it can't be taken for
/// another host.
fn moved(path: &str, query: Option<&str>) -> Response {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::error(Status::PERMANENT_REDIRECT, "It's a folder.");
    add_field(&mut response.fields, "Location", &format!("{path}/{query}"));
    response
}

/// What a file is, by its name. Text is UTF-8 nowadays, and has to say so: left alone, a
/// browser takes it for something older.
fn content_type(name: &[u8]) -> Cow<'static, str> {
    let name = std::str::from_utf8(name).unwrap_or_default();
    match mime_guess::from_path(name).first_raw() {
        Some(text) if text.starts_with("text/") => format!("{text}; charset=utf-8").into(),
        Some(other) => other.into(),
        None => "application/octet-stream".into(),
    }
}

/// Adds a field that is one: we have made it ourselves.
fn add_field(fields: &mut Fields, name: &str, value: &str) {
    if let Err(error) = fields.add(name, value) {
        debug_assert!(false, "{name}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_text_says_that_it_is_utf_8() {
        for ending in ["html", "css", "js", "txt", "md", "csv", "c", "rs", "xml", "ics", "vtt"] {
            let content_type = content_type(format!("a.{ending}").as_bytes());
            assert!(content_type.ends_with("; charset=utf-8"), "{ending}: {content_type}");
        }
        for ending in ["png", "svg", "json", "woff2", "nothing", ""] {
            let content_type = content_type(format!("a.{ending}").as_bytes());
            assert!(!content_type.contains("charset"), "{ending}: {content_type}");
        }
    }
}
