//! The dispatcher as the loop sees it.

use tidegate_core::{Dispatcher, Disposition, InlineRoom, Input, Mono, Output, View};

/// A dispatcher that the loop can drive. The methods are those of [`Dispatcher`].
///
/// Production drives a [`Dispatcher`]. The simulation drives a dispatcher inside a wrapper, which
/// shows every input and output to the checkers.
pub trait Drivable: Send {
    fn handle(&mut self, now: Mono, input: Input) -> Disposition;
    fn poll(&mut self) -> Output;
    fn view(&self) -> View;
    fn inline_room(&self) -> InlineRoom;
}

impl Drivable for Dispatcher {
    fn handle(&mut self, now: Mono, input: Input) -> Disposition {
        Self::handle(self, now, input)
    }

    fn poll(&mut self) -> Output {
        Self::poll(self)
    }

    fn view(&self) -> View {
        Self::view(self)
    }

    fn inline_room(&self) -> InlineRoom {
        Self::inline_room(self)
    }
}
