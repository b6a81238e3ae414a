//! What can be done with an exercise besides grading it: a hint, a new beginning, its starter.

use std::fs;
use std::path::Path;

use grader::course::{Course, Exercise};
use grader::progress::Progress;

/// Prints the next hint, after those read before.
pub fn hint(course: &Course, exercise: &Exercise, again: bool) -> Result<(), String> {
    let hints = &exercise.source.hints;
    let mut progress = Progress::read(&course.root).map_err(in_progress)?;
    let read = match again {
        true => progress.of(&exercise.name).hints.min(hints.len()),
        false => {
            let before = progress.note_hint(&exercise.name, hints.len());
            if let Err(error) = progress.write() {
                // The hint is what was asked for.
                eprintln!(
                    "cargo grade: {}; so the next time it's the same hint",
                    in_progress(error)
                );
            }
            (before + 1).min(hints.len())
        }
    };
    anstream::println!("{}: {}\n", exercise.id, exercise.source.title);
    for (number, hint) in (1..).zip(&hints[..read]) {
        anstream::println!("{number}. {}\n", hint.replace('\n', "\n   "));
    }
    match hints.len() - read {
        0 => {
            let answer = shown(course, &exercise.answer);
            anstream::println!("There are no more hints. The worked answer is {answer}.");
        }
        1 => anstream::println!("There is one more hint: cargo grade hint {}", exercise.id),
        left => anstream::println!("There are {left} more: cargo grade hint {}", exercise.id),
    }
    Ok(())
}

/// Puts the starter back, after keeping a copy of what the learner wrote.
pub fn reset(course: &Course, exercise: &Exercise) -> Result<(), String> {
    let file = shown(course, &exercise.file);
    if exercise.is_untouched() {
        println!("{file} is as at the beginning already.");
        return Ok(());
    }
    match keep(exercise)? {
        Some(kept) => println!("What you wrote is kept in {}.", shown(course, &kept)),
        None => println!("There was no {file}."),
    }
    fs::write(&exercise.file, &exercise.source.starter)
        .map_err(|error| format!("{file}: {error}"))?;
    println!("{file} is as at the beginning.");
    let mut progress = Progress::read(&course.root).map_err(in_progress)?;
    progress.forget(&exercise.name);
    progress.write().map_err(in_progress)
}

/// Says which committed starters aren't what their worked answers give.
pub fn check_starters(course: &Course) -> Result<bool, String> {
    let mut all_well = true;
    for exercise in course.chapters.iter().flat_map(|lessons| &lessons.exercises) {
        if !exercise.is_untouched() {
            let file = shown(course, &exercise.file);
            eprintln!("{file} is not what its worked answer gives: run `cargo grade starters`");
            all_well = false;
        }
    }
    Ok(all_well)
}

/// Writes all starters, keeping copies of what was there and differs.
pub fn write_starters(course: &Course) -> Result<(), String> {
    for exercise in course.chapters.iter().flat_map(|lessons| &lessons.exercises) {
        if !exercise.is_untouched() {
            if let Some(kept) = keep(exercise)? {
                println!("what was there is kept in {}", shown(course, &kept));
            }
            fs::write(&exercise.file, &exercise.source.starter)
                .map_err(|error| format!("{}: {error}", shown(course, &exercise.file)))?;
            println!("wrote {}", shown(course, &exercise.file));
        }
    }
    Ok(())
}

/// Copies the learner's file to `kept/NAME-N.rs` beside it, if there is one, never over another copy.
fn keep(exercise: &Exercise) -> Result<Option<std::path::PathBuf>, String> {
    if !exercise.file.exists() {
        return Ok(None);
    }
    let folder = exercise.file.with_file_name("kept");
    let said = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(said)?;
    let mut names = (1..).map(|number| folder.join(format!("{}-{number}.rs", exercise.name)));
    let free = names.find(|path| !path.exists()).ok_or("no free name for a copy")?;
    fs::copy(&exercise.file, &free).map_err(said)?;
    Ok(Some(free))
}

/// A path as the reader sees it, from the top of the repository.
pub fn shown(course: &Course, path: &Path) -> String {
    path.strip_prefix(&course.root).unwrap_or(path).display().to_string()
}

fn in_progress(error: std::io::Error) -> String {
    format!("the file .progress: {error}")
}
