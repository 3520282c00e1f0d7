//! `sqlx::migrate!` embeds the files that are there when it is compiled; a new one must compile it again.

fn main() {
    println!("cargo:rerun-if-changed=../migrations/postgres");
}
