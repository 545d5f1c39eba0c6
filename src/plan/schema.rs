//! JSON Schema of the plan format, so that editors complete it.

use serde_json::{Value, json};

/// The schema, draft 2020-12.
pub fn json_schema() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let count = |about: &str| json!({ "type": "integer", "minimum": 0, "description": about });
    let flag = |about: &str| json!({ "type": "boolean", "description": about });
    let names = |about: &str| {
        json!({
            "description": about,
            "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        })
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tablelift plan",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "target", "step"],
        "properties": {
            "name": { "type": "string", "pattern": "^[a-z0-9-]{1,63}$",
                "description": "Identifies the migration in the ledger." },
            "description": text("One line for people."),
            "vars": { "type": "object", "additionalProperties": { "type": "string" },
                "description": "Names for use as ${name} in url." },
            "source": object(json!({
                "url": text("postgres://…, mysql://… or sqlite:PATH; ${VAR} and ${VAR:-default} are filled in."),
                "schema": text("Schema to look in."),
                "consistency": { "enum": ["batch", "snapshot"],
                    "description": "batch: each batch sees the newest commits. snapshot: all workers see one moment (PostgreSQL)." },
            }), &[]),
            "target": object(json!({
                "url": text("postgres://…, mysql://… or sqlite:PATH; ${VAR} and ${VAR:-default} are filled in."),
                "schema": text("Schema to look in."),
            }), &[]),
            "defaults": object(options(), &[]),
            "throttle": object(json!({
                "rows_per_second": { "type": "integer", "minimum": 1 },
                "bytes_per_second": { "type": ["string", "integer"], "description": "\"20MB\"" },
                "batches_per_second": { "type": "number", "exclusiveMinimum": 0 },
                "pause_between_batches": text("\"100ms\""),
                "duty": { "type": "number", "exclusiveMinimum": 0, "maximum": 1,
                    "description": "The part of its time that a worker works." },
                "window": text("\"22:00-06:00 Europe/Berlin\": outside it the run ends with exit code 5."),
                "stop_after": text("\"6h\": the run ends with exit code 5."),
                "back_off_when": back_off_when(),
                "signal": list(object(json!({
                    "name": text("As reasons and events show it."),
                    "sql": text("A query that gives one number, or with slower_than any query that does not write."),
                    "http": text("A URL (http, https) that answers with a number, or with any success."),
                    "limit": { "type": "number", "minimum": 0, "description": "Waits at this value and above." },
                    "pause_over": { "type": "number", "minimum": 0, "description": "Waits above this value." },
                    "slower_than": text("\"20ms\": waits while the sql takes longer, of the slowest of a second."),
                    "on": { "enum": ["target", "source"], "description": "Where the query runs." },
                }), &[])),
            }), &[]),
            "protect": list(object(json!({
                "table": text("A table of the target that must not change."),
                "rows": count("Rows that must be there at the start."),
                "except": names("Columns that may change."),
                "allow_inserts": flag("New rows may come."),
            }), &["table"])),
            "step": list(step()),
            "check": list(object(json!({
                "name": text("Unique."),
                "sql": text("A query on the target."),
                "value": { "description": "The one value it must give." },
                "rows": { "type": "array", "description": "The rows it must give, in order." },
                "empty": flag("It must give no row (true) or at least one (false)."),
                "when": { "enum": ["before", "after", "both"] },
                "warn_over": text("Slower warns: \"100ms\"."),
                "fail_over": text("Slower fails: \"1s\"."),
            }), &["name", "sql"])),
        },
        "$defs": { "rule": rule(), "rules": rules() },
    })
}

fn back_off_when() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let count = |about: &str| json!({ "type": "integer", "minimum": 1, "description": about });
    let server = json!({
        "connections": text("\"80%\" of the server's connections."),
        "lock_waits": count("Sessions that wait for a lock."),
    });
    let mut all = json!({
        "batch_p95": text("\"2s\": batches get slower; slows down and never pauses."),
        "replica_lag": text("\"10s\": the slowest standby."),
        "replicas": { "description": "URLs of the standbys; ${VAR} is filled in.",
            "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] },
        "oldest_transaction": text("\"1h\": the oldest transaction of others (PostgreSQL)."),
        "archive_backlog": count("Log segments that wait to be archived (PostgreSQL)."),
        "slot_retention": { "type": ["string", "integer"],
            "description": "\"10GB\": the log that a replication slot keeps (PostgreSQL)." },
        "file": text("Paused while this file exists."),
        "shared_file": text("The same, for a file that several plans name."),
        "query": text("A query on the target that gives one number; needs limit."),
        "limit": { "type": "number", "minimum": 0, "description": "Of query." },
        "source": object(server.clone(), &[]),
    });
    if let (Some(all), Some(server)) = (all.as_object_mut(), server.as_object()) {
        all.extend(server.clone());
    }
    object(all, &[])
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn options() -> Value {
    json!({
        "batch_bytes": { "type": ["string", "integer"], "description": "Bytes of a batch's values: \"16MB\"." },
        "batch_time": { "type": "string", "description": "How long a batch should take: \"500ms\"." },
        "batch_rows": { "type": "integer", "minimum": 1, "maximum": 1_000_000,
            "description": "Rows per committed batch at most; a batch of wide rows ends earlier, at its share of 5 MiB." },
        "workers": { "type": "integer", "minimum": 1, "maximum": 64,
            "description": "Concurrent chunks within one step." },
        "on_conflict": { "enum": ["fail", "skip", "update"] },
        "max_rejects": { "type": "integer", "minimum": 0,
            "description": "Rows that may go to the rejects before the step fails." },
        "lossy": { "enum": ["reject", "allow"],
            "description": "A value that the target would round, cut or shift." },
        "values": values(),
        "on_failure": { "enum": ["stop", "rollback"] },
        "triggers": { "enum": ["fire", "refuse", "skip"],
            "description": "The target's own triggers: they fire (default), the step is refused where there are any, or they are switched off within each batch's transaction (PostgreSQL). Foreign keys are always checked." },
        "new_columns": { "enum": ["stop", "absorb", "ignore"],
            "description": "A source column that comes after the step began, where the step takes all columns: the step stops and names it (default), the rows from there on have it, or it is left out." },
        "sequences": { "enum": ["advance", "keep"],
            "description": "At the end of the step, sequences of identity columns move above the highest value (default), or stay." },
        "retries": { "type": "integer", "minimum": 0, "maximum": 100 },
    })
}

fn values() -> Value {
    let words = |words: [&str; 2], about: &str| json!({ "enum": words, "description": about });
    let or_null = |about: &str| words(["reject", "null"], about);
    let mut values = object(
        json!({
            "zero_dates": or_null("Dates with zeros (0000-00-00, 2024-00-15) where a date is wanted."),
            "nul": words(["reject", "remove"], "The character \\u0000 in texts for PostgreSQL."),
            "invalid_utf8": words(["reject", "replace"], "Texts that are not UTF-8; replace: by U+FFFD."),
            "nan": or_null("NaN and infinity, of dates too, where the target has none."),
            "long_time": or_null("A TIME below 0 or above 24 hours where a time of day is wanted."),
            "tinyint1": words(["integer", "boolean"], "What the source's TINYINT(1) are."),
        }),
        &[],
    );
    if let Some(all) = values.as_object_mut() {
        let about = "What becomes of values that only one side has. A step's entries go before those of defaults.";
        all.insert("description".to_owned(), about.into());
    }
    values
}

fn step() -> Value {
    let strings = json!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] });
    let counts = json!({ "type": "integer", "minimum": 0 });
    let mut properties = json!({
        "name": { "type": "string", "description": "Unique." },
        "copy": { "oneOf": strings["oneOf"], "description": "A table of the source; patterns or a list: one step for each table, in the order of the target's foreign keys; or files, known by their ending: a path, a glob or a list of them." },
        "except": { "oneOf": strings["oneOf"], "description": "With patterns: tables that stay out." },
        "later": { "oneOf": strings["oneOf"], "description": "Columns that are NULL at first and filled by a second pass, because they refer to rows that come later." },
        "copy_query": { "type": "string", "description": "A query on the source; needs a key." },
        "seed": strings,
        "rows": { "type": "array", "items": { "type": "object" }, "description": "Rows of a seed." },
        "at": { "type": "string", "description": "Dotted path of the array that holds the rows, in .json files." },
        "format": csv_format(),
        "update": { "type": "string", "description": "A table of the target." },
        "sql": { "type": "string", "description": "SQL on the target." },
        "undo": { "type": "string", "description": "What rollback runs." },
        "transaction": { "type": "boolean" },
        "into": { "type": "string", "description": "The target table; with patterns, {table|strip:dh_} stands for the source's name." },
        "key": strings,
        "where": { "type": "string", "description": "A condition in the read database's SQL." },
        "columns": { "$ref": "#/$defs/rules" },
        "set": { "$ref": "#/$defs/rules" },
        "allow_inserts": { "type": "boolean", "description": "Others may insert meanwhile." },
        "tune": tune(),
        "analyze": { "type": "boolean", "description": "The same as tune.analyze." },
        "expect": object(json!({
            "source": counts, "before": counts, "after": counts, "changed": counts, "files": counts, "tables": counts,
        }), &[]),
    });
    if let (Some(all), Value::Object(options)) = (properties.as_object_mut(), options()) {
        all.extend(options);
    }
    object(properties, &["name"])
}

fn csv_format() -> Value {
    let sign = |about: &str| json!({ "type": "string", "maxLength": 1, "description": about });
    let strings = |about: &str| {
        json!({
            "description": about,
            "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        })
    };
    let mut format = object(
        json!({
            "delimiter": sign("Between two fields. Default: a comma; a tab in .tsv."),
            "quote": sign("Around a field. Default: \"; empty: fields are not quoted."),
            "escape": sign("Makes the next character a plain one. Default: none, a quote is doubled."),
            "header": { "type": "boolean", "description": "The first record names the columns. Default: true." },
            "columns": strings("Names of the columns, instead of the header's."),
            "null": strings("Fields that are NULL when they stand without quotes. Default: the empty one."),
            "comment": sign("A line that begins with it is no record. Default: none."),
        }),
        &[],
    );
    if let Some(all) = format.as_object_mut() {
        all.insert("description".to_owned(), "How .csv and .tsv files are written.".into());
    }
    format
}

fn tune() -> Value {
    let flag = |about: &str| json!({ "type": "boolean", "description": about });
    let mut tune = object(
        json!({
            "defer_indexes": flag("Drop the target's plain secondary indexes before the first batch and build them again after the last one. Default: false."),
            "analyze": flag("ANALYZE the target after the last batch. Default: true on PostgreSQL, false on SQLite."),
            "synchronous_commit": flag("false: batches commit without waiting for the disk (PostgreSQL). Default: true, as the server says."),
        }),
        &[],
    );
    if let Some(all) = tune.as_object_mut() {
        let about = "What is done to the target around the batches; copy and seed only.";
        all.insert("description".to_owned(), about.into());
    }
    tune
}

fn rules() -> Value {
    json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/rule" } })
}

fn rule() -> Value {
    let rule = json!({ "$ref": "#/$defs/rule" });
    let several = json!({ "type": "array", "items": rule });
    json!({
        "description": "What becomes of a target column: a source column, or a rule.",
        "oneOf": [
            { "type": "string" },
            {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "value": {},
                    "first": several,
                    "from": rule,
                    "map": { "type": "object" },
                    "default": {},
                    "cast": { "type": "string" },
                    "zone": { "type": "string",
                        "description": "With cast: the zone of times that have none, such as \"Europe/Berlin\". Without it they are UTC." },
                    "epoch": { "enum": ["s", "ms", "us"],
                        "description": "With cast: what an integer counts since 1970." },
                    "replace": { "type": "object", "additionalProperties": { "type": "string" },
                        "description": "With from: parts of the text, and what they become." },
                    "null_if": { "oneOf": [{ "type": "string" }, { "type": "array" }],
                        "description": "With from: text forms that become NULL." },
                    "json": {},
                    "except": { "oneOf": [{ "type": "string" }, { "type": "array" }] },
                    "with": { "$ref": "#/$defs/rules" },
                    "nulls": { "enum": ["keep", "drop"] },
                    "array": several,
                    "lookup": { "type": "string" },
                    "match": { "$ref": "#/$defs/rules" },
                    "take": { "type": "string" },
                    "missing": { "enum": ["reject", "null", "fail"] },
                    "moved": { "type": "string" },
                    "children": { "type": "string" },
                    "order_by": { "oneOf": [{ "type": "string" }, { "type": "array" }] },
                    "uuid": several,
                    "sql": { "type": "string" },
                    "file": { "type": "string" }
                }
            }
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::reader::NOT_YET;

    #[test]
    fn it_offers_nothing_that_is_refused() {
        let schema = json_schema();
        let step = &schema["properties"]["step"]["items"]["properties"];
        let throttle = &schema["properties"]["throttle"]["properties"];
        for key in NOT_YET {
            assert!(step[key].is_null() && throttle[key].is_null(), "{key}");
        }
        for key in crate::plan::rules::RULE_KEYS {
            assert!(!schema["$defs"]["rule"]["oneOf"][1]["properties"][key].is_null(), "{key}");
        }
    }
}
