//! The event loop: it owns everything that is waited for, waits in one line, and calls
//! whoever has news.
//!
//! Read [`EventLoop::turn`] first.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::backend::{Asked, Backend};
use crate::readiness::{Interest, Readiness};
use crate::slots::{Slots, Token};
use crate::source::{Ending, Handler, Source};

// ANCHOR: struct
/// An event loop. Whoever is called by it gets it, and may do with it
/// what they like.
pub struct EventLoop {
    waiter: Waiter,
    tenants: Slots<Tenant>,
    /// Those that somebody has had in hand since the last wait. Only
    /// they can have changed.
    touched: Vec<Token>,
    /// Those whose patience isn't endless: few.
    impatient: Vec<Token>,
    /// Those that have been closed, and haven't been told yet.
    gone: VecDeque<(Token, Box<dyn Source>, Ending)>,
    /// Who has news, in this turn. Kept, so that a turn needs no new
    /// memory.
    ready: Vec<(Token, Readiness)>,
    turns: u64,
    running: bool,
    stopped: bool,
}
// ANCHOR_END: struct

// ANCHOR: tenant
/// A source in its slot.
struct Tenant {
    source: Box<dyn Source>,
    /// `None` while it runs.
    handler: Option<Handler>,
    /// What the backend was last told.
    asked: Interest,
    touched: bool,
    impatient: bool,
}

/// The backend, and how many it is asked about.
struct Waiter {
    backend: Box<dyn Backend>,
    asked: usize,
}
// ANCHOR_END: tenant

impl EventLoop {
    /// A loop that waits in `backend`.
    pub fn new(backend: impl Backend + 'static) -> Self {
        Self {
            waiter: Waiter { backend: Box::new(backend), asked: 0 },
            tenants: Slots::default(),
            touched: Vec::new(),
            impatient: Vec::new(),
            gone: VecDeque::new(),
            ready: Vec::new(),
            turns: 0,
            running: false,
            stopped: false,
        }
    }

    /// Takes a source over. `handler` is called whenever it's ready.
    pub fn add<H>(&mut self, source: impl Source, handler: H) -> Token
    where
        H: FnMut(&mut Self, Token, Readiness) -> io::Result<()> + 'static,
    {
        let token = self.tenants.insert(Tenant {
            source: Box::new(source),
            handler: Some(Box::new(handler)),
            asked: Interest::NONE,
            touched: true,
            impatient: false,
        });
        self.touched.push(token);
        token
    }

    // ANCHOR: get
    /// A source, to be looked at. `None` when it's gone, or of another
    /// type.
    pub fn get<S: Source>(&self, token: Token) -> Option<&S> {
        let source: &dyn Any = &*self.tenants.get(token)?.source;
        source.downcast_ref()
    }

    /// A source, to be changed. There is no other way to it, so that who
    /// has been changed is known.
    pub fn get_mut<S: Source>(&mut self, token: Token) -> Option<&mut S> {
        let tenant = self.tenants.get_mut(token)?;
        if !mem::replace(&mut tenant.touched, true) {
            self.touched.push(token);
        }
        let source: &mut dyn Any = &mut *tenant.source;
        source.downcast_mut()
    }
    // ANCHOR_END: get

    /// All sources of one type.
    pub fn tokens<S: Source>(&self) -> Vec<Token> {
        let is_one = |tenant: &Tenant| (&*tenant.source as &dyn Any).is::<S>();
        self.tenants.iter().filter(|(_, tenant)| is_one(tenant)).map(|(token, _)| token).collect()
    }

    /// How many turns there have been.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Closes a source now; what it had queued is lost. Its own [`Source::closed`] is
    /// called as soon as no callback runs. A token whose source is gone closes nobody.
    pub fn close(&mut self, token: Token) {
        self.end(token, Ending::Closed);
    }

    /// [`run`](Self::run) returns when this turn is over.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Turns until somebody calls [`stop`](Self::stop), or until there is nothing left
    /// to wait for.
    ///
    /// # Errors
    /// Those of [`turn`](Self::turn).
    pub fn run(&mut self) -> io::Result<()> {
        if self.running {
            return self.turn(None).map(drop); // which says that it's running
        }
        while !self.stopped && self.turn(None)? {}
        self.stopped = false;
        // What was queued last still goes to the kernel, as far as there is room.
        self.ask();
        Ok(())
    }

    // ANCHOR: turn
    /// One turn: asks everybody who may have changed, waits, and calls who
    /// is ready. It waits no longer than `at_most`, and no longer than the
    /// most impatient source. False: there is nothing that it could wait
    /// for, and so it didn't.
    ///
    /// # Errors
    /// When waiting itself fails, and when a callback calls it: it's
    /// running already.
    pub fn turn(&mut self, at_most: Option<Duration>) -> io::Result<bool> {
        if mem::replace(&mut self.running, true) {
            return Err(io::Error::other("the loop runs already: return from the callback"));
        }
        self.ask();
        // Stopped by somebody who has just been told of its end, it only
        // looks.
        let stopped = self.stopped.then_some(Duration::ZERO);
        let limits = [at_most, self.least_patience(), stopped];
        let at_most = limits.into_iter().flatten().min();
        if self.waiter.asked == 0 && at_most.is_none() {
            self.running = false;
            return Ok(false);
        }
        let mut ready = mem::take(&mut self.ready);
        let waited = self.wait(at_most, &mut ready);
        self.turns += 1;
        for (token, readiness) in ready.drain(..) {
            self.call(token, readiness);
        }
        self.ready = ready;
        for token in self.out_of_patience() {
            self.call(token, Readiness::NONE);
        }
        self.running = false;
        waited.map(|()| true)
    }

    /// Waiting borrows the descriptors of all. What it gives back borrows
    /// nothing: whoever is called then may add, close and change whom they
    /// like.
    fn wait(
        &mut self,
        at_most: Option<Duration>,
        ready: &mut Vec<(Token, Readiness)>,
    ) -> io::Result<()> {
        let mut all = self.tenants.iter().filter_map(|(token, tenant)| {
            let descriptor = tenant.source.descriptor()?;
            let interest = tenant.asked;
            (interest != Interest::NONE).then_some(Asked { token, descriptor, interest })
        });
        // waits: until any of them is ready, in the backend's call
        self.waiter.backend.wait(&mut all, at_most, ready)
    }
    // ANCHOR_END: turn

    // ANCHOR: call
    /// Calls a source's handler. While it runs the source stays in its
    /// slot, where everybody can reach it, itself included; the handler
    /// doesn't.
    fn call(&mut self, token: Token, readiness: Readiness) {
        // Closed earlier in this turn, it's gone, and the news is late.
        // Whoever has its slot now has another token.
        let Some(tenant) = self.tenants.get_mut(token) else { return };
        let Some(mut handler) = tenant.handler.take() else { return };
        if !mem::replace(&mut tenant.touched, true) {
            self.touched.push(token);
        }
        let mut result = Ok(());
        self.guard(Some(token), |event_loop| {
            result = handler(event_loop, token, readiness);
        });
        if let Err(error) = result {
            self.end(token, Ending::Failed(error));
        }
        // Unless it has closed itself.
        if let Some(tenant) = self.tenants.get_mut(token) {
            tenant.handler = Some(handler);
        }
        self.tell_the_gone();
    }

    /// Calls somebody's code. If it panics, that ends the source that is
    /// answerable for it, if there is one, and nobody else. (Rust prints
    /// the panic's message, as always.)
    pub fn guard(&mut self, answerable: Option<Token>, callback: impl FnOnce(&mut Self)) {
        // Asserted: what the callback leaves half done is the source's own,
        // and goes with it.
        let outcome = catch_unwind(AssertUnwindSafe(|| callback(self)));
        if let (Err(_), Some(token)) = (outcome, answerable) {
            self.end(token, Ending::Panicked);
        }
    }
    // ANCHOR_END: call

    // ANCHOR: ask
    /// Has everybody who was touched send what is queued, and asks what
    /// they wait for now. The backend hears of it if that is something else
    /// than before.
    fn ask(&mut self) {
        loop {
            self.tell_the_gone();
            let Some(token) = self.touched.pop() else { return };
            let Some(tenant) = self.tenants.get_mut(token) else { continue };
            tenant.touched = false;
            let settled = tenant.source.flush().and_then(|()| {
                let interest = tenant.source.interest();
                self.waiter.tell(token, tenant, interest)
            });
            match settled {
                Ok(()) if tenant.source.is_over() => self.end(token, Ending::Finished),
                Ok(()) => {
                    let impatient = tenant.source.patience().is_some();
                    if impatient && !mem::replace(&mut tenant.impatient, true) {
                        self.impatient.push(token);
                    }
                }
                Err(error) => self.end(token, Ending::Failed(error)),
            }
        }
    }
    // ANCHOR_END: ask

    // ANCHOR: end
    /// Takes a source out of the loop. Whoever wants to do something about
    /// it does so later: called from here, they would run in the middle of
    /// whatever called us.
    fn end(&mut self, token: Token, ending: Ending) {
        let Some(mut tenant) = self.tenants.remove(token) else { return };
        // Before its descriptor is closed: where a duplicate of that lives
        // on, the kernel would go on reporting it. If it can't be taken off
        // the list, it isn't on the list.
        let _ = self.waiter.tell(token, &mut tenant, Interest::NONE);
        self.gone.push_back((token, tenant.source, ending));
    }

    #[inline]
    fn tell_the_gone(&mut self) {
        while let Some((token, source, ending)) = self.gone.pop_front() {
            self.guard(None, |event_loop| source.closed(event_loop, token, ending));
        }
    }
    // ANCHOR_END: end

    fn least_patience(&mut self) -> Option<Duration> {
        let mut least: Option<Duration> = None;
        self.impatient.retain(|token| {
            let Some(tenant) = self.tenants.get_mut(*token) else { return false };
            let patience = tenant.source.patience();
            tenant.impatient = patience.is_some();
            least = least.into_iter().chain(patience).min();
            tenant.impatient
        });
        least
    }

    fn out_of_patience(&self) -> Vec<Token> {
        let is_out = |token: &Token| {
            let tenant = self.tenants.get(*token);
            tenant.is_some_and(|tenant| tenant.source.patience() == Some(Duration::ZERO))
        };
        self.impatient.iter().copied().filter(is_out).collect()
    }
}

impl Waiter {
    /// No call is made when nothing has changed.
    fn tell(&mut self, token: Token, tenant: &mut Tenant, interest: Interest) -> io::Result<()> {
        let from = mem::replace(&mut tenant.asked, interest);
        if interest == from {
            return Ok(());
        }
        let Some(descriptor) = tenant.source.descriptor() else { return Ok(()) };
        self.asked += usize::from(interest != Interest::NONE);
        self.asked -= usize::from(from != Interest::NONE);
        self.backend.change(Asked { token, descriptor, interest }, from)
    }
}
