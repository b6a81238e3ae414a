//! What must hold for any bytes at all: one function, for the fuzzer and for the tests.

use ch10_http::{Event, Framing, Head, KnownFields, Limits, Parser, Place, Refusal};

/// So small that random bytes reach them.
pub const TIGHT: Limits = Limits { line: 40, head: 150, fields: 5, body: 20 };

/// What a parser said, and how many bytes that took.
pub type Transcript = Vec<(Said, usize)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Head(Facts),
    /// The body, its pieces put together.
    Body(Vec<u8>),
    End,
    Refused(Refusal),
    /// What is left when no more bytes come, and whether that is between two requests.
    Rest {
        between: bool,
    },
}

/// What a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub line: String,
    pub body: Framing,
    pub keep_alive: bool,
    pub expects_continue: bool,
}

// ANCHOR: check
/// Panics if the parser breaks a promise on these bytes.
pub fn check(bytes: &[u8]) {
    compare_with_known(bytes);
    for limits in [Limits::USUAL, TIGHT] {
        let whole = run(&[bytes], limits);
        compare_with_model(bytes, &whole, &limits);
        let mut sizes = fastrand::Rng::with_seed(bytes.len() as u64);
        let (mut pieces, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(sizes.usize(1..20)));
            pieces.push(piece);
            rest = behind;
        }
        assert_eq!(whole, run(&pieces, limits), "cut as {:?}", pieces_shown(&pieces));
        let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(whole, run(&pieces, limits), "byte by byte");
    }
}
// ANCHOR_END: check

fn pieces_shown(pieces: &[&[u8]]) -> Vec<String> {
    pieces.iter().map(|piece| piece.escape_ascii().to_string()).collect()
}

/// All that the parser says of bytes that come in these pieces. Panics if it breaks a
/// promise that shows without a comparison.
pub fn run(pieces: &[&[u8]], limits: Limits) -> Transcript {
    let mut parser = Parser::new(limits);
    let mut transcript = Transcript::new();
    let mut bytes = Vec::new();
    let bytes_in_all: usize = pieces.iter().map(|piece| piece.len()).sum();
    for piece in pieces {
        bytes.extend_from_slice(piece);
        loop {
            // Two events for each byte are too many: it goes in circles.
            assert!(transcript.len() <= 2 * bytes_in_all + 2, "it takes nothing, again and again");
            let was_between = parser.is_between();
            let (event, took) = match parser.next(&bytes) {
                Ok(Some(next)) => next,
                Ok(None) => {
                    assert_eq!(parser.next(&bytes), Ok(None), "nothing has come meanwhile");
                    assert_eq!(parser.is_between(), was_between, "nothing was taken");
                    break;
                }
                Err(refusal) => {
                    transcript.push((Said::Refused(refusal), 0));
                    if refusal.close {
                        assert!(!parser.is_between());
                        assert_eq!(parser.next(&bytes), Err(refusal), "it's the last answer");
                        assert_eq!(parser.next(b""), Err(refusal), "it's the last answer");
                        return transcript;
                    }
                    assert!(was_between && !parser.is_between(), "its rest comes");
                    continue;
                }
            };
            match event {
                Event::Head(head) => {
                    assert!(was_between);
                    transcript.push((Said::Head(facts(&head)), took));
                }
                Event::Body(piece) => {
                    assert!(!was_between && !piece.is_empty() && !parser.is_between());
                    match transcript.last_mut() {
                        Some((Said::Body(before), so_far)) => {
                            before.extend_from_slice(piece);
                            *so_far += took;
                        }
                        _ => transcript.push((Said::Body(piece.to_vec()), took)),
                    }
                }
                Event::End => {
                    assert!(!was_between && parser.is_between());
                    transcript.push((Said::End, took));
                }
            }
            bytes.drain(..took);
        }
    }
    transcript.push((Said::Rest { between: parser.is_between() }, bytes.len()));
    transcript
}

/// What a head says, by all its ways of saying it.
fn facts(head: &Head<'_>) -> Facts {
    assert_eq!(Head::of(head.raw()).as_ref(), Some(head), "it can be read again");
    let (line, fields) = lines_of(head.raw()).expect("its lines are lines");
    let seen: Vec<(&str, &[u8])> = head.fields().collect();
    let mut named = Vec::new();
    for (line, (name, value)) in fields.iter().zip(&seen) {
        let (plain_name, plain_value) = field(line).expect("a field");
        assert_eq!((plain_name, plain_value), (*name, *value));
        if !named.contains(&name.to_ascii_lowercase()) {
            named.push(name.to_ascii_lowercase());
            assert_eq!(head.field(name), std::str::from_utf8(value).ok());
        }
    }
    assert_eq!(fields.len(), seen.len());
    let is_condition =
        |name: &&String| name.starts_with("if-") && [8, 13, 17, 19].contains(&name.len());
    let conditions = named.iter().filter(|name| *name == "range" || is_condition(name)).count();
    assert_eq!(head.has_conditions, conditions > 0);
    let exchange = head.exchange();
    assert_eq!(exchange.is_head, line.starts_with("HEAD "));
    assert_eq!((exchange.version, exchange.keep_alive), (head.version, head.keep_alive));
    if let (true, Some((path, query))) = (head.path().starts_with('/'), line.split_once('?')) {
        assert!(!head.path().contains('?'), "{path}");
        assert_eq!(head.query(), query.rsplit_once(' ').map(|(query, _)| query));
    }
    Facts {
        line: line.to_owned(),
        body: head.body,
        keep_alive: head.keep_alive,
        expects_continue: head.expects_continue,
    }
}

/// The same bytes, where the fields of all their requests are known: what is known of a request
/// must be what the parser says of it, under any limits.
fn compare_with_known(bytes: &[u8]) {
    let mut known = KnownFields::new();
    for limits in [Limits::USUAL, Limits::USUAL, TIGHT] {
        let (mut parser, mut place, mut rest) = (Parser::new(limits), Place::default(), bytes);
        loop {
            let before = parser.is_untouched().then(|| known.read(place, rest, &limits)).flatten();
            let next = parser.next(rest);
            let Ok(Some((event, took))) = next else {
                assert_eq!(before, None, "it's known, and the parser says {next:?}");
                match next {
                    Err(refusal) if !refusal.close => continue,
                    _ => break,
                }
            };
            rest = &rest[took..];
            let Event::Head(head) = event else { continue };
            if before.is_some() {
                assert_eq!((before, took), (Some(head), head.raw().len()));
                assert_eq!(parser.next(rest), Ok(Some((Event::End, 0))));
            }
            place = known.note(&head);
        }
    }
}

/// The same bytes, read by a parser that is as plain as can be: it has all of them, makes
/// strings of them, and knows only whether it takes a request.
fn compare_with_model(mut bytes: &[u8], transcript: &Transcript, limits: &Limits) {
    let mut said = transcript.iter();
    loop {
        let Some((next, took)) = said.next() else { return };
        let (head, behind) = match model_head(bytes, limits) {
            Model::NotYet => {
                let is_well = matches!(next, Said::Rest { between: true } | Said::Refused(_));
                assert!(is_well, "not yet, but {next:?}");
                return;
            }
            Model::Wrong => {
                assert!(matches!(next, Said::Refused(refusal) if refusal.close), "takes {next:?}");
                return;
            }
            Model::Is(head, behind) => (head, behind),
        };
        let (facts, expects_other) = head;
        match next {
            Said::Head(seen) if !expects_other => {
                assert_eq!((&facts, bytes.len() - behind.len()), (seen, *took));
            }
            // An expectation that can't be met: the rest is as if it could.
            Said::Refused(refusal) if expects_other => assert!(!refusal.close, "{refusal}"),
            _ => panic!("{next:?} in place of {facts:?}"),
        }
        let mut sum = *took;
        let (body, end) = model_body(behind, facts.body, limits);
        if !body.is_empty() {
            let Some((Said::Body(seen), took)) = said.next() else { panic!("no body") };
            assert_eq!(&body, seen);
            sum += took;
        }
        match (end, said.next()) {
            (Model::Is((), behind), Some((Said::End, took))) => {
                assert_eq!(sum + took, bytes.len() - behind.len());
                bytes = behind;
            }
            (Model::NotYet, Some((Said::Rest { between: false }, _))) => return,
            // It may know before the model does.
            (Model::NotYet | Model::Wrong, Some((Said::Refused(refusal), _))) if refusal.close => {
                return;
            }
            (end, other) => panic!("{other:?}, but the model says {end:?}"),
        }
    }
}

/// What the bytes begin with, and what stands behind it.
#[derive(Debug)]
enum Model<'b, T> {
    NotYet,
    Wrong,
    Is(T, &'b [u8]),
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn model_head<'b>(bytes: &'b [u8], limits: &Limits) -> Model<'b, (Facts, bool)> {
    let mut head = bytes;
    while let Some(behind) = head.strip_prefix(b"\r\n") {
        head = behind;
    }
    let Some(end) = find(head, b"\r\n\r\n") else { return Model::NotYet };
    let empty = bytes.len() - head.len();
    let (head, behind) = head.split_at(end + 4);
    match model_facts(head, limits) {
        Some(facts) if empty + head.len() <= limits.head && empty <= 8 => Model::Is(facts, behind),
        _ => Model::Wrong,
    }
}

/// A head's first line, and the others.
fn lines_of(head: &[u8]) -> Option<(&str, Vec<&[u8]>)> {
    let text = head.strip_suffix(b"\r\n\r\n")?;
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    let is_clean = |byte: &u8| (*byte >= 0x20 && *byte != 0x7f) || *byte == b'\t';
    if !lines.iter().all(|line| line.iter().all(is_clean)) {
        return None;
    }
    Some((std::str::from_utf8(lines.remove(0)).ok()?, lines))
}

fn is_token(name: &str) -> bool {
    let others = "!#$%&'*+-.^_`|~";
    !name.is_empty() && name.chars().all(|it| it.is_ascii_alphanumeric() || others.contains(it))
}

/// A name, and a value without the blanks around it.
fn field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = find(line, b":")?;
    let name = std::str::from_utf8(&line[..colon]).ok().filter(|name| is_token(name))?;
    Some((name, without_blanks(&line[colon + 1..])))
}

fn without_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', behind @ ..] = value {
        value = behind;
    }
    before_blanks(value)
}

fn before_blanks(mut value: &[u8]) -> &[u8] {
    while let [before @ .., b' ' | b'\t'] = value {
        value = before;
    }
    value
}

/// What a head says, and whether it expects something that nobody can promise.
fn model_facts(head: &[u8], limits: &Limits) -> Option<(Facts, bool)> {
    let (line, lines) = lines_of(head)?;
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else { return None };
    // Whoever speaks a later 1 is taken for one who speaks 1.1.
    let minor = version.strip_prefix("HTTP/1.").and_then(|minor| minor.parse().ok());
    let is_11 = version.len() == 8 && matches!(minor, Some(1..=9));
    if line.len() > limits.line || lines.len() > limits.fields || !is_token(method) {
        return None;
    }
    if !is_11 && version != "HTTP/1.0" {
        return None;
    }
    let has_authority = model_target(method, target)?;
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = field(line)?;
        fields.push((name.to_ascii_lowercase(), String::from_utf8_lossy(value).into_owned()));
    }
    let named = |wanted: &str| -> Vec<String> {
        let those = fields.iter().filter(|(name, _)| name == wanted);
        those.map(|(_, value)| value.to_ascii_lowercase()).collect()
    };
    let members = |wanted: &str| -> Vec<String> {
        let all = named(wanted);
        let split = all.iter().flat_map(|value| value.split(','));
        split.map(|member| member.trim_matches([' ', '\t']).to_owned()).collect()
    };
    match named("host").as_slice() {
        [] if is_11 => return None,
        [] => {}
        [host] if host.is_empty() && !has_authority => {}
        [host] if model_host(host) => {}
        _ => return None,
    }
    let body = match (named("content-length").as_slice(), members("transfer-encoding").as_slice()) {
        ([], []) => Framing::None,
        ([], [coding]) if coding == "chunked" && is_11 => Framing::Chunked,
        ([length], []) => Framing::Length(
            length.parse().ok().filter(|it| !length.starts_with('+') && *it <= limits.body)?,
        ),
        _ => return None,
    };
    let options = members("connection");
    let has = |option: &str| options.iter().any(|it| it == option);
    let (known, other): (Vec<_>, Vec<_>) = members("expect")
        .into_iter()
        .filter(|it| !it.is_empty())
        .partition(|it| it == "100-continue");
    let body_follows = body != Framing::None && body != Framing::Length(0);
    let facts = Facts {
        line: line.to_owned(),
        body,
        keep_alive: !has("close") && (is_11 || has("keep-alive")),
        expects_continue: !known.is_empty() && is_11 && body_follows,
    };
    Some((facts, !other.is_empty()))
}

/// None for one that is wrong; whether it names a host.
fn model_target(method: &str, target: &str) -> Option<bool> {
    if target.is_empty() || !target.chars().all(|it| ('!'..='~').contains(&it) && it != '#') {
        return None;
    }
    if method == "CONNECT" {
        let (_, port) = target.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        return (model_host(target) && port > 0).then_some(true);
    }
    if target == "*" {
        return (method == "OPTIONS").then_some(false);
    }
    if target.starts_with('/') {
        return Some(false);
    }
    let (scheme, rest) = target.split_once("://")?;
    let host = rest.split(['/', '?']).next()?;
    let is_http = ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str());
    (is_http && model_host(host)).then_some(true)
}

fn model_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    if !port.chars().all(|it| it.is_ascii_digit()) {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let parts: Vec<&str> = host.split('%').collect();
    let is_plain = |text: &str| {
        text.chars().all(|it| it.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(it))
    };
    !host.is_empty()
        && parts.iter().all(|part| is_plain(part))
        && parts[1..]
            .iter()
            .all(|part| part.len() >= 2 && part.chars().take(2).all(|it| it.is_ascii_hexdigit()))
}

/// As much of the body as is there, and what is behind it.
fn model_body<'b>(bytes: &'b [u8], framing: Framing, limits: &Limits) -> (Vec<u8>, Model<'b, ()>) {
    let length = match framing {
        Framing::None => 0,
        Framing::Length(length) => usize::try_from(length).expect("it's below the limit"),
        Framing::Chunked => return model_chunks(bytes, limits),
    };
    match bytes.split_at_checked(length) {
        Some((body, behind)) => (body.to_vec(), Model::Is((), behind)),
        None => (bytes.to_vec(), Model::NotYet),
    }
}

fn model_chunks<'b>(mut bytes: &'b [u8], limits: &Limits) -> (Vec<u8>, Model<'b, ()>) {
    let mut body = Vec::new();
    let mut sum = 0_u64;
    loop {
        let Some(end) = find(bytes, b"\n") else { return (body, Model::NotYet) };
        let Some(size) = model_size(&bytes[..=end]) else { return (body, Model::Wrong) };
        bytes = &bytes[end + 1..];
        if size == 0 {
            break;
        }
        sum = sum.saturating_add(size);
        if sum > limits.body {
            return (body, Model::Wrong);
        }
        let size = usize::try_from(size).expect("it's below the limit");
        let Some((data, behind)) = bytes.split_at_checked(size) else {
            body.extend_from_slice(bytes);
            return (body, Model::NotYet);
        };
        body.extend_from_slice(data);
        match behind.get(..2) {
            Some(b"\r\n") => bytes = &behind[2..],
            Some(_) => return (body, Model::Wrong),
            None => return (body, Model::NotYet),
        }
    }
    let trailers = bytes;
    loop {
        let Some(end) = find(bytes, b"\n") else { return (body, Model::NotYet) };
        let line = &bytes[..end];
        bytes = &bytes[end + 1..];
        if line == b"\r" {
            let is_short = trailers.len() - bytes.len() <= limits.head;
            return (body, if is_short { Model::Is((), bytes) } else { Model::Wrong });
        }
        let is_field = line.strip_suffix(b"\r").is_some_and(|line| {
            let is_clean = |byte: &u8| (*byte >= 0x20 && *byte != 0x7f) || *byte == b'\t';
            line.iter().all(is_clean) && field(line).is_some()
        });
        if !is_field {
            return (body, Model::Wrong);
        }
    }
}

/// The number on a chunk's line. None if the line is wrong.
fn model_size(line: &[u8]) -> Option<u64> {
    let text = line.strip_suffix(b"\r\n").filter(|_| line.len() <= 256)?;
    let (digits, extension) = match find(text, b";") {
        Some(semicolon) => (before_blanks(&text[..semicolon]), &text[semicolon..]),
        None => (text, &b""[..]),
    };
    let is_clean = |byte: &u8| (*byte >= 0x20 && *byte != 0x7f) || *byte == b'\t';
    let digits = std::str::from_utf8(digits).ok().filter(|it| !it.starts_with('+'))?;
    extension.iter().all(is_clean).then(|| u64::from_str_radix(digits, 16).ok())?
}
