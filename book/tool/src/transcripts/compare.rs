//! Has a program said the same as when its transcript was recorded?
//!
//! Not to the letter: a duration is never twice the same. What may differ is written the same
//! before two transcripts are compared; the recorded file keeps its real figures.

use std::sync::LazyLock;

use regex::Regex;

use super::scripts::Order;

/// How many lines of a difference are shown: enough to see what it is.
const SHOWN: usize = 20;

/// What differs from run to run, and what is written for it, in this order.
static VOLATILE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        // A port that the kernel chose has five digits; the book's own have four.
        (r"(127\.0\.0\.1|\[::1\]|localhost):\d{5}\b", "$1:PORT"),
        (r"\b\d[\d,.]*( [a-z]+)?/s\b", "RATE"),
        (r"\b\d+(\.\d+)? ?(ns|µs|us|ms|s|min)\b", "TIME"),
        // The lens's first column: a time without its unit.
        (r"(?m)^ +\d+\.\d{3}  ", "WHEN "),
        (r"\b\d+(\.\d+)? ?(kB|KB|KiB|MB|MiB|GB|GiB)\b", "MEMORY"),
        (r"\b\d+(\.\d+)? ?%", "PERCENT"),
        (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "DATE"),
        (r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]", "[DATE]"),
        (r"\bcurl/\d+(\.\d+)*", "curl/VERSION"),
        (r"\bpid \d+", "pid PID"),
        // Which descriptor is free depends on who has left by then.
        (r"\b([a-z][a-z0-9_]+)\(\d+\)", "$1(DESCRIPTOR)"),
        // Newer versions of Rust say a thread's number as well.
        (r"thread '([^']*)' \(\d+\) panicked", "thread '$1' panicked"),
        // Columns move when a figure gets a digit more.
        (r"[ \t]+", " "),
        (r" +(?m:$)", ""),
    ]
    .map(|(expression, instead)| {
        let regex = Regex::new(expression).expect("the expressions for figures are right");
        (regex, instead)
    })
    .into()
});

/// `text` with what may differ written the same.
pub fn normalized(text: &str) -> String {
    VOLATILE.iter().fold(text.to_string(), |text, (regex, instead)| {
        regex.replace_all(&text, *instead).into_owned()
    })
}

/// What differs between two transcripts, as lines with `-` and `+`; `None` if nothing does.
///
/// Lines that begin as one of `sometimes` count on neither side.
pub fn difference(recorded: &str, now: &str, order: Order, sometimes: &[String]) -> Option<String> {
    let always = |text: &str| -> String {
        let counts = |line: &&str| !sometimes.iter().any(|start| line.starts_with(start.as_str()));
        text.split_inclusive('\n').filter(counts).collect()
    };
    let (recorded, now) = (&always(recorded), &always(now));
    let mut recorded = lines(recorded);
    let mut now = lines(now);
    if order == Order::Any {
        // Sorted by what is compared: a line and its equal meet, wherever they stood.
        recorded.sort_by(|a, b| a.compared.cmp(&b.compared));
        now.sort_by(|a, b| a.compared.cmp(&b.compared));
    }
    let difference = changed(&recorded, &now);
    if difference.is_empty() {
        return None;
    }
    let mut shown = String::new();
    for line in difference.iter().take(SHOWN) {
        shown.push_str(line);
        shown.push('\n');
    }
    if difference.len() > SHOWN {
        shown.push_str(&format!("… and {} lines more\n", difference.len() - SHOWN));
    }
    Some(shown)
}

struct Line<'t> {
    written: &'t str,
    compared: String,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    text.lines().map(|written| Line { written, compared: normalized(written) }).collect()
}

/// The lines that aren't in both, by the longest common subsequence. Transcripts are short: the
/// table of all pairs is small.
fn changed(recorded: &[Line<'_>], now: &[Line<'_>]) -> Vec<String> {
    // common[i][j]: how many lines recorded[i..] and now[j..] have in common.
    let mut common = vec![vec![0; now.len() + 1]; recorded.len() + 1];
    for i in (0..recorded.len()).rev() {
        for j in (0..now.len()).rev() {
            common[i][j] = if recorded[i].compared == now[j].compared {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }

    let (mut i, mut j) = (0, 0);
    let mut changed = Vec::new();
    while i < recorded.len() || j < now.len() {
        if i < recorded.len() && j < now.len() && recorded[i].compared == now[j].compared {
            i += 1;
            j += 1;
        } else if i < recorded.len() && (j == now.len() || common[i + 1][j] >= common[i][j + 1]) {
            changed.push(format!("- {}", recorded[i].written));
            i += 1;
        } else {
            changed.push(format!("+ {}", now[j].written));
            j += 1;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("answered in 1.02 s", "answered in 301 ms")]
    #[case("waited 12 µs,  then 3s", "waited 9 ms, then 1.5s")]
    #[case("uses 12.3 MB", "uses 512 KiB")]
    #[case("from 127.0.0.1:49152", "from 127.0.0.1:60001")]
    #[case("1,204 answers/s at 99%", "980.5 answers/s at 4.2 %")]
    #[case("visitor 1   9 ms", "visitor 1  10 ms")]
    #[case("date: Tue, 01 Apr 2014 10:00:00 GMT", "date: Wed, 02 Jan 2030 23:59:59 GMT")]
    #[case("[01/Apr/2014:10:00:00 +0000] curl/7.88.1", "[02/Jan/2030:23:59:59 +0000] curl/8.5")]
    #[case("thread 'main' (4711) panicked at x", "thread 'main' panicked at x")]
    fn the_same_but_for_figures(#[case] recorded: &str, #[case] now: &str) {
        assert_eq!(difference(recorded, now, Order::Same, &[]), None);
    }

    #[rstest]
    #[case("visitor 1", "visitor 2")]
    #[case("answered 312 bytes", "answered 311 bytes")]
    #[case("HTTP/1.0 200 OK", "HTTP/1.0 400 OK")]
    #[case("on 127.0.0.1:7002", "on 127.0.0.1:7003")]
    #[case("20 visitors", "21 visitors")]
    #[case("took 2 s", "took 2 steps")]
    #[case("a\nb", "b\na")]
    #[case("a", "a\nb")]
    #[case("a\nb", "a")]
    fn not_the_same(#[case] recorded: &str, #[case] now: &str) {
        assert!(difference(recorded, now, Order::Same, &[]).is_some());
    }

    #[rstest]
    #[case("a\nb 1 s\nc", "c\na\nb 2 ms", true)]
    #[case("a\nb", "b\na\na", false)]
    #[case("a\na\nb", "a\nb\nb", false)]
    fn in_any_order(#[case] recorded: &str, #[case] now: &str, #[case] same: bool) {
        assert_eq!(difference(recorded, now, Order::Any, &[]).is_none(), same);
    }

    #[test]
    fn only_what_changed_is_shown_with_its_real_figures() {
        let difference = difference("a 1 s\nb 2 s\nc", "a 9 s\nx\nc\nd", Order::Same, &[]);
        assert_eq!(difference.as_deref(), Some("- b 2 s\n+ x\n+ d\n"));
    }

    #[test]
    fn a_long_difference_is_cut() {
        let now = "line\n".repeat(SHOWN + 5);
        let difference = difference("", &now, Order::Same, &[]).expect("all lines are new");
        assert!(difference.ends_with("… and 5 lines more\n"), "{difference}");
    }

    #[rstest]
    #[case("a\nnow and then b\nc", "a\nc", true)]
    #[case("a\nc", "a\nnow and then b\nc", true)]
    #[case("a\nnow and then b\nc", "a\nb\nc", false)]
    #[case("a\nnow and then b\nc", "a", false)]
    fn what_comes_sometimes(#[case] recorded: &str, #[case] now: &str, #[case] same: bool) {
        let sometimes = ["now and then".to_owned()];
        assert_eq!(difference(recorded, now, Order::Same, &sometimes).is_none(), same);
    }
}
