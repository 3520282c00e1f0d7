//! Scripts, from outside: what they can do, and what happens when they do too much.

mod check;
mod effects;
mod limits;
mod principals;
mod replies;
mod world;
