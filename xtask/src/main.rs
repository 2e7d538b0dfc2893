//! `cargo xtask …`: builds the UI, runs the demo, the tests and the benchmarks.

fn main() -> anyhow::Result<()> {
    Ok(())
}
