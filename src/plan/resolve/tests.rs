use super::*;
use crate::mapping::{Constant, Rule};
use crate::plan::Tune;

fn load(text: &str) -> Result<Loaded, PlanError> {
    let vars = |name: &str| (name == "SET").then(|| "sqlite:set.db".to_owned());
    let options = LoadOptions { vars: &vars, source: None, target: None };
    parse(text.to_owned(), Path::new("plan.toml"), &options)
}

fn errors(text: &str) -> Vec<(usize, String)> {
    let error = load(text).expect_err("the plan is wrong");
    let line = |d: &Diagnostic| d.span.map_or(0, |span| span.line_and_column(text).0);
    error.diagnostics.iter().map(|d| (line(d), d.message.clone())).collect()
}

const HEAD: &str =
    "name = \"p\"\n[source]\nurl = \"sqlite:a.db\"\n[target]\nurl = \"sqlite:b.db\"\n";

#[test]
fn a_whole_plan_is_understood() {
    let text = format!(
        "{HEAD}[defaults]\nbatch_rows = 50\n[throttle]\nrows_per_second = 10\nbytes_per_second = \"1MB\"\n\
         [[protect]]\ntable = \"x\"\nrows = 3\n\
         [[step]]\nname = \"a\"\ncopy = \"old\"\ninto = \"new\"\nkey = [\"t\", \"id\"]\nbatch_rows = 7\n\
         [step.columns]\nid = \"id\"\nmode = {{ from = \"dark\", map = {{ true = \"dark\" }}, default = \"light\" }}\n\
         data = {{ json = \"*\", except = [\"tmp\"], with = {{ source = {{ value = \"old\" }} }} }}\n\
         [[step]]\nname = \"b\"\ncopy = \"kids\"\ninto = \"kids2\"\n[step.columns]\n\
         parent = {{ moved = \"new\", from = \"old_id\" }}\n\
         [[check]]\nname = \"c\"\nsql = \"SELECT 1\"\nvalue = 1\nfail_over = \"1s\"\n"
    );
    let plan = load(&text).unwrap().plan;
    assert_eq!(plan.steps[0].options.batch_rows, 7);
    assert_eq!(plan.steps[1].options.batch_rows, 50);
    let StepKind::Copy(copy) = &plan.steps[1].kind else { panic!() };
    let (_, rule) = &copy.columns.as_ref().unwrap().columns[0];
    assert!(
        matches!(rule, Rule::Moved { step, .. } if step == "a"),
        "the table stands for its step"
    );
}

#[test]
fn all_mistakes_come_at_once_with_their_lines() {
    let text = format!(
        "{HEAD}[defaults]\nbatch_row = 5\nworkers = \"two\"\n[[step]]\nname = \"a\"\ncopy = \"t\"\nin = \"u\"\n\
         [[check]]\nname = \"c\"\nsql = \"SELECT 1\"\n"
    );
    let found = errors(&text);
    let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [7, 8, 9, 12, 13], "{found:?}");
}

#[test]
fn what_comes_later_is_not_unknown() {
    for step in ["migrate = \"schema/\"", "backup = [\"t\"]", "gate = \"go\"", "delete = \"t\""] {
        let found = errors(&format!("{HEAD}[[step]]\nname = \"s\"\n{step}\n"));
        assert!(found[0].1.contains("not supported yet"), "{found:?}");
    }
    let other = HEAD.replace("sqlite:a.db", "oracle://u:secret@h/d");
    let found = errors(&format!("{other}[[step]]\nname = \"s\"\nsql = \"x\"\n"));
    assert!(found[0].1.contains("unknown scheme"), "{found:?}");
    assert!(!format!("{found:?}").contains("secret"));
}

#[test]
fn a_throttle_with_everything() {
    let text = format!(
        "{HEAD}[defaults]\nbatch_bytes = \"1MB\"\nbatch_time = \"500ms\"\n\
         [throttle]\nduty = 0.5\nwindow = \"22:00-06:00 Europe/Berlin\"\nstop_after = \"6h\"\n\
         [throttle.back_off_when]\nbatch_p95 = \"2s\"\nfile = \"f\"\nquery = \"q\"\nlimit = 3\n\
         [[throttle.signal]]\nname = \"n\"\nsql = \"s\"\npause_over = 0\non = \"source\"\n\
         [[throttle.signal]]\nhttp = \"http://h/\"\n\
         [[step]]\nname = \"a\"\nsql = \"x\"\n"
    );
    let plan = load(&text).unwrap().plan;
    let signals: Vec<String> = plan
        .throttle
        .signals
        .iter()
        .map(|one| format!("{} {} {} {}", one.name, one.limit, one.above, one.source))
        .collect();
    assert_eq!(
        signals,
        [
            "batch_p95 2 false false",
            "file 0 false false",
            "query 3 false false",
            "n 0 true true",
            "http 1 false false"
        ]
    );
    assert_eq!(plan.steps[0].options.batch_bytes, Some(1_000_000));
    let wrong = text
        .replace("duty = 0.5", "duty = 1.5")
        .replace("Europe/Berlin", "Nowhere")
        .replace("limit = 3\n", "")
        .replace("pause_over = 0", "pause_over = 0\nlimit = 1")
        .replace("http://h/", "ftp://h/");
    let found = errors(&wrong);
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn variables_are_filled_in_or_named() {
    let with = |url: &str| {
        load(&format!("{}[[step]]\nname = \"s\"\nsql = \"x\"\n", HEAD.replace("sqlite:a.db", url)))
    };
    assert_eq!(with("${SET}").unwrap().plan.source.url, "sqlite:set.db");
    assert_eq!(with("${UNSET:-sqlite:d.db}").unwrap().plan.source.url, "sqlite:d.db");
    assert!(with("${UNSET}").unwrap_err().diagnostics[0].message.contains("UNSET"));
    assert!(with("${SET").is_err());
}

#[test]
fn the_plan_may_not_change_what_it_protects() {
    let found = errors(&format!(
        "{HEAD}[[protect]]\ntable = \"t\"\n[[step]]\nname = \"s\"\ncopy = \"o\"\ninto = \"t\"\n"
    ));
    assert!(found[0].1.contains("protected"), "{found:?}");
}

#[test]
fn a_step_keeps_its_checksum_under_free_changes() {
    let sum = |extra: &str, into: &str| {
        let text =
            format!("{HEAD}[[step]]\nname = \"s\"\ncopy = \"o\"\ninto = \"{into}\"\n{extra}\n");
        load(&text).unwrap().plan.steps[0].checksum.clone()
    };
    assert_eq!(sum("", "t"), sum("workers = 3\nbatch_rows = 9\nretries = 1", "t"));
    assert_ne!(sum("", "t"), sum("", "u"));
    assert_ne!(sum("", "t"), sum("where = \"x\"", "t"));
}

#[test]
fn tune_is_read_where_it_belongs_and_refused_by_name_elsewhere() {
    let step = |body: &str| format!("{HEAD}[[step]]\nname = \"s\"\n{body}\n");
    let copy = "copy = \"o\"\ninto = \"t\"\n";
    let of = |text: &str| load(text).unwrap().plan.steps[0].clone();
    assert_eq!(of(&step(copy)).options.tune, Tune::default());
    let tuned = of(&step(&format!("{copy}tune = {{ defer_indexes = true, analyze = false }}")));
    let expected = Tune { defer_indexes: true, analyze: Some(false), synchronous_commit: true };
    assert_eq!(tuned.options.tune, expected);
    assert_eq!(tuned.checksum, of(&step(copy)).checksum, "free to change between runs");
    let seed = "rows = [{ id = 1 }]\ninto = \"t\"\ntune = { analyze = true }";
    assert_eq!(of(&step(seed)).options.tune.analyze, Some(true));

    let refused = [
        (step("sql = \"x\"\ntune = { analyze = true }"), "`tune` belongs into a `copy`"),
        (step("update = \"t\"\nset = { a = \"b\" }\ntune = {}"), "`tune` belongs into a `copy`"),
        (step(&format!("{copy}[defaults]\ntune = {{}}")), "`tune` belongs into a `copy`"),
        (step("sql = \"x\"\nanalyze = true"), "`analyze` belongs into a `copy`"),
        (step(&format!("{copy}tune = {{ analyse = true }}")), "unknown key `analyse`"),
        (step(&format!("{copy}tune = true")), "expected a table"),
        (step(&format!("{copy}tune = {{ analyze = 1 }}")), "expected true or false"),
        (
            step(&format!("{copy}tune = {{ synchronous_commit = false }}")),
            "needs a PostgreSQL target",
        ),
    ];
    for (text, message) in refused {
        let found = errors(&text);
        assert!(found.len() == 1 && found[0].1.contains(message), "{message}: {found:?}");
    }
    let near = load(&step(&format!("{copy}tune = {{ defer_index = true }}"))).unwrap_err();
    let help = near.diagnostics[0].help.as_deref();
    assert_eq!(help, Some("did you mean `defer_indexes`?"));
    let postgres = step(&format!("{copy}tune = {{ synchronous_commit = false }}"))
        .replace("sqlite:b.db", "postgres://h/d");
    assert!(!of(&postgres).options.tune.synchronous_commit);
}

#[test]
fn numbers_in_other_bases_are_the_numbers_they_say() {
    let with = |value: &str| {
        load(&format!(
            "{HEAD}[throttle]\nbatches_per_second = 0x10\n[[step]]\nname = \"s\"\ncopy = \"o\"\n\
             into = \"t\"\n[step.columns]\na = {{ value = {value} }}\n"
        ))
    };
    let constant = |value: &str| {
        let plan = with(value).unwrap().plan;
        assert_eq!(plan.throttle.batches_per_second, Some(16.0));
        plan.steps[0].kind.mapping().unwrap().columns[0].1.clone()
    };
    assert_eq!(constant("0x10"), Rule::Value(Constant::Int(16)));
    let many = "18446744073709551616";
    assert_eq!(constant(many), Rule::Value(Constant::Number(many.into())));
    assert_eq!(constant(&format!("+{many}")), Rule::Value(Constant::Number(many.into())));
    for more in ["0x10000000000000000", "0xFFFFFFFFFFFFFFFF", "[0o7777777777777777777777]"] {
        assert!(with(more).is_err(), "{more} is not its digits read as decimal ones");
    }
}

#[test]
fn no_text_makes_it_panic() {
    for text in [
        "",
        "\u{0}",
        "[[step]]",
        "name = 1",
        "a = {",
        "[source]\nurl = {}",
        "step = 1",
        "step = [1]",
    ] {
        assert!(load(text).is_err());
    }
    let deep = format!(
        "{HEAD}[[step]]\nname=\"s\"\ncopy=\"o\"\ninto=\"t\"\n[step.columns]\na = {}\"x\"{}",
        "{ array = [".repeat(200),
        "] }".repeat(200)
    );
    assert!(load(&deep).is_err());
}

proptest::proptest! {
    #[test]
    fn random_plans_are_refused_not_crashed(text in ".{0,200}", at in 0usize..120) {
        let mut plan = format!("{HEAD}[[step]]\nname = \"s\"\ncopy = \"o\"\ninto = \"t\"\n");
        let at = (0..=at.min(plan.len())).rev().find(|at| plan.is_char_boundary(*at)).unwrap_or(0);
        plan.insert_str(at, &text);
        let _ = load(&plan);
    }
}
