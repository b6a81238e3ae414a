//! A server's options, and what a program says of those that are wrong.

use std::path::PathBuf;
use std::time::Duration;

use ch07_callbacks::program::complain;
use clap::Args;

use crate::settings::Settings;

/// Gives help, if that was asked for, or says in one line what is wrong; and ends the program.
pub fn no_options(program: &str, error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    let said = error.to_string();
    let first = said.lines().next().unwrap_or_default();
    complain(program, 2, &format!("{}; see --help", first.trim_start_matches("error: ")))
}

/// What a server of this book is told, besides where to listen.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// The folder to serve [without it: the same small page as every server of this book]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// How many loops [default: one for each core]
    #[arg(long, value_name = "NUMBER", value_parser = at_least_one)]
    pub workers: Option<usize>,

    /// How many connections at the most [default: as many as this process may have]
    #[arg(long, value_name = "NUMBER", value_parser = at_least_one)]
    pub connections: Option<usize>,

    /// Longest body of a request, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Settings::USUAL.limits.body)]
    pub body: u64,

    /// How long a visitor may say nothing, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::USUAL.idle_timeout.as_secs_f64(), value_parser = a_time)]
    pub idle: f64,

    /// How long it may take to send a request's head
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::USUAL.head_timeout.as_secs_f64(), value_parser = a_time)]
    pub head: f64,

    /// How long it may send nothing of a request's body
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::USUAL.body_timeout.as_secs_f64(), value_parser = a_time)]
    pub upload: f64,

    /// How long it may read nothing of an answer
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::USUAL.send_timeout.as_secs_f64(), value_parser = a_time)]
    pub answer: f64,

    /// How long to finish what was begun, when stopped
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::USUAL.shutdown_timeout.as_secs_f64(), value_parser = a_time)]
    pub grace: f64,

    /// Where to log who came, in the combined format; - is stdout
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

impl ServerOptions {
    /// For one of so many loops, when there is room for so many connections in all.
    pub fn settings(&self, workers: usize, room: usize) -> Settings {
        let mut settings = Settings::USUAL;
        settings.limits.body = self.body;
        settings.max_connections = self.connections.unwrap_or(room).div_ceil(workers);
        settings.idle_timeout = Duration::from_secs_f64(self.idle);
        settings.head_timeout = Duration::from_secs_f64(self.head);
        settings.body_timeout = Duration::from_secs_f64(self.upload);
        settings.send_timeout = Duration::from_secs_f64(self.answer);
        settings.shutdown_timeout = Duration::from_secs_f64(self.grace);
        settings
    }
}

fn at_least_one(word: &str) -> Result<usize, String> {
    word.parse().ok().filter(|number| *number > 0).ok_or_else(|| "give a number above 0".to_owned())
}

fn a_time(word: &str) -> Result<f64, String> {
    let is_one = |seconds: &f64| *seconds > 0.0 && Duration::try_from_secs_f64(*seconds).is_ok();
    word.parse().ok().filter(is_one).ok_or_else(|| "give seconds, such as 10 or 0.5".to_owned())
}
