//! Opens a page in the reader's browser.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// What opens a page, by platform: the first that is installed and succeeds is used. On WSL,
/// `wslview` comes before `xdg-open`, which would look for a browser inside Linux.
const OPENERS: &[&str] =
    if cfg!(target_os = "macos") { &["open"] } else { &["wslview", "xdg-open"] };

/// Opens the page at an address in the browser. It may be long before that returns: some
/// openers wait for the browser.
///
/// # Errors
/// If none of the platform's openers is installed, or none succeeds.
pub fn open(address: &str) -> Result<()> {
    for opener in OPENERS {
        let status = Command::new(opener)
            .arg(address)
            // Ctrl-C is for us: it mustn't end a browser that was started for this page.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if status.is_ok_and(|status| status.success()) {
            return Ok(());
        }
    }
    bail!(
        "nothing here opens a browser (tried {}): open {address} in yours",
        OPENERS.join(" and ")
    );
}
