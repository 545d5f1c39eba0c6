//! `values` of `[defaults]` and of a step: what becomes of values about which people disagree.

use super::reader::Reader;
use crate::mapping::ValueOptions;

/// Reads `values` where it stands, over `base`.
pub fn read(reader: &mut Reader<'_, '_>, base: ValueOptions) -> ValueOptions {
    let findings = reader.findings();
    let Some(mut inner) = reader.take("values").and_then(|node| Reader::of(node, findings)) else {
        return base;
    };
    let mut word = |key, other, old| {
        let found = inner.word(
            key,
            &[(if key == "tinyint1" { "integer" } else { "reject" }, false), (other, true)],
        );
        found.unwrap_or(old)
    };
    let options = ValueOptions {
        zero_dates_are_null: word("zero_dates", "null", base.zero_dates_are_null),
        removes_nul: word("nul", "remove", base.removes_nul),
        replaces_invalid: word("invalid_utf8", "replace", base.replaces_invalid),
        nan_is_null: word("nan", "null", base.nan_is_null),
        long_time_is_null: word("long_time", "null", base.long_time_is_null),
        tinyint1_is_boolean: word("tinyint1", "boolean", base.tinyint1_is_boolean),
    };
    inner.finish();
    options
}
