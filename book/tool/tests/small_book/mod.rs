//! A small book in a folder of its own, for a test to break.
//!
//! As it stands, it has nothing wrong, and one of everything that the checker must let pass.

use std::fs;
use std::path::Path;

use book::check;
use book::repo::Repo;
use tempfile::TempDir;

pub struct SmallBook {
    folder: TempDir,
}

const FILES: &[(&str, &str)] = &[
    ("book/book.toml", "[book]\ntitle = \"Small\"\n[output.html]\n"),
    (
        "book/src/SUMMARY.md",
        "# Summary\n\n[Start](README.md)\n\n- [One](one.md)\n  - [Two](deep/two.md)\n",
    ),
    ("book/src/README.md", "# Start\n\nGo [on](one.md).\n"),
    (
        "book/src/one.md",
        r#"# One

```rust
{{#include ../code.rs:step}}
{{#include ../code.rs:2:3}}
{{#include ../code.rs:6:}}
{{#include ../code.rs}}
\{{#include shown/as/it/is.rs}}
```

Links: [two](deep/two.md), [its first](deep/two.md#same), [its second](deep/two.md#same-1),
[mine](#here), [a term](#backlog), [a note][note], <https://www.rust-lang.org>, [mail](mailto:a@b.org),
[your own server](http://127.0.0.1:7002/), `[a][0]` is an index, and so is a\[0]\[1].[^1]

## Another name {#here}

backlog
: where visitors wait

[note]: ./deep/two.md#by-hand
[^1]: Below.

<figure class="picture">
{{#include ../pictures/ladder.svg}}
<figcaption>The ladder: <a href="deep/two.md#same">two</a>. <img src="dot.svg" alt="A dot"></figcaption>
</figure>

![A dot](dot.svg)

```xml
<svg>

<p id="shown"> [not a link](nowhere.md) <a href="nowhere.html"> {{#include ../transcripts/say.txt}}
```
"#,
    ),
    (
        "book/src/deep/two.md",
        "# Two\n\n## Same\n\n## Same\n\n<p id=\"by-hand\">By hand.</p>\n\n[Back](../one.md#here), [start](../index.html)\n",
    ),
    ("book/src/dot.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n"),
    (
        "book/code.rs",
        "// ANCHOR: step\nlet a = 1;\n// ANCHOR: inner\nlet b = 2;\n// ANCHOR_END: inner\n// ANCHOR_END: step\nlast();\n",
    ),
    (
        "book/pictures/ladder.svg",
        "<svg viewBox=\"0 0 9 9\">\n<title>A ladder</title>\n<desc>Two rungs.</desc>\n<path id=\"ladder-rung\"/>\n</svg>\n",
    ),
    ("book/transcripts/say.txt", "$ cargo say\nhello\n"),
    ("book/transcripts/scripts.toml", "[[script]]\nrun = \"cargo say\"\nfile = \"say\"\n"),
    (".cargo/config.toml", "[alias]\nsay = \"run --package say --\"\n"),
    (
        "tests/01_one.rs",
        "// the page \"one.html#here\", and \"deep.html#x y\" is none\nconst HELP: &str = \"one.html#here\";\n",
    ),
    ("tests/deeper/not_looked_at.rs", "const HELP: &str = \"nowhere.html\";\n"),
    ("chapters/01-one/wrong.toml", "hint = \"one.html\"\n"),
    ("chapters/01-one/solutions/head.rs", "// see \"one.html#backlog\"\n"),
];

#[allow(dead_code, reason = "each test program uses a part of it")]
impl SmallBook {
    pub fn new() -> SmallBook {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let book = SmallBook { folder };
        for (path, text) in FILES {
            book.write(path, text);
        }
        book
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn repo(&self) -> Repo {
        Repo::at(self.root())
    }

    /// Writes a file, at a path from the top of the repository.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        let folder = path.parent().expect("a file is in a folder");
        fs::create_dir_all(folder).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).expect("the file is there")
    }

    /// Adds to the end of a file; returns the number of the first line added.
    pub fn add(&self, path: &str, text: &str) -> usize {
        let before = self.read(path);
        self.write(path, &format!("{before}{text}"));
        before.lines().count() + 1
    }

    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let before = self.read(path);
        assert!(before.contains(from), "{path} has no `{from}`");
        self.write(path, &before.replace(from, to));
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.root().join(path)).expect("the file can be removed");
    }

    /// All faults, as they are printed.
    pub fn faults(&self) -> Vec<String> {
        let report = check::check(&self.repo()).expect("the book can be checked");
        report.faults.iter().map(ToString::to_string).collect()
    }
}
