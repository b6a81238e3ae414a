//! Where cargo put what it built: one line of its messages (The Cargo Book, "External tools").
//!
//! Read without a library for JSON, which would have to be compiled first. Cargo writes a message on one line, without
//! blanks between names and values.

use std::path::PathBuf;

/// A program that cargo has built.
#[derive(Debug, PartialEq, Eq)]
pub struct Artifact {
    pub executable: PathBuf,
    /// The folder of its package.
    pub package: PathBuf,
}

impl Artifact {
    /// The program of that name, if it has been built.
    pub fn find(messages: &str, program: &str) -> Option<Self> {
        let ours = |line: &&str| {
            line.starts_with(r#"{"reason":"compiler-artifact""#)
                && line.contains(r#""kind":["bin"]"#)
                && text_of(line, "name").as_deref() == Some(program)
        };
        let line = messages.lines().find(ours)?;
        let mut package = PathBuf::from(text_of(line, "manifest_path")?);
        package.pop();
        Some(Self { executable: text_of(line, "executable")?.into(), package })
    }
}

/// The text that the first field of that name has, if it's a text.
fn text_of(line: &str, name: &str) -> Option<String> {
    let start = format!("\"{name}\":\"");
    let mut rest = line[line.find(&start)? + start.len()..].chars();
    let mut text = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(text),
            '\\' => text.push(match rest.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    // Only control characters are written so: no pairs.
                    let digits: String = rest.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                itself => itself,
            }),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"
{"reason":"compiler-artifact","package_id":"path+file:///w/tests/visitors#0.1.0","manifest_path":"/w/tests/visitors/Cargo.toml","target":{"kind":["lib"],"crate_types":["lib"],"name":"visit","src_path":"/w/tests/visitors/src/lib.rs"},"filenames":["/t/libvisit.rlib"],"executable":null,"fresh":true}
{"reason":"compiler-artifact","package_id":"path+file:///w/tests/visitors#0.1.0","manifest_path":"/w \"x\\y\u0001/visitors/Cargo.toml","target":{"kind":["bin"],"crate_types":["bin"],"name":"visit","src_path":"/w/tests/visitors/src/main.rs"},"filenames":["/t/visit"],"executable":"/t/vísit","fresh":true}
{"reason":"build-finished","success":true}
"#;

    #[test]
    fn a_program_is_found_and_its_package() {
        let found = Artifact::find(MESSAGES, "visit").expect("it's there");
        let package = "/w \"x\\y\u{1}/visitors".into();
        assert_eq!(found, Artifact { executable: "/t/vísit".into(), package });
    }

    #[test]
    fn what_was_not_built_is_not_found() {
        assert_eq!(Artifact::find(MESSAGES, "host"), None);
        assert_eq!(Artifact::find("", "visit"), None);
    }
}
