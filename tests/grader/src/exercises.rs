//! What can be done with an exercise besides grading it: a hint, a new beginning, its starter.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use grader::course::{Course, Exercise};
use grader::progress::{Progress, Remembered};
use visitors::files::{self, Beside};
use visitors::{tell, warn};

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
                warn!("cargo grade: {}; so the next time it's the same hint", in_progress(error));
            }
            (before + 1).min(hints.len())
        }
    };
    tell!("{}: {}\n", exercise.id, exercise.source.title);
    for (number, hint) in (1..).zip(&hints[..read]) {
        tell!("{number}. {}\n", hint.replace('\n', "\n   "));
    }
    match hints.len() - read {
        0 => {
            let answer = shown(course, &exercise.answer);
            tell!("There are no more hints. The worked answer is {answer}.");
        }
        1 => tell!("There is one more hint: cargo grade hint {}", exercise.id),
        left => tell!("There are {left} more: cargo grade hint {}", exercise.id),
    }
    Ok(())
}

/// Puts the starter back, after keeping a copy of what the learner wrote.
///
/// All that is to be written is written beside its place first: a full disk changes nothing, and Ctrl-C in the
/// middle leaves nothing that the same command doesn't finish.
pub fn reset(course: &Course, exercise: &Exercise) -> Result<(), String> {
    let file = shown(course, &exercise.file);
    let mut progress = Progress::read(&course.root).map_err(in_progress)?;
    let remembered = progress.of(&exercise.name);
    progress.forget(&exercise.name);
    let progress = progress.prepare().map_err(in_progress)?;
    if exercise.is_untouched() {
        if remembered != Remembered::default() {
            // It's of what was there before, and that reset was interrupted.
            progress.put().map_err(in_progress)?;
        }
        tell!("{file} is as at the beginning already.");
        return Ok(());
    }
    let starter = Beside::write(&exercise.file, &exercise.source.starter);
    let starter = starter.map_err(|error| format!("{file}: {error}"))?;
    let kept = keep(exercise)?;
    starter.put().map_err(|error| format!("{file}: {error}"))?;
    progress.put().map_err(in_progress)?;
    match kept {
        Some(kept) => tell!("What you wrote is kept in {}.", shown(course, &kept)),
        None => tell!("There was no {file}."),
    }
    tell!("{file} is as at the beginning.");
    Ok(())
}

/// Says which committed starters aren't what their worked answers give.
pub fn check_starters(course: &Course) -> Result<bool, String> {
    let mut all_well = true;
    for exercise in course.lessons.iter().flat_map(|lessons| &lessons.exercises) {
        if !exercise.is_untouched() {
            let file = shown(course, &exercise.file);
            warn!("{file} is not what its worked answer gives: run `cargo grade starters`");
            all_well = false;
        }
    }
    Ok(all_well)
}

/// Writes all starters, keeping copies of what was there and differs.
pub fn write_starters(course: &Course) -> Result<(), String> {
    for exercise in course.lessons.iter().flat_map(|lessons| &lessons.exercises) {
        if !exercise.is_untouched() {
            if let Some(kept) = keep(exercise)? {
                tell!("what was there is kept in {}", shown(course, &kept));
            }
            files::write(&exercise.file, &exercise.source.starter)
                .map_err(|error| format!("{}: {error}", shown(course, &exercise.file)))?;
            tell!("wrote {}", shown(course, &exercise.file));
        }
    }
    Ok(())
}

/// Copies the learner's file to `kept/NAME-N.rs` beside it, if there is one, never over another copy. A copy
/// that has its name is whole.
fn keep(exercise: &Exercise) -> Result<Option<PathBuf>, String> {
    if !exercise.file.exists() {
        return Ok(None);
    }
    let folder = exercise.file.with_file_name("kept");
    let said = |error: io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(said)?;
    let mut names = (1..).map(|number| folder.join(format!("{}-{number}.rs", exercise.name)));
    let free = names.find(|path| !path.exists()).ok_or("no free name for a copy")?;
    Beside::copy(&exercise.file, &free).and_then(Beside::put).map_err(said)?;
    Ok(Some(free))
}

/// A path as the reader sees it, from the top of the repository.
pub fn shown(course: &Course, path: &Path) -> String {
    path.strip_prefix(&course.root).unwrap_or(path).display().to_string()
}

fn in_progress(error: io::Error) -> String {
    format!("the file .progress: {error}")
}
