//! What bind finds, and what the bound tree evaluates to.

use std::collections::BTreeMap;

use super::*;
use crate::mapping::{
    Constant, Context, Found, JsonShape, Lookup, Outcome, eval, render, render_inputs,
};
use crate::sql::{Affinity, Flavor, TableName};

fn column(name: &str, ty: &str, not_null: bool) -> Column {
    let kind = match ty {
        "tags" => Kind::Opaque { json_by_server: true, portable: false },
        "BOOLEAN" => Kind::Dynamic(Affinity::Bool),
        "TEXT" => Kind::Dynamic(Affinity::Text),
        ty => crate::mapping::cast::parse_type(ty).unwrap_or_else(|| panic!("{ty} is a type")).kind,
    };
    Column {
        name: name.into(),
        ty: ColumnType { kind, name: ty.into() },
        not_null,
        has_default: false,
        generated: false,
        identity: false,
        identity_always: false,
    }
}

fn table(name: &str, columns: &[(&str, &str)]) -> Table {
    Table {
        name: TableName::bare(name),
        columns: columns
            .iter()
            .map(|(name, ty)| column(name, ty.trim_end_matches('!'), ty.ends_with('!')))
            .collect(),
        unique: vec![],
    }
}

fn col(name: &str) -> Rule {
    Rule::Column(name.into())
}

fn mapping(rules: &[(&str, Rule)]) -> Mapping {
    Mapping { columns: rules.iter().map(|(name, rule)| ((*name).into(), rule.clone())).collect() }
}

fn rest(except: &[&str], with: &[(&str, Rule)]) -> Rule {
    let shape = JsonShape::Rest {
        except: except.iter().map(|name| (*name).into()).collect(),
        with: with.iter().map(|(key, rule)| ((*key).into(), rule.clone())).collect(),
    };
    Rule::Json { shape, drop_nulls: false }
}

fn lookup(match_column: &str, rule: Rule, missing: Missing) -> Rule {
    Rule::Lookup(Lookup {
        table: "jtbd".into(),
        matches: vec![(match_column.into(), rule)],
        take: "id".into(),
        missing,
    })
}

/// Binds against a source, a target and the lookup table `jtbd (id uuid, code text)`.
fn bound(mapping: &Mapping, source: &Table, target: &Table) -> Result<BoundMapping, Vec<Finding>> {
    let lookups =
        BTreeMap::from([("jtbd".to_owned(), table("jtbd", &[("id", "uuid"), ("code", "text")]))]);
    let children = BTreeMap::from([(
        "step".to_owned(),
        table("step", &[("wf", "bigint"), ("title", "text")]),
    )]);
    let moved = BTreeMap::from([(
        "flows".to_owned(),
        ColumnType { kind: Kind::Int(8), name: "bigint".into() },
    )]);
    let sql_types = BTreeMap::from([(
        "1 -- one".to_owned(),
        ColumnType { kind: Kind::Int(4), name: "integer".into() },
    )]);
    bind(
        mapping,
        &Scope {
            source: &source.columns,
            source_name: "dh_tool",
            source_is_files: false,
            target,
            sql_types: &sql_types,
            children: &children,
            lookups: &lookups,
            moved: &moved,
            lossy: false,
            values: ValueOptions::default(),
            flavor: Flavor::Postgres,
            partial: false,
        },
    )
}

fn messages(result: Result<BoundMapping, Vec<Finding>>) -> Vec<String> {
    result.err().unwrap_or_default().into_iter().map(|finding| finding.message).collect()
}

/// Answers from lists; a key that is in neither list is unknown once and then missing.
#[derive(Default)]
struct Cache {
    known: Vec<(Vec<Value>, Found)>,
    asked: Vec<Vec<Value>>,
}

impl Context for Cache {
    fn lookup(&mut self, _: usize, key: &[Value]) -> Found {
        match self.known.iter().find(|(known, _)| known == key) {
            Some((_, found)) => found.clone(),
            None => {
                self.asked.push(key.to_vec());
                Found::Unknown
            }
        }
    }
    fn moved(&mut self, which: usize, key: &Value) -> Found {
        self.lookup(which, std::slice::from_ref(key))
    }
    fn file(&mut self, _: &str) -> Found {
        Found::None
    }
}

#[test]
fn all_findings_come_at_once() {
    let source = table(
        "s",
        &[("id", "bigint"), ("flag", "boolean"), ("at", "timestamptz"), ("doc", "jsonb")],
    );
    let target = table(
        "tools",
        &[
            ("id", "bigint!"),
            ("ref", "uuid"),
            ("at", "timestamp"),
            ("raw", "bytea"),
            ("name", "text!"),
            ("fk", "uuid"),
        ],
    );
    let rules = mapping(&[
        ("id", col("idd")),
        ("nme", col("id")),
        ("ref", col("flag")),
        ("at", col("at")),
        ("raw", col("doc")),
        ("fk", lookup("cod", col("id"), Missing::Reject)),
    ]);
    let findings = bound(&rules, &source, &target).expect_err("nothing of it works");
    assert_eq!(findings[0].help.as_deref(), Some("did you mean \"id\"?"));
    assert_eq!(findings[1].help.as_deref(), Some("did you mean \"name\"?"));
    let messages: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "dh_tool has no column idd",
            "tools has no column nme",
            "boolean can't go into uuid",
            "timestamptz can't go into timestamp",
            "jsonb can't go into bytea",
            "lookup: jtbd has no column cod",
            "column name of tools is NOT NULL and has no rule",
        ]
    );
}

#[test]
fn rest_takes_what_no_other_rule_takes() {
    let source = table(
        "s",
        &[("id", "bigint"), ("a b", "text"), ("key", "text"), ("tmp", "text"), ("*", "tags")],
    );
    let target = table("t", &[("id", "bigint"), ("doc", "jsonb"), ("fk", "uuid")]);
    let rules = mapping(&[
        ("id", col("id")),
        ("fk", lookup("code", col("key"), Missing::Null)),
        (
            "doc",
            rest(
                &["tmp"],
                &[("from", Rule::Value(Constant::Text("x".into()))), ("copy", col("a b"))],
            ),
        ),
    ]);
    let bound = bound(&rules, &source, &target).expect("it binds");
    assert!(bound.warnings.is_empty(), "{:?}", bound.warnings);
    let row: Vec<Value> = bound
        .inputs
        .iter()
        .map(|input| match (input.name.as_str(), input.form) {
            ("id", _) => Value::Int(1),
            ("*", Form::Json) => Value::Json("[1,2]".into()),
            ("a b", _) => Value::Text("x\"y".into()),
            _ => Value::Null,
        })
        .collect();
    let Outcome::Cells(cells) = eval(&bound, &row, &mut Cache::default()) else { panic!("cells") };
    let json = "{\"a b\":\"x\\\"y\",\"*\":[1,2],\"from\":\"x\",\"copy\":\"x\\\"y\"}";
    assert_eq!(cells[2], Value::Json(json.into()));
    assert_eq!(
        render(&bound, Flavor::Postgres, "s"),
        Err("rule lookup of column fk reads the target".to_owned())
    );
    assert!(
        render_inputs(&bound, Flavor::Postgres, "s", &[])
            .contains(&"to_jsonb(\"s\".\"*\")::text".to_owned())
    );
}

#[test]
fn what_is_left_out_is_said() {
    let source = table("s", &[("id", "bigint"), ("a", "numeric"), ("b", "text")]);
    let target = table("t", &[("id", "bigint"), ("price", "numeric(6,2)")]);
    let bound = bound(&mapping(&[("id", col("id")), ("price", col("a"))]), &source, &target)
        .expect("it binds");
    let warnings: Vec<_> = bound.warnings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "numeric into numeric(6,2) can lose: decimal places would be rounded",
            "columns not copied: b",
        ]
    );
    assert!(render(&bound, Flavor::Postgres, "s").is_err());
    let findings = same_names(&source.columns, &target).expect_err("a and b have no column");
    assert_eq!(findings.len(), 2);
    assert!(findings[0].help.as_deref().is_some_and(|help| help.contains("json = \"*\"")));
}

#[test]
fn lookups_are_asked_for_and_tried_in_turn() {
    let source = table("s", &[("ref", "text"), ("other", "text")]);
    let target = table("t", &[("fk", "uuid"), ("fk2", "uuid")]);
    let both = Rule::First(vec![
        lookup("id", col("ref"), Missing::Reject),
        lookup("code", col("ref"), Missing::Reject),
    ]);
    let rules = mapping(&[("fk", both), ("fk2", lookup("code", col("other"), Missing::Reject))]);
    let bound = bound(&rules, &source, &target).expect("it binds");
    let key = |text: &str| vec![Value::Text(text.into())];
    let id =
        Value::Typed(crate::value::Scalar::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".into());
    let row = [Value::Text("J1".into()), Value::Text("J2".into())];
    let mut cache = Cache::default();
    assert_eq!(eval(&bound, &row, &mut cache), Outcome::Pending);
    assert_eq!(cache.asked, [key("J1"), key("J2")]);
    cache.known = vec![(key("J1"), Found::One(id.clone())), (key("J2"), Found::One(id.clone()))];
    assert_eq!(eval(&bound, &row, &mut cache), Outcome::Cells(vec![id.clone(), id.clone()]));
    let reason = |outcome| match outcome {
        Outcome::Reject(reject) => reject.reason,
        other => panic!("{other:?}"),
    };
    cache.known[1].1 = Found::Many;
    assert_eq!(
        reason(eval(&bound, &row, &mut cache)),
        "lookup in jtbd is ambiguous: several rows match"
    );
    cache.known[1].1 = Found::One(id);
    cache.known[0].1 = Found::None;
    assert_eq!(reason(eval(&bound, &row, &mut cache)), "lookup in jtbd found no row");
    let row = [Value::Null, Value::Text("J2".into())];
    assert_eq!(reason(eval(&bound, &row, &mut cache)), "lookup in jtbd with a null key");
}

#[test]
fn missing_says_what_happens() {
    let source = table("s", &[("ref", "text")]);
    let target = table("t", &[("fk", "uuid!")]);
    let known = vec![(vec![Value::Text("x".into())], Found::None)];
    let outcome = |missing| {
        let bound =
            bound(&mapping(&[("fk", lookup("code", col("ref"), missing))]), &source, &target)
                .expect("it binds");
        eval(&bound, &[Value::Text("x".into())], &mut Cache { known: known.clone(), asked: vec![] })
    };
    assert!(matches!(outcome(Missing::Reject), Outcome::Reject(_)));
    assert_eq!(
        outcome(Missing::Fail),
        Outcome::Stop("column fk: lookup in jtbd found no row".into())
    );
    let Outcome::Reject(reject) = outcome(Missing::Null) else { panic!("the column is NOT NULL") };
    assert_eq!(reject.reason, "null in a NOT NULL column");
}

#[test]
fn maps_moved_keys_and_uuids() {
    let source = table("s", &[("dark", "BOOLEAN"), ("wf", "TEXT")]);
    let target = table("t", &[("theme", "text"), ("wf", "bigint"), ("id", "uuid!")]);
    let text = |text: &str| Constant::Text(text.into());
    let map = vec![("true".to_owned(), text("dark")), ("false".to_owned(), text("light"))];
    let rules = mapping(&[
        ("theme", Rule::Map { from: Box::new(col("dark")), map, default: None }),
        ("wf", Rule::Moved { step: "flows".into(), from: Box::new(col("wf")) }),
        ("id", Rule::Uuid(vec![col("dh_tool"), col("wf")])),
    ]);
    let bound = bound(&rules, &source, &target).expect("it binds");
    let known = vec![(vec![Value::Text("7".into())], Found::One(Value::Int(70)))];
    let mut cache = Cache { known, asked: vec![] };
    let Outcome::Cells(cells) = eval(&bound, &[Value::Int(1), Value::Text("7".into())], &mut cache)
    else {
        panic!("cells")
    };
    assert_eq!(cells[..2], [Value::Text("dark".into()), Value::Int(70)]);
    // The name of this UUID is `7:dh_tool1:7`; it may never change, reruns depend on it.
    assert_eq!(cells[2].to_text().as_deref(), Some("228fe0d8-673f-51a9-80a8-2fafb7dee8f9"));
    let refused = eval(&bound, &[Value::Int(2), Value::Text("7".into())], &mut cache);
    assert!(
        matches!(refused, Outcome::Reject(reject) if reject.reason == "the value is not in the map")
    );
    let refused = eval(&bound, &[Value::Null, Value::Null], &mut cache);
    assert!(matches!(refused, Outcome::Reject(reject) if reject.reason == "null in a uuid rule"));
}

#[test]
fn wide_objects_stay_within_the_servers_limits() {
    let names: Vec<String> = (0..1_600).map(|at| format!("c{at}")).collect();
    let columns: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "text")).collect();
    let target = table("t", &[("doc", "jsonb")]);
    let bound = bound(&mapping(&[("doc", rest(&[], &[]))]), &table("s", &columns), &target)
        .expect("it binds");
    let sql = render(&bound, Flavor::Postgres, "s").expect("it is SQL");
    assert_eq!(sql[0].matches("jsonb_build_object").count(), 32);
}

#[test]
fn sql_and_children_are_inputs() {
    let source = table("s", &[("id", "bigint")]);
    let target = table("t", &[("n", "integer"), ("steps", "jsonb")]);
    let children = Rule::Children {
        table: "step".into(),
        matches: vec![("wf".into(), "id".into())],
        shape: JsonShape::Columns { columns: vec!["title".into()], with: vec![] },
        order_by: vec!["title".into()],
    };
    let bound = bound(
        &mapping(&[("n", Rule::Sql("1 -- one".into())), ("steps", children)]),
        &source,
        &target,
    )
    .expect("it binds");
    let array = "(SELECT coalesce(jsonb_agg(jsonb_build_object('title'::text, \"s_child\".\"title\") \
                 ORDER BY \"s_child\".\"title\"), '[]'::jsonb) FROM \"step\" AS \"s_child\" \
                 WHERE \"s_child\".\"wf\" = \"s\".\"id\")";
    assert_eq!(
        render(&bound, Flavor::Postgres, "s"),
        Ok(vec!["(1 -- one\n)".into(), array.into()])
    );
    assert_eq!(render_inputs(&bound, Flavor::Postgres, "s", &[])[1], format!("({array})::text"));
    let wrong = Rule::Children {
        table: "stp".into(),
        matches: vec![],
        shape: JsonShape::Rest { except: vec![], with: vec![] },
        order_by: vec![],
    };
    assert_eq!(
        messages(super::tests::bound(&mapping(&[("steps", wrong)]), &source, &target)),
        ["children: the source has no table stp"]
    );
}
