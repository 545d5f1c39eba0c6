//! Plan files: any text is a plan or a list of findings that can be shown. Nothing is connected.

use std::path::Path;
use std::time::Duration;

use serde_json::value::RawValue;
use tablelift::db::Database;
use tablelift::mapping::{Constant, Rule, each_rule};
use tablelift::plan::resolve::{LoadOptions, parse};
use tablelift::plan::{CheckValue, Diagnostic, Plan, SeedSource, StepKind};

// The program's own way to show findings: a caret under a hostile place is where it could break.
#[path = "../../src/cli/ui/diagnostic.rs"]
mod diagnostic;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../src/cli/ui/text.rs"]
mod text;

/// The input as a plan.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let vars = |name: &str| (name == "SET").then(|| "sqlite:set.db".to_owned());
    let options = LoadOptions { vars: &vars, source: None, target: None };
    match parse(text.to_owned(), Path::new("plan.toml"), &options) {
        Ok(loaded) => {
            shown(text, &loaded.warnings);
            sound(&loaded.plan);
            for end in [&loaded.plan.source, &loaded.plan.target] {
                // This understands the URL and connects to nothing.
                let _ = Database::open(end, &loaded.plan.dir, Duration::from_secs(1));
            }
            assert_eq!(loaded.plan.text, text);
        }
        Err(error) => {
            assert!(!error.diagnostics.is_empty(), "a plan is refused for a reason");
            shown(text, &error.diagnostics);
        }
    }
}

/// Each finding stands at a place of the text, and all can be shown.
fn shown(text: &str, diagnostics: &[Diagnostic]) {
    for one in diagnostics {
        let Some(span) = one.span else { continue };
        assert!(text.get(span.start..span.end).is_some(), "{span:?} is no place: {}", one.message);
    }
    // Each is drawn with the whole text: a thousand of them say no more than a few.
    let few = &diagnostics[..diagnostics.len().min(8)];
    let _ = diagnostic::render(Path::new("plan.toml"), text, few, false);
}

fn sound(plan: &Plan) {
    for step in &plan.steps {
        for (_, rule) in step.kind.mapping().iter().flat_map(|mapping| &mapping.columns) {
            each_rule(rule, &mut |rule| match rule {
                Rule::Value(value) => constant(value),
                Rule::Map { map, default, .. } => {
                    map.iter().map(|(_, value)| value).chain(default).for_each(constant);
                }
                _ => {}
            });
        }
        if let StepKind::Seed(seed) = &step.kind
            && let SeedSource::Rows(rows) = &seed.from
        {
            rows.iter().flatten().for_each(|(_, value)| constant(value));
        }
    }
    for check in &plan.checks {
        match &check.expected {
            CheckValue::Scalar(value) => constant(value),
            CheckValue::Rows(rows) => rows.iter().flatten().for_each(constant),
            CheckValue::Empty(_) => {}
        }
    }
}

/// A constant's JSON is JSON, and a number's is a number.
fn constant(constant: &Constant) {
    let mut text = String::new();
    constant.value().write_json(&mut text);
    let parsed: Result<&RawValue, _> = serde_json::from_str(&text);
    assert!(parsed.is_ok(), "{constant:?} as JSON is {text}");
    if matches!(constant, Constant::Number(_)) {
        assert!(!text.starts_with('"'), "{constant:?} is no number");
    }
}
