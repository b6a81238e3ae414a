//! Races that nobody has run: invented, and plausible.
#![allow(dead_code)] // each test file uses some of it

use race::result::{
    Answers, Cell, Counted, Machine, Pace, Plan, QUANTILES, Race, Role, Round, Server, VERSION,
};

pub const CROWDS: [usize; 6] = [0, 10, 100, 1000, 5000, 10_000];

pub fn race(servers: Vec<Server>) -> Race {
    Race {
        version: VERSION,
        date: "Sun, 29 Nov 2026 13:00:00 GMT".to_owned(),
        machine: Machine {
            processor: Some("Invented Processor 9000 @ 2.40GHz".to_owned()),
            cores: 2,
            kernel: "Linux 6.12.1".to_owned(),
            pinned: true,
        },
        plan: Plan {
            crowds: CROWDS.to_vec(),
            rounds: 5,
            pace: Pace::Open { a_second: 500 },
            window: 2_000_000_000,
            rush: 500_000_000,
            stays: false,
            meanwhile: None,
        },
        servers,
        cut_short: false,
    }
}

pub fn answers(due: u64, slowest: u64) -> Answers {
    let parts = QUANTILES.len() as u64;
    Answers {
        due,
        answered: due,
        refused: 0,
        hung_up: 0,
        wrong: 0,
        unanswered: 0,
        latency: (1..=parts).map(|part| slowest / 3 + slowest / parts * part).collect(),
        late: 4_000,
        lasted: 2_000_000_000,
        cpu: Some(due * 30_000),
        load_cpu: 200_000_000,
    }
}

/// Nobody is answered.
pub fn silence(due: u64) -> Answers {
    let none = Answers { latency: vec![], answered: 0, cpu: Some(0), ..answers(due, 1) };
    Answers { unanswered: due - due / 10, refused: due / 10, ..none }
}

pub fn cell(crowd: usize, slowest: u64, rate: u64, memory: u64) -> Cell {
    let rush =
        Answers { lasted: 500_000_000, load_cpu: 300_000_000, ..answers(rate / 2, slowest * 2) };
    Cell {
        crowd,
        inside: crowd,
        why: None,
        window: answers(1000, slowest),
        rush: Some(rush),
        memory: Some(memory),
        threads: Some(1),
        counted: Some(Counted { answers: 10, calls: 80, turns: 30 }),
    }
}

pub fn failed(crowd: usize) -> Cell {
    Cell { window: silence(1000), rush: None, ..cell(crowd, 1, 0, 3_000_000) }
}

pub fn server(name: &str, title: &str, rounds: Vec<Vec<Cell>>) -> Server {
    let round = |cells| Round { cells, others: vec![] };
    Server {
        name: name.to_owned(),
        title: title.to_owned(),
        role: Role::Measured,
        rounds: rounds.into_iter().map(round).collect(),
    }
}

/// Five rounds in which latency is `first` with nobody there, and grows by `each`, in ns.
pub fn growing(name: &str, title: &str, first: u64, each: u64, rate: u64, visitor: u64) -> Server {
    let round = |noise: u64| {
        let cell = |crowd: &usize| {
            let many = *crowd as u64;
            let latency = (first + each * many) * (96 + noise * 2) / 100;
            let slower = rate * first / (first + each * many / 20);
            let cpu = 1000 * (10_000 + latency / 8) * (97 + noise) / 100;
            let mut cell =
                cell(*crowd, latency, slower * (98 + noise) / 100, 2_600_000 + visitor * many);
            cell.window.cpu = Some(cpu);
            cell
        };
        CROWDS.iter().map(cell).collect()
    };
    server(name, title, [2, 0, 1, 4, 3].map(round).to_vec())
}

/// With `crowd`, and with larger ones, it doesn't get.
pub fn up_to(mut server: Server, crowd: usize, last: impl Fn(&Cell) -> Cell) -> Server {
    for round in &mut server.rounds {
        round.cells.retain(|cell| cell.crowd <= crowd);
        if let Some(cell) = round.cells.last_mut() {
            *cell = last(cell);
        }
    }
    server
}

/// As the chapters' servers could be: one that nobody can share, threads that run out, a set that is full, lists
/// that are walked, and the rest.
pub fn chapters() -> Race {
    let alone = |cell: &Cell| Cell { crowd: cell.crowd, ..failed(cell.crowd) };
    let full =
        |cell: &Cell| Cell { inside: 1020, why: Some("hung up on".to_owned()), ..cell.clone() };
    let refused = |cell: &Cell| Cell {
        window: Answers { unanswered: 0, refused: 1000, ..silence(1000) },
        inside: 7_000,
        why: Some("Connection refused (os error 111)".to_owned()),
        memory: None,
        threads: None,
        ..failed(cell.crowd)
    };
    let mut threads = growing("3", "chapter 3, a thread for each", 190_000, 60, 21_000, 14_000);
    for round in &mut threads.rounds {
        for cell in &mut round.cells {
            cell.threads = Some(cell.crowd as u64 + 2);
        }
        round.others = vec!["rustc".to_owned(), "chromium".to_owned()];
    }
    let mut epoll = growing("8", "chapter 8, epoll", 135_000, 2, 30_000, 900);
    for round in &mut epoll.rounds {
        for cell in round.cells.iter_mut().take(2) {
            cell.rush.as_mut().expect("there is one").load_cpu = 490_000_000;
        }
    }
    let again = growing("8 again", "chapter 8, epoll", 143_000, 2, 29_100, 900);
    let limit = growing("load", "the load on its own", 60_000, 0, 52_000, 0);
    race(vec![
        up_to(growing("2", "chapter 2, blocking", 120_000, 0, 25_000, 0), 10, alone),
        up_to(threads, 10_000, refused),
        up_to(growing("4", "chapter 4, select", 140_000, 700, 27_000, 700), 5000, full),
        growing("5", "chapter 5, poll", 137_000, 760, 27_500, 720),
        growing("6", "chapter 6, nonblocking", 138_000, 770, 27_300, 800),
        growing("7", "chapter 7, callbacks", 141_000, 790, 27_000, 880),
        epoll,
        Server { role: Role::Again, ..again },
        growing("9", "chapter 9, timers", 139_000, 3, 29_500, 960),
        growing("11", "chapter 11, HTTP server", 164_000, 3, 26_000, 1_900),
        growing("nginx", "nginx 1.26", 110_000, 1, 41_000, 510),
        Server { role: Role::Limit, ..limit },
    ])
}

/// One server, where a visitor is greedy: an open load sees how long others waited, a closed one doesn't.
pub fn both_ways() -> (Race, Race) {
    let with = |latency: [u64; 12], pace| {
        let mut race = race(vec![growing("2", "chapter 2, blocking", 120_000, 0, 25_000, 0)]);
        race.plan.pace = pace;
        race.plan.crowds = vec![0];
        race.plan.meanwhile = Some("a visitor who says nothing".to_owned());
        for (index, round) in race.servers[0].rounds.iter_mut().enumerate() {
            round.cells.truncate(1);
            let by = |latency: &u64| latency * (98 + index as u64) / 100;
            round.cells[0].window.latency = latency.iter().map(by).collect();
        }
        race
    };
    let open = [
        80, 110, 140, 310_000, 520_000, 590_000, 650_000, 655_000, 663_000, 665_000, 666_000,
        667_000,
    ];
    let closed = [80, 100, 120, 130, 150, 170, 210, 240, 330, 420, 667_000, 667_000];
    (
        with(open.map(|us| us * 1000), Pace::Open { a_second: 500 }),
        with(closed.map(|us| us * 1000), Pace::Closed { at_once: 1, a_second: Some(500) }),
    )
}

/// Races as they shouldn't be, and can be: each must be drawn and printed.
pub fn odd() -> Vec<(&'static str, Race)> {
    let huge = Answers {
        due: u64::MAX,
        answered: u64::MAX,
        refused: u64::MAX,
        hung_up: u64::MAX,
        wrong: u64::MAX,
        unanswered: u64::MAX,
        latency: vec![u64::MAX; 12],
        late: u64::MAX,
        lasted: u64::MAX,
        cpu: Some(u64::MAX),
        load_cpu: u64::MAX,
    };
    let zero = Answers {
        due: 0,
        answered: 0,
        latency: vec![],
        lasted: 0,
        cpu: None,
        load_cpu: 0,
        ..answers(0, 0)
    };
    let zeros = Answers { latency: vec![0; 12], cpu: Some(0), lasted: 1, ..answers(1, 0) };
    let with = |window: &Answers, crowd| Cell {
        inside: 0,
        why: Some("<&\"'\u{1b}[31m\n\u{0}>".to_owned()),
        rush: Some(window.clone()),
        window: window.clone(),
        memory: Some(window.due),
        threads: window.cpu,
        counted: None,
        crowd,
    };
    let of = |window: &Answers, crowds: &[usize]| {
        let cells = crowds.iter().map(|crowd| with(window, *crowd)).collect();
        let mut race = race(vec![server("1 <&>", "\u{1b}]0;title\u{7} & <b>", vec![cells])]);
        race.plan.crowds = crowds.to_vec();
        race
    };
    let mut cut = race(vec![
        server("2", "chapter 2", vec![]),
        server("3", "chapter 3", vec![vec![]]),
        server("", "", vec![vec![cell(0, 5000, 10, 10)], vec![]]),
    ]);
    cut.cut_short = true;
    let mut unsorted = chapters();
    unsorted.plan.crowds = vec![1000, 0, 1000, 10, 7];
    let mut many = race(
        (0..40)
            .map(|n| growing(&format!("a long name {n}"), &"long ".repeat(40), 1000 + n, n, 9, n))
            .collect(),
    );
    many.servers[1].rounds[0].others = vec!["\u{1b}[2J<bad>&".to_owned(), "x".repeat(200)];
    let alike =
        race((0..11).map(|n| growing(&n.to_string(), "all alike", 1000, 0, 50, 0)).collect());
    let crowds: Vec<usize> = (0..30).map(|size| size * size * 3).collect();
    let all_failed =
        race((0..11).map(|n| server(&n.to_string(), "fails", vec![vec![failed(0)]])).collect());
    let spread = race(vec![
        server("1", "a", vec![vec![with(&zeros, 0)], vec![with(&huge, 0)]]),
        Server { role: Role::Again, ..server("1 again", "a", vec![vec![with(&huge, 0)]]) },
        Server { role: Role::Limit, ..server("load", "l", vec![vec![with(&zeros, 0)]]) },
    ]);
    vec![
        ("nobody", race(vec![])),
        ("no name", race(vec![growing("", "", 1000, 0, 50, 0), growing(" ", " ", 9000, 0, 50, 0)])),
        ("no crowds", Race { plan: Plan { crowds: vec![], ..race(vec![]).plan }, ..chapters() }),
        ("cut short", cut),
        ("unsorted", unsorted),
        ("zero", of(&zero, &[0])),
        ("zeros", of(&zeros, &[0, 1])),
        ("one value", of(&answers(100, 7), &[10])),
        ("equal values", of(&answers(100, 7), &[10, 100])),
        ("huge", of(&huge, &[0, 1, usize::MAX])),
        ("silence", of(&silence(100), &[0])),
        ("from zeros to huge", spread),
        ("many", many),
        ("alike", alike),
        ("many crowds", of(&answers(100, 77), &crowds)),
        ("all failed", all_failed),
    ]
}
