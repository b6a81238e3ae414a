//! Exercise race-percentile: many latencies in little memory.
//!
//! A million latencies have a percentile, and nobody needs to keep all of them to tell it. They're counted, in buckets that are
//! wider where the values are greater: so what is told is wrong by one in a hundred at the most, whether it's a microsecond
//! or an hour, and a table that is made once is enough, whatever comes. Histograms of several threads are added up, bucket by
//! bucket; their percentiles can't be.
//!
//! Run it:      seq 1 1000 | cargo run -p ex-race --bin race-percentile
//! Be graded:   cargo grade race

// Until you have written your part, much is unused here. Take these lines out when you have.
#![allow(clippy::ptr_arg, dead_code, unreachable_code)]
#![allow(unused_imports, unused_mut, unused_variables)]

use std::io::{self, BufRead, Write};
use std::mem;

use ch07_callbacks::program;

const NAME: &str = "race-percentile";
const HELP: &str = "race-percentile

Counts the whole numbers that come, one a line, and tells their percentiles at the end. Lines may also be

    VALUE TIMES     the same value, so many times
    p PERCENT       tells this percentile of all that has come so far, such as p 99.9
    part            what comes from here on is counted by itself; what is told is always of all parts together";

/// What is told at the end.
const AT_THE_END: [&str; 4] = ["50", "99", "99.9", "100"];
/// A percentile is given in thousandths of a percent. This is all of it.
const WHOLE: u64 = 100_000;

/// Of each value, so many bits count behind the first one that is 1. What the others are worth is less than one part in 128
/// of the value.
const BITS: u32 = 7;
/// A value below 128 has a bucket of its own. From there on, each range from a power of two to the next has 128 buckets
/// of equal width: those of 128 to 255 hold one value each, those of 256 to 511 two, those of 512 to 1023 four.
const EACH: u64 = 1 << BITS;
/// How many buckets there are: 128 for the values below 128, and 128 for each of the 57 ranges from 2^7 to 2^64.
const BUCKETS: usize = EACH as usize * (1 + 64 - BITS as usize);

/// In which bucket a value is counted: a number from 0 to `BUCKETS` - 1. Buckets are in ascending order: a greater value has
/// the same one, or a later one.
fn bucket(value: u64) -> usize {
    // your turn: say in which bucket the value is counted
    todo!("say in which bucket the value is counted")
    // end
}

/// The greatest of all values that are counted in a bucket, whether it has come or not.
fn greatest(bucket: usize) -> u64 {
    // your turn: say what the bucket may hold at the most
    todo!("say what the bucket may hold at the most")
    // end
}

/// How often values came, by their buckets.
struct Histogram {
    counts: Vec<u64>,
    /// How many there are in all of them.
    count: u64,
    /// The greatest value that came.
    most: u64,
}

impl Histogram {
    fn new() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, most: 0 }
    }

    /// The value has come, so many times. Together they're never more than a u64 holds.
    fn record(&mut self, value: u64, times: u64) {
        // your turn: count it
        todo!("count it")
        // end
    }

    /// A percentile, in thousandths of a percent: 99,900 for the percentile 99.9. Its rank is that share of all that have come,
    /// rounded up, and 1 at least. The value with that rank is told as far as its bucket tells: as the greatest value of the
    /// bucket, or the greatest that has come, whichever is less. `None` if nothing has come.
    fn percentile(&self, thousandths: u64) -> Option<u64> {
        // your turn: find the value that has this rank
        todo!("find the value that has this rank")
        // end
    }

    /// All that has come there has come here, too.
    fn merge(&mut self, other: &Self) {
        // your turn: add what the other one has counted
        todo!("add what the other one has counted")
        // end
    }
}

/// What has come, in parts: a thread that counts for itself needn't wait for another one.
struct Parts {
    /// All parts that are over, if there are any.
    before: Option<Histogram>,
    now: Histogram,
}

impl Parts {
    fn new() -> Self {
        Self { before: None, now: Histogram::new() }
    }

    /// Does what a line says. `None` if it's none of those that there are.
    fn obey(&mut self, line: &str, to: &mut impl Write) -> Option<io::Result<()>> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["part"] => {
                let part = mem::replace(&mut self.now, Histogram::new());
                self.before.get_or_insert_with(Histogram::new).merge(&part);
            }
            ["p", percent] => return Some(self.tell(percent, thousandths(percent)?, to)),
            [value] => self.now.record(value.parse().ok()?, 1),
            [value, times] => self.now.record(value.parse().ok()?, times.parse().ok()?),
            _ => return None,
        }
        Some(Ok(()))
    }

    fn tell(&self, percent: &str, thousandths: u64, to: &mut impl Write) -> io::Result<()> {
        let value = match &self.before {
            // One part is all there is.
            None => self.now.percentile(thousandths),
            Some(before) => {
                let mut all = Histogram::new();
                all.merge(before);
                all.merge(&self.now);
                all.percentile(thousandths)
            }
        };
        match value {
            Some(value) => writeln!(to, "p{percent}: {value}")?,
            None => writeln!(to, "p{percent}: none")?,
        }
        to.flush()
    }
}

/// `99.9` is 99,900. Nothing below 0, above 100, or with more than three digits behind the point.
fn thousandths(percent: &str) -> Option<u64> {
    let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 3 {
        return None;
    }
    let whole = whole.parse::<u64>().ok().filter(|whole| *whole <= 100)?;
    let part = format!("{part:0<3}").parse::<u64>().ok()?;
    Some(whole * 1000 + part).filter(|all| *all <= WHOLE)
}

fn main() {
    if !program::arguments(HELP).is_empty() {
        program::complain(NAME, 2, "it has no arguments; see --help");
    }
    if let Err(error) = run(io::stdin().lock(), io::stdout().lock()) {
        program::complain(NAME, 1, &error.to_string());
    }
}

fn run(mut from: impl BufRead, mut to: impl Write) -> io::Result<()> {
    let mut parts = Parts::new();
    let mut line = String::new();
    loop {
        line.clear();
        // waits: until the next line has come, or nothing more comes
        if from.read_line(&mut line)? == 0 {
            break;
        }
        let done = parts.obey(line.trim(), &mut to);
        done.unwrap_or_else(|| {
            let advice = format!("{:?} is no value, and nothing else; see --help", line.trim());
            Err(io::Error::new(io::ErrorKind::InvalidInput, advice))
        })?;
    }
    for percent in AT_THE_END {
        parts.tell(percent, thousandths(percent).unwrap_or_default(), &mut to)?;
    }
    Ok(())
}
