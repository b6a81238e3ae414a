//! `cargo grade` reads the course here: what `cargo test` asks of a setup. That the worked answers pass is what the
//! chapters' own tests show; nothing looks at what a learner has written.

use std::fs;
use std::process::Command;

use grader::course::Course;
use visitors::chapters;

#[test]
fn a_hint_is_given_and_remembered() {
    let course = Course::read(&chapters::root()).expect("the course can be read");
    let lessons = &course.lessons[0];
    let exercise = &lessons.exercises[0];
    // In a copy of the chapter: a hint that was read here is none that the learner has read.
    let copy = tempfile::tempdir().expect("there is room for a folder");
    let folder = copy.path().join("chapters").join(&lessons.place.name);
    for (part, file) in [
        ("exercises", lessons.place.folder.join("exercises").join("Cargo.toml")),
        ("solutions", exercise.answer.clone()),
    ] {
        let target = folder.join(part).join(file.file_name().expect("a file"));
        fs::create_dir_all(target.parent().expect("a folder")).expect("there is room");
        fs::copy(file, target).expect("there is room");
    }
    for other in &lessons.exercises[1..] {
        let name = other.answer.file_name().expect("a file");
        fs::copy(&other.answer, folder.join("solutions").join(name)).expect("there is room");
    }
    fs::create_dir_all(copy.path().join("tests").join("grader")).expect("there is room");
    let hint = |arguments: &[&str]| {
        let mut grade = Command::new(env!("CARGO_BIN_EXE_grade"));
        grade.env("CARGO_MANIFEST_DIR", copy.path().join("tests").join("grader"));
        let output = grade.arg("hint").args(arguments).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it's text")
    };
    assert!(hint(&[&exercise.id]).contains("1. "));
    let both = hint(&[&exercise.id]);
    assert!(both.contains("1. ") && both.contains("2. "), "{both}");
}
