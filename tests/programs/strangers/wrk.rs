//! wrk, which asks as fast as it can and counts what it gets.

use rstest::rstest;

use crate::house::House;
use crate::tools::{alone, run, tool};

#[rstest]
#[case::kept_alive("/hello", "", "1")]
#[case::kept_alive_by_two_workers("/hello", "", "2")]
#[case::a_connection_each("/hello", "Connection: close", "1")]
#[case::a_connection_each_by_two_workers("/hello", "Connection: close", "2")]
#[case::a_small_file("/small", "", "1")]
#[case::a_large_file("/large", "", "1")]
fn nothing_goes_wrong(#[case] path: &str, #[case] field: &str, #[case] workers: &str) {
    let Some(wrk) = tool("wrk") else { return };
    let _alone = alone();
    let house = House::open(&["--workers", workers]);
    house.file("small", 2000);
    house.file("large", 300_000);
    let url = house.url(path);
    let mut options =
        vec!["--threads", "1", "--connections", "32", "--duration", "2s", "--timeout", "30s"];
    if !field.is_empty() {
        options.extend(["--header", field]);
    }
    options.push(&url);
    let said = run(&wrk, options).well().text();
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    let requests = said.lines().find_map(|line| line.trim().split_once(" requests in "));
    let requests: u64 = requests.and_then(|(count, _)| count.parse().ok()).expect("it counts");
    assert!(requests >= 32, "{said}");
    // We have counted them as well.
    let counted = house.count("requests_total");
    assert!((requests..=requests + 40).contains(&counted), "{requests} or {counted}");
    let connections = house.count("connections_total");
    let expected = if field.is_empty() { 30..50 } else { requests..requests + 50 };
    assert!(expected.contains(&connections), "{connections} connections for {requests} requests");
    house.is_empty();
    assert_eq!(house.program.stderr(), [""; 0]);
}
