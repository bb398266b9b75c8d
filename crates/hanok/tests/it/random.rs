//! A small generator (splitmix64), so that a run can be repeated.

pub struct Random(pub u64);

impl Random {
    /// From `HANOK_SEED`, or from the test's own; a failure has printed which.
    pub fn seeded(own: u64) -> Random {
        let seed = std::env::var("HANOK_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(own);
        eprintln!("HANOK_SEED={seed}");
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let n = u64::try_from(of.len()).ok().filter(|n| *n > 0)?;
        of.get(usize::try_from(self.below(n)).ok()?)
    }
}
