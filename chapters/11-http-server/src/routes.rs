//! Which handler answers which request.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use ch07_callbacks::EventLoop;
use ch09_timers::Timers;
use ch10_http::{Head, Status, Target};
use percent_encoding::percent_decode_str;

use crate::answer::{Answer, Response, Stream, Ticket};

/// A whole request, as its handler sees it.
pub struct Request<'a> {
    pub head: &'a Head<'a>,
    /// Its body, at most [`Limits::body`](ch10_http::Limits) bytes.
    pub body: &'a [u8],
    /// Who asks.
    pub from: SocketAddr,
    pattern: &'a str,
}

impl<'a> Request<'a> {
    /// What stands in the path where the route has `{name}`, percent-decoded. None:
    /// there is no such place, or it isn't UTF-8.
    pub fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw = Parts::of(self.pattern, self.head.path()).find(|(place, _)| *place == name)?.1;
        percent_decode_str(raw).decode_utf8().ok()
    }

    /// What stands in the path where the route has `{name...}`, as it was sent.
    pub fn rest(&self) -> &'a str {
        let rest = |(place, raw): (&str, &'a str)| place.ends_with("...").then_some(raw);
        Parts::of(self.pattern, self.head.path()).find_map(rest).unwrap_or_default()
    }
}

/// What a handler may need besides the request.
pub struct Context<'a> {
    /// The loop that it runs in. While it runs, nobody else is served.
    pub event_loop: &'a mut EventLoop,
    pub timers: Timers,
    /// What their clock said when this turn began.
    pub now: Duration,
    /// For an answer that comes later, and for a stream that pauses.
    pub ticket: Ticket,
}

/// Every method that RFC 9110, section 9, and RFC 5789 (PATCH) define.
const DEFINED: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

type Handler = Box<dyn Fn(&mut Context<'_>, &Request<'_>) -> Answer>;

struct Route {
    method: &'static str,
    pattern: Cow<'static, str>,
    kind: Kind,
    handler: Handler,
}

/// What a pattern is made of.
enum Kind {
    /// No place: one path fits, and that is the pattern.
    Plain,
    /// Its only place is all the rest, from here on.
    Prefix(usize),
    Places,
}

impl Kind {
    fn of(pattern: &str) -> Self {
        match pattern.find('{') {
            None => Self::Plain,
            Some(begin) if pattern.find('}') == Some(pattern.len() - 1) => {
                if pattern.ends_with("...}") { Self::Prefix(begin) } else { Self::Places }
            }
            Some(_) => Self::Places,
        }
    }
}

type Resume = Box<dyn Fn(&mut Context<'_>) -> Stream>;

/// All routes of a server. The first that fits has it.
///
/// A path is written as it's sent. `{name}` stands for one part of it that isn't empty,
/// and `{name...}`, at the end, for all the rest.
#[derive(Default)]
pub struct Routes {
    all: Vec<Route>,
    /// Which one was found last, if its path is the pattern.
    last: Cell<Option<usize>>,
    resumed: Vec<(&'static str, Resume)>,
    mark: Option<(&'static str, String)>,
}

impl Routes {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers GET, and HEAD: that is the same, without the body.
    pub fn get<A: Into<Answer>>(
        &mut self,
        path: impl Into<Cow<'static, str>>,
        handler: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
    ) {
        self.on("GET", path, handler);
    }

    /// Answers POST.
    pub fn post<A: Into<Answer>>(
        &mut self,
        path: impl Into<Cow<'static, str>>,
        handler: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
    ) {
        self.on("POST", path, handler);
    }

    /// Answers any method.
    pub fn on<A: Into<Answer>>(
        &mut self,
        method: &'static str,
        path: impl Into<Cow<'static, str>>,
        handler: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
    ) {
        let handler: Handler = Box::new(move |context, request| handler(context, request).into());
        let pattern = path.into();
        let kind = Kind::of(&pattern);
        self.all.push(Route { method, pattern, kind, handler });
    }

    /// The same, and each answer that a handler gives at once has this field.
    #[must_use]
    pub fn marked(mut self, name: &'static str, value: String) -> Self {
        self.mark = Some((name, value));
        self
    }

    /// What goes on with a stream of [this name](Stream::named) that another process has begun. The
    /// client has had the answer's head, and what the stream has said until then.
    pub fn resume(
        &mut self,
        name: &'static str,
        stream: impl Fn(&mut Context<'_>) -> Stream + 'static,
    ) {
        self.resumed.push((name, Box::new(stream)));
    }

    pub(crate) fn go_on(&self, context: &mut Context<'_>, name: &str) -> Option<Stream> {
        let (name, resume) = self.resumed.iter().find(|(known, _)| *known == name)?;
        Some(resume(context).named(name))
    }

    /// Calls the handler. Where there is none, that is the answer.
    pub(crate) fn answer(
        &self,
        context: &mut Context<'_>,
        head: &Head<'_>,
        body: &[u8],
        from: SocketAddr,
    ) -> Answer {
        let mut answer = match self.find(head) {
            Ok(Route { pattern, handler, .. }) => {
                handler(context, &Request { head, body, from, pattern })
            }
            Err(response) => response.into(),
        };
        if let (Answer::Now(response), Some((name, value))) = (&mut answer, &self.mark) {
            let added = response.fields.add(name, value);
            debug_assert!(added.is_ok(), "{name} may be a field, and so may {value}");
        }
        answer
    }

    /// Whether a handler would be called: asked before the visitor is told to go on
    /// with its body.
    pub(crate) fn has(&self, head: &Head<'_>) -> bool {
        self.find(head).is_ok()
    }

    #[inline]
    fn find(&self, head: &Head<'_>) -> Result<&Route, Response> {
        let method = if head.method == "HEAD" { "GET" } else { head.method };
        if let Some(route) = self.last.get().and_then(|last| self.all.get(last))
            && let Target::Origin(path) = head.target
            && *route.pattern == *path
            && route.method == method
        {
            return Ok(route);
        }
        self.search(head, method)
    }

    #[inline(never)]
    fn search(&self, head: &Head<'_>, method: &str) -> Result<&Route, Response> {
        let path = head.path();
        let mut others = None;
        for (number, route) in self.all.iter().enumerate().filter(|(_, it)| it.fits(path)) {
            if route.method == method {
                self.last.set(matches!(route.kind, Kind::Plain).then_some(number));
                return Ok(route);
            }
            others.get_or_insert_with(Vec::new).push(route.method);
        }
        if !DEFINED.contains(&method) && !self.all.iter().any(|route| route.method == method) {
            // Whatever the path (RFC 9110, section 9.1). Methods are told apart by case.
            return Err(Response::error(Status::NOT_IMPLEMENTED, "Nobody here knows how."));
        }
        let asks_for_all = path == "*";
        let Some(mut methods) = others.or_else(|| asks_for_all.then(|| self.methods())) else {
            return Err(Response::error(Status::NOT_FOUND, "There is nothing of that name here."));
        };
        methods.push("OPTIONS");
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        methods.dedup();
        let mut response = match head.method {
            "OPTIONS" => Response::new(Status::NO_CONTENT),
            _ => Response::error(Status::METHOD_NOT_ALLOWED, "This can't be done with it."),
        };
        let added = response.fields.add("Allow", &methods.join(", "));
        debug_assert!(added.is_ok(), "routes' methods are tokens");
        Err(response)
    }

    fn methods(&self) -> Vec<&'static str> {
        self.all.iter().map(|route| route.method).collect()
    }
}

impl Route {
    fn fits(&self, path: &str) -> bool {
        match self.kind {
            Kind::Plain => *self.pattern == *path,
            Kind::Prefix(end) => path.starts_with(&self.pattern[..end]),
            Kind::Places => Parts::fit(&self.pattern, path),
        }
    }
}

/// What stands in a path at the places of its pattern.
struct Parts<'p, 'a> {
    pattern: &'p str,
    path: &'a str,
    fits: bool,
}

impl<'p, 'a> Parts<'p, 'a> {
    fn of(pattern: &'p str, path: &'a str) -> Self {
        Self { pattern, path, fits: true }
    }

    fn fit(pattern: &str, path: &str) -> bool {
        let mut parts = Parts::of(pattern, path);
        parts.by_ref().for_each(drop);
        parts.fits
    }
}

/// Each place's name, and what stands there.
impl<'p, 'a> Iterator for Parts<'p, 'a> {
    type Item = (&'p str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (before, after) = self.pattern.split_once('{').unwrap_or((self.pattern, ""));
        let place = after.split_once('}');
        let rest = self.path.strip_prefix(before);
        let (Some(rest), Some((name, pattern))) = (rest, place) else {
            self.fits &= place.is_none() && rest == Some("");
            return None;
        };
        let length = match name.ends_with("...") {
            true => rest.len(),
            false => rest.find('/').unwrap_or(rest.len()),
        };
        let (part, path) = rest.split_at(length);
        if part.is_empty() && !name.ends_with("...") {
            self.fits = false;
            return None;
        }
        (self.pattern, self.path) = (pattern, path);
        Some((name, part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fits_its_pattern_or_does_not() {
        let parts = |pattern, path| {
            Parts::fit(pattern, path).then(|| Parts::of(pattern, path).collect::<Vec<_>>())
        };
        assert_eq!(parts("/a", "/a"), Some(vec![]));
        assert_eq!(parts("/a", "/a/"), None);
        assert_eq!(parts("/a/{b}", "/a/c"), Some(vec![("b", "c")]));
        assert_eq!(parts("/a/{b}", "/a/"), None);
        assert_eq!(parts("/a/{b}", "/a/c/d"), None);
        assert_eq!(parts("/{a}/x/{b}", "/1/x/2"), Some(vec![("a", "1"), ("b", "2")]));
        assert_eq!(parts("/{a}/x/{b}", "/1/y/2"), None);
        assert_eq!(parts("/{all...}", "/"), Some(vec![("all...", "")]));
        assert_eq!(parts("/f/{all...}", "/f/a/b"), Some(vec![("all...", "a/b")]));
        assert_eq!(parts("/f/{all...}", "/g"), None);
    }

    /// The short ways to a route say what the long one says.
    #[test]
    fn each_kind_of_pattern_fits_what_its_parts_fit() {
        let patterns = [
            "/",
            "/a",
            "/a/{b}",
            "/{b}",
            "/{all...}",
            "/f/{all...}",
            "/{a}/x/{all...}",
            "/f{all...}",
            "/{a...}x",
        ];
        let paths =
            ["/", "/a", "/a/", "/a/b", "/a/b/c", "/f", "/f/", "/f/a/b", "/fa", "/1/x/2", "*"];
        for pattern in patterns {
            let mut routes = Routes::new();
            routes.get(pattern, |_, _| Response::text(""));
            for path in paths {
                let fits = routes.all[0].fits(path);
                assert_eq!(fits, Parts::fit(pattern, path), "{pattern} {path}");
            }
        }
    }

    /// The route that was found last is tried first, and changes nothing.
    #[test]
    fn the_first_that_fits_has_it_whatever_was_asked_before() {
        let mut routes = Routes::new();
        routes.on("PUT", "/{any...}", |_, _| Response::text(""));
        routes.get("/a", |_, _| Response::text(""));
        routes.post("/a", |_, _| Response::text(""));
        routes.get("/a", |_, _| Response::text(""));
        routes.get("/{any...}", |_, _| Response::text(""));
        let requests = [
            ("GET", "/a", 1),
            ("POST", "/a", 2),
            ("PUT", "/a", 0),
            ("HEAD", "/a", 1),
            ("GET", "/a?b", 1),
        ];
        let others = [("GET", "/b", 4), ("GET", "/a/", 4), ("PUT", "/b", 0)];
        let all: Vec<_> = requests.into_iter().chain(others).collect();
        for before in &all {
            for (method, target, wanted) in [before].into_iter().chain(&all) {
                let bytes = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n");
                let head = Head::of(bytes.as_bytes()).expect("it's a head");
                let Ok(route) = routes.find(&head) else { panic!("{method} {target}") };
                assert!(std::ptr::eq(route, &routes.all[*wanted]), "{method} {target}");
            }
        }
    }
}
