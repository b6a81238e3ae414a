//! What mdBook complains of while it works.
//!
//! mdBook logs a warning and goes on: the build still says that all went well. So we listen.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Does `work` and returns, with its result, each warning and error that was logged meanwhile.
///
/// Only this thread is listened to: mdBook starts no other, and tests run side by side.
pub fn listening<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Listener(Arc::clone(&heard));
    let result =
        tracing::subscriber::with_default(tracing_subscriber::registry().with(listener), work);
    let messages = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    (result, messages)
}

struct Listener(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Listener {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(message.0);
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a String can't fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}
