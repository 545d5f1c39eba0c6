//! What evaluation asks of the target: lookups and moved keys, one query for a whole batch.

use std::collections::HashMap;
use std::sync::Arc;

use crate::db::Session;
use crate::engine::Shared;
use crate::error::Result;
use crate::key::{Key, KeyPart};
use crate::mapping::BoundMapping;
use crate::mapping::eval::{Context, Found};
use crate::value::Value;

/// Answers of the target to lookups and moved keys, for one batch.
pub struct Lookups {
    /// For each lookup of the mapping: key → values found (two mean ambiguous).
    lookups: Vec<HashMap<String, Vec<Value>>>,
    wanted: Vec<HashMap<String, Vec<Value>>>,
    moved: Vec<HashMap<String, Option<Value>>>,
    moved_wanted: Vec<HashMap<String, Value>>,
    /// What the row's file says.
    pub(super) file: Option<Arc<HashMap<String, Value>>>,
}

impl Lookups {
    /// Nothing known yet.
    pub fn new(mapping: &BoundMapping) -> Self {
        let count = mapping.lookups.len();
        Lookups {
            lookups: vec![HashMap::new(); count],
            wanted: vec![HashMap::new(); count],
            moved: vec![HashMap::new(); mapping.moved.len()],
            moved_wanted: vec![HashMap::new(); mapping.moved.len()],
            file: None,
        }
    }

    /// Forgets everything: the next batch sees what is there then.
    pub fn clear(&mut self) {
        self.lookups.iter_mut().for_each(HashMap::clear);
        self.moved.iter_mut().for_each(HashMap::clear);
    }

    /// Asks the target for every key that evaluation met and didn't know.
    pub async fn fetch(&mut self, session: &mut dyn Session, shared: &Shared) -> Result<()> {
        let mapping = &shared.job.mapping;
        for (which, wanted) in self.wanted.iter_mut().enumerate() {
            if wanted.is_empty() {
                continue;
            }
            let (names, keys): (Vec<String>, Vec<Vec<Value>>) = wanted.drain().unzip();
            let answers = session.look_up(&mapping.lookups[which], &keys).await?;
            self.lookups[which].extend(names.into_iter().zip(answers));
        }
        let source = shared.moved_flavor;
        for (which, wanted) in self.moved_wanted.iter_mut().enumerate() {
            if wanted.is_empty() {
                continue;
            }
            let mut keys: HashMap<Key, Vec<String>> = HashMap::new();
            for (name, value) in wanted.drain() {
                self.moved[which].insert(name.clone(), None);
                if let Some(part) = source.dialect().key_part(&value) {
                    keys.entry(Key(vec![part])).or_default().push(name);
                }
            }
            let asked: Vec<Key> = keys.keys().cloned().collect();
            let step = &mapping.moved[which];
            for (from, to) in shared.ledger.moved(session, step, &asked).await? {
                let value = to.0.first().map(KeyPart::to_value);
                for name in keys.remove(&from).unwrap_or_default() {
                    self.moved[which].insert(name, value.clone());
                }
            }
        }
        Ok(())
    }
}

/// Tells keys apart as lookups must: length-prefixed text, tagged by NULL.
fn name_of(key: &[Value]) -> String {
    let mut out = String::new();
    for value in key {
        match value.to_text() {
            Some(text) => out.push_str(&format!("{}:{text}", text.len())),
            None => out.push('n'),
        }
    }
    out
}

impl Context for Lookups {
    fn lookup(&mut self, which: usize, key: &[Value]) -> Found {
        let name = name_of(key);
        match self.lookups[which].get(&name).map(Vec::as_slice) {
            None => {
                self.wanted[which].insert(name, key.to_vec());
                Found::Unknown
            }
            Some([]) => Found::None,
            Some([value]) => Found::One(value.clone()),
            Some(_) => Found::Many,
        }
    }

    fn moved(&mut self, which: usize, key: &Value) -> Found {
        let name = name_of(std::slice::from_ref(key));
        match self.moved[which].get(&name) {
            None => {
                self.moved_wanted[which].insert(name, key.clone());
                Found::Unknown
            }
            Some(None) => Found::None,
            Some(Some(value)) => Found::One(value.clone()),
        }
    }

    fn file(&mut self, path: &str) -> Found {
        match self.file.as_ref().and_then(|file| file.get(path)) {
            Some(value) => Found::One(value.clone()),
            None => Found::None,
        }
    }
}

impl Lookups {
    /// Before a run there are no moved keys to ask for.
    pub(super) fn assume_unmoved(&mut self, ledger_is_there: bool) {
        if ledger_is_there {
            return;
        }
        for (which, wanted) in self.moved_wanted.iter_mut().enumerate() {
            for (name, _) in wanted.drain() {
                self.moved[which].insert(name, None);
            }
        }
    }
}
