//! The course as it lies on the disk: chapters (and a tool), their exercises, and what belongs to each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use visitors::names::nearest;

use crate::markers::{self, Source};
use crate::place::{self, Place};

/// All chapters and tools that have exercises.
#[derive(Debug)]
pub struct Course {
    /// The folder of the workspace.
    pub root: PathBuf,
    /// In order, the tools behind the chapters.
    pub lessons: Vec<Lessons>,
}

/// A chapter, or a tool, and its exercises, in the order in which they are best done.
#[derive(Debug)]
pub struct Lessons {
    /// What they belong to.
    pub place: Place,
    /// Its exercises.
    pub exercises: Vec<Exercise>,
}

/// One exercise.
#[derive(Debug)]
pub struct Exercise {
    /// Its name with the chapter's number, or the tool's name: `02-pieces`, `race-due`.
    pub id: String,
    /// Its name alone, unique in the book: progress is kept by it, so that a chapter's number may change.
    pub name: String,
    /// The program's name in the exercises' package: `ex02-pieces`, `race-due`.
    pub program: String,
    /// The worked answer.
    pub answer: PathBuf,
    /// What the learner edits.
    pub file: PathBuf,
    /// What the worked answer holds.
    pub source: Source,
}

impl Course {
    /// Reads the course under `root`.
    ///
    /// # Errors
    /// Which file can't be read or understood, and why.
    pub fn read(root: &Path) -> Result<Self, String> {
        let mut lessons = Vec::new();
        let places = place::all(root);
        for place in places.map_err(|error| format!("{}: {error}", root.display()))? {
            let exercises = read_exercises(&place)?;
            lessons.push(Lessons { place, exercises });
        }
        if let Some((one, other)) = of_the_same_name(&lessons) {
            return Err(format!(
                "{one} and {other}: progress is kept by name, so give one of them another"
            ));
        }
        Ok(Self { root: root.to_owned(), lessons })
    }

    /// The chapter or tool that is meant by a number or name, or all.
    ///
    /// # Errors
    /// A sentence that says which there are.
    pub fn chosen(&self, wanted: Option<&str>) -> Result<Vec<&Lessons>, String> {
        let Some(wanted) = wanted else {
            return Ok(self.lessons.iter().collect());
        };
        let found = self.lessons.iter().find(|lessons| lessons.place.is_called(wanted));
        let found = found.ok_or_else(|| match self.nearest_place(wanted) {
            Some(meant) => format!("there is no chapter {wanted}; did you mean {}?", meant.name),
            None => {
                let all = self.lessons.iter().map(|lessons| lessons.place.short.as_str());
                let all = all.collect::<Vec<_>>().join(", ");
                format!("there is no chapter {wanted}; there are {all}")
            }
        })?;
        Ok(vec![found])
    }

    /// The chapter or tool whose name somebody has most likely misspelled.
    pub fn nearest_place(&self, misspelled: &str) -> Option<&Place> {
        place::nearest_of(self.lessons.iter().map(|lessons| &lessons.place), misspelled)
    }

    /// The exercise `02-pieces`, or `pieces` for short.
    ///
    /// # Errors
    /// A sentence that says which was meant, or where to find a list.
    pub fn exercise(&self, wanted: &str) -> Result<&Exercise, String> {
        let all = || self.lessons.iter().flat_map(|lessons| &lessons.exercises);
        let found = all().find(|exercise| exercise.id == wanted || exercise.name == wanted);
        found.ok_or_else(|| {
            let asked = self.nearest_exercise(wanted);
            let asked = asked.map_or(String::new(), |meant| format!("did you mean {}? ", meant.id));
            format!("there is no exercise {wanted}; {asked}`cargo grade` lists all")
        })
    }

    /// The exercise whose name somebody has most likely misspelled.
    pub fn nearest_exercise(&self, misspelled: &str) -> Option<&Exercise> {
        let all = || self.lessons.iter().flat_map(|lessons| &lessons.exercises);
        let names = all().flat_map(|exercise| [exercise.id.as_str(), &exercise.name]);
        let near = nearest(misspelled, names)?;
        all().find(|exercise| exercise.id == near || exercise.name == near)
    }
}

/// The first two exercises that share a name, if any do.
fn of_the_same_name(lessons: &[Lessons]) -> Option<(&str, &str)> {
    let all = || lessons.iter().flat_map(|lessons| &lessons.exercises).enumerate();
    let mut pairs =
        all().flat_map(|(place, one)| all().skip(place + 1).map(move |(_, other)| (one, other)));
    let found = pairs.find(|(one, other)| one.name == other.name);
    found.map(|(one, other)| (one.id.as_str(), other.id.as_str()))
}

impl Lessons {
    /// The file with the graded checks: `tests/NN_name.rs` with a module for each exercise, or `tests/NN_name/main.rs` with a file
    /// beside it for each.
    pub fn checks_file(&self) -> PathBuf {
        let folder = &self.place.checks;
        if folder.is_dir() { folder.join("main.rs") } else { folder.with_extension("rs") }
    }

    /// The source of the checks of one exercise: the text of its module, wherever that stands.
    ///
    /// # Errors
    /// Which file can't be read, or lacks the module.
    pub fn checks_source(&self, exercise: &Exercise) -> Result<String, String> {
        let file = self.checks_file();
        let module = exercise.module();
        let is_folder = file.ends_with("main.rs");
        let file = if is_folder { file.with_file_name(format!("{module}.rs")) } else { file };
        let text = fs::read_to_string(&file);
        let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
        if is_folder {
            return Ok(text);
        }
        let Some((_, text)) = text.split_once(&format!("\nmod {module} {{")) else {
            return Err(format!("{}: there is no `mod {module}`", file.display()));
        };
        Ok(text.split_once("\n}\n").map_or(text, |(text, _)| text).to_owned())
    }

    /// The page of the book on which an exercise stands. A chapter may have more than one: its own, such as
    /// `11-http-server.md`, and `11-1-files.md`.
    pub fn page(&self, root: &Path, exercise: &Exercise) -> PathBuf {
        let pages = root.join("book/src");
        let anchor = format!("{{#exercise-{}}}", exercise.id);
        let has_it =
            |page: &PathBuf| fs::read_to_string(page).is_ok_and(|text| text.contains(&anchor));
        let all = fs::read_dir(&pages).into_iter().flatten().flatten();
        let found = all.map(|entry| entry.path()).find(has_it);
        found.unwrap_or_else(|| pages.join(&self.place.name).with_extension("md"))
    }
}

impl Exercise {
    /// The module of its checks: `pieces`.
    pub fn module(&self) -> String {
        self.name.replace('-', "_")
    }

    /// What the learner has now.
    ///
    /// # Errors
    /// What reading the file gives.
    pub fn current(&self) -> io::Result<String> {
        fs::read_to_string(&self.file)
    }

    /// True where the learner hasn't changed the starter.
    pub fn is_untouched(&self) -> bool {
        // By lines: git may have given them other ends.
        self.current().is_ok_and(|text| text.lines().eq(self.source.starter.lines()))
    }
}

/// What of an exercises' Cargo.toml is needed here: its programs, in order.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    bin: Vec<Bin>,
}

#[derive(Deserialize)]
struct Bin {
    name: String,
}

fn read_exercises(place: &Place) -> Result<Vec<Exercise>, String> {
    let folder = place.folder.join("exercises");
    let manifest = folder.join("Cargo.toml");
    let text = match fs::read_to_string(&manifest) {
        // A chapter may have none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(|error| format!("{}: {error}", manifest.display()))?,
    };
    let parsed: Manifest =
        toml::from_str(&text).map_err(|error| format!("{}: {error}", manifest.display()))?;
    let prefix = place.program("");
    let mut exercises = Vec::new();
    for bin in parsed.bin {
        let Some(name) = bin.name.strip_prefix(&prefix) else {
            let manifest = manifest.display();
            return Err(format!("{manifest}: {} must begin with {prefix}", bin.name));
        };
        let answer = place.folder.join("solutions").join(format!("{name}.rs"));
        let source = fs::read_to_string(&answer).map_err(|error| error.to_string());
        let source = source.and_then(|text| markers::parse(&text));
        let source = source.map_err(|error| format!("{}: {error}", answer.display()))?;
        exercises.push(Exercise {
            id: place.id(name),
            name: name.to_owned(),
            program: place.program(name),
            answer,
            file: folder.join(format!("{name}.rs")),
            source,
        });
    }
    Ok(exercises)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use tempfile::TempDir;

    fn write(root: &TempDir, path: &str, text: &str) {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A course with these exercises.
    fn course(chapters: &[(&str, &[&str])]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (chapter, exercises) in chapters {
            let number = &chapter[..2];
            let bin = |name: &&str| format!("[[bin]]\nname = \"ex{number}-{name}\"\n");
            let bins: String = exercises.iter().map(bin).collect();
            write(&root, &format!("chapters/{chapter}/exercises/Cargo.toml"), &bins);
            for name in *exercises {
                write(
                    &root,
                    &format!("chapters/{chapter}/solutions/{name}.rs"),
                    "//! Exercise NN-name: title\n\nfn main() {\n    // your turn: do it\n    // hint: so\n    // end\n}\n",
                );
            }
        }
        root
    }

    #[test]
    fn a_tools_exercises_stand_behind_those_of_the_chapters() {
        let root = course(&[("01-one", &["echo"])]);
        write(&root, "tests/race/exercises/Cargo.toml", "[[bin]]\nname = \"race-due\"\n");
        let answer =
            "//! Exercise race-due: title\n\nfn main() {\n    // your turn: do it\n    // end\n}\n";
        write(&root, "tests/race/solutions/due.rs", answer);
        write(&root, "tests/race/checks/main.rs", "mod due;\n");
        write(&root, "tests/race/checks/due.rs", "fn a() {}\n");
        let course = Course::read(root.path()).unwrap();

        let race = course.chosen(Some("race")).unwrap()[0];
        let names: Vec<&str> = course.lessons.iter().map(|it| it.place.short.as_str()).collect();
        assert_eq!(names, ["1", "race"]);
        let due = course.exercise("race-due").unwrap();
        assert!(std::ptr::eq(due, course.exercise("due").unwrap()));
        assert!(std::ptr::eq(due, &race.exercises[0]));
        assert_eq!((due.id.as_str(), due.program.as_str()), ("race-due", "race-due"));
        assert_eq!(due.file, root.path().join("tests/race/exercises/due.rs"));
        assert_eq!(race.checks_source(due).unwrap(), "fn a() {}\n");
        assert_eq!(race.page(&course.root, due), root.path().join("book/src/race.md"));

        let misspelled = course.chosen(Some("rcae")).unwrap_err();
        assert_eq!(misspelled, "there is no chapter rcae; did you mean race?");
        let other = course.chosen(Some("7")).unwrap_err();
        assert_eq!(other, "there is no chapter 7; there are 1, race");
    }

    #[test]
    fn two_exercises_of_one_name_are_refused() {
        let root = course(&[("01-one", &["echo"]), ("02-two", &["room"]), ("03-three", &["echo"])]);
        let refused = Course::read(root.path()).unwrap_err();
        assert!(refused.starts_with("01-echo and 03-echo:"), "{refused}");
    }

    #[rstest]
    #[case::one_file(
        "tests/01_one_two.rs",
        &[("tests/01_one_two.rs", "fn shared() {\n}\n\nmod echo {\n    fn a() {\n    }\n}\n\nmod by_the_way {\n    fn b() {}\n}\n")]
    )]
    #[case::a_file_for_each(
        "tests/01_one_two/main.rs",
        &[
            ("tests/01_one_two/main.rs", "mod by_the_way;\nmod echo;\n\nfn shared() {}\n"),
            ("tests/01_one_two/echo.rs", "fn a() {\n}\n"),
            ("tests/01_one_two/by_the_way.rs", "fn b() {}\n"),
        ]
    )]
    fn an_exercises_checks_are_in_its_module(
        #[case] expected: &str,
        #[case] files: &[(&str, &str)],
    ) {
        let root = course(&[("01-one-two", &["echo", "by-the-way", "none"])]);
        for (path, text) in files {
            write(&root, path, text);
        }
        let course = Course::read(root.path()).unwrap();
        let lessons = &course.lessons[0];
        assert_eq!(lessons.checks_file(), root.path().join(expected));
        let contracts = &lessons.place.contracts;
        assert_eq!(*contracts, root.path().join("tests/contracts/01_one_two.toml"));

        let source = |exercise| lessons.checks_source(&lessons.exercises[exercise]);
        let (echo, by_the_way) = (source(0).unwrap(), source(1).unwrap());
        assert!(echo.contains("fn a(") && !echo.contains("fn b("), "{echo}");
        assert!(by_the_way.contains("fn b(") && !by_the_way.contains("fn a("), "{by_the_way}");
        let missing = source(2).unwrap_err();
        assert!(missing.contains("tests/01_one_two") && missing.contains("none"), "{missing}");
    }
}
