//! A message: the envelope, and what is in it.

use std::net::IpAddr;
use std::time::SystemTime;

use crate::date;
use crate::mail::path::Path;

/// From whom, and for whom. What stands in the message's own fields is nobody's business here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub sender: Path,
    pub recipients: Vec<Path>,
}

/// How the client has said hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it calls itself.
    pub name: String,
    /// By EHLO.
    pub extended: bool,
}

/// A message, and how it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The client's address.
    pub from: IpAddr,
    pub hello: Hello,
    pub envelope: Envelope,
    /// As it was sent, without the dots of [`Lines`](crate::lines::Lines).
    pub data: Vec<u8>,
}

impl Message {
    // ANCHOR: trace
    /// The fields that whoever keeps a message puts in front of it (RFC
    /// 5321, section 4.4): whom to answer, and which way it has come.
    /// `host`: what we call ourselves.
    pub fn trace(&self, host: &str, at: SystemTime) -> String {
        let Self { from, hello: Hello { name, extended }, envelope, .. } = self;
        let with = if *extended { "ESMTP" } else { "SMTP" };
        let from = match from {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        };
        // With more than one, each would learn of the others.
        let recipient = match envelope.recipients.as_slice() {
            [only] => format!("\r\n\tfor {only}"),
            _ => String::new(),
        };
        let date = date::of_a_field(at);
        format!(
            "Return-Path: {}\r\n\
             Received: from {name} ({from})\r\n\
             \tby {host} with {with}{recipient};\r\n\
             \t{date}\r\n",
            envelope.sender
        )
    }
    // ANCHOR_END: trace
}
