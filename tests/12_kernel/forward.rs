//! The checks of 12-forward: ask somebody else, and wait without waiting. The check is the clients, the upstream, and those who
//! pretend to be it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use super::udp::Peer;
use super::*;

/// As in the exercise.
const MOST_WAITING: usize = 1000;
const MOST_REMEMBERED: usize = 500;

/// Longer than any check: the program's patience in milliseconds, where it doesn't matter.
const ENDLESS: u64 = 600_000;
const HEAD: usize = 12;
const A: u16 = 1;
const HOUR: u32 = 3600;
/// Two that differ like a capital and a small letter: HTTPS, and one that nobody has.
const HTTPS: u16 = 65;
const OF_97: u16 = 97;
/// Response codes.
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

/// A name in labels.
fn labels(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let labels = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// A message that asks for a name.
fn question(number: u16, name: &str, kind: u16) -> Vec<u8> {
    let head = [&number.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    [&head[..], &labels(name), &kind.to_be_bytes(), &[0, 1]].concat()
}

/// With EDNS (RFC 6891): it may be so long, and wants signatures.
fn with_edns(mut question: Vec<u8>) -> Vec<u8> {
    question[11] = 1;
    [&question[..], &[0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0]].concat()
}

/// How long a message's head and its question are.
fn length_of_question(message: &[u8]) -> usize {
    let mut at = HEAD;
    while message[at] != 0 {
        at += 1 + usize::from(message[at]);
    }
    at + 5
}

/// An answer to this message, with an address for each TTL.
fn answer_to(message: &[u8], ttls: &[u32]) -> Vec<u8> {
    let mut answer = message[..length_of_question(message)].to_vec();
    answer[2] = 0x81;
    answer[3] = 0x80;
    answer[6..HEAD].copy_from_slice(&[0, ttls.len() as u8, 0, 0, 0, 0]);
    for (ttl, host) in ttls.iter().zip(1..) {
        answer.extend([0xC0, HEAD as u8, 0, 1, 0, 1]);
        answer.extend(ttl.to_be_bytes());
        answer.extend([0, 4, 192, 0, 2, host]);
    }
    answer
}

/// The same with a response code.
fn failed(mut answer: Vec<u8>, code: u8) -> Vec<u8> {
    answer[3] = 0x80 | code;
    answer
}

/// What an answer is for whoever has asked this: under their number, and with their spelling.
fn as_asked(answer: &[u8], question: &[u8]) -> Vec<u8> {
    let end = length_of_question(question);
    [&question[..2], &answer[2..HEAD], &question[HEAD..end], &answer[end..]].concat()
}

fn number_of(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[0], message[1]])
}

/// A message in words.
fn in_words(message: &[u8]) -> String {
    if message.len() < HEAD + 5 || message[5] != 1 {
        return shown(message);
    }
    let what = match (message[2] & 0x80, message[3] & 15) {
        (0, _) => "a question".to_owned(),
        (_, 0) => format!("an answer with {} records", message[7]),
        (_, SERVFAIL) => "a SERVFAIL".to_owned(),
        (_, code) => format!("a failure of code {code}"),
    };
    let name = &message[HEAD..length_of_question(message).min(message.len()) - 4];
    format!("{what} under number {} about {}: {}", number_of(message), shown(name), shown(message))
}

/// A question as it has come to the upstream.
struct Asked {
    message: Vec<u8>,
    /// Where the answer goes to.
    back: SocketAddr,
}

impl Asked {
    fn number(&self) -> u16 {
        number_of(&self.message)
    }

    fn answer(&self, ttls: &[u32]) -> Vec<u8> {
        answer_to(&self.message, ttls)
    }
}

/// The forwarder, and the upstream that it asks.
struct House<'a> {
    server: Server<'a>,
    upstream: Peer,
}

impl<'a> House<'a> {
    #[track_caller]
    fn new(check: &'a check::Check, patience: u64) -> Self {
        let upstream = Peer::new("upstream");
        let server = check.server(&[&upstream.address().to_string(), &patience.to_string()]);
        Self { server, upstream }
    }

    #[track_caller]
    fn ask(&self, client: &Peer, question: &[u8]) {
        client.send(&self.server, self.server.address, question);
    }

    /// A client of the forwarder.
    fn client(&self, name: &str) -> Peer {
        Peer::of(&self.server, name)
    }

    /// The upstream has to be asked this next, under whatever number.
    #[track_caller]
    fn passed_on(&self, question: &[u8], when: &str) -> Asked {
        let what = format!("{when}, the upstream waits for {}", in_words(question));
        let (message, back) = self.upstream.receive(&self.server, &what);
        if message.get(2..) != question.get(2..) {
            let (message, question) = (in_words(&message), in_words(question));
            self.server.fail_seeing(&format!(
                "{when}, the upstream got\n  {message}\nand not, under another number,\n  {question}"
            ));
        }
        Asked { message, back }
    }

    /// Asks, and has to be passed on.
    #[track_caller]
    fn asks(&self, client: &Peer, question: &[u8], when: &str) -> Asked {
        self.ask(client, question);
        self.passed_on(question, when)
    }

    #[track_caller]
    fn answers(&self, asked: &Asked, answer: &[u8]) {
        self.upstream.send(&self.server, asked.back, answer);
    }

    /// The client has to get this next.
    #[track_caller]
    fn gets(&self, client: &Peer, expected: &[u8], when: &str) {
        let name = &client.name;
        let what = format!("{when}, {name} waits for {}", in_words(expected));
        let (came, _) = client.receive(&self.server, &what);
        if came != expected {
            let (came, expected) = (in_words(&came), in_words(expected));
            self.server
                .fail_seeing(&format!("{when}, {name} got\n  {came}\nand not\n  {expected}"));
        }
    }

    /// The client has to get a SERVFAIL for this question, after so long at the latest.
    #[track_caller]
    fn fails(&self, client: &Peer, question: &[u8], after: Duration, when: &str) {
        let name = &client.name;
        let what = format!("{when}, {name} waits for a SERVFAIL");
        let (came, _) = client.receive_after(&self.server, after + PATIENCE, &what);
        let expected = failed(answer_to(question, &[]), SERVFAIL);
        if came != expected {
            let (came, expected) = (in_words(&came), in_words(&expected));
            self.server
                .fail_seeing(&format!("{when}, {name} got\n  {came}\nand not\n  {expected}"));
        }
    }

    /// The whole of it, with this answer.
    #[track_caller]
    fn exchange(&self, client: &Peer, question: &[u8], ttls: &[u32], when: &str) {
        let asked = self.asks(client, question, when);
        let answer = asked.answer(ttls);
        self.answers(&asked, &answer);
        self.gets(client, &as_asked(&answer, question), when);
    }

    /// It has to be answered from memory, with so many records of a long life.
    #[track_caller]
    fn remembers(&self, client: &Peer, question: &[u8], records: u8, when: &str) {
        self.ask(client, question);
        let what = format!("{when}, {} waits for an answer from memory", client.name);
        let (came, _) = client.receive(&self.server, &what);
        let section = length_of_question(question);
        let is_right = came.len() > section
            && came[..2] == question[..2]
            && came[HEAD..section] == question[HEAD..section]
            && came[7] == records;
        if !is_right {
            let (name, came, question) = (&client.name, in_words(&came), in_words(question));
            self.server.fail_seeing(&format!(
                "{when}, {name} got from memory\n  {came}\nfor\n  {question}"
            ));
        }
    }

    #[track_caller]
    fn nothing_more(&self, clients: &[&Peer], when: &str) {
        self.upstream.nothing_more(&self.server, when);
        for client in clients {
            client.nothing_more(&self.server, when);
        }
    }
}

#[rstest]
#[case::plain(question(7, "example.org", A))]
#[case::in_capitals(question(0, "eXaMpLe.ORG", A))]
#[case::of_another_type(question(65_535, "example.org", HTTPS))]
#[case::the_root(question(1, "", 2))]
#[case::with_edns(with_edns(question(7, "example.org", A)))]
#[case::of_the_longest_name(question(7, &format!("{}{}", "abcdefg.".repeat(31), "abcde"), A))]
#[case::with_other_bytes(question(7, "ex\0am ple.o\nrg", A))]
#[case::with_more_behind(vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'x', 0, 0, 1, 0, 1, 1, 2, 3])]
fn a_question_and_its_answer(#[case] question: Vec<u8>) {
    let check = check!("12-forward");
    check.suspect("message-is-changed");
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let when = "after a question";
    house.exchange(&client, &question, &[HOUR, 300], when);
    house.nothing_more(&[&client], "after a question and its answer");
}

#[rstest]
#[case::no_such_name(|answer: Vec<u8>| failed(answer, NXDOMAIN))]
#[case::cut_short(|mut answer: Vec<u8>| { answer[2] |= 2; answer })]
#[case::authoritative(|mut answer: Vec<u8>| { answer[2] |= 4; answer })]
#[case::with_more_behind(|answer: Vec<u8>| [&answer[..], b"more"].concat())]
#[case::torn(|mut answer: Vec<u8>| { answer[7] = 9; answer })]
fn any_answer(#[case] change: fn(Vec<u8>) -> Vec<u8>) {
    let check = check!("12-forward");
    check.suspect("message-is-changed");
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let question = question(7, "example.org", A);
    let asked = house.asks(&client, &question, "after a question");
    let answer = change(asked.answer(&[HOUR]));
    house.answers(&asked, &answer);
    house.gets(&client, &as_asked(&answer, &question), "after an answer");
    house.nothing_more(&[&client], "after an answer");
}

#[rstest]
#[case::as_they_came(&[0, 1, 2, 3])]
#[case::the_last_first(&[3, 2, 1, 0])]
#[case::crosswise(&[2, 0, 3, 1])]
fn several_at_once(#[case] order: &[usize]) {
    let check = check!("12-forward");
    check.suspect("one-question-at-a-time");
    let house = House::new(&check, ENDLESS);
    let clients = ["first client", "second client", "third client", "fourth client"]
        .map(|name| house.client(name));
    let names = ["one.example", "two.example", "three.example", "four.example"];
    // All under the same number: that's the clients' own business.
    let questions = names.map(|name| question(7, name, A));
    let when = "with several questions under way";
    let asked: Vec<Asked> = clients
        .iter()
        .zip(&questions)
        .map(|(client, question)| house.asks(client, question, when))
        .collect();
    for at in order {
        let answer = asked[*at].answer(&[HOUR, 60, 60][..=at % 3]);
        house.answers(&asked[*at], &answer);
        house.gets(&clients[*at], &as_asked(&answer, &questions[*at]), when);
    }
    house.nothing_more(&clients.each_ref(), "after several answers");
}

#[test]
fn numbers_of_its_own() {
    let check = check!("12-forward");
    check.suspect("number-is-used-twice");
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let when = "with many questions under way";
    let mut numbers = Vec::new();
    for number in 0..MOST_WAITING as u16 {
        let question = question(number, &format!("{number}.example"), A);
        numbers.push(house.asks(&client, &question, when).number());
    }
    if numbers.iter().zip(0..).filter(|(ours, theirs)| **ours == *theirs).count() > 10 {
        check.suspect("clients-number-is-used");
        house
            .server
            .fail_seeing(&format!("{when}, the upstream got them under the client's numbers"));
    }
    let mut steps: BTreeMap<u16, usize> = BTreeMap::new();
    for pair in numbers.windows(2) {
        *steps.entry(pair[1].wrapping_sub(pair[0])).or_default() += 1;
    }
    let (step, times) = steps.into_iter().max_by_key(|(_, times)| *times).unwrap_or_default();
    if times > 20 {
        check.suspect("numbers-can-be-guessed");
        house.server.fail_seeing(&format!(
            "{when}, their numbers can be guessed: {times} times the next one was larger by {step}"
        ));
    }
    let different: BTreeSet<u16> = numbers.iter().copied().collect();
    if different.len() < numbers.len() {
        let twice = numbers.len() - different.len();
        check.suspect("number-is-used-twice");
        house.server.fail_seeing(&format!("{when}, {twice} had a number that another one had"));
    }
    let large = numbers.iter().filter(|number| **number >= 1 << 15).count();
    if !(300..=700).contains(&large) {
        check.suspect("numbers-can-be-guessed");
        let all = numbers.len();
        house.server.fail_seeing(&format!("{when}, {large} of {all} numbers are 32768 or more"));
    }
}

/// A forged answer: what it is, from whom it comes, and the cause of believing it.
#[derive(Clone, Copy)]
enum Forger {
    Upstream,
    OtherPort,
    OtherAddress,
}

fn edited(answer: &[u8], at: usize, to: u8) -> Vec<u8> {
    let mut answer = answer.to_vec();
    answer[at] = to;
    answer
}

#[rstest]
#[case::from_another_port("believes-any-sender", Forger::OtherPort, |answer: &[u8]| answer.to_vec())]
#[case::from_another_address("believes-any-sender", Forger::OtherAddress, |answer: &[u8]| answer.to_vec())]
#[case::of_another_number("believes-any-number", Forger::Upstream, |answer: &[u8]| edited(answer, 1, answer[1] ^ 1))]
#[case::of_a_number_with_other_high_bits("believes-any-number", Forger::Upstream, |answer: &[u8]| edited(answer, 0, answer[0] ^ 1))]
#[case::of_number_7("believes-any-number", Forger::Upstream, |answer: &[u8]| edited(&edited(answer, 0, 0), 1, 7))]
#[case::about_another_name("believes-any-question", Forger::Upstream, |answer: &[u8]| edited(answer, HEAD + 1, b'y'))]
#[case::about_a_name_of_the_same_end("believes-any-question", Forger::Upstream, |answer: &[u8]| edited(answer, HEAD + 4, b'-'))]
#[case::about_a_longer_name("believes-any-question", Forger::Upstream, |answer: &[u8]| {
    let name = labels("more.example.org");
    [&answer[..HEAD], &name[..], &answer[HEAD + 13..]].concat()
})]
#[case::about_another_type("believes-any-kind", Forger::Upstream, |answer: &[u8]| edited(answer, HEAD + 14, 28))]
#[case::about_a_type_like_a_small_letter("type-is-no-text", Forger::Upstream, |answer: &[u8]| edited(answer, HEAD + 14, OF_97 as u8))]
#[case::about_another_class("believes-any-kind", Forger::Upstream, |answer: &[u8]| edited(answer, HEAD + 16, 3))]
#[case::that_is_a_question("believes-a-question", Forger::Upstream, |answer: &[u8]| edited(answer, 2, 1))]
#[case::about_nothing("believes-what-is-no-message", Forger::Upstream, |answer: &[u8]| [&answer[..5], &[0][..], &answer[6..HEAD]].concat())]
#[case::of_a_few_bytes("believes-what-is-no-message", Forger::Upstream, |answer: &[u8]| answer[..11].to_vec())]
#[case::without_its_kind("believes-what-is-no-message", Forger::Upstream, |answer: &[u8]| answer[..HEAD + 16].to_vec())]
fn who_is_not_believed(
    #[case] cause: &'static str,
    #[case] forger: Forger,
    #[case] change: fn(&[u8]) -> Vec<u8>,
) {
    let check = check!("12-forward");
    check.suspect(cause);
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let question = question(7, "example.org", HTTPS);
    let asked = house.asks(&client, &question, "after a question");
    let truth = asked.answer(&[HOUR]);
    // What whoever believes it would believe: twice as many addresses.
    let lie = change(&asked.answer(&[HOUR, HOUR]));
    let port = house.upstream.address().port();
    let other = match forger {
        Forger::Upstream => None,
        Forger::OtherPort => Some(Peer::new("forger")),
        // Elsewhere than on Linux there is one address only.
        Forger::OtherAddress => match Peer::at(&format!("127.0.0.2:{port}"), "forger") {
            Some(forger) => Some(forger),
            None => return,
        },
    };
    let to = SocketAddr::new([127, 0, 0, 1].into(), asked.back.port());
    other.as_ref().unwrap_or(&house.upstream).send(&house.server, to, &lie);
    let when = format!("after a forged answer ({})", in_words(&lie));
    settle(&house.server, &when);
    if let Some((came, _)) = client.at_hand() {
        if came.get(3).is_some_and(|flags| flags & 15 == SERVFAIL) {
            check.suspect("forged-answer-ends-it");
        }
        let came = in_words(&came);
        house.server.fail_seeing(&format!("{when}, the client got {came}"));
    }
    house.upstream.nothing_more(&house.server, &when);
    // The wait goes on.
    let then = format!("{when} and the true one");
    check.suspect("forged-answer-ends-it");
    house.answers(&asked, &truth);
    house.gets(&client, &as_asked(&truth, &question), &then);
    check.suspect(cause);
    house.remembers(&client, &question, 1, &then);
    house.nothing_more(&[&client], &then);
}

#[test]
fn an_answer_in_other_letters() {
    let check = check!("12-forward");
    check.suspect("spelling-of-an-answer-counts");
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let question = question(7, "eXample.ORG", A);
    let asked = house.asks(&client, &question, "after a question");
    let mut answer = asked.answer(&[HOUR]);
    answer[HEAD..HEAD + 13].make_ascii_uppercase();
    answer[HEAD + 3] = b'a';
    house.answers(&asked, &answer);
    let when = "after an answer that spells the name in other letters";
    house.gets(&client, &as_asked(&answer, &question), when);
}

#[test]
fn an_answer_comes_twice() {
    let check = check!("12-forward");
    check.suspect("believes-a-second-answer");
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let question = question(7, "example.org", A);
    let asked = house.asks(&client, &question, "after a question");
    let answer = asked.answer(&[HOUR]);
    house.answers(&asked, &answer);
    let when = "after an answer, and another one under the same number";
    house.gets(&client, &as_asked(&answer, &question), "after an answer");
    house.answers(&asked, &asked.answer(&[HOUR, HOUR]));
    house.nothing_more(&[&client], when);
    house.remembers(&client, &question, 1, when);
    house.nothing_more(&[&client], when);
}

#[test]
fn the_same_is_asked_once() {
    let check = check!("12-forward");
    check.suspect("second-asker-is-lost");
    let house = House::new(&check, ENDLESS);
    let (first, second) = (house.client("first client"), house.client("second client"));
    let one = question(7, "example.org", A);
    let other = question(8, "EXAMPLE.Org", A);
    let again = question(9, "example.org", A);
    let when = "when the same is asked again";
    let asked = house.asks(&first, &one, when);
    house.ask(&first, &one);
    house.ask(&first, &again);
    check.suspect("asks-the-same-again");
    house.nothing_more(&[&first, &second], when);
    house.ask(&second, &other);
    check.suspect("spelling-of-a-question-counts");
    house.nothing_more(&[&first, &second], "when the same is asked again in other letters");
    let answer = asked.answer(&[HOUR]);
    house.answers(&asked, &answer);
    let when = "after an answer for which two clients wait";
    let (lost, twice) = ("second-asker-is-lost", "who-asks-twice-is-answered-once");
    for (cause, client, question) in [
        (lost, &second, &other),
        (lost, &first, &one),
        (twice, &first, &one),
        (twice, &first, &again),
    ] {
        check.suspect(cause);
        let name = &client.name;
        let what =
            format!("{when}, {name} waits for its answer under number {}", number_of(question));
        let (came, _) = client.receive(&house.server, &what);
        let expected = as_asked(&answer, question);
        if came == expected {
            continue;
        }
        check.suspect(match came {
            _ if [&one, &again].iter().any(|other| came == as_asked(&answer, other))
                && client.name == first.name =>
            {
                "askers-out-of-order"
            }
            _ if number_of(&came) != number_of(&expected) => "second-gets-the-firsts-number",
            _ => "second-gets-the-firsts-spelling",
        });
        let (came, expected) = (in_words(&came), in_words(&expected));
        house.server.fail_seeing(&format!("{when}, {name} got\n  {came}\nand not\n  {expected}"));
    }
    check.suspect("second-asker-is-lost");
    house.nothing_more(&[&first, &second], when);
}

#[rstest]
#[case::the_name("different-is-taken-for-the-same", question(7, "example.com", HTTPS))]
#[case::the_type("different-is-taken-for-the-same", question(7, "example.org", A))]
#[case::the_type_like_a_letter("type-is-no-text", question(7, "example.org", OF_97))]
#[case::the_class("different-is-taken-for-the-same", { let mut q = question(7, "example.org", HTTPS); q[HEAD + 16] = 3; q })]
#[case::a_flag("different-is-taken-for-the-same", edited(&question(7, "example.org", HTTPS), 3, 0x10))]
#[case::edns("different-is-taken-for-the-same", with_edns(question(7, "example.org", HTTPS)))]
fn what_is_not_the_same(#[case] cause: &'static str, #[case] other: Vec<u8>) {
    let check = check!("12-forward");
    check.suspect(cause);
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let one = question(7, "example.org", HTTPS);
    let first = house.asks(&client, &one, "after a question");
    let second = house.asks(&client, &other, "after two different questions");
    let when = "after two different questions and their answers";
    house.answers(&second, &second.answer(&[HOUR, HOUR]));
    house.gets(&client, &as_asked(&second.answer(&[HOUR, HOUR]), &other), when);
    house.answers(&first, &first.answer(&[HOUR]));
    house.gets(&client, &as_asked(&first.answer(&[HOUR]), &one), when);
    house.remembers(&client, &other, 2, when);
    house.remembers(&client, &one, 1, when);
    house.nothing_more(&[&client], when);
}

#[test]
fn it_is_remembered() {
    let check = check!("12-forward");
    check.suspect("nothing-is-remembered");
    let house = House::new(&check, ENDLESS);
    let (first, second) = (house.client("first client"), house.client("second client"));
    house.exchange(&first, &question(7, "example.org", A), &[HOUR, 300], "after a question");
    let when = "after an answer that holds for five minutes";
    for (client, question) in [
        (&first, question(7, "example.org", A)),
        (&second, question(8, "EXAMPLE.org", A)),
        (&first, question(9, "example.ORG", A)),
    ] {
        check.suspect("nothing-is-remembered");
        house.ask(client, &question);
        let what = format!("{when}, {} waits for an answer from memory", client.name);
        let (came, _) = client.receive(&house.server, &what);
        let section = length_of_question(&question);
        check.suspect("memory-answers-the-first");
        if came[..2] != question[..2] || came[HEAD..section] != question[HEAD..section] {
            let (name, came, question) = (&client.name, in_words(&came), in_words(&question));
            house.server.fail_seeing(&format!(
                "{when}, {name} got from memory\n  {came}\nfor\n  {question}"
            ));
        }
        house.nothing_more(&[&first, &second], when);
    }
}

#[rstest]
#[case::the_least_is_first(&[1, HOUR])]
#[case::the_least_is_last(&[HOUR, 1])]
#[case::in_the_middle(&[HOUR, 1, HOUR])]
#[case::alone(&[1])]
fn it_is_forgotten_in_time(#[case] ttls: &[u32]) {
    let check = check!("12-forward");
    check.suspect("remembers-for-too-long");
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let question = question(7, "example.org", A);
    house.exchange(&client, &question, ttls, "after a question");
    thread::sleep(Duration::from_millis(1010));
    let when = format!("a second after an answer with TTLs of {ttls:?} s");
    house.exchange(&client, &question, &[HOUR, HOUR], &when);
    house.remembers(&client, &question, 2, "after a second answer that holds for an hour");
    // And however long it is after that.
    house.exchange(&client, &self::question(8, "example.com", A), &[1], "after another question");
    thread::sleep(Duration::from_millis(2500));
    let when = "two and a half seconds after an answer with a TTL of 1 s";
    house.exchange(&client, &self::question(8, "example.com", A), &[1], when);
}

#[test]
fn ttls_run_out() {
    let check = check!("12-forward");
    check.suspect("ttls-stand-still");
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let question = question(7, "example.org", A);
    // What counts isn't the time since the program's start.
    thread::sleep(Duration::from_millis(600));
    let asked = house.asks(&client, &question, "after a question");
    let answer = asked.answer(&[HOUR, 300]);
    let before = Instant::now();
    house.answers(&asked, &answer);
    house.gets(&client, &as_asked(&answer, &question), "after a question");
    let after = Instant::now();
    // At the second time, what counts is still when it came.
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(1100));
        let at_least = after.elapsed().as_secs() as u32;
        house.ask(&client, &question);
        let (came, _) =
            client.receive(&house.server, "some seconds later, the client waits for an answer");
        let at_most = before.elapsed().as_secs() as u32;
        let right = |passed: u32| {
            as_asked(&asked.answer(&[HOUR - passed, 300 - passed]), &question) == came
        };
        if !(at_least..=at_most).any(right) {
            let at = length_of_question(&question) + 6;
            let ttl = came.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            let passed = HOUR.saturating_sub(ttl.map_or(HOUR, u32::from_be_bytes));
            check.suspect(match passed {
                0 => "ttls-stand-still",
                _ if passed > at_most => "ttls-run-too-fast",
                _ => "memory-is-prolonged",
            });
            let (came, seconds) = (in_words(&came), at_least);
            house.server.fail_seeing(&format!(
                "{seconds} s after an answer with TTLs of 3600 and 300 s, what came from memory isn't less by so much:\n  {came}"
            ));
        }
    }
}

#[rstest]
#[case::of_no_time("remembers-what-holds-for-no-time", |asked: &Asked| asked.answer(&[0]))]
#[case::of_no_time_in_part("remembers-what-holds-for-no-time", |asked: &Asked| asked.answer(&[HOUR, 0, HOUR]))]
#[case::of_a_negative_time("remembers-what-holds-for-no-time", |asked: &Asked| asked.answer(&[HOUR, 1 << 31]))]
#[case::no_such_name("remembers-failures", |asked: &Asked| failed(asked.answer(&[HOUR]), NXDOMAIN))]
#[case::a_failure("remembers-failures", |asked: &Asked| failed(asked.answer(&[HOUR]), SERVFAIL))]
#[case::without_records("remembers-failures", |asked: &Asked| asked.answer(&[]))]
#[case::cut_short("remembers-failures", |asked: &Asked| edited(&asked.answer(&[HOUR]), 2, 0x83))]
#[case::torn("remembers-failures", |asked: &Asked| edited(&asked.answer(&[HOUR]), 7, 2))]
fn what_is_not_remembered(#[case] cause: &'static str, #[case] answer: fn(&Asked) -> Vec<u8>) {
    let check = check!("12-forward");
    check.suspect(cause);
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let question = question(7, "example.org", A);
    for _ in 0..3 {
        let asked = house.asks(&client, &question, "after an answer that nobody may remember");
        let answer = answer(&asked);
        house.answers(&asked, &answer);
        house.gets(
            &client,
            &as_asked(&answer, &question),
            "after an answer that nobody may remember",
        );
    }
    house.exchange(&client, &question, &[HOUR], "after answers that nobody may remember");
    house.remembers(&client, &question, 1, "after an answer that holds for an hour");
}

#[test]
fn the_first_to_be_over_makes_room() {
    let check = check!("12-forward");
    check.suspect("others-make-room");
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let named = |number: usize| question(number as u16, &format!("name-{number}.example"), A);
    // The first to be over is in the middle, and the next one is the first that came.
    let ttl = |number: usize| match number {
        0 => 2 * HOUR,
        250 => HOUR,
        _ => 3 * HOUR,
    };
    for number in 0..MOST_REMEMBERED {
        house.exchange(&client, &named(number), &[ttl(number)], "before the memory is full");
    }
    // This needs no room.
    let nothing = question(7, "nothing.example", A);
    house.exchange(
        &client,
        &nothing,
        &[0],
        "with a full memory, after an answer that nobody may remember",
    );
    let when = format!("with {MOST_REMEMBERED} answers in memory");
    for number in [250, 0, 1, MOST_REMEMBERED - 1] {
        check.suspect("remembers-too-few");
        house.remembers(&client, &named(number), 1, &when);
    }
    // What came last may be the next one to go.
    let more: Vec<Vec<u8>> = (0..3).map(|number| named(MOST_REMEMBERED + number)).collect();
    house.exchange(&client, &more[0], &[3 * HOUR], &when);
    house.exchange(&client, &more[1], &[60], &when);
    house.remembers(&client, &more[1], 1, &when);
    house.exchange(&client, &more[2], &[3 * HOUR], &when);
    let when = format!("with {MOST_REMEMBERED} answers in memory and three more");
    check.suspect("others-make-room");
    for number in (1..MOST_REMEMBERED).filter(|number| *number != 250) {
        house.remembers(&client, &named(number), 1, &when);
    }
    house.remembers(&client, &more[0], 1, &when);
    house.remembers(&client, &more[2], 1, &when);
    check.suspect("remembers-too-many");
    for question in [&named(250), &named(0), &more[1]] {
        house.exchange(&client, question, &[0], &when);
    }
}

#[test]
fn too_late() {
    const WAIT: Duration = Duration::from_millis(700);
    let check = check!("12-forward");
    check.suspect("forgets-the-deadline");
    let house = House::new(&check, WAIT.as_millis() as u64);
    let (first, second) = (house.client("first client"), house.client("second client"));
    let one = with_edns(edited(&question(7, "example.org", A), 3, 0x10));
    let other = with_edns(edited(&question(8, "EXAMPLE.Org", A), 3, 0x10));
    let again = with_edns(edited(&question(9, "example.org", A), 3, 0x10));
    let began = Instant::now();
    let asked = house.asks(&first, &one, "after a question");
    house.ask(&second, &other);
    house.ask(&first, &again);
    let when = "when the upstream says nothing";
    house.fails(&first, &one, WAIT, when);
    if began.elapsed() < WAIT {
        check.suspect("loses-patience-too-early");
        let (waited, wait) = (began.elapsed().as_millis(), WAIT.as_millis());
        house.server.fail_seeing(&format!(
            "{when}, a SERVFAIL came after {waited} ms, and {wait} ms are its patience"
        ));
    }
    check.suspect("failure-for-the-first-alone");
    house.fails(&first, &again, WAIT, when);
    house.fails(&second, &other, WAIT, when);
    check.suspect("is-late-for-ever");
    thread::sleep(WAIT);
    house.nothing_more(&[&first, &second], "after each client has got its SERVFAIL");
    let when = "after an answer that comes too late";
    check.suspect("believes-late-answers");
    house.answers(&asked, &asked.answer(&[HOUR]));
    house.nothing_more(&[&first, &second], when);
    check.suspect("is-not-forgotten-when-late");
    house.exchange(&second, &other, &[HOUR], when);
    house.nothing_more(&[&first, &second], when);
}

#[test]
fn each_has_its_own_deadline() {
    const WAIT: Duration = Duration::from_millis(900);
    let check = check!("12-forward");
    check.suspect("one-deadline-for-all");
    let house = House::new(&check, WAIT.as_millis() as u64);
    let client = house.client("client");
    let questions: Vec<Vec<u8>> =
        (0..4).map(|number| question(number, &format!("{number}.example"), A)).collect();
    let mut asked = Vec::new();
    for question in &questions {
        let began = Instant::now();
        asked.push((began, house.asks(&client, question, "with several questions under way")));
        thread::sleep(WAIT / 6);
    }
    // Answered in time, where this machine was quick enough.
    let second = &asked[1];
    let answer = second.1.answer(&[HOUR]);
    house.answers(&second.1, &answer);
    let in_time = second.0.elapsed() < WAIT / 2;
    let mut came = BTreeSet::new();
    let when = "when one of four questions is answered in time";
    for _ in 0..4 {
        let what = format!("{when}, the client waits for the rest");
        let (message, _) = client.receive_after(&house.server, WAIT + PATIENCE, &what);
        let number = usize::from(number_of(&message));
        let Some((began, _)) = asked.get(number) else {
            house.server.fail_seeing(&format!("{when}, the client got {}", in_words(&message)))
        };
        let failure = failed(answer_to(&questions[number], &[]), SERVFAIL);
        let is_right = match number {
            1 => message == as_asked(&answer, &questions[1]) || (!in_time && message == failure),
            _ => message == failure,
        };
        if !is_right || !came.insert(number) {
            check.suspect("one-deadline-for-all");
            house.server.fail_seeing(&format!("{when}, the client got {}", in_words(&message)));
        }
        if message == failure && began.elapsed() < WAIT {
            check.suspect("loses-patience-too-early");
            let (waited, wait) = (began.elapsed().as_millis(), WAIT.as_millis());
            house.server.fail_seeing(&format!(
                "{when}, a SERVFAIL came {waited} ms after its question, and {wait} ms are the patience"
            ));
        }
    }
    check.suspect("is-late-for-ever");
    thread::sleep(WAIT);
    house.nothing_more(&[&client], "after four questions and what came of each");
}

/// However many come behind it, the first has its own deadline.
#[test]
fn new_questions_delay_nothing() {
    const WAIT: Duration = Duration::from_millis(200);
    /// So many times its patience passes until somebody wonders.
    const TIMES: u32 = 20;
    let check = check!("12-forward");
    check.suspect("one-deadline-for-all");
    let house = House::new(&check, WAIT.as_millis() as u64);
    let (client, others) = (house.client("client"), house.client("others"));
    let when = "while others go on asking";
    let question = question(1, "one.example", A);
    house.asks(&client, &question, when);
    for number in 0..TIMES * 3 {
        if let Some((came, _)) = client.at_hand() {
            if came != failed(answer_to(&question, &[]), SERVFAIL) {
                house.server.fail_seeing(&format!("{when}, the client got {}", in_words(&came)));
            }
            return;
        }
        let name = format!("other-{number}.example");
        house.asks(&others, &self::question(2, &name, A), when);
        thread::sleep(WAIT / 3);
    }
    let wait = WAIT.as_millis();
    house.server.fail_seeing(&format!(
        "{when}, the client got no SERVFAIL in {TIMES} times {wait} ms, which are the patience"
    ));
}

/// Judged by order: what is asked after the first asker, and before the second one of the same, fails in between only if
/// the second prolongs it. A machine that stands still may mix them up.
#[test]
fn who_joins_prolongs_nothing() {
    const WAIT: Duration = Duration::from_millis(600);
    const TRIES: usize = 4;
    let check = check!("12-forward");
    check.suspect("who-joins-prolongs-it");
    let house = House::new(&check, WAIT.as_millis() as u64);
    let client = house.client("client");
    let when = "when the same is asked again meanwhile";
    for attempt in 1.. {
        let name = format!("{attempt}.example");
        let (one, between, again) =
            (question(1, &name, A), question(2, "between.example", A), question(3, &name, A));
        house.asks(&client, &one, when);
        thread::sleep(WAIT / 3);
        house.asks(&client, &between, when);
        thread::sleep(WAIT / 3);
        house.ask(&client, &again);
        let what = format!("{when}, the client waits for a SERVFAIL");
        let order: Vec<u16> = (0..3)
            .map(|_| number_of(&client.receive_after(&house.server, WAIT + PATIENCE, &what).0))
            .collect();
        if order == [1, 3, 2] {
            return;
        }
        if attempt == TRIES {
            house.server.fail_seeing(&format!(
                "{when}, the SERVFAILs came in the order {order:?}, and the third was to come right behind the first"
            ));
        }
        // What was late for another reason is asked upstream again.
        settle(&house.server, when);
        while house.upstream.at_hand().is_some() || client.at_hand().is_some() {}
    }
}

#[test]
fn so_many_may_wait() {
    let check = check!("12-forward");
    check.suspect("too-many-may-wait");
    let house = House::new(&check, ENDLESS);
    let (client, one_more) = (house.client("client"), house.client("client who is one too many"));
    let remembered = question(1, "remembered.example", A);
    house.exchange(&client, &remembered, &[HOUR], "after a question");
    let same = question(1, "same.example", A);
    let when = format!("with fewer than {MOST_WAITING} waiting");
    let of_same = house.asks(&client, &same, &when);
    let few = 100;
    for _ in 1..few {
        house.ask(&client, &same);
    }
    let mut asked = Vec::new();
    check.suspect("too-few-may-wait");
    for number in few..MOST_WAITING {
        let question = question(number as u16, &format!("{number}.example"), A);
        asked.push((house.asks(&client, &question, &when), question));
    }
    house.nothing_more(&[&client], &when);
    let when = format!("with {MOST_WAITING} waiting");
    check.suspect("too-many-may-wait");
    for (cause, question) in [
        ("one-too-many-is-not-told", question(2, "new.example", A)),
        ("too-many-may-wait", question(3, "same.example", A)),
    ] {
        house.ask(&one_more, &question);
        check.suspect("too-many-may-wait");
        house.upstream.nothing_more(&house.server, &when);
        check.suspect(cause);
        house.fails(&one_more, &question, Duration::ZERO, &when);
        house.nothing_more(&[&client, &one_more], &when);
    }
    check.suspect("full-means-no-memory");
    house.remembers(&one_more, &remembered, 1, &when);
    // One goes, and one comes.
    check.suspect("waits-for-nobody");
    let when = format!("when one of {MOST_WAITING} was answered");
    let (first, question_of_first) = &asked[0];
    house.answers(first, &first.answer(&[0]));
    house.gets(&client, &as_asked(&first.answer(&[0]), question_of_first), &when);
    let new = question(4, "new.example", A);
    house.asks(&one_more, &new, &when);
    house.ask(&one_more, &same);
    house.fails(&one_more, &same, Duration::ZERO, &when);
    // Many go at once.
    let when = format!("when a hundred of {MOST_WAITING} were answered");
    house.answers(&of_same, &of_same.answer(&[0]));
    for _ in 0..few {
        house.gets(&client, &as_asked(&of_same.answer(&[0]), &same), &when);
    }
    for number in 0..few {
        let question = question(number as u16, &format!("again-{number}.example"), A);
        house.asks(&one_more, &question, &when);
    }
    house.ask(&one_more, &same);
    house.fails(&one_more, &same, Duration::ZERO, &when);
    house.nothing_more(&[&client, &one_more], &when);
}

#[test]
fn who_has_waited_in_vain_makes_room() {
    const WAIT: Duration = Duration::from_millis(500);
    let check = check!("12-forward");
    check.suspect("waits-for-nobody");
    let house = House::new(&check, WAIT.as_millis() as u64);
    let clients: Vec<Peer> =
        (0..15).map(|number| house.client(&format!("client {number}"))).collect();
    // More than may wait: those who may not get the same at once.
    let all = clients.len() * 100;
    let mut failures = 0;
    let take = |failures: &mut usize| {
        for client in &clients {
            while client.at_hand().is_some() {
                *failures += 1;
            }
        }
    };
    for number in 0..all {
        let name = format!("{}.example", number % 300);
        house.ask(&clients[number % clients.len()], &question(number as u16, &name, A));
        if number % 20 == 0 {
            settle_quickly();
            take(&mut failures);
            while house.upstream.at_hand().is_some() {}
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while failures < all && Instant::now() < deadline {
        take(&mut failures);
        thread::sleep(Duration::from_millis(5));
    }
    let when = format!("after {all} clients have asked a silent upstream");
    if failures < all {
        house.server.fail_seeing(&format!("{when}, {failures} of them got an answer"));
    }
    while house.upstream.at_hand().is_some() {}
    house.exchange(&clients[0], &question(1, "new.example", A), &[0], &when);
}

/// So that the kernel's queues aren't filled.
fn settle_quickly() {
    thread::sleep(Duration::from_millis(4));
}

#[rstest]
#[case::nothing(Vec::new())]
#[case::a_byte(vec![7])]
#[case::half_a_head(question(7, "example.org", A)[..11].to_vec())]
#[case::a_head(question(7, "example.org", A)[..HEAD].to_vec())]
#[case::half_a_name(question(7, "example.org", A)[..HEAD + 9].to_vec())]
#[case::without_a_kind(question(7, "example.org", A)[..HEAD + 13].to_vec())]
#[case::half_a_kind(question(7, "example.org", A)[..HEAD + 16].to_vec())]
#[case::an_answer(answer_to(&question(7, "example.org", A), &[HOUR]))]
#[case::an_empty_answer(answer_to(&question(7, "example.org", A), &[]))]
#[case::two_questions(edited(&question(7, "example.org", A), 5, 2))]
#[case::no_question(edited(&question(7, "example.org", A), 5, 0))]
#[case::a_compressed_name(vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1])]
#[case::a_name_that_is_too_long(question(7, &"abcdefg.".repeat(32), A))]
fn what_is_dropped(#[case] message: Vec<u8>) {
    let check = check!("12-forward");
    check.suspect(match message.get(2) {
        Some(flags) if flags & 0x80 != 0 => "answers-answers",
        _ => "passes-on-what-is-no-message",
    });
    let house = House::new(&check, ENDLESS);
    let client = house.client("client");
    let when = format!("after the datagram {}", shown(&message));
    house.ask(&client, &message);
    house.nothing_more(&[&client], &when);
    house.exchange(&client, &question(7, "example.org", A), &[HOUR], &when);
}

#[test]
fn it_sleeps() {
    let check = check!("12-forward");
    check.suspect("is-late-for-ever");
    let house = House::new(&check, 300);
    let client = house.client("client");
    let lens = house.server.lens();
    let when = "after an answer, and a question that wasn't answered";
    house.exchange(&client, &question(1, "one.example", A), &[HOUR], when);
    let two = question(2, "two.example", A);
    house.asks(&client, &two, when);
    house.fails(&client, &two, Duration::from_millis(300), when);
    settle(&house.server, when);
    house.server.takes_no_naps(lens.as_ref(), when);
    check.suspect("waits-elsewhere");
    house.server.waits_only_in(lens.as_ref(), &["epoll_wait", "poll"], when);
}

#[rstest]
#[case::that_are_answered(0)]
#[case::that_are_remembered(1)]
#[case::that_are_late(2)]
fn nothing_is_kept(#[case] which: usize) {
    /// So many questions are asked in a lot.
    const EACH: usize = 600;
    const WAIT: Duration = Duration::from_millis(50);
    let check = check!("12-forward");
    let house = House::new(&check, if which == 2 { 50 } else { ENDLESS });
    let client = house.client("client");
    let what =
        ["questions that were answered", "answers of an hour", "questions that got no answer"];
    house.server.keeps_nothing(EACH, what[which], |lot| {
        for number in 0..EACH {
            let name = format!("a-longer-name-than-others-{lot}-{number}.example");
            let question = question(number as u16, &name, A);
            if which < 2 {
                house.exchange(&client, &question, &[[0, HOUR][which]], "after many others");
                continue;
            }
            house.ask(&client, &question);
            // As many as there is room for.
            if number % 100 == 99 {
                for _ in 0..100 {
                    client.receive_after(
                        &house.server,
                        WAIT + PATIENCE,
                        "a client waits for a SERVFAIL",
                    );
                }
                while house.upstream.at_hand().is_some() {}
            }
        }
    });
}
