//! Keys in the ledger: any text is a key or an error, and a key comes back as it went in.

use tablelift::key::{Key, KeyPart};

use super::feed::Feed;

/// The input as the ledger's text, and as decisions that make a key.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = Key::from_ledger(text)
    {
        survives(&key);
    }
    let mut feed = Feed(data);
    let parts = (0..=feed.below(4)).map(|_| match feed.below(3) {
        0 => KeyPart::Int(i64::from_le_bytes(feed.eight())),
        1 => KeyPart::Bytes(feed.bytes()),
        _ => KeyPart::Text(feed.text()),
    });
    survives(&Key(parts.collect()));
    let value = feed.value();
    let parts = [KeyPart::from_stored(&value), KeyPart::from_postgres(&value)];
    for part in parts.into_iter().flatten() {
        survives(&Key(vec![part]));
    }
}

fn survives(key: &Key) {
    let kept = key.to_ledger();
    match Key::from_ledger(&kept) {
        Ok(again) => assert_eq!(again, *key, "{kept}"),
        Err(error) => panic!("{kept}: {error}"),
    }
    let columns: Vec<String> = (0..key.0.len()).map(|at| format!("c{at}")).collect();
    let _ = (key.to_event(&columns).to_string(), key.to_string());
}
