//! The queues and their settings. The program of each peer defines its settings and names their
//! documentation.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The name in the program's output.
    pub name: &'static str,
    pub program: Program,
    /// The defaults first, the fastest documented setting last.
    pub settings: &'static [Setting],
}

/// A configuration of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The argument for the program.
    pub name: &'static str,
    /// The most jobs for a slow setting. Its rate is known after about ten seconds.
    pub jobs_max: Option<u64>,
}

/// A program below `bench/peers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The name of a file in `node`.
    Node(&'static str),
    /// The name of a file in `python`.
    Python(&'static str),
    /// The first argument of the program in `rust`.
    Rust(&'static str),
}

/// Peers that are installed together.
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

/// All peers, in the order of the table.
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
    fn each_peer_has_a_program_and_its_defaults_come_first() {
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
