//! A machine on which all that is tested can go well. First of all tests, so that these are the last lines if it's not.

use visitors::setup;

#[test]
fn is_fine() {
    let faults = setup::faults();
    if !faults.is_empty() {
        // Without a panic's words around it, which mean nothing to somebody who wants to begin.
        eprintln!("The tests can't go well on this machine yet:\n");
        for fault in &faults {
            eprintln!("- {fault}.");
        }
        eprintln!("\nThen run `cargo test` again.");
    }
    assert!(faults.is_empty(), "see above");
}
