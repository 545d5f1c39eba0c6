//! Referenced tables first.

use std::collections::BTreeSet;

use super::Surveyed;

/// In which order steps run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Positions in the list of written tables.
    pub positions: Vec<usize>,
    /// Cycles of foreign keys: no order is right.
    pub cycles: Vec<String>,
}

/// Orders the written tables by their foreign keys; ties keep the order that they come in.
pub fn order(tables: &[Surveyed], written: &[usize]) -> Order {
    let name = |at: usize| &tables[written[at]].table.name;
    // needs[a] lists what must be there before a.
    let needs: Vec<Vec<usize>> = (0..written.len())
        .map(|at| {
            let keys = &tables[written[at]].details.foreign_keys;
            (0..written.len())
                .filter(|other| *other != at && keys.iter().any(|key| key.table == *name(*other)))
                .collect()
        })
        .collect();
    let mut order = Order::default();
    let mut left: BTreeSet<usize> = (0..written.len()).collect();
    while !left.is_empty() {
        let free = |at: &&usize| needs[**at].iter().all(|other| !left.contains(other));
        let next = match left.iter().find(free) {
            Some(next) => Some(*next),
            None => {
                let cycle = cycle(&needs, &left);
                let names: Vec<String> = cycle.iter().map(|at| name(*at).name.clone()).collect();
                order.cycles.push(format!(
                    "foreign keys run in a circle: {}; `later` fills the columns of the first of them by \
                     a second pass, where they may be NULL",
                    names.join(" → ")
                ));
                cycle.iter().min().copied()
            }
        };
        let Some(next) = next else { break };
        left.remove(&next);
        order.positions.push(next);
    }
    order
}

/// Tables of one circle, the first one again at the end.
fn cycle(needs: &[Vec<usize>], left: &BTreeSet<usize>) -> Vec<usize> {
    let mut path: Vec<usize> = left.first().copied().into_iter().collect();
    while let Some(last) = path.last() {
        // Each table that is left waits for another one that is left.
        let Some(next) = needs[*last].iter().find(|other| left.contains(other)) else { break };
        if let Some(begin) = path.iter().position(|at| at == next) {
            path.push(*next);
            return path.split_off(begin);
        }
        path.push(*next);
    }
    path
}
