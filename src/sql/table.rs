//! Tables and columns as the catalogs describe them.

use std::fmt;

use super::Dialect;

/// A table's name, with its schema where the plan or the catalog gives one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    /// PostgreSQL: the schema. SQLite: the attached database (`main` when empty). MySQL: the
    /// database.
    pub schema: Option<String>,
    /// The bare name.
    pub name: String,
}

impl TableName {
    /// A name without a schema.
    pub fn bare(name: impl Into<String>) -> Self {
        TableName { schema: None, name: name.into() }
    }

    /// A name inside a schema.
    pub fn within(schema: impl Into<String>, name: impl Into<String>) -> Self {
        TableName { schema: Some(schema.into()), name: name.into() }
    }

    /// The quoted form for SQL text.
    pub fn sql(&self, dialect: &dyn Dialect) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", dialect.quote(schema), dialect.quote(&self.name)),
            None => dialect.quote(&self.name),
        }
    }
}

/// The display form for messages: unquoted.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What a column holds, as far as conversions need to know. Domains are their base type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// boolean
    Bool,
    /// smallint, integer, bigint; width in bytes (2, 4, 8)
    Int(u8),
    /// numeric(precision, scale); `None` is unconstrained
    Numeric(Option<(u32, i32)>),
    /// real
    Float4,
    /// double precision
    Float8,
    /// text, varchar(n), character(n)
    Text {
        /// Longest length in characters.
        max: Option<u32>,
        /// character(n): padded with blanks.
        padded: bool,
    },
    /// bytea
    Bytes,
    /// json
    Json,
    /// jsonb
    Jsonb,
    /// date
    Date,
    /// time(p) without time zone; digits kept after the second (6 when not given)
    Time(u8),
    /// time(p) with time zone
    TimeTz(u8),
    /// timestamp(p) without time zone
    Timestamp(u8),
    /// timestamp(p) with time zone
    TimestampTz(u8),
    /// interval
    Interval,
    /// uuid
    Uuid,
    /// Any other type: travels in the server's text form.
    Opaque {
        /// `to_jsonb` makes something other than a string of it (arrays, composites, types
        /// with a cast to json): the source server must be asked for the JSON form.
        json_by_server: bool,
        /// The type's binary form is built in and the same on every server.
        portable: bool,
    },
    /// SQLite: each value has its own type; the column only has an affinity.
    Dynamic(Affinity),
}

/// A SQLite column: affinity, plus what its declared type promises by convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// INTEGER
    Integer,
    /// REAL
    Real,
    /// NUMERIC (and DECIMAL, DATE, DATETIME …)
    Numeric,
    /// TEXT
    Text,
    /// BLOB or none
    Blob,
    /// declared BOOL or BOOLEAN: integers 0 and 1 are false and true
    Bool,
    /// declared JSON or JSONB: text is a JSON document
    Json,
}

/// A column's type: its kind, and its name as the server spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType {
    /// What conversions need to know.
    pub kind: Kind,
    /// The server's own spelling, usable in a cast: `numeric(10,2)`, `public.mood`, `DATETIME`.
    pub name: String,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name as in the catalog.
    pub name: String,
    /// Type.
    pub ty: ColumnType,
    /// NOT NULL holds.
    pub not_null: bool,
    /// There is a default, or the database makes the value.
    pub has_default: bool,
    /// GENERATED ALWAYS AS (expression): can't be written.
    pub generated: bool,
    /// GENERATED … AS IDENTITY or a serial default: has a sequence to move on.
    pub identity: bool,
    /// GENERATED ALWAYS AS IDENTITY: a plain INSERT of a value is refused.
    pub identity_always: bool,
}

/// Two scripts of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Switches off.
    pub off: String,
    /// Puts everything back as it was.
    pub on: String,
}

/// A unique index or primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueKey {
    /// Its columns, in index order.
    pub columns: Vec<String>,
    /// It is the primary key.
    pub primary: bool,
}

/// A table and everything about it that a copy needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, with the schema it was found in.
    pub name: TableName,
    /// Columns in catalog order.
    pub columns: Vec<Column>,
    /// Primary key and full (not partial, not on expressions) unique indexes.
    pub unique: Vec<UniqueKey>,
}

impl Table {
    /// The column called `name`, exactly.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Names of all columns, in catalog order.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The primary key's columns; empty when there is none.
    pub fn primary_key(&self) -> &[String] {
        self.unique.iter().find(|key| key.primary).map_or(&[], |key| &key.columns)
    }
}
