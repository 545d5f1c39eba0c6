//! Parquet: exact values by the file's own types; lists, structs and maps as JSON.

use std::fs::File;
use std::sync::Arc;

use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::record::Field;
use ::parquet::record::reader::RowIter;
use ::parquet::schema::types::{ColumnDescriptor, Type};

use super::{Sink, twice};
use crate::mapping::cast::{date, json};
use crate::value::{Scalar, Value, write_json_string};

const SECONDS_OF_DAY: i64 = 86_400;

/// Gives each row after the first `skip` to the sink; whole row groups are passed over unread.
///
/// # Errors
/// What is wrong with the file, or a column whose type has no exact value here.
pub fn read(file: File, mut skip: u64, sink: &mut dyn Sink) -> Result<(), String> {
    let reader = SerializedFileReader::new(file).map_err(|error| broken(&error))?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    schema.columns().iter().try_for_each(is_known)?;
    let types = schema.root_schema().get_fields();
    if let Some(name) = twice(types.iter().map(|one| one.name())) {
        return Err(format!("the column `{name}` stands twice"));
    }
    let places: Vec<usize> = types.iter().map(|one| sink.columns().place(one.name())).collect();
    for number in 0..reader.num_row_groups() {
        let group = reader.get_row_group(number).map_err(|error| broken(&error))?;
        let rows = u64::try_from(group.metadata().num_rows()).unwrap_or(0);
        if skip >= rows {
            skip -= rows;
            continue;
        }
        let rows = RowIter::from_row_group(None, group.as_ref()).map_err(|error| broken(&error))?;
        for row in rows {
            let row = row.map_err(|error| broken(&error))?;
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let cells = row.into_columns().into_iter().zip(types).zip(&places);
            let cells = cells.map(|(((_, field), ty), place)| (*place, value(field, ty)));
            if !sink.row(cells.collect()) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn broken(error: &ParquetError) -> String {
    format!("not a readable Parquet file: {error}")
}

/// Whether the reader gives this column's values, and gives them exactly.
fn is_known(column: &Arc<ColumnDescriptor>) -> Result<(), String> {
    use ConvertedType as C;
    let converted = column.converted_type();
    let known = match column.physical_type() {
        Physical::BOOLEAN | Physical::FLOAT | Physical::DOUBLE => true,
        Physical::INT32 => matches!(
            converted,
            C::NONE
                | C::INT_8
                | C::INT_16
                | C::INT_32
                | C::UINT_8
                | C::UINT_16
                | C::UINT_32
                | C::DATE
                | C::TIME_MILLIS
                | C::DECIMAL
        ),
        Physical::INT64 => matches!(
            converted,
            C::NONE
                | C::INT_64
                | C::UINT_64
                | C::TIME_MICROS
                | C::TIMESTAMP_MILLIS
                | C::TIMESTAMP_MICROS
                | C::DECIMAL
        ),
        Physical::BYTE_ARRAY => {
            matches!(converted, C::NONE | C::UTF8 | C::ENUM | C::JSON | C::BSON | C::DECIMAL)
        }
        Physical::FIXED_LEN_BYTE_ARRAY => matches!(converted, C::NONE | C::DECIMAL),
        Physical::INT96 => {
            return Err(format!(
                "the column `{}` has timestamps of the old form INT96, of which only milliseconds \
                 can be read; write the file anew with timestamps of microseconds",
                column.path().string()
            ));
        }
    };
    let name = || column.path().string();
    match known {
        true => Ok(()),
        false => Err(format!(
            "the column `{}` has a type that can't be read: {} {converted}",
            name(),
            column.physical_type()
        )),
    }
}

/// A value by the file's type.
fn value(field: Field, ty: &Type) -> Value {
    let logical = ty.get_basic_info().logical_type_ref();
    match field {
        Field::Null => Value::Null,
        Field::Bool(b) => Value::Bool(b),
        Field::Byte(i) => Value::Int(i.into()),
        Field::Short(i) => Value::Int(i.into()),
        Field::Int(i) => Value::Int(i.into()),
        Field::UByte(i) => Value::Int(i.into()),
        Field::UShort(i) => Value::Int(i.into()),
        Field::UInt(i) => Value::Int(i.into()),
        Field::ULong(i) => {
            i64::try_from(i).map_or_else(|_| Value::Number(i.to_string()), Value::Int)
        }
        Field::Long(i) => match logical {
            Some(LogicalType::Timestamp(about)) if about.unit == TimeUnit::NANOS => {
                timestamp(i, 9, about.is_adjusted_to_u_t_c)
            }
            Some(LogicalType::Time(about)) if about.unit == TimeUnit::NANOS => time(i, 9),
            _ => Value::Int(i),
        },
        Field::Float16(f) => Value::Real(f.to_f32()),
        Field::Float(f) => Value::Real(f),
        Field::Double(f) => Value::Float(f),
        // The crate's own text form is exact; of whole numbers it leaves a point at the end.
        decimal @ Field::Decimal(_) => {
            Value::Number(decimal.to_string().trim_end_matches('.').to_owned())
        }
        Field::Str(text) => match ty.get_basic_info().converted_type() {
            ConvertedType::JSON if json::scan(&text).is_some() => Value::Json(text),
            _ => Value::Text(text),
        },
        Field::Bytes(bytes) => match (logical, uuid::Uuid::from_slice(bytes.data())) {
            (Some(LogicalType::Uuid), Ok(uuid)) => Value::Typed(Scalar::Uuid, uuid.to_string()),
            _ => Value::Bytes(bytes.data().to_vec()),
        },
        Field::Date(day) => {
            let (text, era) = date(day.into());
            Value::Typed(Scalar::Date, format!("{text}{era}"))
        }
        Field::TimeMillis(i) => time(i.into(), 3),
        Field::TimeMicros(i) => time(i, 6),
        Field::TimestampMillis(i) => timestamp(i, 3, in_utc(logical)),
        Field::TimestampMicros(i) => timestamp(i, 6, in_utc(logical)),
        nested @ (Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_)) => {
            let mut out = String::new();
            write_nested(nested, ty, &mut out);
            Value::Json(out)
        }
    }
}

/// Files without the newer annotation mean instants.
fn in_utc(logical: Option<&LogicalType>) -> bool {
    match logical {
        Some(LogicalType::Timestamp(about)) => about.is_adjusted_to_u_t_c,
        _ => true,
    }
}

/// `count` units of `10^-digits` seconds since 1970.
fn timestamp(count: i64, digits: u32, in_utc: bool) -> Value {
    let unit = 10_i64.pow(digits);
    let seconds = count.div_euclid(unit);
    let (text, era) = date(seconds.div_euclid(SECONDS_OF_DAY));
    let clock = clock(seconds.rem_euclid(SECONDS_OF_DAY), count.rem_euclid(unit), digits);
    match in_utc {
        true => Value::Typed(Scalar::TimestampTz, format!("{text} {clock}+00{era}")),
        false => Value::Typed(Scalar::Timestamp, format!("{text} {clock}{era}")),
    }
}

fn time(count: i64, digits: u32) -> Value {
    let unit = 10_i64.pow(digits);
    Value::Typed(Scalar::Time, clock(count.div_euclid(unit), count.rem_euclid(unit), digits))
}

/// `10:00:00.5`, as PostgreSQL prints it.
fn clock(seconds: i64, fraction: i64, digits: u32) -> String {
    let mut out = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let digits = format!("{fraction:0width$}", width = digits as usize);
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
    out
}

fn write_nested(field: Field, ty: &Type, out: &mut String) {
    match field {
        Field::Group(row) => {
            let entries = row.into_columns().into_iter().zip(fields(ty));
            write_all(entries, out, ['{', '}'], |(name, field), ty, out| {
                write_json_string(&name, out);
                out.push(':');
                write_nested(field, ty, out);
            });
        }
        Field::ListInternal(list) => {
            let element = element(ty);
            let items = list.elements().iter().map(|item| (item.clone(), element));
            write_all(items, out, ['[', ']'], write_nested);
        }
        Field::MapInternal(map) => {
            let pair = fields(ty).next().unwrap_or(ty);
            let of_key = fields(pair).next().unwrap_or(pair);
            let of_value = fields(pair).nth(1).unwrap_or(pair);
            let entries = map.entries().iter().map(|entry| (entry.clone(), of_value));
            write_all(entries, out, ['{', '}'], |(key, field), ty, out| {
                let key = value(key, of_key).to_text().unwrap_or_default();
                write_json_string(&key, out);
                out.push(':');
                write_nested(field, ty, out);
            });
        }
        single => value(single, ty).write_json(out),
    }
}

fn write_all<'t, T>(
    items: impl Iterator<Item = (T, &'t Type)>,
    out: &mut String,
    around: [char; 2],
    write: impl Fn(T, &'t Type, &mut String),
) {
    out.push(around[0]);
    for (at, (item, ty)) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(item, ty, out);
    }
    out.push(around[1]);
}

/// Types of a group's fields; none for a single value.
fn fields(ty: &Type) -> impl Iterator<Item = &Type> {
    let all = if ty.is_group() { ty.get_fields() } else { &[] };
    all.iter().map(AsRef::as_ref)
}

/// The type of a list's elements, in the forms that writers gave to lists over the years.
fn element(list: &Type) -> &Type {
    let is_list = list.get_basic_info().converted_type() == ConvertedType::LIST;
    let Some(repeated) = fields(list).next().filter(|_| is_list) else {
        return list;
    };
    let name = repeated.name();
    let is_element = fields(repeated).count() != 1 || name == "array" || name.ends_with("_tuple");
    if is_element { repeated } else { fields(repeated).next().unwrap_or(repeated) }
}
