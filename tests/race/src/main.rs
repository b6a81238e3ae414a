//! `cargo race`: what each way of waiting costs, measured side by side on this machine.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    race::measure::command::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!(
        "cargo race: it asks the kernel what servers cost as Linux alone tells it: run it there"
    );
    std::process::ExitCode::FAILURE
}
