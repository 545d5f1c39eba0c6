//! The fuzz targets on stable: each file of the corpus, and random changes of it, break no
//! promise and take no longer than a second.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::random::Random;

#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// Time for each target's random inputs; its corpus is replayed however long it takes.
const RANDOM: Duration = Duration::from_millis(1_200);
/// No input may take longer, even in a debug build.
const SLOWEST: Duration = Duration::from_secs(1);

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The same seed makes the same changes, whatever the order on the disk.
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// One input of the corpus with some bytes changed, cut out, repeated or taken from another.
fn changed(random: &mut Random, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut data = random.pick(inputs).clone();
    for _ in 0..=random.below(4) {
        let at = at(random, data.len());
        let end = at + usize::try_from(random.below(16)).unwrap().min(data.len() - at);
        match random.below(5) {
            0 => drop(data.drain(at..end)),
            1 => data.insert(at, random.below(256) as u8),
            2 => data[at..end].iter_mut().for_each(|byte| *byte ^= 1 << random.below(8)),
            3 => {
                let piece = data[at..end].to_vec();
                for _ in 0..=random.below(9) {
                    data.splice(at..at, piece.iter().copied());
                }
            }
            _ => {
                let other = random.pick(inputs);
                let from = self::at(random, other.len());
                let upto = other.len().min(from + 40);
                data.splice(at..end, other[from..upto].iter().copied());
            }
        }
    }
    data
}

fn at(random: &mut Random, length: usize) -> usize {
    usize::try_from(random.below(length as u64 + 1)).unwrap()
}

fn replayed(name: &str) {
    let (_, target) = targets::TARGETS.iter().find(|(other, _)| *other == name).unwrap();
    let inputs = corpus(name);
    assert!(!inputs.is_empty(), "{name} has a corpus");
    let once = |data: &[u8]| {
        let begun = Instant::now();
        (std::panic::catch_unwind(|| target(data)).is_err(), begun.elapsed())
    };
    let run = |data: &[u8], what: &dyn Fn() -> String| {
        let (mut broken, mut took) = once(data);
        if took > SLOWEST {
            // Was it the input, or a machine that had no time for us?
            (broken, took) = once(data);
        }
        if broken || took > SLOWEST {
            let kept = std::env::temp_dir().join(format!("tablelift-fuzz-{name}"));
            std::fs::write(&kept, data).unwrap();
            panic!("{name}: {} took {took:?}, panicked: {broken}; it is in {kept:?}", what());
        }
    };
    for (number, data) in inputs.iter().enumerate() {
        run(data, &|| format!("file {number} of the corpus"));
    }
    let mut random = Random::new(Random::seed());
    let begun = Instant::now();
    let mut tried = 0;
    while begun.elapsed() < RANDOM {
        let data = changed(&mut random, &inputs);
        tried += 1;
        run(&data, &|| format!("random input {tried}"));
    }
    eprintln!("{name}: {} files of the corpus, {tried} random inputs", inputs.len());
}

/// Inputs too long for the corpus, each of which once took a time that grew with its square.
#[test]
fn no_long_input_takes_a_second() {
    let many =
        |count: usize, line: &dyn Fn(usize) -> String| -> String { (0..count).map(line).collect() };
    let plan = |steps: String| {
        format!("name = \"p\"\nsource.url = \"sqlite:a\"\ntarget.url = \"sqlite:b\"\n{steps}")
    };
    for (what, target, text) in [
        ("a wide header", "csv", many(20_000, &|at| format!("c{at},"))),
        ("an object of many keys", "csv", {
            format!("{{{}\"\":0}}", many(20_000, &|at| format!("\"c{at}\":1,")))
        }),
        ("a plan of many steps", "plan", {
            plan(many(2_000, &|at| format!("[[step]]\nname = \"s{at}\"\nsql = \"${{x}}\"\n")))
        }),
        ("a plan of equal steps", "plan", {
            plan("[[step]]\nname = \"s\"\nsql = \"\"\n".repeat(2_000))
        }),
        ("a deep plan", "plan", plan(format!("{}b = 1", "a.".repeat(200_000)))),
        ("a deep document", "mapping_json", "[".repeat(200_000)),
    ] {
        let (_, target) = targets::TARGETS.iter().find(|(other, _)| *other == target).unwrap();
        let took = (0..2).map(|_| {
            let begun = Instant::now();
            target(text.as_bytes());
            begun.elapsed()
        });
        let took = took.min().unwrap();
        assert!(took < SLOWEST, "{what} took {took:?}");
    }
}

#[test]
fn binary_forms_are_values_or_unreadable() {
    replayed("wire");
}

#[test]
fn files_are_rows_or_errors() {
    replayed("csv");
}

#[test]
fn keys_come_back_from_the_ledger() {
    replayed("key");
}

#[test]
fn what_is_folded_is_json() {
    replayed("mapping_json");
}

#[test]
fn plans_are_plans_or_findings() {
    replayed("plan");
}
