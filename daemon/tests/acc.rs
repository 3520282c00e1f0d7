#[path = "it/bad_input.rs"]
mod bad_input;
#[path = "it/fairness.rs"]
mod fairness;
#[path = "it/nothing_is_lost.rs"]
mod nothing_is_lost;
#[path = "it/outage.rs"]
mod outage;
#[path = "it/poison.rs"]
mod poison;
#[path = "it/world/mod.rs"]
mod world;
