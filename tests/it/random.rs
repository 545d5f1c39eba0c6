//! Random numbers that a printed seed brings back.

/// A small generator; the same seed gives the same numbers.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        // Neighbouring seeds must not begin alike.
        let mut random = Random(seed ^ 0x9E37_79B9_7F4A_7C15);
        for _ in 0..3 {
            random.below(2);
        }
        random
    }

    /// The seed of this test run: `TABLELIFT_TEST_SEED`, or a new one, which is printed.
    pub fn seed() -> u64 {
        let given = std::env::var("TABLELIFT_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            now.as_millis() as u64 % 1_000_000_000
        });
        eprintln!("TABLELIFT_TEST_SEED={seed}");
        seed
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }
}
