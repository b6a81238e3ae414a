//! A machine on which all that is tested can go well. First of all tests, so that its words are the last lines if it's not.

use std::fmt;

use visitors::setup;

/// What is missing. Shown as it is, without a panic's words around it: they mean nothing to somebody who wants to begin.
struct Missing(Vec<String>);

impl fmt::Debug for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The tests can't go well on this machine yet:\n")?;
        for fault in &self.0 {
            writeln!(f, "- {fault}.")?;
        }
        writeln!(f, "\nMend that, and run `cargo test` again.")
    }
}

#[test]
fn is_fine() -> Result<(), Missing> {
    let faults = setup::faults();
    if faults.is_empty() { Ok(()) } else { Err(Missing(faults)) }
}
