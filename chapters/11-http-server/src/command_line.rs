//! What a program says of options that are wrong, from here on where there are many.

use ch07_callbacks::program::complain;

/// Gives help, if that was asked for, or says in one line what is wrong; and ends the program.
pub fn no_options(program: &str, error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    let said = error.to_string();
    let first = said.lines().next().unwrap_or_default();
    complain(program, 2, &format!("{}; see --help", first.trim_start_matches("error: ")))
}
