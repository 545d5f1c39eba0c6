//! Words and a generator of numbers, so that the data looks like data and is always the same.

use super::Cell;

/// splitmix64: small, and the same everywhere.
pub struct Numbers(u64);

impl Numbers {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }

    /// One of a list.
    pub fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list.get(self.below(list.len())).copied().unwrap_or_default()
    }

    /// NULL in one of five.
    pub fn perhaps(&mut self, cell: Cell) -> Cell {
        if self.below(5) == 0 { Cell::Null } else { cell }
    }

    /// A few sentences; now and then many.
    pub fn prose(&mut self) -> String {
        let sentences = if self.below(20) == 0 { 60 } else { 1 + self.below(4) };
        let all: Vec<&str> = (0..sentences).map(|_| self.pick(SENTENCES)).collect();
        all.join(" ")
    }

    /// A moment of the years 2023 to 2025, with its zone.
    pub fn moment(&mut self) -> Cell {
        Cell::Text(format!(
            "20{:02}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}+00",
            23 + self.below(3),
            1 + self.below(12),
            1 + self.below(28),
            self.below(24),
            self.below(60),
            self.below(60),
            1 + self.below(999)
        ))
    }
}

/// Sentences with everything that breaks careless tools.
pub const SENTENCES: &[&str] = &[
    "Patients come first; the protocol's second.",
    "Siehe Anhang „Dosierung“ – gültig ab Größe 3.",
    "C:\\clinics\\north holds the old \"forms\".",
    "患者の声を聞く。",
    "اتصل بالفريق قبل التغيير.",
    "Costs rose by 3.5 % – see line 2.\nThe rest is unchanged.",
    "Don't merge with O'Brien's list 🩺.",
    "\\N is not null, and neither is '' or NULL.",
    "Tab\there, ünïcödé there, 100% sure.",
    "{\"looks\": \"like json\"} but is prose.",
];

/// Nouns for names.
pub const NOUNS: &[&str] = &[
    "Triage",
    "Consent",
    "Dosing",
    "Télésanté",
    "Wearable",
    "Registry",
    "Pharmacy",
    "Imaging",
    "Follow-up",
    "Adherence",
    "Größe",
    "Labor",
    "Sepsis",
    "Cardio",
    "診断",
    "Onboarding",
];

/// Adjectives for names.
pub const KINDS: &[&str] =
    &["remote", "clinical", "mobile", "secure", "pediatric", "AI-assisted", "“fast”", "O'Neill's"];

/// Tags.
pub const TAGS: &[&str] = &["core", "pilot", "β", "gdpr", "hl7/fhir", "a,b", "quote\"d", "日本"];
