//! What runs a program that takes another one's place.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::TAKE_OVER;
use crate::activation::VARIABLES;

/// That program, with these arguments. It has no doors but those that it's handed, whatever this
/// one was told of at its start.
pub fn take_over(program: &Path, arguments: &[OsString]) -> Command {
    let mut command = Command::new(program);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command.arg(TAKE_OVER).args(arguments);
    command
}
