//! Everything that is not a vCPU: one thread that waits for events and never for anything else.
//!
//! A subscriber's work is over in microseconds. Consolidation and queries are the collector's, in a process
//! of its own, so nothing that a collector does or leaves undone holds this loop up.

mod console;
mod deadline;
mod signals;
mod tick;

pub use console::ConsoleInput;
pub use deadline::Deadline;
pub use signals::Signals;
pub use tick::Tick;

use crate::ending::{EndRequest, Ending};
use crate::error::Error;
use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use std::io;
use std::sync::Arc;

/// Something that waits for events; see [`MutEventSubscriber`].
pub type Subscriber = Box<dyn MutEventSubscriber>;

/// The loop.
pub struct EventLoop {
    manager: EventManager<Subscriber>,
    end: Arc<EndRequest>,
}

impl EventLoop {
    /// A loop that ends when somebody asks for the end.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn new(end: Arc<EndRequest>) -> Result<Self, Error> {
        let manager = EventManager::new().map_err(|error| Error::System {
            action: "create the event loop",
            source: io::Error::other(error),
        })?;
        let mut this = Self { manager, end };
        this.add(Box::new(WakeUp(this.end.clone())));
        Ok(this)
    }

    /// Adds a subscriber. One that cannot watch what it has to asks for the end.
    pub fn add(&mut self, subscriber: Subscriber) {
        self.manager.add_subscriber(subscriber);
    }

    /// Handles events until the end.
    pub fn run(&mut self) -> Ending {
        loop {
            if let Some(ending) = self.end.ending() {
                return ending.clone();
            }
            if let Err(error) = self.manager.run() {
                self.end
                    .ask(Ending::Failed(format!("the event loop cannot wait: {error}")));
            }
        }
    }
}

/// For [`MutEventSubscriber::init`], which cannot fail: watches, or asks for the end.
pub fn watch(ops: &mut EventOps<'_>, events: Events, end: &EndRequest) {
    if let Err(error) = ops.add(events) {
        end.ask(Ending::Failed(format!("cannot wait for an event: {error}")));
    }
}

/// Makes the loop look at whether it is over.
struct WakeUp(Arc<EndRequest>);

impl MutEventSubscriber for WakeUp {
    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {}

    fn init(&mut self, ops: &mut EventOps<'_>) {
        watch(ops, Events::new(self.0.event(), EventSet::IN), &self.0);
    }
}
