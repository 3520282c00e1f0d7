//! The executor with real scripts: their effects, their replies, and their limits.

mod check;
mod effects;
mod fresh;
mod leaks;
mod limits;
mod principals;
mod recycling;
mod replies;
mod threads;
mod warm;
mod world;
