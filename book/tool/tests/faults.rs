//! The checker sees each fault that it knows, at its page and line, and no other.
//!
//! A checker that complains of everything fails on the small book as it stands, which has one of
//! everything that is right. One that sees a fault but not where, or says so twice, fails on the
//! exact list of lines.

mod small_book;

use rstest::rstest;
use small_book::SmallBook;

/// The faults must be exactly these, each given as `PLACE: …PART OF ITS MESSAGE`.
fn assert_faults(book: &SmallBook, expected: &[(&str, &str)]) {
    let faults = book.faults();
    let all = faults.join("\n");
    assert_eq!(faults.len(), expected.len(), "not the faults that were expected:\n{all}");
    for (fault, (place, message)) in faults.iter().zip(expected) {
        assert!(fault.starts_with(&format!("{place}: ")), "not at {place}:\n{all}");
        assert!(fault.contains(message), "doesn't say `{message}`:\n{all}");
    }
}

#[test]
fn a_good_book_has_none() {
    assert_faults(&SmallBook::new(), &[]);
}

/// One line, added to the end of `one.md` after a blank one.
#[rstest]
// includes
#[case::missing_file("{{#include ../nowhere.rs}}", "`../nowhere.rs` doesn't exist")]
#[case::missing_file_of_rustdoc(
    "{{#rustdoc_include ../nowhere.rs:step}}",
    "`../nowhere.rs` doesn't exist"
)]
#[case::missing_file_of_playground(
    "{{#playground ../nowhere.rs}}",
    "`../nowhere.rs` doesn't exist"
)]
#[case::a_folder("{{#include ../pictures}}", "`../pictures` doesn't exist")]
#[case::missing_anchor(
    "{{#include ../code.rs:stop}}",
    "no anchor `stop` in book/code.rs (it has inner, step)"
)]
#[case::missing_anchor_of_rustdoc("{{#rustdoc_include ../code.rs:stop}}", "no anchor `stop`")]
#[case::an_anchors_name_is_not_its_start("{{#include ../code.rs:ste}}", "no anchor `ste`")]
#[case::beyond_the_end(
    "{{#include ../code.rs:2:8}}",
    "lines 2 to 8 aren't in book/code.rs, which has 7"
)]
#[case::one_line_beyond("{{#include ../code.rs:8}}", "lines 8 to 8 aren't in")]
#[case::from_beyond("{{#include ../code.rs:9:}}", "lines 9 to 7 aren't in")]
#[case::to_beyond("{{#include ../code.rs::8}}", "lines 1 to 8 aren't in")]
#[case::backwards("{{#include ../code.rs:3:2}}", "lines 3 to 2 aren't in")]
#[case::line_zero("{{#include ../code.rs:0:2}}", "lines 0 to 2 aren't in")]
#[case::half_a_range("{{#include ../code.rs:2:end}}", "`end` is no line's number")]
#[case::unknown_directive("{{#inclued ../code.rs}}", "mdBook knows no directive `inclued`")]
#[case::directive_without_an_end("{{#include ../code.rs", "a directive without an end")]
// links
#[case::dead_page("See [it](nowhere.md).", "`nowhere.md`: there is no such page")]
#[case::dead_page_by_definition(
    "See [it][x].\n\n[x]: nowhere.md",
    "`nowhere.md`: there is no such page"
)]
#[case::dead_file("See [it](nowhere.pdf).", "`nowhere.pdf`: there is no such page or file")]
#[case::readme_by_its_name("See [it](README.md).", "`README.md`: there is no such page")]
#[case::from_the_wrong_folder("See [it](two.md).", "`two.md`: there is no such page")]
#[case::out_of_the_book("See [it](../../tests/01_one.rs).", "it leads out of the book")]
#[case::from_the_top("See [it](/one.html).", "it starts at the top of the web server")]
#[case::empty("See [it]().", "a link to nothing")]
#[case::undefined("See [it][nothing].", "`[it][nothing]`: no line says where it leads")]
#[case::dead_fragment_here("See [it](#nowhere).", "`#nowhere`: `one.html` has no id `nowhere`")]
#[case::dead_fragment_there(
    "See [it](deep/two.md#nowhere).",
    "`deep/two.md#nowhere`: `deep/two.html` has no id `nowhere`"
)]
#[case::one_suffix_too_many("See [it](deep/two.md#same-2).", "has no id `same-2`")]
#[case::id_of_another_page("See [it](#by-hand).", "has no id `by-hand`")]
#[case::id_replaced_by_hand("See [it](#another-name).", "has no id `another-name`")]
#[case::id_in_a_listing("See [it](#shown).", "has no id `shown`")]
#[case::raw_link("<a href=\"nowhere.md\">it</a>", "`nowhere.md`: there is no such page")]
#[case::raw_link_in_a_sentence("See <a href='#nowhere'>it</a>.", "has no id `nowhere`")]
#[case::not_https("See <http://example.org>.", "an external link that isn't https")]
#[case::not_quite_this_machine("See [it](http://127.0.0.1.example.org).", "isn't https")]
#[case::strange_scheme("See [it](javascript:go).", "`javascript:` is no link")]
// images
#[case::missing_image("![It](nowhere.png)", "`nowhere.png`: there is no such page or file")]
#[case::missing_raw_image(
    "<p><img src=\"nowhere.png\" alt=\"\"></p>",
    "`nowhere.png`: there is no such"
)]
#[case::image_from_the_network("![It](https://example.org/a.png)", "would need a network")]
// pictures
#[case::picture_without_title("<svg><desc>d</desc></svg>", "has no <title>")]
#[case::picture_with_empty_title("<svg><title> </title><desc>d</desc></svg>", "has no <title>")]
#[case::picture_without_description("<svg><title>t</title></svg>", "has no <desc>")]
#[case::picture_without_end("<div><svg></div>", "this <svg> has no end")]
#[case::id_of_another_picture(
    "<svg><title>t</title><desc>d</desc><g id=\"ladder-rung\"/></svg>",
    "the id `ladder-rung` is in another picture too, at book/src/one.md:24"
)]
fn of_one_line(#[case] line: &str, #[case] message: &str) {
    let book = SmallBook::new();
    let number = book.add("book/src/one.md", &format!("\n{line}\n")) + 1;
    let place = format!("book/src/one.md:{number}");
    let faults = book.faults();
    // mdBook itself has something to say of a picture without an end.
    let ours: Vec<&String> = faults.iter().filter(|fault| !fault.contains("mdBook says")).collect();
    assert_eq!(ours.len(), 1, "one fault was expected: {faults:#?}");
    assert!(ours[0].starts_with(&format!("{place}: ")), "not at {place}: {faults:#?}");
    assert!(ours[0].contains(message), "doesn't say `{message}`: {faults:#?}");
}

#[test]
fn a_faulty_link_is_told_of_at_each_place() {
    let book = SmallBook::new();
    let first = book.add("book/src/deep/two.md", "\n[a](#no)\n\n<a href=\"#no\">b</a>\n") + 1;
    assert_faults(
        &book,
        &[
            (&format!("book/src/deep/two.md:{first}"), "has no id `no`"),
            (&format!("book/src/deep/two.md:{}", first + 2), "has no id `no`"),
        ],
    );
}

#[rstest]
#[case::not_ended("// ANCHOR: step\nx\n", "the anchor `step` in book/code.rs has no end")]
#[case::nothing_inside("// ANCHOR: step\n// ANCHOR_END: step\n", "there is nothing between")]
#[case::only_an_end("x\n// ANCHOR_END: step\n", "no anchor `step`")]
fn an_anchor_that_holds_nothing(#[case] code: &str, #[case] message: &str) {
    let book = SmallBook::new();
    book.write("book/code.rs", code);
    book.write("book/src/one.md", "# One\n\n{{#include ../code.rs:step}}\n");
    book.write("book/src/deep/two.md", "# Two\n\n{{#include ../../transcripts/say.txt}}\n");
    book.write("tests/01_one.rs", "");
    book.write("chapters/01-one/solutions/head.rs", "");
    assert_faults(&book, &[("book/src/one.md:3", message)]);
}

#[test]
fn a_fault_in_an_included_file_is_told_with_both_places() {
    let book = SmallBook::new();
    book.write("book/part.md", "fine\n{{#include code.rs:stop}}\n[it](nowhere.md)\n");
    let line = book.add("book/src/one.md", "\n{{#include ../part.md}}\n") + 1;
    let place = format!("book/src/one.md:{line}");
    assert_faults(
        &book,
        &[
            (
                &place,
                "`nowhere.md`: there is no such page or file in the book: correct the link (included: book/part.md:3)",
            ),
            (&place, "no anchor `stop`"),
        ],
    );
}

#[test]
fn lines_after_an_include_keep_their_numbers() {
    let book = SmallBook::new();
    book.write("book/src/deep/two.md", "# Two\n\n{{#include ../../code.rs}}\n\n## Same\n\n## Same\n\n[x](no.md) <p id=\"by-hand\"></p>\n");
    assert_faults(&book, &[("book/src/deep/two.md:9", "`no.md`")]);
}

#[test]
fn a_page_that_includes_itself() {
    let book = SmallBook::new();
    book.add("book/src/deep/two.md", "\n{{#include two.md}}\n");
    let faults = book.faults();
    let said = faults.iter().any(|fault| {
        fault.starts_with("book/src/deep/two.md:1: ") && fault.contains("cyclic includes")
    });
    assert!(said, "{faults:#?}");
}

#[rstest]
#[case::orphan("book/src/alone.md", "# Alone\n", &[("book/src/alone.md:1", "an orphan")])]
#[case::orphan_in_a_folder("book/src/deep/er/alone.md", "", &[("book/src/deep/er/alone.md:1", "an orphan")])]
#[case::transcript_of_no_script("book/transcripts/old.txt", "$ x\n", &[
    ("book/transcripts/old.txt:1", "no page includes this transcript"),
    ("book/transcripts/old.txt:1", "no script in scripts.toml makes this transcript"),
])]
#[case::place_in_a_check("tests/02_two.rs", "x\n\"two.html\"\n", &[("tests/02_two.rs:2", "`two.html`: there is no such page")])]
#[case::place_in_a_folder_of_checks("tests/02_two/deep.rs", "x\n\"two.html\"\n", &[("tests/02_two/deep.rs:2", "`two.html`: there is no such page")])]
#[case::place_in_wrong_answers("chapters/02-two/wrong.toml", "see = \"one.html#no\"\n", &[
    ("chapters/02-two/wrong.toml:1", "`one.html#no`: `one.html` has no id `no`"),
])]
#[case::place_in_a_hint("chapters/02-two/solutions/a.rs", "\n\n\"one.html#no\"\n", &[
    ("chapters/02-two/solutions/a.rs:3", "`one.html` has no id `no`"),
])]
#[case::script_without_a_record("book/transcripts/scripts.toml", "[[script]]\nrun = \"cargo say\"\nfile = \"say\"\n\n[[script]]\nrun = \"cargo say\"\nfile = \"new\"\n", &[
    ("book/transcripts/scripts.toml:7", "`new` isn't recorded: run `cargo book transcripts new`"),
])]
#[case::two_scripts_for_one_file("book/transcripts/scripts.toml", "[[script]]\nrun = \"cargo say\"\nfile = \"say\"\nbeside = [{ run = \"cargo run -p ch02-x\", file = \"say\" }]\n", &[
    ("book/transcripts/scripts.toml:4", "`say` is made in line 3 already"),
])]
#[case::script_that_cannot_be_run("book/transcripts/scripts.toml", "[[script]]\nrun = \"wget localhost\"\nfile = \"say\"\n", &[
    ("book/transcripts/scripts.toml:3", "`wget localhost` can't be in a transcript"),
])]
#[case::script_with_input_that_cannot_be_given("book/transcripts/scripts.toml", "[[script]]\nrun = \"printf x | cargo say\"\nfile = \"say\"\n", &[
    ("book/transcripts/scripts.toml:3", "all of TEXT between quotes"),
])]
#[case::script_with_an_unknown_key("book/transcripts/scripts.toml", "[[script]]\nrun = \"cargo say\"\nfiles = \"say\"\n", &[
    ("book/transcripts/scripts.toml:3", "unknown field `files`"),
])]
fn of_one_file(#[case] path: &str, #[case] text: &str, #[case] expected: &[(&str, &str)]) {
    let book = SmallBook::new();
    book.write(path, text);
    assert_faults(&book, expected);
}

#[test]
fn a_transcript_that_no_page_shows() {
    let book = SmallBook::new();
    book.replace("book/src/one.md", "{{#include ../transcripts/say.txt}}", "");
    assert_faults(&book, &[("book/transcripts/say.txt:1", "no page includes this transcript")]);
}

#[test]
fn a_blank_line_in_a_picture() {
    let book = SmallBook::new();
    book.replace("book/pictures/ladder.svg", "<path", "\n<path");
    let faults = book.faults();
    let said = faults.iter().any(|fault| {
        fault.starts_with("book/src/one.md:24: a blank line in a picture ends it")
            && fault.ends_with("(included: book/pictures/ladder.svg:4)")
    });
    assert!(said, "{faults:#?}");
}

#[test]
fn the_same_picture_twice() {
    let book = SmallBook::new();
    book.add("book/src/deep/two.md", "\n{{#include ../../pictures/ladder.svg}}\n");
    assert_faults(
        &book,
        &[("book/src/deep/two.md:11", "is in another picture too, at book/src/one.md:24")],
    );
}

#[test]
fn entries_of_the_summary() {
    let book = SmallBook::new();
    let line = book.add("book/src/SUMMARY.md", "- [Draft]()\n- [Missing](missing.md)\n");
    // The other pages are checked in the same run.
    let other = book.add("book/src/one.md", "\n[it](missing.md)\n") + 1;
    assert_faults(
        &book,
        &[
            (&format!("book/src/SUMMARY.md:{line}"), "a draft"),
            (&format!("book/src/SUMMARY.md:{}", line + 1), "`missing.md` doesn't exist"),
            (&format!("book/src/one.md:{other}"), "`missing.md`: there is no such page"),
        ],
    );
}

#[test]
fn a_summary_that_mdbook_cannot_read() {
    let book = SmallBook::new();
    book.write(
        "book/src/SUMMARY.md",
        "- [One](one.md)\n- [One again](one.md)\n- [Two](deep/two.md)\n",
    );
    let faults = book.faults();
    let said = faults.iter().any(|fault| {
        fault.starts_with("book/")
            && fault.contains("mdBook can't build the book")
            && fault.contains("one.md")
    });
    assert!(said, "{faults:#?}");
}

#[test]
fn what_mdbook_warns_of() {
    let book = SmallBook::new();
    book.add("book/src/deep/two.md", "\n<div>\n");
    assert_faults(&book, &[("book/src/deep/two.md:1", "mdBook says: unclosed HTML tag `<div>`")]);
}

#[test]
fn all_in_one_run_in_order() {
    let book = SmallBook::new();
    book.write("book/src/alone.md", "");
    let line =
        book.add("book/src/one.md", "\n[b](no.md)\n\n{{#include ../no.rs}}\n\n[a](#no)\n") + 1;
    assert_faults(
        &book,
        &[
            ("book/src/alone.md:1", "an orphan"),
            (&format!("book/src/one.md:{line}"), "no.md"),
            (&format!("book/src/one.md:{}", line + 2), "../no.rs"),
            (&format!("book/src/one.md:{}", line + 4), "#no"),
        ],
    );
}
