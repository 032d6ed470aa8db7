//! Every seed through its target, and through it again with each bit of the first bytes turned: no fuzzer needed.

use std::{fs, path::Path};

/// Bits of each seed that are turned one by one.
const BITS: usize = 2048;

fn run(target: &str, with: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut seeds = 0;
    for file in fs::read_dir(directory).expect("the seeds are in the tree") {
        let mut bytes = fs::read(file.expect("a readable directory").path()).expect("a readable seed");
        with(&bytes);
        for bit in 0..BITS.min(bytes.len() * 8) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            with(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        seeds += 1;
    }
    assert!(seeds > 0, "{target} has no seeds");
}

#[test]
fn sse_metadata() {
    run("sse_metadata", tidegate_fuzz::sse_metadata);
}

#[test]
fn envelope() {
    run("envelope", tidegate_fuzz::envelope);
}

#[test]
fn kek_file() {
    run("kek_file", tidegate_fuzz::kek_file);
}

#[test]
fn entry() {
    run("entry", tidegate_fuzz::entry);
}

#[test]
fn range() {
    run("range", tidegate_fuzz::range);
}

#[test]
fn answer() {
    run("answer", tidegate_fuzz::answer);
}
