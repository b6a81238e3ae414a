//! What a request is for: the target in its first line, and the host.

use std::net::Ipv6Addr;

use crate::refusal::Refusal;

/// A request's target. Which form it may have goes with its method (RFC 9112, section
/// 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'b> {
    /// `/path?query`: what nearly all are.
    Origin(&'b str),
    /// `http://host:port/path?query`: to a proxy, but every server must take it.
    Absolute {
        authority: &'b str,
        /// With the query. May be empty, or begin with it.
        path: &'b str,
    },
    /// `host:port`, with CONNECT: to a proxy that is to be a tunnel.
    Authority(&'b str),
    /// `*`, with OPTIONS: the server itself.
    Asterisk,
}

impl<'b> Target<'b> {
    /// The target that `text` is. It's not empty, and holds no space and no control
    /// character: whoever cut it out of its line saw to that.
    ///
    /// # Errors
    /// 400 for one that has none of the forms, or not the one that its method needs.
    #[inline(always)] // as in Head::read
    pub(crate) fn of(method: &str, text: &'b str) -> Result<Self, Refusal> {
        // A fragment stays with whoever asks; a target with one was put together by mistake.
        if !text.bytes().fold(true, |good, byte| good & is_in_target(byte)) {
            return Err(Refusal::bad("a character in the target that doesn't belong there"));
        }
        if text.starts_with('/') && method != "CONNECT" {
            return Ok(Self::Origin(text));
        }
        Self::seldom(method, text)
    }

    #[cold]
    fn seldom(method: &str, text: &'b str) -> Result<Self, Refusal> {
        match (method, text) {
            ("CONNECT", _) => Self::authority_of(text),
            ("OPTIONS", "*") => Ok(Self::Asterisk),
            (_, "*") => Err(Refusal::bad("the target * goes with OPTIONS alone")),
            _ => Self::absolute_of(text),
        }
    }

    fn authority_of(text: &'b str) -> Result<Self, Refusal> {
        let port = text.rsplit_once(':').map(|(_, port)| port.parse());
        // "+1" is a number for parse, but isn't a valid host and port.
        if matches!(port, Some(Ok(1..=u16::MAX))) && is_host(text.as_bytes()) {
            return Ok(Self::Authority(text));
        }
        Err(Refusal::bad("CONNECT's target must be a host and a port"))
    }

    fn absolute_of(text: &'b str) -> Result<Self, Refusal> {
        let scheme = text.split_once("://");
        let Some((_, rest)) = scheme.filter(|(scheme, _)| {
            scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
        }) else {
            return Err(Refusal::bad("a target that is neither a path nor an http URI"));
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !is_host(authority.as_bytes()) {
            return Err(Refusal::bad("a target without a valid host"));
        }
        Ok(Self::Absolute { authority, path })
    }

    /// Who is asked, where the target says it.
    pub fn authority(&self) -> Option<&'b str> {
        match *self {
            Self::Absolute { authority, .. } | Self::Authority(authority) => Some(authority),
            Self::Origin(_) | Self::Asterisk => None,
        }
    }
}

/// Whether it may stand in a target: what is visible and ASCII.
pub(crate) const fn is_in_target(byte: u8) -> bool {
    byte > b' ' && byte < 0x7f && byte != b'#'
}

/// `host` or `host:port` (RFC 9110, section 7.2; RFC 3986, section 3.2): a name, an IPv4
/// address, or an IPv6 address in brackets. Nobody's name or password before an `@`:
/// RFC 9110 (section 4.2.4) wants it refused. An empty host is none; nor is `[v1.…]`,
/// the brackets' other use, which nothing has ever been given.
pub(crate) fn is_host(text: &[u8]) -> bool {
    let port = match text {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let address = std::str::from_utf8(&rest[..end]);
            if !address.is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok()) {
                return false;
            }
            &rest[end + 1..]
        }
        _ => {
            let behind = behind_name(text);
            if behind.len() == text.len() {
                return false;
            }
            behind
        }
    };
    match port {
        [] => true,
        // A colon without a port: odd, but it's in the grammar.
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// What stands behind the reg-name that `text` begins with (RFC 3986, section 3.2.2): all of
/// it if there is none. An IPv4 address is one as well.
fn behind_name(text: &[u8]) -> &[u8] {
    let mut rest = text;
    loop {
        let end = rest.iter().position(|byte| !IN_NAME[usize::from(*byte)]);
        rest = &rest[end.unwrap_or(rest.len())..];
        match rest {
            [b'%', high, low, behind @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest = behind;
            }
            _ => return rest,
        }
    }
}

/// Which bytes stand for themselves in a reg-name.
static IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut others: &[u8] = b"-._~!$&'()*+,;=";
    while let [byte, behind @ ..] = others {
        table[*byte as usize] = true;
        others = behind;
    }
    table
};
