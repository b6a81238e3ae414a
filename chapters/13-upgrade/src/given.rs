//! The doors that chapter 12's services were given: each service's has its name.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use ch12_kernel::options::Options;

use crate::activation::{Door, Socket};
use crate::format::{Malformed, Reader, Writer};

/// Whose a door without a name is.
pub const UNNAMED: &str = "http";
const NAMES: &str = "http, dns, mail and chat are";

/// For each service the door that it was given.
#[derive(Debug, Default)]
pub struct Given {
    pub http: Option<TcpListener>,
    pub dns: Option<(TcpListener, UdpSocket)>,
    pub mail: Option<TcpListener>,
    pub chat: Option<TcpListener>,
}

impl Given {
    /// Tells them apart.
    ///
    /// # Errors
    /// What can't be: in one line.
    pub fn of(doors: Vec<Door>) -> Result<Self, String> {
        let mut given = Self::default();
        let (mut dns_tcp, mut dns_udp) = (None, None);
        for Door { name, socket } in doors {
            let name = name.as_deref().unwrap_or(UNNAMED);
            match (name, socket) {
                ("http", Socket::Tcp(door)) => put(&mut given.http, name, door)?,
                ("mail", Socket::Tcp(door)) => put(&mut given.mail, name, door)?,
                ("chat", Socket::Tcp(door)) => put(&mut given.chat, name, door)?,
                ("dns", Socket::Tcp(door)) => put(&mut dns_tcp, name, door)?,
                ("dns", Socket::Udp(door)) => put(&mut dns_udp, name, door)?,
                ("http" | "mail" | "chat", Socket::Udp(_)) => return Err(not_by_udp(name)),
                _ => return Err(unknown(name, NAMES)),
            }
        }
        given.dns = match (dns_tcp, dns_udp) {
            (Some(tcp), Some(udp)) => Some((tcp, udp)),
            (None, None) => None,
            (Some(_), None) => return Err("dns needs a door for UDP, too".to_owned()),
            (None, Some(_)) => return Err("dns needs a door for TCP, too".to_owned()),
        };
        Ok(given)
    }

    /// Where they are.
    ///
    /// # Errors
    /// When the kernel can't tell.
    pub fn places(&self) -> io::Result<Places> {
        let dns = self.dns.as_ref().map(|(tcp, _)| tcp);
        let doors = [("http", self.http.as_ref()), ("dns", dns), ("mail", self.mail.as_ref())];
        let doors = doors.into_iter().chain([("chat", self.chat.as_ref())]);
        let places = doors.filter_map(|(name, door)| Some((name, door?.local_addr())));
        places.map(|(name, at)| Ok((name.to_owned(), at?))).collect::<io::Result<_>>().map(Places)
    }
}

/// Two of a kind would be two doors of one service.
fn put<D>(place: &mut Option<D>, name: &str, door: D) -> Result<(), String> {
    match place.replace(door) {
        None => Ok(()),
        Some(_) => Err(format!("{name} was given two doors of the same kind")),
    }
}

/// Who doesn't listen for datagrams.
pub fn not_by_udp(name: &str) -> String {
    format!("{name} was given a door for UDP, and needs one for TCP")
}

/// A name that isn't one of those that `known` says are.
pub fn unknown(name: &str, known: &str) -> String {
    format!("LISTEN_FDNAMES: no door is called {name:?} here; {known}")
}

/// Which services have a door that was given, and where: it isn't theirs to close, in any
/// generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(Vec<(String, SocketAddr)>);

impl Places {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// They are where the services are, whatever was asked for.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn settle(&self, options: &mut Options) -> Result<(), Malformed> {
        for (name, at) in &self.0 {
            let place = match name.as_str() {
                "http" => &mut options.http,
                "dns" => &mut options.dns,
                "mail" => &mut options.mail,
                "chat" => &mut options.chat,
                _ => return Err(Malformed),
            };
            *place = Some(*at);
        }
        Ok(())
    }

    /// Writes what [`read`](Self::read) reads.
    pub fn write(&self, to: &mut Writer) {
        to.all(&self.0, |to, (name, at)| {
            to.text(name);
            to.text(&at.to_string());
        });
    }

    /// # Errors
    /// When this is something else.
    pub fn read(mut from: Reader<'_>) -> Result<Self, Malformed> {
        let places = from.all(|from| Ok((from.text()?.to_owned(), from.parsed()?)))?;
        from.end().map(|()| Self(places))
    }
}
