//! Passes the locked versions of the queues to the program, which reports them.

fn main() {
    println!("cargo::rerun-if-changed=Cargo.lock");
    let lock = std::fs::read_to_string("Cargo.lock").expect("cargo writes the lock file before it builds");
    for (package, variable) in [("apalis-postgres", "APALIS_POSTGRES"), ("graphile_worker", "GRAPHILE_WORKER")] {
        let entry = format!("name = \"{package}\"\nversion = \"");
        let version = lock.split_once(&entry).and_then(|(_, rest)| rest.split_once('"'));
        let (version, _) = version.expect("the lock file contains every dependency");
        println!("cargo::rustc-env={variable}_VERSION={version}");
    }
}
