//! Decisions on catalogs made by hand.

use super::*;
use crate::sql::survey::ForeignKey;
use crate::sql::table::UniqueKey;
use crate::sql::{Affinity, Column, ColumnType, Kind, TableName};

const TEXT: Kind = Kind::Text { max: None, padded: false };

fn column(name: &str, kind: Kind) -> Column {
    Column {
        name: name.to_owned(),
        ty: ColumnType { kind, name: "t".to_owned() },
        not_null: false,
        has_default: false,
        generated: false,
        identity: false,
        identity_always: false,
    }
}

fn table(name: &str, columns: Vec<Column>) -> Surveyed {
    let primary = UniqueKey { columns: vec!["id".to_owned()], primary: true };
    let mut id = column("id", Kind::Int(4));
    id.not_null = true;
    Surveyed {
        table: Table {
            name: TableName::within("main", name),
            columns: std::iter::once(id).chain(columns).collect(),
            unique: vec![primary],
        },
        kind: TableKind::Table,
        details: Details::default(),
        triggers: Vec::new(),
        rows: Some(0),
    }
}

fn side(same_database: bool, tables: Vec<Surveyed>) -> Side {
    Side {
        flavor: Flavor::Postgres,
        display: "h:5432/d".to_owned(),
        url: "postgres://h/d".to_owned(),
        secret: false,
        same_database,
        tables,
    }
}

fn named(names: &[&str]) -> Vec<Surveyed> {
    names.iter().map(|name| table(name, Vec::new())).collect()
}

/// `source → target`, for each step.
fn pairs(draft: &Draft) -> Vec<String> {
    draft.steps.iter().map(|step| format!("{} → {}", step.source, step.target)).collect()
}

fn drafted(source: Vec<Surveyed>, target: Vec<Surveyed>) -> Draft {
    draft(&side(false, source), &side(false, target), None, true)
}

/// The only step of two tables `t` with these columns.
fn step_of(source: Vec<Column>, target: Vec<Column>) -> DraftStep {
    drafted(vec![table("t", source)], vec![table("t", target)]).steps.remove(0)
}

fn rule<'s>(step: &'s DraftStep, column: &str) -> Option<&'s DraftRule> {
    step.columns.iter().find(|entry| entry.target == column).map(|entry| &entry.rule)
}

#[test]
fn an_exact_name_comes_before_a_likely_one_and_ties_are_left() {
    let draft = drafted(
        named(&["users", "old_users", "dh_order", "tbl_order", "legacyInvoices"]),
        named(&["users", "orders", "invoice"]),
    );
    assert_eq!(pairs(&draft), ["users → users", "legacyInvoices → invoice"]);
    let why: Vec<&str> = draft.unmatched.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(why[0], "users would fit by its name, but users goes there");
    assert!(why[1].starts_with("dh_order, tbl_order could go into orders"), "{why:?}");
    assert_eq!(why[1], why[2]);
}

#[test]
fn in_one_database_the_older_name_is_the_source() {
    let names = ["dh_tool", "tools", "users", "users_v2", "prompts", "wp_a", "wp_b", "as"];
    let both = || side(true, named(&names));
    let draft = draft(&both(), &both(), None, true);
    assert_eq!(pairs(&draft), ["dh_tool → tools", "users → users_v2"]);
    assert_eq!(draft.unwritten, ["prompts", "wp_a", "wp_b", "as"]);
    let picked = |name: &str| name == "wp_a";
    let draft = super::draft(&both(), &both(), Some(&picked), true);
    assert_eq!((pairs(&draft).len(), draft.unmatched.len()), (0, 1));
}

#[test]
fn a_view_takes_nothing_that_a_table_could_fill() {
    let mut source = named(&["item", "dh_item", "v"]);
    source[0].kind = TableKind::View;
    source[2].kind = TableKind::View;
    let mut target = named(&["items", "w"]);
    target[1].kind = TableKind::View;
    let draft = drafted(source, target);
    assert_eq!(pairs(&draft), ["dh_item → items"]);
    assert!(draft.unmatched.iter().all(|one| one.view));
}

#[test]
fn types_decide_between_a_plain_rule_a_cast_and_nothing() {
    let target = vec![
        column("a", Kind::TimestampTz(6)),
        column("b", Kind::Numeric(Some((6, 2)))),
        column("c", Kind::Uuid),
        column("d", Kind::Bool),
    ];
    let source = vec![
        column("a", Kind::Timestamp(6)),
        column("b", Kind::Numeric(None)),
        column("c", Kind::Date),
        column("d", Kind::Numeric(None)),
    ];
    let step = step_of(source, target);
    let cast = |from: &str, cast: &str| DraftRule::Cast { from: from.into(), cast: cast.into() };
    assert_eq!(rule(&step, "a"), Some(&cast("a", "timestamptz")));
    assert_eq!(rule(&step, "b"), Some(&DraftRule::Column("b".into())));
    assert_eq!(rule(&step, "c"), None);
    assert_eq!(rule(&step, "d"), Some(&cast("d", "boolean")));
    let said = step.dangers.join("\n");
    for word in ["the place of UTC", "decimal places would be rounded", "left out", "NOT COPIED: c"]
    {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn what_is_left_goes_into_the_likeliest_json_column() {
    let left = || vec![column("x", TEXT), column("t_name", TEXT)];
    let json = |name: &str| column(name, Kind::Jsonb);
    let step = step_of(left(), vec![json("blob"), json("metadata"), column("name", TEXT)]);
    assert_eq!(rule(&step, "metadata"), Some(&DraftRule::Rest(Vec::new())));
    assert_eq!(rule(&step, "name"), Some(&DraftRule::Column("t_name".into())));
    assert_eq!(rule(&step, "blob"), None);

    let step = step_of(left(), vec![json("one"), json("two")]);
    let said = step.dangers.join("\n");
    assert!(said.contains("NOT COPIED: x, t_name; name one of one, two"), "{said}");

    // In SQLite a telling name makes TEXT a holder; any other name doesn't.
    let text = |name: &str| column(name, Kind::Dynamic(Affinity::Text));
    assert!(rule(&step_of(left(), vec![text("extra")]), "extra").is_some());
    assert!(rule(&step_of(left(), vec![text("note")]), "note").is_none());

    // What the target makes itself is not folded.
    let mut made = column("x", TEXT);
    made.generated = true;
    let step = step_of(left(), vec![made, json("metadata")]);
    assert_eq!(rule(&step, "metadata"), Some(&DraftRule::Rest(vec!["x".into()])));
}

#[test]
fn a_value_that_nobody_brings_takes_the_step_out() {
    let mut due = column("due", TEXT);
    due.not_null = true;
    let step = step_of(Vec::new(), vec![due.clone()]);
    assert_eq!((step.is_active(), step.missing), (false, vec!["due".to_owned()]));
    due.has_default = true;
    assert!(step_of(Vec::new(), vec![due]).is_active());
}

#[test]
fn keys_are_the_primary_one_or_a_whole_unique_one_or_none() {
    let keyed = |not_null: bool| {
        let mut source = table("t", vec![column("code", TEXT)]);
        source.table.unique[0] = UniqueKey { columns: vec!["code".into()], primary: false };
        source.table.columns[1].not_null = not_null;
        drafted(vec![source], named(&["t"])).steps.remove(0)
    };
    assert_eq!(keyed(true).key, ["code"]);
    assert!(keyed(false).key.is_empty());
    assert!(
        keyed(false).dangers.iter().any(|text| text.contains("only keys may hold NULL (code)"))
    );
}

#[test]
fn referenced_tables_come_first_and_a_circle_is_named_once() {
    let references = |name: &str, others: &[&str]| {
        let mut table = table(name, vec![column("r", Kind::Int(4))]);
        table.details.foreign_keys = others
            .iter()
            .map(|other| ForeignKey {
                name: format!("{name}_{other}"),
                columns: vec!["r".into()],
                table: TableName::within("main", *other),
                references: Vec::new(),
            })
            .collect();
        table
    };
    let target = vec![
        references("a", &["b", "a"]),
        references("b", &["c", "elsewhere"]),
        references("c", &["d"]),
        references("d", &["c"]),
        references("e", &[]),
    ];
    let with_r = |name| table(name, vec![column("r", Kind::Int(4))]);
    let draft = drafted(["a", "b", "c", "d", "e"].map(with_r).into(), target);
    // A step that is free comes before one of a circle.
    let order: Vec<&str> = draft.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(order, ["e", "c", "b", "a", "d"]);
    assert_eq!(draft.dangers.len(), 1);
    assert!(draft.dangers[0].contains("c → d → c"), "{}", draft.dangers[0]);
    let dangers = |at: usize| draft.steps[at].dangers.join("\n");
    assert!(dangers(2).contains("no step writes elsewhere"), "{}", dangers(2));
    assert_eq!(draft.steps[3].later, ["r"]);
    assert_eq!(draft.steps[1].later, ["r"]);
    assert!(draft.steps[4].later.is_empty());
}

#[test]
fn comments_can_not_be_left_by_a_name() {
    let mut bad = named(&["a\n[[step]]\nname = 'x'"]);
    bad[0].table.columns.push(column("b\r\nsql = \"DROP\"", TEXT));
    let (source, target) = (side(false, bad), side(false, named(&["t"])));
    let text = write(&draft(&source, &target, None, true), &source, &target);
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let url = "url = \"postgres://h/d\"";
    assert_eq!(lines, ["name = \"move-d\"", "[source]", url, "[target]", url]);
}
