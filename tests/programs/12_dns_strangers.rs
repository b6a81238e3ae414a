//! Chapter 12's DNS server with programs that somebody else wrote: those that ask, and one that is
//! asked.
//!
//! Each test says on stderr what isn't installed, and is skipped.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "dns/house.rs"]
mod house;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "strangers/tools.rs"]
mod tools;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ch12_kernel::dns::{Options, Times, Zone};
use house::{House, Upstream, ZONE};
use rstest::rstest;
use tools::{Ended, PATIENCE, run, run_with, tool};
use visitors::setup::until;

/// The zone, with more addresses than a datagram takes.
fn zone() -> Zone {
    let many: String = (0..100).map(|last| format!("many A 192.0.2.{last}\n")).collect();
    Zone::from_text(&format!("{ZONE}{many}")).unwrap()
}

fn open(upstream: Option<SocketAddr>) -> House {
    let times = Times { deadline: PATIENCE, ..Times::USUAL };
    House::open_with(Options { zone: Some(zone()), upstream, times, generation: None })
}

/// What a program says whose name, options and questions these are.
#[track_caller]
fn ask(program: &PathBuf, house: &House, words: &str) -> String {
    let port = house.address.port().to_string();
    let mut arguments = vec!["@127.0.0.1".to_owned(), "-p".to_owned(), port];
    arguments.extend(words.split_whitespace().map(str::to_owned));
    run(program, arguments).text()
}

#[rstest]
#[case::an_address("+short web.example.test", "192.0.2.1\n192.0.2.2\n")]
#[case::an_alias("+short www.example.test", "web.example.test.\n192.0.2.1\n192.0.2.2\n")]
#[case::out_of_the_zone("+short out.example.test", "a.other.test.\n203.0.113.1\n")]
#[case::the_upstreams("+short a.other.test", "203.0.113.1\n")]
#[case::by_tcp("+short +tcp a.other.test", "203.0.113.1\n")]
#[case::two_on_one_connection(
    "+short +tcp +keepopen web.example.test mx example.test mx",
    "10 mail.example.test.\n"
)]
#[case::a_wildcard("+short x.y.wild.example.test", "192.0.2.9\n")]
#[case::with_0x20("+short WeB.eXample.teST", "192.0.2.1\n192.0.2.2\n")]
fn dig_gets_what_it_asks_for(#[case] words: &str, #[case] expected: &str) {
    let Some(dig) = tool("dig") else { return };
    let upstream = Upstream::open();
    let house = open(Some(upstream.address));
    let mut lines: Vec<String> = ask(&dig, &house, words).lines().map(str::to_owned).collect();
    let mut expected: Vec<&str> = expected.lines().collect();
    lines.sort();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[rstest]
#[case::no_such_name("nobody.example.test", &["status: NXDOMAIN", "flags: qr aa rd ra;", "example.test.\t\t60\tIN\tSOA"])]
#[case::no_such_type("web.example.test aaaa", &["status: NOERROR", "ANSWER: 0, AUTHORITY: 1"])]
#[case::upstreams_no("nx.other.test", &["status: NXDOMAIN", "other.test."])]
#[case::truncated("+ignore many.example.test", &["flags: qr aa tc", "ANSWER: 0"])]
#[case::truncated_and_then("many.example.test", &["retrying in TCP mode", "ANSWER: 100"])]
#[case::without_edns("+noedns web.example.test", &["status: NOERROR", "ADDITIONAL: 0"])]
#[case::version_1("+edns=1 +noednsnegotiation web.example.test", &["status: BADVERS", "EDNS: version: 0"])]
#[case::flags("+ednsflags=0xff web.example.test", &["status: NOERROR", "ANSWER: 2", "flags:; udp: 1232"])]
#[case::options("+ednsopt=100:0102 +subnet=192.0.2.0/24 web.example.test", &["status: NOERROR", "ANSWER: 2"])]
#[case::wants_signatures("+dnssec web.example.test", &["status: NOERROR", "flags: do; udp: 1232"])]
#[case::another_operation("+opcode=notify web.example.test", &["opcode: NOTIFY, status: NOTIMP"])]
#[case::nothing_but_a_header("+header-only +noedns", &["status: FORMERR"])]
#[case::another_class("version.bind txt ch", &["status: REFUSED"])]
#[case::everything("any web.example.test +notcp", &["\"RFC8482\" \"\""])]
#[case::a_type_of_the_future("type666 web.example.test", &["status: NOERROR", "ANSWER: 0"])]
#[case::the_zone("axfr example.test", &["Transfer failed."])]
#[case::silence("silent.other.test +time=1 +tries=1", &["timed out"])]
fn dig_sees(#[case] words: &str, #[case] expected: &[&str]) {
    let Some(dig) = tool("dig") else { return };
    let upstream = Upstream::open();
    let house = open(Some(upstream.address));
    let said = ask(&dig, &house, words);
    for part in expected {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("WARNING: Message"), "{said}");
    assert!(!said.contains("malformed"), "{said}");
}

#[rstest]
#[case::by_udp("web.example.test", &["status: NOERROR", "web.example.test.", "192.0.2.2"])]
#[case::by_tcp("+tcp out.example.test", &["a.other.test.", "203.0.113.1", "(TCP)"])]
#[case::truncated("many.example.test", &["ANSWER: 100"])]
#[case::padding("+padding=64 +bufsize=600 www.example.test mx", &["status: NOERROR", "CNAME"])]
#[case::no("nobody.example.test", &["status: NXDOMAIN", "SOA"])]
fn kdig_sees(#[case] words: &str, #[case] expected: &[&str]) {
    let Some(kdig) = tool("kdig") else { return };
    let upstream = Upstream::open();
    let house = open(Some(upstream.address));
    let said = ask(&kdig, &house, words);
    for part in expected {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("WARNING: ") && !said.contains("malformed"), "{said}");
}

#[rstest]
#[case::by_udp("web.example.test", &["rcode: NOERROR", "192.0.2.2"])]
#[case::by_tcp("-t out.example.test", &["203.0.113.1"])]
#[case::many("-t many.example.test", &["192.0.2.99"])]
#[case::truncated("many.example.test", &["flags: qr aa tc"])]
#[case::no("nobody.example.test", &["rcode: NXDOMAIN", "SOA"])]
fn drill_sees(#[case] words: &str, #[case] expected: &[&str]) {
    let Some(drill) = tool("drill") else { return };
    let upstream = Upstream::open();
    let house = open(Some(upstream.address));
    let said = ask(&drill, &house, words);
    for part in expected {
        assert!(said.contains(part), "{part}: {said}");
    }
}

const PYTHON: &str = r#"
import sys
try:
    import dns.flags, dns.message, dns.query, dns.rcode, dns.resolver
except ImportError:
    sys.exit(77)
port = int(sys.argv[1])
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = ["127.0.0.1"], port
def find(name, kind="A", **how):
    return sorted(str(record) for record in resolver.resolve(name, kind, **how))
assert find("web.example.test") == ["192.0.2.1", "192.0.2.2"]
assert find("out.example.test") == ["203.0.113.1"]
assert find("out.example.test", tcp=True) == ["203.0.113.1"]
assert find("example.test", "MX") == ["10 mail.example.test."]
assert len(find("many.example.test")) == 100
assert str(resolver.resolve("www.example.test").canonical_name) == "web.example.test."
for name, raised in [("nobody.example.test", dns.resolver.NXDOMAIN), ("nx.other.test", dns.resolver.NXDOMAIN)]:
    try:
        find(name)
        sys.exit("it found " + name)
    except raised:
        pass
try:
    find("web.example.test", "AAAA")
    sys.exit("it found an address")
except dns.resolver.NoAnswer:
    pass
question = dns.message.make_query("Web.Example.Test", "A", use_edns=0, want_dnssec=True, payload=700)
answer = dns.query.udp(question, "127.0.0.1", port=port, timeout=30)
assert answer.rcode() == dns.rcode.NOERROR and answer.flags & dns.flags.AA and answer.ednsflags & dns.flags.DO
assert str(answer.answer[0].name) == "Web.Example.Test."
answer, by_tcp = dns.query.udp_with_fallback(dns.message.make_query("many.example.test", "A"), "127.0.0.1", port=port, timeout=30)
assert by_tcp and len(answer.answer[0]) == 100
print("all is well")
"#;

#[test]
fn dnspython() {
    // The system's: another one first in the PATH may have no modules.
    let python = PathBuf::from("/usr/bin/python3");
    if !python.is_file() {
        return visitors::skipped("there is no python3 here");
    }
    let upstream = Upstream::open();
    let house = open(Some(upstream.address));
    let port = house.address.port().to_string();
    let said = run(&python, ["-c", PYTHON, &port]);
    if said.status.code() == Some(77) {
        return visitors::skipped("there is no dnspython here");
    }
    assert_eq!(said.well().text(), "all is well\n");
}

#[rstest]
#[case::by_udp(&["-m", "udp", "-c", "16", "-q", "100"])]
#[case::one_at_a_time(&["-m", "udp", "-c", "4", "-q", "1"])]
#[case::by_tcp(&["-m", "tcp", "-c", "4", "-q", "40"])]
fn dnsperf_gets_all_its_answers(#[case] how: &[&str]) {
    let Some(dnsperf) = tool("dnsperf") else { return };
    let upstream = Upstream::open();
    let house = open(Some(upstream.address));
    let folder = tempfile::tempdir().unwrap();
    let questions = folder.path().join("questions");
    let text = "web.example.test A\nwww.example.test A\nnobody.example.test A\na.other.test A\n\
                nx.other.test A\nexample.test MX\nx.wild.example.test A\nweb.example.test AAAA\n";
    fs::write(&questions, text).unwrap();
    let port = house.address.port().to_string();
    let mut command = Command::new(dnsperf);
    command
        .args(["-s", "127.0.0.1", "-p", &port, "-l", "2", "-t", "20", "-d"])
        .arg(&questions)
        .args(how);
    let said = run_with(&mut command, b"").well().text();
    let field = |name: &str| {
        let line = said.lines().find(|line| line.contains(name)).unwrap_or_default();
        line.split_whitespace()
            .filter_map(|word| word.parse::<u64>().ok())
            .next()
            .unwrap_or_default()
    };
    let (sent, completed, lost) =
        (field("Queries sent"), field("Queries completed"), field("Queries lost"));
    assert!(completed > 50 && lost == 0 && completed == sent, "{said}");
    assert!(
        said.contains("NOERROR") && said.contains("NXDOMAIN") && !said.contains("SERVFAIL"),
        "{said}"
    );
    assert!(upstream.heard().len() < 20);
}

/// Serves on port 53 of a machine of its own: started by the test below, in its namespaces.
#[test]
#[ignore = "it serves until it's ended"]
fn serve_in_a_namespace() {
    if std::env::var_os("IN_A_NAMESPACE").is_none() {
        return;
    }
    let upstream = Upstream::open();
    let mut event_loop = house::ch08_epoll_or_poll().unwrap();
    let timers = ch09_timers::Timers::start(&mut event_loop, ch09_timers::Clock::system());
    let udp = std::net::UdpSocket::bind("127.0.0.1:53").unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:53").unwrap();
    let upstream = Some(upstream.address);
    let options = Options { zone: Some(zone()), upstream, times: Times::USUAL, generation: None };
    ch12_kernel::dns::serve(&mut event_loop, timers, udp, tcp, options).unwrap();
    timers.after(&mut event_loop, PATIENCE, ch07_callbacks::EventLoop::stop);
    event_loop.run().unwrap();
}

/// In it we are the only server, on the only port that glibc asks. Without an address but the
/// loopback's it would find none for anybody (AI_ADDRCONFIG, getaddrinfo(3)).
const NAMESPACE: &str = r#"
ip link set lo up && ip address add 192.0.2.254 dev lo || exit 77
mount --bind "$FOLDER/resolv.conf" /etc/resolv.conf || exit 77
mount --bind "$FOLDER/nsswitch.conf" /etc/nsswitch.conf || exit 77
IN_A_NAMESPACE=1 "$PROGRAM" --ignored --exact serve_in_a_namespace >/dev/null 2>&1 &
server=$!
for name in localhost.example.test web.example.test www.example.test out.example.test many.example.test \
    nobody.example.test nx.other.test chain.other.test web; do
    until getent hosts web.example.test >/dev/null || ! kill -0 $server; do sleep 0.05; done
    echo "$name: $(getent ahostsv4 "$name" | awk '/STREAM/ { print $1 }' | sort -V | uniq | tr '\n' ' ')"
done
kill $server
"#;

#[test]
fn glibcs_resolver() {
    if cfg!(not(all(target_os = "linux", target_env = "gnu"))) {
        return visitors::skipped("there is no glibc here");
    }
    let (Some(unshare), Some(_), Some(_)) = (tool("unshare"), tool("getent"), tool("ip")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.1\nsearch example.test\n")
        .unwrap();
    fs::write(folder.path().join("nsswitch.conf"), "hosts: dns\n").unwrap();
    let mut command = Command::new(unshare);
    command.args(["-rnm", "sh", "-c", NAMESPACE]).env("FOLDER", folder.path());
    command.env("PROGRAM", std::env::current_exe().unwrap());
    let said = run_with(&mut command, b"");
    if !said.status.success() && said.text().is_empty() {
        return visitors::skipped(format!("no namespaces of our own here: {}", said.errors));
    }
    let text = said.text();
    let found: Vec<&str> = text.lines().collect();
    let many: Vec<String> = (0..100).map(|last| format!("192.0.2.{last}")).collect();
    let many = format!("many.example.test: {} ", many.join(" "));
    let expected = [
        "localhost.example.test: ",
        "web.example.test: 192.0.2.1 192.0.2.2 ",
        "www.example.test: 192.0.2.1 192.0.2.2 ",
        "out.example.test: 203.0.113.1 ",
        &many,
        "nobody.example.test: ",
        "nx.other.test: ",
        // Our upstream puts the address before the alias: as it comes, glibc wouldn't find it.
        "chain.other.test: 203.0.113.1 ",
        "web: 192.0.2.1 192.0.2.2 ",
    ];
    assert_eq!(found, expected, "{}", said.errors);
}

/// The other way round: a server that somebody else wrote is our upstream.
#[test]
fn nsd_as_the_upstream() {
    let (Some(nsd), Some(dig)) = (tool("nsd"), tool("dig")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (udp, tcp) = house::same_port();
    let address = udp.local_addr().unwrap();
    drop((udp, tcp));
    let path = folder.path().display();
    let many: String = (0..100).map(|last| format!("many A 192.0.2.{last}\n")).collect();
    let text = format!(
        "$ORIGIN real.test.\n$TTL 300\n@ SOA ns who 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n\
         web A 192.0.2.7\nwww CNAME alias\nalias CNAME web\nodd TYPE65300 \\# 3 010203\n{many}"
    );
    fs::write(folder.path().join("zone"), text).unwrap();
    let configuration = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  \
         zonesdir: \"{path}\"\n  pidfile: \"\"\n  xfrdfile: \"\"\n  zonelistfile: \"{path}/list\"\n\
         remote-control:\n  control-enable: no\nzone:\n  name: real.test\n  zonefile: {path}/zone\n",
        port = address.port()
    );
    fs::write(folder.path().join("conf"), configuration).unwrap();
    let mut command = Command::new(nsd);
    command.arg("-d").arg("-c").arg(folder.path().join("conf"));
    let errors = fs::File::create(folder.path().join("errors")).unwrap();
    let _nsd = Ended(command.stdout(Stdio::null()).stderr(errors).spawn().unwrap());
    let port = address.port().to_string();
    until("nsd answers", || {
        let said = run(
            &dig,
            ["@127.0.0.1", "-p", &port, "+short", "+time=1", "+tries=1", "web.real.test"],
        );
        said.text().contains("192.0.2.7").then_some(())
    });
    let house = open(Some(address));
    assert_eq!(
        ask(&dig, &house, "+short www.real.test"),
        "alias.real.test.\nweb.real.test.\n192.0.2.7\n"
    );
    assert!(ask(&dig, &house, "nobody.real.test").contains("status: NXDOMAIN"));
    assert!(ask(&dig, &house, "web.real.test aaaa").contains("ANSWER: 0, AUTHORITY: 1"));
    assert!(ask(&dig, &house, "many.real.test").contains("ANSWER: 100"));
    assert!(ask(&dig, &house, "odd.real.test type65300").contains("\\# 3 010203"));
    // It has nothing to say about others, and says so.
    assert!(ask(&dig, &house, "elsewhere.test").contains("status: SERVFAIL"));
}
