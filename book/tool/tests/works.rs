//! `cargo book` does its main job here: it builds a book and serves it. What `cargo test` asks of a setup.

mod served;
mod small_book;

use served::Served;
use small_book::SmallBook;

#[test]
fn the_pages_are_there_when_the_address_is() {
    let book = SmallBook::new();
    let served = Served::start(book.root());
    for (path, text) in [
        ("/", "<h1 id=\"start\">"),
        ("/index.html", "<h1 id=\"start\">"),
        ("/one.html", "<h1 id=\"one\">"),
        ("/deep/two.html", "<h1 id=\"two\">"),
        ("/dot.svg", "<svg"),
    ] {
        let answer = served.get(path);
        assert!(answer.head.starts_with("HTTP/1.1 200 "), "{path}: {answer:?}");
        assert!(answer.body.contains(text), "{path}: {answer:?}");
        // By the one a page's script knows where it came from; without the other a browser would
        // show a page as it was before a change.
        assert!(answer.head.contains("\r\nServer-Timing: live;desc="), "{path}: {}", answer.head);
        assert!(answer.head.contains("\r\nCache-Control: no-cache"), "{path}: {}", answer.head);
    }
    assert!(served.get("/nowhere.html").head.starts_with("HTTP/1.1 404 "));
    let printed = String::from_utf8(served.program.stdout()).expect("it's text");
    assert_eq!(printed, format!("the book is at {}\n", served.url("/")), "and nothing else");
    served.says("Ctrl-C ends it.");
    assert!(!book.root().join("book/book").exists(), "`cargo book build` puts them there");
}
