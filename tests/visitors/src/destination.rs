//! Where visitors go: a server's address, or all those that a name stands for, and what they ask for there.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The port of a URL that names none.
const HTTP: u16 = 80;

/// Where visitors go.
#[derive(Debug)]
pub struct Destination {
    /// In the order in which they are tried, never empty.
    addresses: Vec<SocketAddr>,
    /// The one at which somebody may be: nobody is at those before it.
    current: AtomicUsize,
    /// At one of them at least there was a machine that refused.
    refused: AtomicBool,
    /// What the field `Host` says.
    host: String,
    /// What they ask for, where a URL says so.
    path: Option<String>,
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self::new(vec![address], address.to_string(), None)
    }
}

impl Destination {
    fn new(addresses: Vec<SocketAddr>, host: String, path: Option<String>) -> Self {
        let (current, refused) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { addresses, current, refused, host, path }
    }

    /// A port of this machine, whether its server listens in the fourth version of addresses or in the sixth.
    pub fn port(port: u16) -> Self {
        Self::new(on_this_machine(port), format!("localhost:{port}"), None)
    }

    /// What `127.0.0.1:7002`, `[::1]:7002`, `localhost:7002` or `http://localhost:7002/page` stands for.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (authority, path) = match split_url(text)? {
            None => (text, None),
            Some((authority, path)) => (authority, Some(path)),
        };
        let host_and_port = match path {
            // A URL needs no port.
            Some(_) if !has_port(authority) => format!("{authority}:{HTTP}"),
            _ => authority.to_owned(),
        };
        let addresses = resolve(&host_and_port).map_err(|error| {
            format!("{text:?} is no address: {error}; an address is such as 127.0.0.1:7002")
        })?;
        let path = path.filter(|path| path != "/");
        Ok(Self::new(addresses, authority.to_owned(), path))
    }

    /// All that are tried, in this order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What a visitor asks for who would ask for `usual`.
    pub fn path<'a>(&'a self, usual: &'a str) -> &'a str {
        self.path.as_deref().unwrap_or(usual)
    }

    /// As requests say it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address to try now, and its number.
    pub(crate) fn current(&self) -> (usize, SocketAddr) {
        let number = self.current.load(Ordering::Relaxed);
        (number, self.addresses[number])
    }

    /// The address of this number has failed so. `Ok`: another one is to be tried. `Err`: it was the last, or
    /// somebody is there, and this is what to make of it.
    pub(crate) fn next_after(&self, number: usize, error: io::Error) -> Result<(), io::Error> {
        use ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
        let refused = error.kind() == ConnectionRefused;
        let is_nobody_there = refused
            || matches!(error.kind(), AddrNotAvailable | HostUnreachable | NetworkUnreachable)
            // A machine without the sixth version of addresses.
            || error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT);
        if !is_nobody_there {
            return Err(error);
        }
        if refused {
            self.refused.store(true, Ordering::Relaxed);
        }
        if number + 1 < self.addresses.len() {
            // Another visitor may have gone on already.
            self.current.fetch_max(number + 1, Ordering::Relaxed);
            return Ok(());
        }
        // That the machine has no addresses of one kind is no news where it refused at the other.
        match self.refused.load(Ordering::Relaxed) {
            true => Err(ConnectionRefused.into()),
            false => Err(error),
        }
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.host, self.path(""))
    }
}

/// A URL's host (with its port, if it has one) and path. `None`: it's no URL.
fn split_url(text: &str) -> Result<Option<(&str, String)>, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(None);
    };
    if scheme.eq_ignore_ascii_case("https") {
        return Err(format!(
            "{text:?}: the visitors don't speak TLS; they need an http:// address"
        ));
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(format!(
            "{text:?}: the visitors speak HTTP alone, such as http://127.0.0.1:7002/"
        ));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    // What follows a # stays with whoever asks (RFC 9110, section 7.1).
    let target = target.split('#').next().unwrap_or_default();
    let path = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    if authority.contains('@') || path.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Err(format!("{text:?} is no URL such as http://127.0.0.1:7002/"));
    }
    Ok(Some((authority, path)))
}

fn has_port(authority: &str) -> bool {
    // The colons of `[::1]` are none of a port's.
    authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'))
}

fn resolve(host_and_port: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some((name, port)) = host_and_port.rsplit_once(':')
        && name.eq_ignore_ascii_case("localhost")
        && let Ok(port) = port.parse()
    {
        // On some systems the name stands for one of the two alone (RFC 6761, section 6.3: it's for both).
        return Ok(on_this_machine(port));
    }
    let mut addresses: Vec<SocketAddr> = host_and_port.to_socket_addrs()?.collect();
    // The book's servers listen in the fourth version.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.dedup();
    match addresses.is_empty() {
        true => Err(io::Error::new(ErrorKind::NotFound, "the name has no address")),
        false => Ok(addresses),
    }
}

fn on_this_machine(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("127.0.0.1:7002", "127.0.0.1:7002", &["127.0.0.1:7002"], "/")]
    #[case("[::1]:7002", "[::1]:7002", &["[::1]:7002"], "/")]
    #[case("localhost:7002", "localhost:7002", &["127.0.0.1:7002", "[::1]:7002"], "/")]
    #[case("http://localhost:8080/path?a=b#c", "localhost:8080/path?a=b", &["127.0.0.1:8080", "[::1]:8080"], "/path?a=b")]
    #[case("HTTP://127.0.0.1", "127.0.0.1", &["127.0.0.1:80"], "/")]
    #[case("http://127.0.0.1/", "127.0.0.1", &["127.0.0.1:80"], "/")]
    #[case("http://[::1]/x", "[::1]/x", &["[::1]:80"], "/x")]
    #[case("http://127.0.0.1:1?q", "127.0.0.1:1/?q", &["127.0.0.1:1"], "/?q")]
    fn understood(
        #[case] text: &str,
        #[case] shown: &str,
        #[case] addresses: &[&str],
        #[case] path: &str,
    ) {
        let destination = Destination::parse(text).unwrap();
        assert_eq!(destination.to_string(), shown);
        let all: Vec<String> = destination.addresses().iter().map(ToString::to_string).collect();
        assert_eq!(all, addresses);
        assert_eq!(destination.path("/"), path);
    }

    #[rstest]
    #[case("https://localhost:8080/", "TLS")]
    #[case("ftp://localhost/", "HTTP alone")]
    #[case("http://a b/", "is no address")]
    #[case("http://127.0.0.1:1/a b", "is no URL")]
    #[case("127.0.0.1:99999", "is no address")]
    #[case("http://you@127.0.0.1/", "is no URL")]
    fn refused(#[case] text: &str, #[case] mentioned: &str) {
        let error = Destination::parse(text).unwrap_err();
        assert!(error.contains(mentioned) && error.contains(text), "{error}");
    }

    #[test]
    fn where_the_last_address_is_of_no_use_a_refusal_before_it_is_the_news() {
        let destination = Destination::port(1);
        assert!(destination.next_after(0, ErrorKind::ConnectionRefused.into()).is_ok());
        assert_eq!(destination.current().0, 1);
        let error = destination.next_after(1, ErrorKind::AddrNotAvailable.into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}
