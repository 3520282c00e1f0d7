//! The executor with real scripts: what they can do, and what happens when they exceed a limit.

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
