//! A zone: the names that we know ourselves, from a file.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::HINFO;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::answer::Answer;
use super::zone_file;

/// How many aliases in a row are followed. More is a loop, or a mistake (RFC 1034, section
/// 3.6.2, wants none at all).
pub const LONGEST_CHAIN: usize = 16;
/// How long an answer to ANY may be kept, in seconds (RFC 8482, section 4.2, leaves it open).
const ANY_TTL: u32 = 3600;

/// A zone's records.
#[derive(Clone, Debug)]
pub struct Zone {
    apex: Name,
    /// What is said with every no: the SOA, with the time for which a no may be kept.
    soa: Record,
    /// By name. A name without records is there too, if there are names below it: it exists
    /// (RFC 4592, section 2.2.2).
    nodes: HashMap<Name, Node>,
}

/// A name's records, by type, in the file's order.
#[derive(Clone, Debug, Default)]
struct Node(Vec<(RecordType, Vec<Record>)>);

/// What a zone says to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// All that there is to say.
    Answer(Answer),
    /// The answer so far; the last alias leads out of the zone, to this name.
    Elsewhere(Answer, Name),
    /// That part of the zone is somebody else's: a referral to them.
    Delegated(Answer),
}

impl Zone {
    /// Reads a zone file (RFC 1035, section 5).
    ///
    /// # Errors
    /// One line that says what is wrong with it, and where.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        Self::from_text(&text).map_err(|complaint| format!("{name}: {complaint}"))
    }

    /// The same from its text.
    ///
    /// # Errors
    /// One line that says what is wrong with it, and where.
    pub fn from_text(text: &str) -> Result<Self, String> {
        Self::of_records(zone_file::parse(text)?)
    }

    fn of_records(records: Vec<Record>) -> Result<Self, String> {
        let mut soas = records.iter().filter(|record| record.record_type() == RecordType::SOA);
        let soa = soas.next().cloned().ok_or("there is no SOA record, which names the zone")?;
        if let Some(other) = soas.next() {
            return Err(format!("two SOA records, for {} and for {}", soa.name, other.name));
        }
        let RData::SOA(data) = &soa.data else { return Err("the SOA record is empty".to_owned()) };
        // How long a no may be kept (RFC 2308, section 3).
        let minimum = data.minimum;
        let mut zone = Self { apex: soa.name.clone(), soa, nodes: HashMap::new() };
        for record in records {
            zone.insert(record)?;
        }
        zone.soa.ttl = zone.soa.ttl.min(minimum);
        zone.check()?;
        Ok(zone)
    }

    fn insert(&mut self, record: Record) -> Result<(), String> {
        let Record { name, dns_class, .. } = &record;
        if !self.apex.zone_of(name) {
            return Err(format!("{name} isn't in the zone of its SOA record, {}", self.apex));
        }
        if *dns_class != DNSClass::IN {
            return Err(format!("{name} is of class {dns_class}; this server knows only IN"));
        }
        // All names on the way to it exist.
        for labels in self.apex.iter().len()..name.iter().len() {
            self.nodes.entry(name.trim_to(labels)).or_default();
        }
        let Node(sets) = self.nodes.entry(name.clone()).or_default();
        let kind = record.record_type();
        match sets.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, set)) => set.push(record),
            None => sets.push((kind, vec![record])),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        for (name, node) in &self.nodes {
            if node.get(RecordType::CNAME).is_some_and(|set| set.len() > 1 || node.0.len() > 1) {
                return Err(format!(
                    "{name} is an alias (CNAME), and so has no other records (RFC 1034, 3.6.2)"
                ));
            }
        }
        Ok(())
    }

    /// The zone's own name.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// Whether a name would be in this zone.
    pub fn covers(&self, name: &Name) -> bool {
        self.apex.zone_of(name)
    }

    // ANCHOR: find
    /// What the zone says of a name that it [covers](Self::covers).
    pub fn find(&self, name: &Name, kind: RecordType) -> Found {
        let mut answer = Answer::of_code(ResponseCode::NoError);
        answer.authoritative = true;
        let mut name = name.clone();
        for _ in 0..LONGEST_CHAIN {
            let node = match self.walk(&name, kind) {
                Place::Node(node) => node,
                Place::Nowhere => {
                    answer.code = ResponseCode::NXDomain;
                    return Found::Answer(self.with_soa(answer));
                }
                // Who follows an alias to it asks there next.
                Place::Cut(_) if !answer.answers.is_empty() => {
                    return Found::Elsewhere(answer, name);
                }
                Place::Cut(servers) => return Found::Delegated(self.referral(servers)),
            };
            if kind == RecordType::ANY && !node.0.is_empty() {
                answer.answers.push(instead_of_all(name));
                return Found::Answer(answer);
            }
            if let Some(set) = node.get(kind) {
                answer.additionals = self.addresses_of(set);
                answer.answers.extend(renamed(set, &name));
                return Found::Answer(answer);
            }
            let Some([alias]) = node.get(RecordType::CNAME) else {
                return Found::Answer(self.with_soa(answer));
            };
            answer.answers.extend(renamed(std::slice::from_ref(alias), &name));
            let RData::CNAME(target) = &alias.data else { break };
            name.clone_from(&target.0);
            if !self.covers(&name) {
                return Found::Elsewhere(answer, name);
            }
        }
        // A loop (RFC 1034, section 5.2.2).
        Found::Answer(Answer::of_code(ResponseCode::ServFail))
    }
    // ANCHOR_END: find

    /// From the apex down, label by label: the first thing that is in the way decides.
    fn walk(&self, name: &Name, kind: RecordType) -> Place<'_> {
        let (apex, labels) = (self.apex.iter().len(), name.iter().len());
        for depth in apex + 1..=labels {
            let ancestor = name.trim_to(depth);
            let Some(node) = self.nodes.get(&ancestor) else {
                return self.wildcard(&name.trim_to(depth - 1));
            };
            // What is at a cut is asked of those below it; of the cut itself, the DS (RFC 4035,
            // section 3.1.4.1) is ours.
            let is_ours = kind == RecordType::DS && depth == labels;
            if let Some(servers) = node.get(RecordType::NS).filter(|_| !is_ours) {
                return Place::Cut(servers);
            }
        }
        self.nodes.get(name).map_or(Place::Nowhere, Place::Node)
    }

    /// Below the closest name that exists, a `*` stands for all that don't (RFC 4592).
    fn wildcard(&self, closest: &Name) -> Place<'_> {
        let asterisk = closest.prepend_label("*").ok();
        let node = asterisk.and_then(|asterisk| self.nodes.get(&asterisk));
        node.map_or(Place::Nowhere, Place::Node)
    }

    /// A no says how long it may be kept (RFC 2308, section 3).
    fn with_soa(&self, mut answer: Answer) -> Answer {
        answer.authorities.push(self.soa.clone());
        answer
    }

    fn referral(&self, servers: &[Record]) -> Answer {
        let mut answer = Answer::of_code(ResponseCode::NoError);
        answer.additionals = self.addresses_of(servers);
        answer.authorities = servers.to_vec();
        answer
    }

    /// The addresses of the hosts that records name, as far as we know them.
    fn addresses_of(&self, records: &[Record]) -> Vec<Record> {
        let hosts = records.iter().filter_map(|record| match &record.data {
            RData::NS(host) => Some(&host.0),
            RData::MX(mail) => Some(&mail.exchange),
            RData::SRV(service) => Some(&service.target),
            _ => None,
        });
        let nodes = hosts.filter_map(|host| self.nodes.get(host));
        let of = |node: &Node, kind| node.get(kind).unwrap_or_default().to_vec();
        nodes
            .flat_map(|node| [of(node, RecordType::A), of(node, RecordType::AAAA)].concat())
            .collect()
    }
}

/// Where a name leads.
enum Place<'a> {
    Node(&'a Node),
    /// To servers that have that part of the zone.
    Cut(&'a [Record]),
    Nowhere,
}

impl Node {
    fn get(&self, kind: RecordType) -> Option<&[Record]> {
        self.0.iter().find(|(of, _)| *of == kind).map(|(_, set)| set.as_slice())
    }
}

/// The records as those of the name that was asked for: of a wildcard they are anybody's.
fn renamed(set: &[Record], name: &Name) -> impl Iterator<Item = Record> {
    set.iter().cloned().map(|mut record| {
        record.name.clone_from(name);
        record
    })
}

/// All that there is of a name is a large answer to a small question, which is what those who
/// flood others with answers ask for. They get this (RFC 8482, section 4.2).
fn instead_of_all(name: Name) -> Record {
    let hinfo = HINFO::new("RFC8482".to_owned(), String::new());
    Record::from_rdata(name, ANY_TTL, RData::HINFO(hinfo))
}
