//! Parquet's types arrive exactly, or their rows are rejected.

use std::fs::File;
use std::sync::Arc;

use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray,
    FixedLenByteArrayType, FloatType, Int32Type, Int64Type,
};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::common::{Postgres, World};

type Group<'a> = SerializedRowGroupWriter<'a, File>;

/// Writes the next column: values, and their levels where some are missing or many.
fn column<T: DataType>(
    group: &mut Group<'_>,
    values: &[T::T],
    levels: Option<(&[i16], Option<&[i16]>)>,
) {
    let mut writer = group.next_column().unwrap().unwrap();
    let (definition, repetition) = match levels {
        Some((definition, repetition)) => (Some(definition), repetition),
        None => (None, None),
    };
    writer.typed::<T>().write_batch(values, definition, repetition).unwrap();
    writer.close().unwrap();
}

fn text(text: &str) -> ByteArray {
    ByteArray::from(text.as_bytes().to_vec())
}

fn fixed(bytes: Vec<u8>) -> FixedLenByteArray {
    FixedLenByteArray::from(ByteArray::from(bytes))
}

const SCHEMA: &str = "message all {
  required int32 id;
  required int32 small (INTEGER(16, true));
  required int64 big (INTEGER(64, false));
  required boolean yes;
  required float f4;
  required double f8;
  required fixed_len_byte_array(16) amount (DECIMAL(38, 10));
  required binary bytes;
  required int32 day (DATE);
  required int64 clock (TIME(MICROS, false));
  required int64 local (TIMESTAMP(MILLIS, false));
  required int64 instant (TIMESTAMP(MICROS, true));
  required int64 nanos (TIMESTAMP(NANOS, true));
  required fixed_len_byte_array(16) uid (UUID);
  optional group list (LIST) { repeated group list { optional int64 element; } }
  optional group pairs (MAP) { repeated group key_value { required binary key (STRING); optional int32 value (DATE); } }
  required group nested { required binary a (STRING); optional double b; }
}";

fn write(world: &World) {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let file = File::create(world.path("all.parquet")).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let g = &mut group;
    column::<Int32Type>(g, &[1, 2, 3], None);
    column::<Int32Type>(g, &[-32768, 0, 32767], None);
    column::<Int64Type>(g, &[-1, 7, i64::MAX], None);
    column::<BoolType>(g, &[true, false, true], None);
    column::<FloatType>(g, &[0.1, -0.0, 3.4e38], None);
    column::<DoubleType>(g, &[0.1, 1e-300, f64::NAN], None);
    let amounts = [12_345_678_901_234_567_890_123_456_789_i128, -5, 0];
    let amounts: Vec<_> = amounts.iter().map(|one| fixed(one.to_be_bytes().to_vec())).collect();
    column::<FixedLenByteArrayType>(g, &amounts, None);
    column::<ByteArrayType>(g, &[text("\0\u{1}"), text(""), ByteArray::from(vec![0xff])], None);
    column::<Int32Type>(g, &[19_753, -1, -719_529], None);
    column::<Int64Type>(g, &[0, 86_399_999_999, 36_000_500_000], None);
    column::<Int64Type>(g, &[1_706_695_200_123, -1, 0], None);
    column::<Int64Type>(g, &[1_706_695_200_123_456, -1, 0], None);
    // The last one has digits that no target here keeps.
    column::<Int64Type>(g, &[1_706_695_200_123_456_000, -1_000, 1], None);
    let ids: Vec<_> = (1..=3).map(|n| fixed(vec![n; 16])).collect();
    column::<FixedLenByteArrayType>(g, &ids, None);
    // [1, null], [], null
    column::<Int64Type>(g, &[1], Some((&[3, 2, 1, 0], Some(&[0, 1, 0, 0]))));
    // {"a": day 0, "b": null}, {}, null
    column::<ByteArrayType>(g, &[text("a"), text("b")], Some((&[2, 2, 1, 0], Some(&[0, 1, 0, 0]))));
    column::<Int32Type>(g, &[0], Some((&[3, 2, 1, 0], Some(&[0, 1, 0, 0]))));
    column::<ByteArrayType>(g, &[text("x\""), text(""), text("z")], None);
    column::<DoubleType>(g, &[1.5], Some((&[1, 0, 0], None)));
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn types_of_parquet_arrive_exactly() {
    let (world, database) = (World::new(), Postgres::new());
    write(&world);
    database.sql(
        "CREATE TABLE t (id integer PRIMARY KEY, small smallint, big numeric(20), yes boolean, f4 real, f8 float8,
           amount numeric(38,10), bytes bytea, day date, clock time, local timestamp, instant timestamptz,
           nanos timestamptz, uid uuid, list jsonb, pairs jsonb, nested jsonb)",
    );
    let plan = |lossy: &str| {
        format!(
            "name = \"types\"\n[target]\nurl = \"{}\"\n[[step]]\nname = \"all\"\ncopy = \"all.parquet\"\n\
             into = \"t\"\nmax_rejects = 1\nlossy = \"{lossy}\"\n",
            database.url
        )
    };
    world.write("p.toml", &plan("reject"));
    let ran = world.run(&["run", "p.toml", "--json"]).ok();
    let reject = &ran.events("row_rejected")[0];
    assert_eq!(reject["column"], "nanos", "{reject}");
    assert!(reject["reason"].as_str().unwrap().contains("all.parquet, row 3"), "{reject}");
    let ask = "SELECT id, small, big, yes, f4, f8, amount, bytes, day, clock, local, instant AT TIME ZONE 'UTC',
        nanos AT TIME ZONE 'UTC', uid, list, pairs, nested FROM t ORDER BY id";
    let expected = [
        "1|-32768|18446744073709551615|t|0.1|0.1|1234567890123456789.0123456789|\\x0001|2024-01-31|00:00:00|\
         2024-01-31 10:00:00.123|2024-01-31 10:00:00.123456|2024-01-31 10:00:00.123456|\
         01010101-0101-0101-0101-010101010101|[1, null]|{\"a\": \"1970-01-01\", \"b\": null}|{\"a\": \"x\\\"\", \"b\": 1.5}",
        "2|0|7|f|-0|1e-300|-0.0000000005|\\x|1969-12-31|23:59:59.999999|1969-12-31 23:59:59.999|\
         1969-12-31 23:59:59.999999|1969-12-31 23:59:59.999999|02020202-0202-0202-0202-020202020202|[]|{}|\
         {\"a\": \"\", \"b\": null}",
    ];
    assert_eq!(database.rows(ask), expected);
    world.run(&["rollback", "p.toml", "--yes"]).ok();
    world.write("p.toml", &plan("allow"));
    world.run(&["run", "p.toml"]).ok();
    let third = "3|32767|9223372036854775807|t|3.4e+38|NaN|0.0000000000|\\xff|0002-12-31 BC|10:00:00.5|\
                 1970-01-01 00:00:00|1970-01-01 00:00:00|1970-01-01 00:00:00|\
                 03030303-0303-0303-0303-030303030303|∅|∅|{\"a\": \"z\", \"b\": null}";
    assert_eq!(database.rows(ask)[2], third);
}
