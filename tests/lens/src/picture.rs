//! A run drawn as a timeline: a lane for each thread and for each visitor.
//!
//! Work is a block, waiting a line: shapes tell them apart, colors only help. Where one program
//! replaces another, a mark below the bar is a word that one says to the other. The picture takes its
//! colors from the page's theme where there is one, and says in words what it shows.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::lines::{came_of, name};
use crate::record::{Call, Line, Mark, Thread, Visitor};

/// The picture's width, in its own units: a phone's, so that it needs no shrinking there.
const WIDTH: f64 = 360.0;
/// Left and right of the lanes.
const MARGIN: f64 = 5.0;
/// From one lane to the next.
const LANE: f64 = 42.0;
/// From a lane's top to its bar's, and the bar's height.
const BAR: (f64, f64) = (17.0, 16.0);
/// Room above the first lane, for the time.
const HEAD: f64 = 24.0;
/// From a lane's top to the foot of what stands below its bar.
const FOOT: f64 = 41.5;
/// A letter's width at the bars' font size.
const LETTER: f64 = 6.2;
/// A letter's width below the bars, and a mark's.
const SMALL_LETTER: f64 = 5.0;
/// See [`SMALL_LETTER`].
const MARK: f64 = 6.0;
/// Nothing is drawn narrower, or it couldn't be seen.
const NARROWEST: f64 = 1.2;
/// A wait narrower than this can be left out where others are.
const SEEN: f64 = 0.3;
/// More lanes than these nobody reads.
const MOST_LANES: usize = 40;
/// The description in words names the waits that take at least this share of the time.
const WORTH_TELLING: f64 = 0.04;

/// Draws a run. All ids in the picture begin with `id`.
pub fn svg(lines: &[Line], id: &str) -> String {
    let run = Timeline::of(lines);
    let lanes = run.lanes();
    let shown = lanes.len().min(MOST_LANES);
    let legend = HEAD + shown as f64 * LANE + 8.0;
    let more = lanes.len() - shown;
    let visitors = if run.visitors.is_empty() { 36.0 } else { 54.0 };
    let marks = !run.marks.is_empty() && more == 0;
    let height = legend + visitors + if more > 0 || marks { 18.0 } else { 0.0 };

    let mut svg = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" class="timeline" role="img" aria-labelledby="{id}-title {id}-desc" viewBox="0 0 {WIDTH} {height}" width="520" font-size="12" font-family="sans-serif" fill="var(--fg, black)" data-from="{}" data-to="{}">"#,
        run.from, run.to
    );
    let _ = writeln!(svg, r#"<title id="{id}-title">{}</title>"#, escape(&run.title()));
    let _ = writeln!(svg, r#"<desc id="{id}-desc">{}</desc>"#, escape(&run.words(&lanes)));
    run.draw_time(&mut svg, HEAD + shown as f64 * LANE);
    run.draw_hand_over(&mut svg, HEAD + shown as f64 * LANE);
    for (index, lane) in lanes[..shown].iter().enumerate() {
        run.draw_lane(&mut svg, lane, HEAD + index as f64 * LANE);
    }
    if more > 0 {
        let _ = writeln!(svg, r#"<text x="{MARGIN}" y="{}">and {more} more</text>"#, legend + 4.0);
    }
    draw_legend(&mut svg, legend + if more > 0 { 18.0 } else { 0.0 }, !run.visitors.is_empty());
    if marks {
        draw_legend_of_marks(&mut svg, legend + visitors + 12.0);
    }
    svg.push_str("</svg>\n");
    svg
}

/// A picture's id, from its file's name.
pub fn id_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let word = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    format!("timeline-{}", stem.chars().map(word).collect::<String>())
}

/// What the picture shows of a run.
struct Timeline<'a> {
    command: String,
    from: u64,
    to: u64,
    calls: Vec<&'a Call>,
    threads: Vec<&'a Thread>,
    visitors: Vec<&'a Visitor>,
    /// What processes are called, by their numbers, where one program has replaced another.
    programs: BTreeMap<i32, &'a str>,
    /// What one of them has said to the other, in order.
    marks: Vec<&'a Mark>,
}

/// A row of the picture.
enum Lane<'a> {
    Thread(&'a Thread, Vec<&'a Call>),
    Visitor(&'a Visitor),
}

impl<'a> Timeline<'a> {
    fn of(lines: &'a [Line]) -> Self {
        let mut run = Self {
            command: String::new(),
            from: 0,
            to: 0,
            calls: Vec::new(),
            threads: Vec::new(),
            visitors: Vec::new(),
            programs: BTreeMap::new(),
            marks: Vec::new(),
        };
        let mut end = 0;
        for line in lines {
            match line {
                Line::Run(run_line) => {
                    let program = run_line.command.first().map_or("", String::as_str);
                    run.command = program.rsplit('/').next().unwrap_or(program).to_owned();
                }
                Line::Call(call) => {
                    end = end.max(call.ended_us());
                    run.calls.push(call);
                }
                Line::Thread(thread) => {
                    end = end.max(thread.ended_us);
                    run.threads.push(thread);
                }
                Line::Play(play) => (run.from, run.to) = (play.began_us, play.ended_us),
                Line::Visitor(visitor) => run.visitors.push(visitor),
                Line::Program(program) => drop(run.programs.insert(program.pid, &program.name)),
                Line::Mark(mark) => run.marks.push(mark),
                Line::Signal(_) | Line::End(_) => {}
            }
        }
        if run.to <= run.from {
            run.to = end.max(run.from + 1);
        }
        run.threads.sort_by_key(|thread| thread.thread);
        run.marks.retain(|mark| (run.from..=run.to).contains(&mark.at_us));
        run.marks.sort_by_key(|mark| mark.at_us);
        run
    }

    fn lanes(&self) -> Vec<Lane<'a>> {
        let here = |from: u64, to: u64| from < self.to && to > self.from;
        let mut by_thread: BTreeMap<u32, Vec<&Call>> = BTreeMap::new();
        for call in
            self.calls.iter().filter(|call| call.waited && here(call.began_us, call.ended_us()))
        {
            by_thread.entry(call.thread).or_default().push(call);
        }
        let mut lanes = Vec::new();
        for thread in &self.threads {
            if here(thread.began_us, thread.ended_us) {
                let mut calls = by_thread.remove(&thread.thread).unwrap_or_default();
                calls.sort_by_key(|call| call.began_us);
                lanes.push(Lane::Thread(thread, calls));
            }
        }
        let visitors = self.visitors.iter().filter(|visitor| {
            let came = visitor.track.first().map_or(visitor.ended_us, |(moment, _)| *moment);
            came <= self.to && visitor.ended_us >= self.from
        });
        lanes.extend(visitors.map(|visitor| Lane::Visitor(visitor)));
        lanes
    }

    /// Where a moment is, clipped to the picture.
    fn x(&self, moment: u64) -> f64 {
        let moment = moment.clamp(self.from, self.to) - self.from;
        let share = moment as f64 / (self.to - self.from) as f64;
        MARGIN + share * (WIDTH - 2.0 * MARGIN)
    }

    fn title(&self) -> String {
        let time = since(self.to - self.from);
        format!("Where {} waits: {time}", self.command)
    }

    /// The whole picture in words.
    fn words(&self, lanes: &[Lane<'_>]) -> String {
        let mut words = format!(
            "A timeline of {}, with a lane for each thread and each visitor.",
            since(self.to - self.from)
        );
        for lane in lanes {
            let sentence = match lane {
                Lane::Thread(thread, calls) => self.words_of_thread(thread, calls),
                Lane::Visitor(visitor) => self.words_of_visitor(visitor),
            };
            let _ = write!(words, " {sentence}");
        }
        for mark in &self.marks {
            let who = self.threads.iter().find(|thread| thread.thread == mark.thread);
            let who = who.map_or("somebody".to_owned(), |thread| self.label(thread));
            let at = since(mark.at_us - self.from);
            let _ = write!(words, " At {at} {who} says {}.", mark.says);
        }
        words
    }

    fn words_of_thread(&self, thread: &Thread, calls: &[&Call]) -> String {
        let label = capitalized(&self.label(thread));
        let worth = ((self.to - self.from) as f64 * WORTH_TELLING) as u64;
        let long = calls.iter().filter(|call| call.took_us >= worth);
        let waits = long.map(|call| {
            let (from, to) = (call.began_us.max(self.from), call.ended_us().min(self.to));
            let what = call.what.as_ref().map_or(String::new(), |what| format!(" on {what}"));
            format!(
                "from {} to {} in {}{what}",
                since(from - self.from),
                since(to - self.from),
                call.call
            )
        });
        let waits: Vec<String> = waits.collect();
        match waits.len() {
            0 => format!("{label} waits for nothing for long."),
            _ => format!("{label} waits {}.", waits.join(", ")),
        }
    }

    fn words_of_visitor(&self, visitor: &Visitor) -> String {
        let came = visitor.track.first().map_or(visitor.ended_us, |(moment, _)| *moment);
        let (came, ended) = (came.max(self.from), visitor.ended_us.clamp(self.from, self.to));
        format!(
            "{} came at {} and was there for {}: {}.",
            capitalized(&visitor.name),
            since(came - self.from),
            since(ended.saturating_sub(came)),
            visitor.ending
        )
    }

    /// The time, above and through all lanes.
    fn draw_time(&self, svg: &mut String, bottom: f64) {
        let step = step(self.to - self.from);
        let mut at = 0;
        while at <= self.to - self.from {
            let x = self.x(self.from + at);
            let anchor = match at {
                0 => "start",
                _ if x > WIDTH - 30.0 => "end",
                _ => "middle",
            };
            let _ = writeln!(
                svg,
                r#"<path d="M{x:.1} {HEAD}V{bottom}" stroke="var(--fg, black)" stroke-opacity="0.18"/><text x="{x:.1}" y="14" text-anchor="{anchor}" font-size="11">{}</text>"#,
                since(at)
            );
            at += step;
        }
    }

    /// The time from the old program's first word to the new one's last: nobody is served meanwhile. (With the very
    /// first word the new one says that it's there.)
    fn draw_hand_over(&self, svg: &mut String, bottom: f64) {
        let (Some(hello), Some(last)) = (self.marks.first(), self.marks.last()) else { return };
        let Some(first) = self.marks.iter().find(|mark| mark.thread != hello.thread) else {
            return;
        };
        let from = self.x(first.at_us);
        let width = (self.x(last.at_us) - from).max(NARROWEST);
        let height = bottom - HEAD;
        let _ = writeln!(
            svg,
            r#"<rect x="{from:.1}" y="{HEAD}" width="{width:.1}" height="{height}" fill="var(--links, #20609f)" fill-opacity="0.22"/>"#
        );
    }

    fn draw_lane(&self, svg: &mut String, lane: &Lane<'_>, top: f64) {
        let (left, right) = match lane {
            Lane::Thread(thread, calls) => {
                let blocked: u64 =
                    calls.iter().map(|call| self.clipped(call.began_us, call.ended_us())).sum();
                let lived = self.clipped(thread.began_us, thread.ended_us).max(1);
                let share = blocked as f64 / lived as f64 * 100.0;
                (self.label(thread), format!("blocked {share:.0} %"))
            }
            Lane::Visitor(visitor) => (visitor.name.clone(), visitor.ending.clone()),
        };
        let y = top + 12.0;
        let _ = writeln!(
            svg,
            r#"<text x="{MARGIN}" y="{y}" font-weight="bold">{}</text><text x="{}" y="{y}" text-anchor="end" font-size="11">{}</text>"#,
            escape(&left),
            WIDTH - MARGIN,
            escape(&right)
        );
        match lane {
            Lane::Thread(thread, calls) => {
                self.draw_thread(svg, thread, calls, top + BAR.0);
                self.draw_marks(svg, thread, top);
            }
            Lane::Visitor(visitor) => self.draw_visitor(svg, visitor, top + BAR.0),
        }
    }

    /// A thread's number, and the program's name where there are several.
    fn label(&self, thread: &Thread) -> String {
        if let Some(program) = self.programs.get(&thread.pid) {
            return format!("thread {}, {program}", thread.thread);
        }
        match self.threads.iter().any(|other| other.name != thread.name) {
            true => format!("thread {}, {}", thread.thread, thread.name),
            false => format!("thread {}", thread.thread),
        }
    }

    /// How much of a span is in the picture.
    fn clipped(&self, from: u64, to: u64) -> u64 {
        to.clamp(self.from, self.to) - from.clamp(self.from, self.to)
    }

    fn draw_thread(&self, svg: &mut String, thread: &Thread, calls: &[&Call], top: f64) {
        // What isn't waiting is work. Where waits are closer than can be drawn, the work between them shows.
        let mut work: Vec<(f64, f64)> = Vec::new();
        let mut free_since = thread.began_us;
        let ends = calls.iter().map(|call| (call.began_us, call.ended_us()));
        for (began, ended) in ends.chain([(thread.ended_us, thread.ended_us)]) {
            let (from, to) = (self.x(free_since), self.x(began.max(free_since)));
            let in_sight = free_since < self.to && began > self.from;
            if in_sight && began > free_since {
                let to = to.max(from + NARROWEST);
                match work.last_mut() {
                    Some(last) if from - last.1 < SEEN => last.1 = last.1.max(to),
                    _ => work.push((from, to)),
                }
            }
            free_since = ended.max(free_since);
        }
        for call in calls {
            let (from, to) = (self.x(call.began_us), self.x(call.ended_us()));
            if to - from >= SEEN {
                draw_wait(svg, call, (from, to), top);
            }
        }
        draw_blocks(svg, &work, top);
    }

    /// What a thread says to the other program: a mark for each word, and the words as far as there is room.
    fn draw_marks(&self, svg: &mut String, thread: &Thread, top: f64) {
        let (tip, foot) = (top + BAR.0 + BAR.1 + 1.0, top + FOOT);
        // Marks that can't be told apart share their words, the first and the last of them.
        let mut groups: Vec<(f64, f64, Vec<&str>)> = Vec::new();
        for mark in self.marks.iter().filter(|mark| mark.thread == thread.thread) {
            let x = self.x(mark.at_us);
            let _ = writeln!(
                svg,
                r#"<path d="M{x:.1} {tip}l3 6h-6z"><title>{} says {}</title></path>"#,
                escape(&self.label(thread)),
                escape(&mark.says)
            );
            match groups.last_mut() {
                Some((_, last, words)) if x - *last < MARK => {
                    *last = x;
                    words.push(&mark.says);
                }
                _ => groups.push((x, x, vec![&mark.says])),
            }
        }
        let mut free_from = 0.0;
        for (index, (first, last, words)) in groups.iter().enumerate() {
            let words = in_short(words);
            let width = MARK + words.chars().count() as f64 * SMALL_LETTER;
            let next = groups.get(index + 1).map_or(WIDTH, |(x, ..)| x - MARK);
            let (x, anchor) = match (last + width <= next, first - width >= free_from) {
                (true, _) => (last + 5.0, "start"),
                (_, true) => (first - 5.0, "end"),
                // Its title tells.
                _ => continue,
            };
            free_from = if anchor == "start" { last + width } else { last + MARK };
            let _ = writeln!(
                svg,
                r#"<text x="{x:.1}" y="{foot}" font-size="10" text-anchor="{anchor}">{}</text>"#,
                escape(&words)
            );
        }
    }

    fn draw_visitor(&self, svg: &mut String, visitor: &Visitor, top: f64) {
        let ends = visitor.track.iter().skip(1).map(|(moment, _)| *moment);
        let mut blocks: Vec<(f64, f64)> = Vec::new();
        for ((began, doing), ended) in visitor.track.iter().zip(ends.chain([visitor.ended_us])) {
            let (from, to) = (self.x(*began), self.x(ended));
            if *began > self.to || ended < self.from {
                continue;
            }
            match doing.as_str() {
                "sending" | "receiving" => {
                    let to = to.max(from + NARROWEST);
                    match blocks.last_mut() {
                        Some(last) if from - last.1 < SEEN => last.1 = last.1.max(to),
                        _ => blocks.push((from, to)),
                    }
                }
                _ if to - from < SEEN => {}
                doing => draw_idle(svg, doing, (from, to), top),
            }
        }
        draw_blocks(svg, &blocks, top);
        self.draw_end(svg, visitor, top);
    }

    /// How a visit ended, as a mark where it did.
    fn draw_end(&self, svg: &mut String, visitor: &Visitor, top: f64) {
        let Some((_, last)) = visitor.track.last() else { return };
        if visitor.ended_us > self.to {
            return;
        }
        let x = self.x(visitor.ended_us).clamp(MARGIN + 5.0, WIDTH - MARGIN - 5.0);
        let y = top + BAR.1 / 2.0;
        let _ = match last.as_str() {
            "answered" => writeln!(
                svg,
                r#"<circle cx="{x:.1}" cy="{y}" r="5" stroke="var(--bg, white)" stroke-width="1.5"/>"#
            ),
            "refused" | "cut off" => writeln!(
                svg,
                r#"<path d="M{:.1} {}l9 9m0-9l-9 9" stroke="var(--fg, black)" stroke-width="2" fill="none"/>"#,
                x - 4.5,
                y - 4.5
            ),
            "gave up" => writeln!(
                svg,
                r#"<circle cx="{x:.1}" cy="{y}" r="6.5" fill="var(--bg, white)"/><circle cx="{x:.1}" cy="{y}" r="4" fill="none" stroke="var(--fg, black)" stroke-width="2"/>"#
            ),
            _ => Ok(()),
        };
    }
}

/// Words that have to share their room.
fn in_short(words: &[&str]) -> String {
    match words {
        [first, .., last] => format!("{first} … {last}"),
        words => words.concat(),
    }
}

/// A wait of a thread: a line, with the call's name above it where there is room.
fn draw_wait(svg: &mut String, call: &Call, (from, to): (f64, f64), top: f64) {
    let call_name = name(&call.call, call.descriptor);
    let what = call.what.as_deref().unwrap_or_default();
    let whole = format!("{call_name} {}", what.trim_start_matches("the "));
    let label = [whole.trim(), call_name.as_str(), call.call.as_str()]
        .into_iter()
        .find(|label| label.chars().count() as f64 * LETTER + 4.0 <= to - from);
    let title = match what {
        "" => format!("{call_name}, {}: {}", since(call.took_us), came_of(call)),
        what => format!("{call_name} on {what}, {}: {}", since(call.took_us), came_of(call)),
    };
    let width = to - from;
    let y = top + BAR.1 - 4.0;
    let _ = write!(
        svg,
        r#"<g class="wait" data-thread="{}" data-began="{}"><title>{}</title><rect x="{from:.1}" y="{top}" width="{width:.1}" height="{}" fill="none" pointer-events="all"/><rect x="{from:.1}" y="{y}" width="{width:.1}" height="3" fill="var(--links, #20609f)"/>"#,
        call.thread,
        call.began_us,
        escape(&title),
        BAR.1
    );
    if let Some(label) = label {
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{}" font-size="11">{}</text>"#,
            from + 2.0,
            top + BAR.1 - 6.0,
            escape(label)
        );
    }
    svg.push_str("</g>\n");
}

/// A visitor that waits, or that does nothing.
fn draw_idle(svg: &mut String, doing: &str, (from, to): (f64, f64), top: f64) {
    let y = top + BAR.1 - 2.5;
    let (dashes, color) = match doing {
        "waiting" => ("", "var(--links, #20609f)"),
        _ => (r#" stroke-dasharray="2 4""#, "var(--fg, black)"),
    };
    let _ = write!(
        svg,
        r#"<path d="M{from:.1} {y}H{to:.1}" stroke="{color}" stroke-width="3"{dashes} fill="none"/>"#
    );
    let word = if doing == "waiting" { "waits" } else { doing };
    if word.len() as f64 * LETTER + 14.0 <= to - from {
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{}" font-size="11">{word}</text>"#,
            from + 3.0,
            top + BAR.1 - 6.0
        );
    }
    svg.push('\n');
}

fn draw_blocks(svg: &mut String, blocks: &[(f64, f64)], top: f64) {
    if blocks.is_empty() {
        return;
    }
    svg.push_str(r#"<path d=""#);
    for (from, to) in blocks {
        let _ = write!(
            svg,
            "M{from:.1} {}h{:.1}v{}h-{:.1}z",
            top + 1.0,
            to - from,
            BAR.1 - 2.0,
            to - from
        );
    }
    svg.push_str("\"/>\n");
}

/// What the shapes mean: those of the threads, and those of the visitors if there are any.
fn draw_legend(svg: &mut String, y: f64, visitors: bool) {
    let (first, second, third) = (y + 12.0, y + 30.0, y + 48.0);
    let (works, waits) = match visitors {
        true => ("at work; a visitor: sends or receives", "blocked in the call; a visitor: waits"),
        false => ("at work", "blocked in the call"),
    };
    let _ = writeln!(
        svg,
        r#"<g font-size="11"><path d="M5 {}h14v12h-14z"/><text x="26" y="{first}">{works}</text><path d="M5 {}h14" stroke="var(--links, #20609f)" stroke-width="3"/><text x="26" y="{second}">{waits}</text>"#,
        first - 10.0,
        second - 4.0,
    );
    if visitors {
        let _ = writeln!(
            svg,
            r#"<path d="M5 {middle}h14" stroke="var(--fg, black)" stroke-width="3" stroke-dasharray="2 4"/><text x="26" y="{third}">says nothing</text><circle cx="118" cy="{middle}" r="4.5"/><text x="128" y="{third}">answered</text><circle cx="194" cy="{middle}" r="4" fill="none" stroke="var(--fg, black)" stroke-width="2"/><text x="204" y="{third}">time was up</text><path d="M282 {}l9 9m0-9l-9 9" stroke="var(--fg, black)" stroke-width="2" fill="none"/><text x="297" y="{third}">lost</text>"#,
            third - 8.5,
            middle = third - 4.0,
        );
    }
    svg.push_str("</g>\n");
}

/// What the marks mean.
fn draw_legend_of_marks(svg: &mut String, y: f64) {
    let _ = writeln!(
        svg,
        r#"<g font-size="11"><path d="M12 {}l4 8h-8z"/><text x="26" y="{y}">says to the other program; shaded: nobody is served</text></g>"#,
        y - 9.0,
    );
}

/// The distance between two marks of the time: five or so.
fn step(length: u64) -> u64 {
    let mut step = 1;
    loop {
        for factor in [1, 2, 5] {
            if step * factor * 6 >= length {
                return step * factor;
            }
        }
        step *= 10;
    }
}

/// A time in the unit that fits it.
fn since(us: u64) -> String {
    let milliseconds = us as f64 / 1000.0;
    if us < 10_000 && !us.is_multiple_of(1000) {
        format!("{milliseconds:.1} ms")
    } else if us == 0 {
        "0".to_owned()
    } else if us < 2_000_000 {
        format!("{milliseconds:.0} ms")
    } else {
        format!("{:.1} s", milliseconds / 1000.0)
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn escape(text: &str) -> String {
    // XML has no word for control characters, not even for those that a thread may be called by.
    let text = text.replace(char::is_control, "\u{fffd}");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Outcome, Play, Program, Run};

    fn call(thread: u32, began: u64, took: u64) -> Line {
        Line::Call(Call {
            thread,
            call: "recvfrom".to_owned(),
            descriptor: Some(4),
            what: Some("the \"silent\" <visitor> & Co".to_owned()),
            watched: None,
            began_us: began,
            took_us: took,
            waited: true,
            outcome: Outcome::Result(0),
            accepted: None,
            ready: Vec::new(),
        })
    }

    fn thread(number: u32, ended_us: u64) -> Line {
        let name = format!("program {number}");
        Line::Thread(Thread { thread: number, tid: 1, pid: 1, name, began_us: 0, ended_us })
    }

    fn visitor(name: &str, track: &[(u64, &str)], ended_us: u64) -> Line {
        let track = track.iter().map(|(moment, doing)| (*moment, (*doing).to_owned())).collect();
        Line::Visitor(Visitor { name: name.to_owned(), track, ended_us, ending: "left".to_owned() })
    }

    fn run(lines: Vec<Line>) -> String {
        let first = Line::Run(Run { lens: 1, command: vec!["/a/b/program".to_owned()] });
        svg(&[vec![first], lines].concat(), "an-id")
    }

    /// Each tag that begins ends, in order, and no text has a bare `&`.
    fn well_formed(svg: &str) -> bool {
        let mut open = Vec::new();
        for piece in svg.split('<').skip(1) {
            let Some((tag, text)) = piece.split_once('>') else { return false };
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
            if tag.starts_with('/') {
                if open.pop() != Some(name) {
                    return false;
                }
            } else if !tag.ends_with('/') {
                open.push(name);
            }
            let entity =
                |rest: &str| ["amp;", "lt;", "gt;", "quot;"].iter().any(|e| rest.starts_with(e));
            if !text.split('&').skip(1).all(entity) {
                return false;
            }
        }
        open.is_empty()
    }

    #[test]
    fn whatever_a_program_is_called_the_picture_is_well_formed() {
        let drawn = run(vec![call(1, 10, 900), thread(1, 1000)]);
        assert!(well_formed(&drawn), "{drawn}");
        assert!(drawn.contains("the &quot;silent&quot; &lt;visitor&gt; &amp; Co"), "{drawn}");
        assert!(
            !well_formed("<svg><g></svg>") && !well_formed("<a>&</a>"),
            "or this proves nothing"
        );
    }

    #[test]
    fn an_empty_run_is_a_picture_too() {
        assert!(well_formed(&run(Vec::new())));
    }

    #[test]
    fn nothing_is_drawn_beside_the_picture() {
        let play = Line::Play(Play { began_us: 1000, ended_us: 2000 });
        let lines = vec![
            play,
            call(1, 0, 1500),
            call(1, 1600, 9000),
            thread(1, 20_000),
            visitor("quick", &[(900, "connecting"), (1100, "receiving"), (5000, "answered")], 5000),
        ];
        let drawn = run(lines);
        for number in
            drawn.split(['"', ' ', 'M', 'H', 'h']).filter_map(|text| text.parse::<f64>().ok())
        {
            assert!((0.0..=2000.0).contains(&number), "{number} in {drawn}");
        }
        for rect in drawn.split("<rect ").skip(1) {
            let field = |name: &str| -> f64 {
                let (_, rest) = rect.split_once(&format!("{name}=\"")).expect(name);
                rest.split('"').next().and_then(|text| text.parse().ok()).expect("a number")
            };
            assert!(field("x") >= 0.0 && field("x") + field("width") <= WIDTH, "{rect}");
        }
    }

    #[test]
    fn a_wait_has_its_name_where_there_is_room_and_is_always_told() {
        let narrow = run(vec![call(1, 10, 20), thread(1, 1000)]);
        assert_eq!(narrow.matches("class=\"wait\"").count(), 1);
        assert!(!narrow.contains(">recvfrom(4)<"), "{narrow}");
        assert!(narrow.contains("<title>recvfrom(4) on the"), "{narrow}");
        let wide = run(vec![call(1, 10, 300), thread(1, 1000)]);
        assert!(wide.contains(">recvfrom(4)<"), "{wide}");
    }

    #[test]
    fn of_very_many_lanes_the_first_are_shown_and_the_rest_counted() {
        let drawn = run((1..=MOST_LANES as u32 + 5).map(|number| thread(number, 1000)).collect());
        assert!(drawn.contains("and 5 more"), "{drawn}");
        assert!(well_formed(&drawn));
    }

    #[test]
    fn all_ids_begin_with_the_picture_s() {
        let drawn = run(vec![call(1, 10, 900), thread(1, 1000)]);
        for id in drawn.split(" id=\"").skip(1) {
            assert!(id.starts_with("an-id-"), "{id}");
        }
        assert!(drawn.contains("aria-labelledby=\"an-id-title an-id-desc\""));
    }

    #[test]
    fn the_description_says_who_waits_when_and_how_visits_ended() {
        let lines = vec![
            call(1, 100, 800),
            thread(1, 1000),
            visitor("quick", &[(100, "connecting"), (400, "left")], 400),
        ];
        let drawn = run(lines);
        assert!(
            drawn.contains("Thread 1 waits from 0.1 ms to 0.9 ms in recvfrom on the"),
            "{drawn}"
        );
        assert!(drawn.contains("Quick came at 0.1 ms and was there for 0.3 ms: left."), "{drawn}");
    }

    /// Thread 1 is the old program's, thread 2 the new one's.
    fn hand_over(words: [(u64, u32, &str); 3]) -> String {
        let lane = |number, pid| {
            let name = "program".to_owned();
            Line::Thread(Thread {
                thread: number,
                tid: pid,
                pid,
                name,
                began_us: 0,
                ended_us: 1000,
            })
        };
        let program = |pid, name: &str| Line::Program(Program { pid, name: name.to_owned() });
        let mut lines = vec![lane(1, 7), lane(2, 8), program(7, "the old"), program(8, "the new")];
        lines.extend(words.map(|(at_us, thread, says)| {
            Line::Mark(Mark { thread, at_us, says: says.to_owned() })
        }));
        run(lines)
    }

    #[test]
    fn what_one_program_says_to_another_stands_below_its_lane() {
        let drawn = hand_over([(100, 2, "hello"), (400, 1, "state"), (700, 2, "serving")]);
        assert!(well_formed(&drawn), "{drawn}");
        for said in
            [">thread 1, the old<", ">thread 2, the new<", ">hello<", ">state<", ">serving<"]
        {
            assert!(drawn.contains(said), "no {said} in {drawn}");
        }
        assert!(drawn.contains("<title>thread 2, the new says serving</title>"), "{drawn}");
        assert!(drawn.contains("At 0.4 ms thread 1, the old says state."), "{drawn}");
        // From the old program's first word to the last one.
        assert!(drawn.contains(r#"<rect x="145.0" y="24" width="105.0""#), "{drawn}");
        assert!(drawn.contains("nobody is served"), "{drawn}");
        assert!(!run(vec![thread(1, 1000)]).contains("nobody is served"));
    }

    #[test]
    fn words_that_are_too_close_share_their_room() {
        let drawn = hand_over([(100, 2, "hello"), (105, 1, "state"), (110, 2, "serving")]);
        assert!(drawn.contains(">hello … serving<"), "{drawn}");
        let drawn = hand_over([(100, 2, "hello"), (920, 2, "ready"), (990, 2, "serving")]);
        assert!(
            drawn.contains(">hello<") && drawn.contains(r#"text-anchor="end">ready<"#),
            "{drawn}"
        );
    }

    #[test]
    fn who_comes_later_and_who_has_gone_have_no_lane() {
        let play = Line::Play(Play { began_us: 1000, ended_us: 2000 });
        let lines = vec![
            play,
            visitor("early", &[(100, "connecting"), (900, "left")], 900),
            visitor("there", &[(100, "connecting"), (2900, "answered")], 2900),
            visitor("late", &[(2100, "connecting")], 2900),
        ];
        let drawn = run(lines);
        assert!(drawn.contains(">there<"), "{drawn}");
        assert!(!drawn.contains(">early<") && !drawn.contains(">late<"), "{drawn}");
        assert!(!drawn.contains(r#"r="5""#), "its end isn't in the picture: {drawn}");
    }

    #[test]
    fn times_have_units_that_fit() {
        let said = [0, 500, 5_000, 12_345, 1_000_000, 3_200_000].map(since);
        assert_eq!(said, ["0", "0.5 ms", "5 ms", "12 ms", "1000 ms", "3.2 s"]);
        assert_eq!([500_000, 333_000, 10].map(step), [100_000, 100_000, 2]);
    }
}
