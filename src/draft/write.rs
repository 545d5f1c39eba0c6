//! The draft as the text of a plan. Names and URLs go through a TOML writer; whatever stands in
//! a comment can't end it.

use toml_writer::{ToTomlKey as _, ToTomlValue as _, TomlKeyBuilder, TomlStringBuilder};

use super::{Draft, DraftRule, DraftStep, Entry, Side, Unmatched};

/// Width of comments.
const WIDTH: usize = 108;

/// Where a line's own comment begins, at least.
const ASIDE: usize = 40;

/// The plan's text.
pub fn write(draft: &Draft, source: &Side, target: &Side) -> String {
    let mut out = String::new();
    head(&mut out, draft, source, target);
    comment(
        &mut out,
        "Identifies the migration in the ledger: rename it before the first run, not later.",
    );
    out.push_str(&format!("name = {}\n\n", string(&draft.name)));
    for (section, side) in [("source", source), ("target", target)] {
        out.push_str(&format!("[{section}]\nurl = {}\n", string(&side.url)));
    }
    for danger in &draft.dangers {
        out.push('\n');
        comment(&mut out, &format!("DANGER: {danger}"));
    }
    protected(&mut out, draft, target);
    for step in &draft.steps {
        write_step(&mut out, step, draft.counted);
    }
    rest(&mut out, draft);
    out
}

fn head(out: &mut String, draft: &Draft, source: &Side, target: &Side) {
    comment(
        out,
        &format!("Drafted by `tablelift init` from {} and {}.", source.display, target.display),
    );
    comment(
        out,
        "Every decision has its reason beside it. Read the lines with DANGER and TODO, then:",
    );
    comment(out, "  tablelift check PLAN           what a run would find");
    comment(out, "  tablelift run PLAN --dry-run   SQL, counts and three mapped rows of each step");
    let variables: Vec<&str> = [source, target]
        .into_iter()
        .filter(|side| side.secret)
        .map(|side| side.url.as_str())
        .collect();
    if !variables.is_empty() {
        out.push_str("#\n");
        comment(
            out,
            &format!(
                "A URL with a password is not written down: set {} in the environment.",
                variables.join(" and ")
            ),
        );
    }
    if draft.counted && !draft.steps.is_empty() {
        out.push_str("#\n");
        comment(
            out,
            "`expect` and `rows` are counts of now. In a database in service they move: take \
             them out, or count again before the run.",
        );
    }
    out.push('\n');
}

fn protected(out: &mut String, draft: &Draft, target: &Side) {
    let guarded = draft.guarded(target);
    if !draft.counted && !draft.unwritten.is_empty() {
        out.push('\n');
        comment(out, "Nothing was counted. Tables that must not change: [[protect]] table = \"…\"");
    }
    if guarded.is_empty() {
        return;
    }
    out.push('\n');
    comment(
        out,
        "Tables that hold rows: their content is compared before the first step and after the \
         last one. That reads each of them twice: take out what may change.",
    );
    for one in guarded {
        out.push_str(&format!(
            "[[protect]]\ntable = {}\nrows = {}\n",
            string(&one.table),
            one.rows
        ));
        if one.allow_inserts {
            aside(
                out,
                "allow_inserts = true",
                Some("a step adds rows; those of now stay as they are"),
            );
        }
    }
}

fn write_step(out: &mut String, step: &DraftStep, counted: bool) {
    out.push('\n');
    comment(out, &format!("{} {} → {}", "-".repeat(60), step.source, step.target));
    comment(out, &format!("Matched by {}.", step.why));
    for note in &step.notes {
        comment(out, note);
    }
    for danger in &step.dangers {
        comment(out, &format!("DANGER: {danger}"));
    }
    for reason in &step.inactive {
        comment(out, &format!("NOT ACTIVE: {reason}"));
    }
    let text = step_text(step, counted);
    if step.is_active() {
        out.push_str(&text);
        return;
    }
    for line in text.lines() {
        out.push_str(&format!("# {line}\n"));
    }
}

fn step_text(step: &DraftStep, counted: bool) -> String {
    let mut out = format!(
        "[[step]]\nname = {}\ncopy = {}\ninto = {}\n",
        string(&step.name),
        string(&step.source),
        string(&step.target)
    );
    if !step.key.is_empty() {
        let line = format!("key = {}", strings(&step.key));
        aside(&mut out, &line, Some("unique and without NULL; there is no primary key"));
    }
    match step.rows {
        Some((rows, before)) => out.push_str(&format!(
            "expect = {{ source = {rows}, before = {before}, after = {} }}\n",
            before.saturating_add(rows)
        )),
        None if counted => comment(&mut out, "expect: the tables could not be counted"),
        None => comment(&mut out, "expect = { source = N, before = N, after = N }"),
    }
    if !step.later.is_empty() {
        let line = format!("later = {}", strings(&step.later));
        aside(&mut out, &line, Some("NULL at first; a second pass fills them"));
    }
    out.push_str("[step.columns]\n");
    for entry in &step.columns {
        aside(&mut out, &entry_text(entry), entry.why.as_deref());
    }
    for column in &step.missing {
        let line = format!("{} = {{ value = \"TODO\" }}", key(column));
        aside(&mut out, &line, Some("TODO: NOT NULL, no default, no source column"));
    }
    out
}

fn entry_text(entry: &Entry) -> String {
    let rule = match &entry.rule {
        DraftRule::Column(from) => string(from),
        DraftRule::Cast { from, cast } => {
            let zone = if cast.starts_with("timestamptz") { ", zone = \"UTC\"" } else { "" };
            format!("{{ from = {}, cast = {}{zone} }}", string(from), string(cast))
        }
        DraftRule::Rest(except) if except.is_empty() => "{ json = \"*\" }".to_owned(),
        DraftRule::Rest(except) => format!("{{ json = \"*\", except = {} }}", strings(except)),
    };
    format!("{} = {rule}", key(&entry.target))
}

/// What has no step: proposed as comments.
fn rest(out: &mut String, draft: &Draft) {
    for table in draft.unmatched.iter().filter(|table| !table.view) {
        unmatched(out, table);
    }
    let views: Vec<&str> = draft
        .unmatched
        .iter()
        .filter(|table| table.view)
        .map(|table| table.table.as_str())
        .collect();
    if !views.is_empty() {
        out.push('\n');
        comment(out, &format!("Views of the source that nothing matches: {}.", views.join(", ")));
    }
    if !draft.unwritten.is_empty() {
        out.push('\n');
        comment(
            out,
            &format!("Tables of the target that no step writes: {}.", draft.unwritten.join(", ")),
        );
    }
}

fn unmatched(out: &mut String, table: &Unmatched) {
    out.push('\n');
    comment(out, &format!("{} {} → ?", "-".repeat(60), table.table));
    comment(out, &format!("NOT ACTIVE: {}.", table.why));
    comment(out, &format!("Its columns: {}", table.columns.join(", ")));
    let name = string(&table.table);
    out.push_str(&format!("# [[step]]\n# name = {name}\n# copy = {name}\n# into = \"TODO\"\n"));
}

/// A line with a comment beside it, or above it where there is no room.
fn aside(out: &mut String, line: &str, why: Option<&str>) {
    let Some(why) = why else {
        out.push_str(&format!("{line}\n"));
        return;
    };
    let why = plain(why);
    if line.chars().count().max(ASIDE) + why.chars().count() + 2 > WIDTH {
        comment(out, &why);
        out.push_str(&format!("{line}\n"));
    } else {
        out.push_str(&format!("{line:<ASIDE$}# {why}\n"));
    }
}

/// A comment, broken into lines at words.
fn comment(out: &mut String, text: &str) {
    let text = plain(text);
    let mut line = String::from("#");
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 && line.chars().count() + word.chars().count() + 1 > WIDTH {
            out.push_str(line.trim_end());
            out.push('\n');
            line = String::from("#  ");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

/// Text that can't leave its line: control characters become visible.
fn plain(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// A string of one line.
fn string(text: &str) -> String {
    TomlStringBuilder::new(text).as_basic().to_toml_value()
}

fn strings(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| string(text)).collect::<Vec<_>>().join(", "))
}

/// A bare or quoted key.
fn key(text: &str) -> String {
    let builder = TomlKeyBuilder::new(text);
    builder.as_unquoted().unwrap_or_else(|| builder.as_basic()).to_toml_key()
}
