//! Grades again whenever an exercise is saved.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use grader::course::Course;
use notify::{Event, RecursiveMode, Watcher};
use visitors::files::is_an_editors;
use visitors::{printing, tell, warn};

use crate::score::{self, Asked};

/// An editor writes a file in several steps: this long without another change, and it is done.
const QUIET_FOR: Duration = Duration::from_millis(30);

/// Grades now and at each save, until Ctrl-C.
///
/// # Errors
/// When the files can't be watched.
pub fn watch(course: &Course, asked: &Asked<'_>) -> Result<(), String> {
    let said = |error: notify::Error| format!("can't watch the exercises: {error}");
    let (changed, changes) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let is_source = |event: &Event| {
            !event.kind.is_access()
                && event.paths.iter().any(|path| {
                    path.extension().is_some_and(|ending| ending == "rs") && !is_an_editors(path)
                })
        };
        if event.as_ref().is_ok_and(is_source) {
            // The receiver is gone only when we are ending.
            let _ = changed.send(());
        }
    })
    .map_err(said)?;
    for folder in asked.folders() {
        watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(said)?;
    }
    loop {
        let began = Instant::now();
        if let Err(error) = score::grade(course, asked) {
            warn!("cargo grade: {error}");
        }
        tell!("\n({:.1} s) Waiting for a save; Ctrl-C ends.", began.elapsed().as_secs_f64());
        // It goes on only for its reader's sake.
        if printing::nobody_reads() || changes.recv().is_err() {
            return Ok(());
        }
        while changes.recv_timeout(QUIET_FOR).is_ok() {}
        tell!("\n{}\n", "─".repeat(60));
    }
}
