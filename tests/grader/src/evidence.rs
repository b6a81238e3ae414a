//! Why did a program fail? The same check can fail for many reasons. So all that the checks saw is compared with what they saw of
//! every wrong answer whose cause is known (`seen.jsonl`, beside `wrong.toml`): those that it's like most
//! tell what is likely. One cause is told where no other comes near, and else at most three.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::run::Outcome;
use crate::wrong::Wrong;

/// No more causes than this are told: whoever reads four has been told nothing.
pub const MOST_CAUSES: usize = 3;
/// A program that is at least so much like a known answer has most likely the same cause.
const ALIKE: f64 = 0.8;
/// Then a cause is told alone if no other comes nearer to it than this. All scores are between 0 and a little over 1.
const CLEAR_LEAD: f64 = 0.12;
/// And this is a clear lead where nothing known is as much like it.
const CLEAR_LEAD_OF_STRANGERS: f64 = 0.3;
/// What is less like than this isn't told at all, unless the check itself suspects it.
const LEAST: f64 = 0.25;
/// What a check's own suspicion adds.
const SUSPICION: f64 = 0.3;
/// How many words a suspicion is worth: it's a check's opinion, and not only what it printed.
const WORTH_OF_SUSPICION: f64 = 3.0;
/// What the name of such a feature begins with.
const SUSPECTS: &str = "suspects ";
/// What is taken off where this program passes a check that all known answers with that cause fail.
const REFUTED: f64 = 0.15;
/// How much of what a check saw is kept, in words.
const MOST_WORDS: usize = 24;
/// So many failures are evidence enough, the first ones in the order of the source: a program that fails nearly all says little more by
/// each, and each costs a second.
pub const ENOUGH: usize = 4;

/// What the checks saw of a program that fails: by check, without the exercise's module.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Seen(pub BTreeMap<String, Failure>);

/// What one check saw.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The cause that the check suspected.
    pub suspect: String,
    /// What it saw, without what differs from run to run.
    pub saw: String,
}

/// A wrong answer whose cause is known, and what the checks saw of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Known {
    /// The exercise, without its chapter's number.
    pub exercise: String,
    /// The wrong answer's name.
    pub name: String,
    /// What was seen.
    pub seen: Seen,
}

/// What a program's failures speak for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnosis {
    /// The likely causes, by name, the likeliest first.
    pub causes: Vec<String>,
    /// The check whose failure shows it best.
    pub check: String,
}

impl Seen {
    /// What checks have seen, from their outcomes in the order of the source.
    pub fn of<'a>(results: impl IntoIterator<Item = (&'a str, &'a Outcome)>) -> Self {
        let mut seen = Self::default();
        for (name, outcome) in results {
            if seen.0.len() < ENOUGH {
                seen.note(name, outcome);
            }
        }
        seen
    }

    /// Takes note of a check, if it has failed.
    pub fn note(&mut self, name: &str, outcome: &Outcome) {
        if let Outcome::Failed(message) = outcome {
            self.0.insert(without_module(name).to_owned(), Failure::of(message));
        }
    }

    /// What tells programs apart: which checks fail, what each suspects, and the words of what it saw.
    fn features(&self) -> BTreeSet<String> {
        let mut features = BTreeSet::new();
        for (check, failure) in &self.0 {
            features.insert(check.clone());
            features.insert(format!("{SUSPECTS}{}", failure.suspect));
            features.insert(format!("{SUSPECTS}{} in {check}", failure.suspect));
            for word in failure.saw.split(' ') {
                features.insert(word.to_owned());
                features.insert(format!("{check} {word}"));
            }
        }
        features
    }
}

impl Failure {
    fn of(message: &str) -> Self {
        let part = |begin: &str, end: &str| -> String {
            let Some(at) = message.find(begin) else { return String::new() };
            let rest = &message[at + begin.len()..];
            rest[..rest.find(end).unwrap_or(rest.len())].trim().to_owned()
        };
        let saw = match part("saw:", "\ncause:") {
            saw if saw.is_empty() => message.to_owned(),
            saw => saw,
        };
        Self { suspect: part("\ncause:", "\n"), saw: steady(&saw) }
    }
}

/// A text without what differs from run to run: addresses and long numbers, where in the source it is.
fn steady(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut place = false;
    for word in text.split_whitespace().take(MOST_WORDS) {
        // "thread 'main' (71234) panicked at src/main.rs:7:5:"
        let is_place = std::mem::replace(&mut place, word == "at") && word.contains(".rs:");
        if !is_place {
            words.push(without_long_numbers(word));
        }
    }
    words.join(" ")
}

fn without_long_numbers(word: &str) -> String {
    let mut text = String::new();
    let mut digits = String::new();
    for character in word.chars().chain(['\0']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        // A status or a count is kept; a port, a time in microseconds, a thread isn't.
        match digits.len() {
            0..=3 => text.push_str(&digits),
            _ => text.push('#'),
        }
        digits.clear();
        if character != '\0' {
            text.push(character);
        }
    }
    text
}

/// A check's name without the exercise's: `pool::nobody_is_forgotten` without `pool::`.
fn without_module(name: &str) -> &str {
    name.split_once("::").map_or(name, |(_, name)| name)
}

/// What is known of a chapter's wrong answers.
///
/// # Errors
/// When the file can't be read or understood. Where there is none, nothing is known.
pub fn read(folder: &Path) -> io::Result<Vec<Known>> {
    let text = match fs::read_to_string(folder.join("seen.jsonl")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result?,
    };
    text.lines().map(|line| serde_json::from_str(line).map_err(io::Error::other)).collect()
}

/// Writes down what is known of a chapter's wrong answers.
///
/// # Errors
/// What writing gives.
pub fn write(folder: &Path, known: &[Known]) -> io::Result<()> {
    let mut text = String::new();
    for known in known {
        text.push_str(&serde_json::to_string(known).map_err(io::Error::other)?);
        text.push('\n');
    }
    fs::write(folder.join("seen.jsonl"), text)
}

/// An exercise's wrong answers, with all that is needed to compare a program with them.
#[derive(Debug)]
pub struct Cases {
    cases: Vec<Case>,
    /// How much a feature tells: the rarer it is, the more.
    weights: BTreeMap<String, f64>,
}

#[derive(Debug)]
struct Case {
    name: String,
    cause: String,
    caught_by: String,
    fails: BTreeSet<String>,
    features: BTreeSet<String>,
}

impl Cases {
    /// Those of `exercise`: what was seen of them, and the causes that they have.
    pub fn new(exercise: &str, known: &[Known], wrong: &[Wrong]) -> Self {
        let mut cases = Vec::new();
        for wrong in wrong.iter().filter(|wrong| wrong.exercise == exercise) {
            let seen = known.iter().find(|k| k.exercise == exercise && k.name == wrong.name);
            let Some(seen) = seen.filter(|known| !known.seen.0.is_empty()) else { continue };
            cases.push(Case {
                name: wrong.name.clone(),
                cause: wrong.cause.clone(),
                caught_by: without_module(&wrong.caught_by).to_owned(),
                fails: seen.seen.0.keys().cloned().collect(),
                features: seen.seen.features(),
            });
        }
        let mut counts: BTreeMap<String, f64> = BTreeMap::new();
        for feature in cases.iter().flat_map(|case| &case.features) {
            *counts.entry(feature.clone()).or_default() += 1.0;
        }
        let all = cases.len() as f64 + 1.0;
        let weights = counts.into_iter().map(|(feature, count)| {
            let worth = if feature.starts_with(SUSPECTS) { WORTH_OF_SUSPICION } else { 1.0 };
            let weight = worth * (all / count).ln();
            (feature, weight)
        });
        Self { weights: weights.collect(), cases }
    }

    /// What a program's failures speak for. `order` has the checks as they stand in the source, from the easy to the hard.
    /// `without` leaves out one of the wrong answers: how would it fare if it weren't known?
    pub fn diagnose(&self, seen: &Seen, order: &[String], without: Option<&str>) -> Diagnosis {
        let features = seen.features();
        let cases: Vec<&Case> =
            self.cases.iter().filter(|case| Some(case.name.as_str()) != without).collect();
        let mut best: BTreeMap<&str, (f64, Option<&Case>)> = BTreeMap::new();
        for case in &cases {
            let score = self.likeness(&features, &case.features);
            let entry = best.entry(&case.cause).or_insert((0.0, None));
            if score > entry.0 {
                *entry = (score, Some(case));
            }
        }
        for (cause, (score, _)) in &mut best {
            let its_own: Vec<&&Case> = cases.iter().filter(|case| case.cause == *cause).collect();
            let passed_here = |check: &&String| !seen.0.contains_key(*check);
            let refuted = its_own.len() >= 2
                && its_own[0]
                    .fails
                    .iter()
                    .filter(passed_here)
                    .any(|check| its_own.iter().all(|case| case.fails.contains(check)));
            if refuted {
                *score -= REFUTED;
            }
        }
        let suspected: Vec<&str> =
            seen.0.values().map(|failure| failure.suspect.as_str()).collect();
        for (place, suspect) in suspected.iter().enumerate() {
            if suspect.is_empty() || suspected[..place].contains(suspect) {
                continue;
            }
            let times = suspected.iter().filter(|other| *other == suspect).count() as f64;
            best.entry(suspect).or_insert((0.0, None)).0 +=
                SUSPICION * times / suspected.len() as f64;
        }
        let common = |cause: &str| cases.iter().filter(|case| case.cause == cause).count();
        let mut ranked: Vec<_> = best.into_iter().collect();
        ranked.sort_by(|(one, (a, _)), (other, (b, _))| {
            b.total_cmp(a).then_with(|| common(other).cmp(&common(one)))
        });
        let Some(&(_, (top, nearest))) = ranked.first() else { return Diagnosis::default() };
        // Where nothing that is known is like it, what the checks themselves suspect is all there is.
        let lead = if top > ALIKE { CLEAR_LEAD } else { CLEAR_LEAD_OF_STRANGERS };
        let tells = |cause: &str, score: f64| match top < LEAST {
            true => suspected.contains(&cause),
            false => score > top - lead,
        };
        let told = ranked.iter().filter(|(cause, (score, _))| tells(cause, *score));
        let causes: Vec<String> =
            told.take(MOST_CAUSES).map(|(cause, _)| (*cause).to_owned()).collect();
        let check = self.shows_best(seen, order, causes.first(), nearest);
        Diagnosis { causes, check }
    }

    /// The failed check that shows the cause best: the one that catches the known answer, or the first that suspects it,
    /// or the first of all.
    fn shows_best(
        &self,
        seen: &Seen,
        order: &[String],
        cause: Option<&String>,
        nearest: Option<&Case>,
    ) -> String {
        let failed = || {
            order.iter().map(|name| without_module(name)).filter(|name| seen.0.contains_key(*name))
        };
        let catches =
            nearest.filter(|case| Some(&case.cause) == cause).map(|case| case.caught_by.as_str());
        let suspects = |check: &&str| Some(&seen.0[*check].suspect) == cause;
        let found = failed().find(|check| Some(*check) == catches);
        let found = found.or_else(|| failed().find(suspects)).or_else(|| failed().next());
        found.unwrap_or_default().to_owned()
    }

    /// How like each other two programs are: the weight of what both show, over the weight of what either does.
    fn likeness(&self, one: &BTreeSet<String>, other: &BTreeSet<String>) -> f64 {
        // What no known answer shows tells as much as what one shows.
        let unknown = (self.cases.len() as f64 + 1.0).ln();
        let weight = |feature: &String| self.weights.get(feature).copied().unwrap_or(unknown);
        let both: f64 = one.intersection(other).map(weight).sum();
        let either: f64 = one.union(other).map(weight).sum();
        if either == 0.0 { 0.0 } else { both / either }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(failures: &[(&str, &str, &str)]) -> Seen {
        let failure = |&(check, suspect, saw): &(&str, &str, &str)| {
            (check.to_owned(), Failure { suspect: suspect.to_owned(), saw: saw.to_owned() })
        };
        Seen(failures.iter().map(failure).collect())
    }

    fn wrong(name: &str, cause: &str, caught_by: &str) -> Wrong {
        Wrong {
            exercise: "echo".to_owned(),
            name: name.to_owned(),
            cause: cause.to_owned(),
            caught_by: caught_by.to_owned(),
            says: String::new(),
            edit: Vec::new(),
        }
    }

    fn cases() -> (Cases, Vec<String>) {
        let known = [
            (
                "a",
                seen(&[("in_order", "lost", "got cab expected abc"), ("whole", "lost", "got 3")]),
            ),
            ("b", seen(&[("in_order", "lost", "got ab expected abc"), ("whole", "lost", "got 2")])),
            ("c", seen(&[("sleeps", "spins", "a loop that never waits")])),
        ];
        let known = known.map(|(name, seen)| Known {
            exercise: "echo".to_owned(),
            name: name.to_owned(),
            seen,
        });
        let wrong = [
            wrong("a", "reversed", "echo::in_order"),
            wrong("b", "cut", "echo::whole"),
            wrong("c", "spins", "echo::sleeps"),
        ];
        let order = ["echo::sleeps", "echo::in_order", "echo::whole"].map(str::to_owned).to_vec();
        (Cases::new("echo", &known, &wrong), order)
    }

    #[test]
    fn what_is_like_a_known_answer_has_its_cause_alone() {
        let (cases, order) = cases();
        let cut = seen(&[("in_order", "lost", "got ab expected abc"), ("whole", "lost", "got 2")]);
        let told = cases.diagnose(&cut, &order, None);
        assert_eq!(
            (told.causes.as_slice(), told.check.as_str()),
            (["cut".to_owned()].as_slice(), "whole")
        );
    }

    #[test]
    fn what_is_like_two_is_told_both() {
        let (cases, order) = cases();
        let either =
            seen(&[("in_order", "lost", "got b expected abc"), ("whole", "lost", "got 1")]);
        let told = cases.diagnose(&either, &order, None);
        assert_eq!(
            told.causes
                .iter()
                .filter(|cause| ["cut", "reversed"].contains(&cause.as_str()))
                .count(),
            2,
            "{told:?}"
        );
        assert!(!told.causes.contains(&"spins".to_owned()), "{told:?}");
    }

    #[test]
    fn what_is_like_nothing_is_told_what_its_check_suspects() {
        let (cases, order) = cases();
        let new = seen(&[("restarts", "exits", "it ended")]);
        let told = cases.diagnose(&new, &order, None);
        assert_eq!(told.causes, ["exits"]);
    }

    #[test]
    fn what_differs_from_run_to_run_is_no_evidence() {
        let message = "saw:      panicked at src/a.rs:7:1: after 12345 µs\ncause:    lost\nlikely:   it's lost\nbook:     book/x";
        let other = "saw:      panicked at b/c.rs:8:20: after 67890 µs\ncause:    lost\nlikely:   it's lost\nbook:     book/x";
        assert_eq!(Failure::of(message), Failure::of(other));
        assert_eq!(Failure::of(message).suspect, "lost");
        assert_eq!(Failure::of(message).saw, "panicked at after # µs");
    }
}
