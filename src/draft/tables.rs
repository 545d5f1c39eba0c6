//! Which source table goes into which target table, and why.

use std::collections::BTreeMap;

use super::names::{Age, Stem, shared_prefixes, stem, table_key};
use super::{Side, Surveyed};
use crate::sql::survey::TableKind;

/// A source table and what was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Position of the source table.
    pub source: usize,
    /// What was decided.
    pub fate: Fate,
}

/// What becomes of a source table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It goes into this target table.
    Into {
        /// Position of the target table.
        target: usize,
        /// Why.
        why: String,
    },
    /// More than one pair is possible: nobody is asked to guess.
    Ambiguous {
        /// Why.
        why: String,
    },
    /// Nothing in the target has such a name.
    Unmatched {
        /// What comes near, where something does.
        why: Option<String>,
    },
}

/// Which tables are looked at: positions in both sides.
#[derive(Debug, Default)]
pub struct Candidates {
    /// Source tables.
    pub sources: Vec<usize>,
    /// Tables that may be written.
    pub targets: Vec<usize>,
}

/// Parts the tables into sources and targets. `picked`: the person named the source tables.
/// Where both ends are one database, a table is one of the two only: what `picked` says, else
/// what the names say.
pub fn candidates(
    source: &Side,
    target: &Side,
    picked: Option<&dyn Fn(&str) -> bool>,
) -> Candidates {
    let is_picked = |table: &Surveyed| picked.is_none_or(|picked| picked(&table.table.name.name));
    let writable = |at: &usize| target.tables[*at].kind.is_writable();
    let all = 0..source.tables.len();
    let shared =
        |table: &Surveyed| target.tables.iter().any(|other| other.table.name == table.table.name);
    if !source.same_database || !source.tables.iter().any(shared) {
        return Candidates {
            sources: all.filter(|at| is_picked(&source.tables[*at])).collect(),
            targets: (0..target.tables.len()).filter(writable).collect(),
        };
    }
    let stems = stems(source);
    let is_source = |at: usize| match picked {
        Some(_) => is_picked(&source.tables[at]),
        None => {
            let own = &stems[at];
            let newer = |other: &Stem| other.stem == own.stem && rank(other) > rank(own);
            source.tables[at].kind.is_writable() && (own.age == Age::Old || stems.iter().any(newer))
        }
    };
    let sources: Vec<usize> = all.filter(|at| is_source(*at)).collect();
    let is_free = |at: &usize| {
        let name = &target.tables[*at].table.name;
        !sources.iter().any(|source_at| source.tables[*source_at].table.name == *name)
    };
    let targets = (0..target.tables.len()).filter(writable).filter(is_free).collect();
    Candidates { sources, targets }
}

/// A shared short prefix makes a table the older one of two, but says nothing alone.
fn rank(stem: &Stem) -> u8 {
    match (stem.age, &stem.affix) {
        (Age::Old, _) => 0,
        (Age::Plain, Some(_)) => 1,
        (Age::Plain, None) => 2,
        (Age::New, _) => 3,
    }
}

fn stems(side: &Side) -> Vec<Stem> {
    let names = || side.tables.iter().map(|table| table.table.name.name.as_str());
    let prefixes = shared_prefixes(names());
    names().map(|name| stem(name, &prefixes)).collect()
}

/// Decides for every source table. Names are compared exactly, then without case, plural and
/// word breaks, then without affixes; a tie is never broken.
pub fn decide(source: &Side, target: &Side, candidates: &Candidates) -> Vec<Decision> {
    let source_stems = stems(source);
    let target_stems = stems(target);
    let name = |side: &Side, at: usize| side.tables[at].table.name.name.clone();
    let mut fates: BTreeMap<usize, Fate> = BTreeMap::new();
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    // Views come last: what a table could fill, no view may take from it.
    let passes = [false, true].into_iter().flat_map(|views| (0..3).map(move |tier| (views, tier)));
    for (views, tier) in passes {
        let open = |at: &&usize| (source.tables[**at].kind == TableKind::View) == views;
        let key = |side: &Side, stems: &[Stem], at: usize| match tier {
            0 => name(side, at),
            1 => table_key(&side.tables[at].table.name.name),
            _ => stems[at].stem.clone(),
        };
        let mut groups: BTreeMap<String, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for at in candidates.sources.iter().filter(open).filter(|at| !fates.contains_key(at)) {
            groups.entry(key(source, &source_stems, *at)).or_default().0.push(*at);
        }
        for at in candidates.targets.iter().filter(|at| !taken.contains_key(at)) {
            groups.entry(key(target, &target_stems, *at)).or_default().1.push(*at);
        }
        for (sources, targets) in groups.into_values() {
            match (sources.as_slice(), targets.as_slice()) {
                (_, []) | ([], _) => {}
                ([one], [other]) => {
                    let affixes = [&source_stems[*one].affix, &target_stems[*other].affix];
                    let why = reason(tier, &affixes);
                    taken.insert(*other, *one);
                    fates.insert(*one, Fate::Into { target: *other, why });
                }
                (several, others) => {
                    let sources: Vec<String> = several.iter().map(|at| name(source, *at)).collect();
                    let targets: Vec<String> = others.iter().map(|at| name(target, *at)).collect();
                    let why = format!(
                        "{} could go into {}: write the step for the pair that is meant",
                        sources.join(", "),
                        targets.join(", ")
                    );
                    for at in several {
                        fates.insert(*at, Fate::Ambiguous { why: why.clone() });
                    }
                }
            }
        }
    }
    let decision = |at: &usize| {
        let fate = fates.remove(at).unwrap_or_else(|| {
            let stem = &source_stems[*at].stem;
            let near = taken.iter().find(|(target, _)| target_stems[**target].stem == *stem);
            let why = near.map(|(into, from)| {
                let (into, from) = (name(target, *into), name(source, *from));
                format!("{into} would fit by its name, but {from} goes there")
            });
            Fate::Unmatched { why }
        });
        Decision { source: *at, fate }
    };
    candidates.sources.iter().map(decision).collect()
}

fn reason(tier: usize, affixes: &[&Option<String>]) -> String {
    let affixes: Vec<&str> = affixes.iter().filter_map(|affix| affix.as_deref()).collect();
    match (tier, affixes.as_slice()) {
        (0, _) => "the same name".to_owned(),
        (1, _) | (_, []) => "the same name but for case, plural or word breaks".to_owned(),
        (_, affixes) => format!("the same name without {}", affixes.join(" and ")),
    }
}
