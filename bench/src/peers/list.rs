//! Which queues, in which settings. What a setting's name means is in the peer's own program, with where it is documented.

/// One queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// As its program calls it.
    pub name: &'static str,
    /// What runs it.
    pub program: Program,
    /// Defaults first, its best documented one last.
    pub settings: &'static [Setting],
}

/// One way to run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As its program is told.
    pub name: &'static str,
    /// No more jobs than this, where more would only take longer: the rate is known after some ten seconds.
    pub jobs_max: Option<u64>,
}

/// A program below `bench/peers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A file in `node`.
    Node(&'static str),
    /// A file in `python`.
    Python(&'static str),
    /// The first argument of the program in `rust`.
    Rust(&'static str),
}

/// What is installed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Node,
    Python,
    Rust,
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Node => "Node.js",
            Self::Python => "Python",
            Self::Rust => "Rust",
        })
    }
}

impl Program {
    pub(super) const fn family(self) -> Family {
        match self {
            Self::Node(_) => Family::Node,
            Self::Python(_) => Family::Python,
            Self::Rust(_) => Family::Rust,
        }
    }
}

const fn all(name: &'static str) -> Setting {
    Setting { name, jobs_max: None }
}

const fn at_most(jobs: u64, name: &'static str) -> Setting {
    Setting { name, jobs_max: Some(jobs) }
}

/// In the order of the table.
pub const PEERS: &[Peer] = &[
    Peer {
        name: "graphile-worker",
        program: Program::Node("graphile-worker.mjs"),
        settings: &[at_most(10_000, "defaults"), at_most(50_000, "concurrent"), all("batched")],
    },
    Peer {
        name: "pg-boss",
        program: Program::Node("pg-boss.mjs"),
        settings: &[at_most(10, "defaults"), all("batched")],
    },
    Peer {
        name: "pgqueuer",
        program: Program::Python("pgqueuer_peer.py"),
        settings: &[at_most(50_000, "defaults"), all("batched")],
    },
    Peer {
        name: "procrastinate",
        program: Program::Python("procrastinate_peer.py"),
        settings: &[at_most(3_000, "defaults"), at_most(5_000, "concurrent")],
    },
    Peer {
        name: "apalis-postgres",
        program: Program::Rust("apalis-postgres"),
        settings: &[at_most(10_000, "defaults"), all("batched")],
    },
    Peer {
        name: "graphile_worker (Rust)",
        program: Program::Rust("graphile_worker"),
        settings: &[at_most(40, "defaults"), all("batched")],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn each_peer_has_its_program_and_begins_with_its_defaults() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        for peer in PEERS {
            let file = match peer.program {
                Program::Node(file) => folder.join("node").join(file),
                Program::Python(file) => folder.join("python").join(file),
                Program::Rust(_) => folder.join("rust/Cargo.lock"),
            };
            assert!(file.is_file(), "{}", file.display());
            assert_eq!(peer.settings[0].name, "defaults", "{}", peer.name);
        }
        let names: BTreeSet<_> = PEERS.iter().map(|peer| peer.name).collect();
        assert_eq!(names.len(), PEERS.len());
    }
}
