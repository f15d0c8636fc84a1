//! End-to-end scenarios and benchmarks on real parts: the `tidegate` binary's own processes, real Postgres, real
//! Docker, real git, a real registry. The library is the harness; the scenarios are in `tests/it`.

pub mod api;
pub mod cluster;
pub mod engine;
pub mod example;
pub mod host;
pub mod process;
pub mod registry;
pub mod repo;
pub mod scenario;
pub mod stack;
pub mod stand_ins;
pub mod world;
