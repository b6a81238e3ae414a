//! What a race looks like: pictures of races that nobody has run.

mod made;

use std::collections::HashSet;
use std::path::Path;

use race::figures::Figure;
use race::pictures::curve::Look;
use race::pictures::{PICTURES, all, of_chapter, two_ways};
use race::result::{Cell, Race, Role, Server};
use roxmltree::{Document, Node};
use rstest::rstest;

/// Each picture that there can be of a race.
fn each(race: &Race) -> Vec<String> {
    let mut pictures: Vec<String> = all(race).into_iter().map(|(_, svg)| svg).collect();
    let name = |index: usize| race.servers.get(index).map_or("", |server| server.name.as_str());
    pictures.extend(Figure::ALL.map(|figure| of_chapter(race, figure, name(1), name(0))));
    pictures.push(two_ways(race, race, name(0)));
    pictures
}

fn picture(race: &Race, name: &str) -> String {
    let pictures = all(race);
    pictures.into_iter().find(|(known, _)| known == name).expect("there is this picture").1
}

fn parsed(svg: &str) -> Document<'_> {
    Document::parse(svg).unwrap_or_else(|error| panic!("{error} in\n{svg}"))
}

fn number(node: &Node<'_, '_>, name: &str) -> f64 {
    let written = node.attribute(name).expect("it has a place");
    written.parse().expect("a place is a number")
}

/// A text and what it takes up, as wide as text is in the widest of the usual fonts.
#[derive(Debug)]
struct Place {
    text: String,
    left: f64,
    right: f64,
    y: f64,
    high: f64,
    bold: bool,
}

fn places(document: &Document<'_>) -> Vec<Place> {
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    let place = |node: Node<'_, '_>| {
        let text = node.text().unwrap_or_default().to_owned();
        let size = node.attribute("font-size").map_or(13.0, |size| size.parse().expect("a number"));
        let wide = text.chars().count() as f64 * size * 0.55;
        let (x, y) = (number(&node, "x"), number(&node, "y"));
        let left = match node.attribute("text-anchor") {
            Some("middle") => x - wide / 2.0,
            Some("end") => x - wide,
            _ => x,
        };
        let bold = node.attribute("font-weight").is_some();
        Place { text, left, right: left + wide, y, high: size, bold }
    };
    texts.map(place).collect()
}

fn check_the_texts(svg: &str) {
    let places = places(&parsed(svg));
    for (index, one) in places.iter().enumerate() {
        for other in &places[index + 1..] {
            let beside = one.right <= other.left || other.right <= one.left;
            let apart = (one.y - other.y).abs() >= (one.high + other.high) / 2.0 - 0.5;
            assert!(beside || apart, "{one:?} is on {other:?} in\n{svg}");
        }
    }
}

#[test]
fn no_text_is_on_another() {
    let (open, closed) = made::both_ways();
    check_the_texts(&two_ways(&open, &closed, "2"));
    for race in [made::chapters(), open, closed] {
        each(&race).iter().for_each(|svg| check_the_texts(svg));
    }
    for (_, race) in made::odd() {
        each(&race).iter().for_each(|svg| check_the_texts(svg));
    }
}

#[test]
fn all_texts_are_in_the_picture() {
    for svg in each(&made::chapters()) {
        let document = parsed(&svg);
        let size = document.root_element().attribute("viewBox").expect("it has a size");
        let size: Vec<f64> = size.split(' ').map(|n| n.parse().expect("a number")).collect();
        for place in places(&document) {
            let is_in = place.left >= 0.0 && place.right <= size[2] && place.y + 6.0 <= size[3];
            assert!(is_in && place.y > 6.0, "{place:?} is outside of\n{svg}");
        }
    }
}

/// No race makes a picture panic, or an SVG that can't be read, or one that its page would end or color wrongly.
#[test]
fn whatever_was_measured() {
    let (open, closed) = made::both_ways();
    let races = [("chapters", made::chapters()), ("open", open), ("closed", closed)];
    for (name, race) in made::odd().into_iter().chain(races) {
        for svg in each(&race) {
            let document = parsed(&svg);
            assert!(svg.ends_with("\n</svg>\n"), "{name}:\n{svg}");
            assert!(
                svg.lines().all(|line| !line.trim().is_empty()),
                "{name}: a blank line in\n{svg}"
            );
            for node in document.descendants() {
                for attribute in node.attributes() {
                    let value = attribute.value();
                    assert!(!value.contains("NaN") && !value.contains("inf"), "{name}:\n{svg}");
                    if ["fill", "stroke"].contains(&attribute.name()) {
                        assert!(value == "none" || value.starts_with("var(--"), "{name}: {value}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_id_is_in_one_picture_only() {
    let race = made::chapters();
    let mut pictures: Vec<String> = all(&race).into_iter().map(|(_, svg)| svg).collect();
    pictures.push(of_chapter(&race, Figure::Slowest, "5", "4"));
    pictures.push(of_chapter(&race, Figure::Slowest, "8 again", "8"));
    pictures.push(two_ways(&race, &race, "5"));
    let mut seen = HashSet::new();
    for svg in &pictures {
        let document = parsed(svg);
        let labelled = document.root_element().attribute("aria-labelledby").expect("it's labelled");
        let ids: Vec<&str> =
            document.descendants().filter_map(|node| node.attribute("id")).collect();
        assert_eq!(labelled.split(' ').collect::<Vec<_>>(), ids, "in\n{svg}");
        for id in ids {
            assert!(id.starts_with("race-"), "{id}");
            assert!(seen.insert(id.to_owned()), "{id} is in two pictures");
        }
    }
}

#[test]
fn names_are_escaped() {
    let mut race = made::chapters();
    race.servers[3].name = "<5&>".to_owned();
    race.machine.processor = Some("A <b> & \"c\" \u{1b}[1m".to_owned());
    for svg in each(&race) {
        let text: String = parsed(&svg).descendants().filter_map(|node| node.text()).collect();
        assert!(text.contains("A <b> & \"c\""), "{svg}");
    }
    let svg = of_chapter(&race, Figure::Slowest, "<5&>", "4");
    assert!(places(&parsed(&svg)).iter().any(|place| place.text == "<5&>"), "{svg}");
}

fn desc(svg: &str) -> String {
    let document = parsed(svg);
    let desc = document.descendants().find(|node| node.has_tag_name("desc"));
    desc.and_then(|node| node.text()).expect("it has a desc").to_owned()
}

#[test]
fn all_figures_are_told_in_words() {
    let svg = picture(&made::chapters(), "latency");
    let desc = desc(&svg);
    for part in [
        "The 99th percentile.",
        "With 0: 2 110 µs (from 106 µs to 114 µs), 3 174 µs",
        "With 10: 2 failed: nobody answered, 3 175 µs",
        "4 3.34 ms (from 3.2 ms to 3.47 ms) (not all inside: hung up on)",
        "3 failed: refused, 5 7.09 ms",
        "load 55 µs",
        "Invented Processor 9000 @ 2.40GHz, 2 cores, Linux 6.12.1; Sun, 29 Nov 2026 13:00:00 GMT",
        "a server and itself differed by ×1.06.",
    ] {
        assert!(desc.contains(part), "{part} isn't in\n{desc}");
    }
}

#[test]
fn each_curve_has_its_name_once() {
    for (name, _) in PICTURES {
        let svg = picture(&made::chapters(), name);
        let document = parsed(&svg);
        let said: Vec<String> = places(&document).into_iter().map(|place| place.text).collect();
        let said = format!(" {} ", said.join(" ").replace([',', ':'], " "));
        for name in ["2", "3", "4", "nginx"] {
            assert!(said.contains(&format!(" {name} ")), "{name} isn't in {said}\n{svg}");
        }
        assert!(!said.contains("again"), "what ran twice is one curve: {said}");
    }
}

/// A wrong program shares all names, or lets those of curves that end far from each other wander.
#[test]
fn a_name_is_beside_its_curve() {
    let race = made::race(vec![
        made::growing("5", "a", 1_000, 0, 50, 0),
        made::growing("6", "b", 1_000_000, 0, 50, 0),
        made::growing("8", "b", 2_600_000, 0, 50, 0),
        made::growing("7", "c", 1_000_000_000, 0, 50, 0),
        made::growing("9", "d", 1_003_000_000, 0, 50, 0),
    ]);
    let svg = picture(&race, "latency");
    let document = parsed(&svg);
    let names: Vec<Place> =
        places(&document).into_iter().filter(|place| place.bold && place.left > 280.0).collect();
    assert_eq!(
        names.iter().map(|name| name.text.as_str()).collect::<Vec<_>>(),
        ["5", "6", "8", "7, 9"]
    );
    // Each is where its curve's last point is.
    let dots = document.descendants().filter(|node| node.has_tag_name("circle"));
    let points: Vec<f64> = dots.map(|node| number(&node, "cy")).collect();
    assert!((points[0] - names[0].y).abs() <= 2.0, "{points:?} {names:?}\n{svg}");
    assert!(names.is_sorted_by(|lower, upper| lower.y > upper.y), "{names:?}");
}

#[test]
fn a_point_is_hollow_where_the_load_was_the_limit() {
    let race = made::chapters();
    let hollow = |svg: &str| {
        let document = parsed(svg);
        let is_hollow = |node: &Node<'_, '_>| node.attribute("fill") == Some("var(--bg, white)");
        document.descendants().filter(is_hollow).count()
    };
    // Chapter 8's, with nobody and with ten.
    assert_eq!(hollow(&picture(&race, "most")), 2);
    assert!(picture(&race, "most").contains("Hollow: the load was the limit."));
    assert_eq!(hollow(&picture(&race, "latency")), 0);
    assert!(!picture(&race, "latency").contains("Hollow"));
    assert!(desc(&picture(&race, "most")).contains("(the load was the limit)"));
}

/// Where the crosses are: two strokes each.
fn crosses(svg: &str) -> Vec<(f64, f64)> {
    let crossing = |two: &[[(f64, f64); 2]]| {
        let size = |[from, to]: [(f64, f64); 2]| (to.0 - from.0, to.1 - from.1);
        let is_cross = size(two[0]) == (10.0, 10.0) && size(two[1]) == (10.0, -10.0);
        is_cross.then_some((two[0][0].0 + 5.0, two[0][0].1 + 5.0))
    };
    strokes(svg).windows(2).filter_map(crossing).collect()
}

#[test]
fn a_cross_where_a_server_failed_and_why() {
    let svg = picture(&made::chapters(), "latency");
    let found = crosses(&svg);
    // Chapter 2's with ten, 3's with ten thousand, 4's with five thousand.
    assert_eq!(found.len(), 3, "{found:?}\n{svg}");
    assert_eq!(found[0].1, found[1].1, "they leave the picture at its upper edge: {found:?}");
    assert!(found[2].1 > found[0].1, "chapter 4's server answered: {found:?}");
    let said: Vec<String> = places(&parsed(&svg)).into_iter().map(|place| place.text).collect();
    for word in ["2: nobody answered", "3: refused", "4: hung up on"] {
        assert!(said.iter().any(|text| text == word), "{word} isn't in {said:?}");
    }
    // In nobody's memory is nothing answered, and yet it's there.
    assert_eq!(crosses(&picture(&made::chapters(), "memory")).len(), 3);
    // As fast as nobody is answered, there are no answers: they lie on the lower edge.
    let most = crosses(&picture(&made::chapters(), "most"));
    assert!(most[0].1 > 200.0, "{most:?}");
}

#[test]
fn the_word_at_a_cross_is_off_its_own_curve() {
    // Memory that doesn't grow: the curve comes to its cross from the left, and the word would have stood on it.
    let mut race = made::chapters();
    let server = race.servers.iter_mut().find(|server| server.name == "4").unwrap();
    for cell in server.rounds.iter_mut().flat_map(|round| &mut round.cells) {
        cell.memory = Some(3_000_000);
        // Too long to stand on the right.
        cell.why = cell.why.take().map(|_| "sent away at once".to_owned());
    }
    let svg = of_chapter(&race, Figure::Memory, "4", "3");
    let word = places(&parsed(&svg)).into_iter().find(|place| place.text.starts_with("4: sent"));
    let word = word.expect("it has its word");
    let (_, flat) = *crosses(&svg).last().expect("there is one");
    assert!((word.y - flat).abs() >= word.high, "{word:?} is at {flat} in\n{svg}");
}

#[test]
fn one_round_has_no_spread() {
    let mut race = made::chapters();
    assert!(picture(&race, "latency").contains("bars: from the least to the most"));
    for server in &mut race.servers {
        server.rounds.truncate(1);
    }
    let svg = picture(&race, "latency");
    assert!(!svg.contains("bars:") && !svg.contains("opacity=\"0.5\" stroke-width"), "{svg}");
    assert!(!desc(&svg).contains("(from"), "{svg}");
}

/// Bars go from the least to the most: with one round that is ten times as slow, one is as long as that.
#[test]
fn a_bar_is_as_long_as_the_rounds_are_apart() {
    let slow = |slowest| made::cell(10, slowest, 50, 50);
    let rounds = [1_000_000, 3_000_000, 10_000_000].map(|slowest| vec![slow(slowest)]);
    let mut race = made::race(vec![made::server("1", "one", rounds.to_vec())]);
    race.plan.crowds = vec![10, 100];
    let svg = picture(&race, "latency");
    let document = parsed(&svg);
    let bar = document
        .descendants()
        .find(|node| node.attribute("opacity") == Some("0.5"))
        .unwrap_or_else(|| panic!("no bar in\n{svg}"));
    let (least, most) = (points(&bar)[0].1, points(&bar)[1].1);
    let places = places(&document);
    let y = |label: &str| places.iter().find(|place| place.text == label).expect("a tick").y;
    let ten_times = y("500 µs") - y("5 ms");
    assert!((least - most - ten_times).abs() <= 2.0, "{least} {most} {ten_times}\n{svg}");
}

/// Where the ends of all lines are that are drawn of two points.
fn strokes(svg: &str) -> Vec<[(f64, f64); 2]> {
    let document = parsed(svg);
    let lines = document.descendants().filter(|node| node.has_tag_name("polyline"));
    lines.filter_map(|line| points(&line).try_into().ok()).collect()
}

fn points(node: &Node<'_, '_>) -> Vec<(f64, f64)> {
    let point = |pair: &str| {
        let (x, y) = pair.split_once(',').expect("a pair");
        (x.parse().expect("a number"), y.parse().expect("a number"))
    };
    node.attribute("points").expect("it has points").split(' ').map(point).collect()
}

/// A server that is ten times as slow as itself: the ruler is as high as a power of ten, and the band as high on
/// each side of its curve.
#[test]
fn the_noise_is_as_large_as_it_was() {
    let slow = made::growing("8 again", "epoll", 1_350_000, 0, 3000, 900);
    let race = made::race(vec![
        made::growing("7", "callbacks", 90_000, 40, 30_000, 900),
        made::growing("8", "epoll", 135_000, 0, 30_000, 900),
        Server { role: Role::Again, ..slow },
    ]);
    let svg = picture(&race, "latency");
    let y = |svg: &str, label: &str| {
        places(&parsed(svg)).iter().find(|place| place.text == label).expect("a tick").y
    };
    let ten_times = y(&svg, "50 µs") - y(&svg, "500 µs");
    let word = places(&parsed(&svg)).into_iter().find(|place| place.text == "noise");
    let word = word.expect("the ruler has its word");
    let is_ruler = |ends: &&[(f64, f64); 2]| ends[0].0 == ends[1].0 && ends[0].0 == word.left - 8.0;
    let strokes = strokes(&svg);
    let [from, to] = strokes.iter().find(is_ruler).expect("a ruler");
    assert!((to.1 - from.1 - ten_times).abs() <= 2.0, "{from:?} {to:?} {ten_times}\n{svg}");

    let svg = of_chapter(&race, Figure::Cpu, "8", "7");
    let ratio = Figure::Cpu.noise(&race).expect("it's known");
    let document = parsed(&svg);
    let band = document.descendants().find(is_band).expect("a band");
    // 7's first point; below it, the band goes beyond the picture.
    let dot = document.descendants().find(|node| node.has_tag_name("circle")).expect("a dot");
    let above = number(&dot, "cy") - points(&band)[0].1;
    let expected = (y(&svg, "20 µs") - y(&svg, "200 µs")) * ratio.log10();
    assert!((above - expected).abs() <= 3.0, "{above} {expected}\n{svg}");
}

#[test]
fn the_noise_is_drawn() {
    let mut race = made::chapters();
    assert!(picture(&race, "latency").contains(">noise</text>"));
    let chapter = of_chapter(&race, Figure::Slowest, "8", "7");
    assert_eq!(parsed(&chapter).descendants().filter(|node| is_band(node)).count(), 1);
    assert!(chapter.contains("Band: noise; a server and itself differed by ×1.06."), "{chapter}");
    race.servers.retain(|server| server.name != "8 again");
    assert!(!picture(&race, "latency").contains("oise"));
    assert!(!of_chapter(&race, Figure::Slowest, "8", "7").contains("oise"));
}

fn is_band(node: &Node<'_, '_>) -> bool {
    node.has_tag_name("polygon") && node.attribute("opacity") == Some("0.12")
}

#[test]
fn the_load_is_gray() {
    let race = made::chapters();
    let gray = |svg: &str| svg.matches("opacity=\"0.45\"").count();
    assert!(gray(&picture(&race, "latency")) >= 5);
    assert!(gray(&picture(&race, "most")) >= 5);
    for name in ["memory", "cpu", "failures"] {
        assert_eq!(gray(&picture(&race, name)), 0, "the load's {name} is no limit");
    }
    assert!(picture(&race, "latency").contains("Gray: the load on its own."));
    assert!(gray(&of_chapter(&race, Figure::Slowest, "5", "4")) >= 5);
}

#[test]
fn a_chapter_beside_the_one_before() {
    let svg = of_chapter(&made::chapters(), Figure::Slowest, "8", "7");
    assert!(svg.contains("id=\"race-8-desc\""), "{svg}");
    let said: Vec<String> = places(&parsed(&svg)).into_iter().map(|place| place.text).collect();
    for text in ["8: chapter 8, epoll", "7: chapter 7, callbacks", "8", "7", "load"] {
        assert!(said.iter().any(|it| it == text), "{text} isn't in {said:?}");
    }
    let desc = desc(&svg);
    assert!(!desc.contains("nginx"), "{desc}");
}

#[test]
fn what_a_closed_loop_does_not_see() {
    let (open, closed) = made::both_ways();
    let svg = two_ways(&open, &closed, "2");
    let desc = desc(&svg);
    for part in [
        "chapter 2, blocking, without a crowd",
        "open: 500 requests a second, each timed from when it was due",
        "closed: 1 at once, at most 500 a second, each timed from when it was sent",
        "in the middle third of the time: a visitor who says nothing",
        "Of 99 %: open 650 ms (from 637 ms to 663 ms), closed 210 µs",
        "Of all: open 667 ms",
    ] {
        assert!(desc.contains(part), "{part} isn't in\n{desc}");
    }
    assert!(!two_ways(&open, &closed, "nobody").contains("Of 50 %:"));
}

/// In which crowd both answered: not one where only one of them did.
#[test]
fn two_ways_are_compared_with_one_crowd() {
    let mut open = made::chapters();
    let closed = made::chapters();
    for round in &mut open.servers[3].rounds {
        let last = round.cells.last_mut().expect("there are cells");
        *last = Cell { ..made::failed(last.crowd) };
    }
    let desc = desc(&two_ways(&open, &closed, "5"));
    assert!(desc.contains("with 5,000 silent visitors"), "{desc}");
}

#[rstest]
#[case(&[0, 1, 1], true)]
#[case(&[0, 0, 1], false)]
#[case(&[0, 1], true)]
fn failed_in_half_of_the_rounds(#[case] failed: &[u8], #[case] has_cross: bool) {
    let cell = |failed: &u8| {
        if *failed == 1 { made::failed(0) } else { made::cell(0, 100_000, 500, 500) }
    };
    let rounds = failed.iter().map(|failed| vec![cell(failed)]).collect();
    let mut race = made::race(vec![made::server("1", "one", rounds)]);
    race.plan.crowds = vec![0, 10];
    let svg = picture(&race, "latency");
    assert_eq!(crosses(&svg).len(), usize::from(has_cross));
    // Where it failed, the few who were answered say nothing of its latency.
    assert_eq!(svg.matches("<circle").count(), usize::from(!has_cross), "{svg}");
}

#[test]
fn a_dozen_curves_can_be_told_apart() {
    let looks: HashSet<String> = (0..12).map(|index| Look::of(index).in_words()).collect();
    assert_eq!(looks.len(), 12, "{looks:?}");
}

#[test]
fn crowds_are_drawn_as_they_grow() {
    let sorted = made::chapters();
    let mut shuffled = sorted.clone();
    shuffled.plan.crowds = vec![1000, 0, 10_000, 10, 5000, 100, 10];
    assert_eq!(all(&shuffled), all(&sorted));
}

/// Writes them all, to be looked at: `cargo test -p race --test pictures -- --ignored`.
#[test]
#[ignore = "proves nothing: it writes pictures into target/tmp, to be looked at"]
fn to_be_looked_at() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let write = |name: &str, svg: &str| {
        std::fs::write(folder.join(format!("{name}.svg")), svg).expect("it can be written");
    };
    let race = made::chapters();
    for (name, svg) in all(&race) {
        write(&name, &svg);
    }
    for (name, before) in [("3", "2"), ("4", "3"), ("8", "7")] {
        write(&format!("chapter-{name}"), &of_chapter(&race, Figure::Slowest, name, before));
    }
    write("most-8", &of_chapter(&race, Figure::Most, "8", "7"));
    let (open, closed) = made::both_ways();
    write("two-ways", &two_ways(&open, &closed, "2"));
    for (name, race) in made::odd() {
        write(&format!("odd-{}", name.replace(' ', "-")), &all(&race)[0].1);
    }
}
