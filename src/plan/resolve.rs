//! From a file to a [`Plan`]: variables filled in, defaults spread, references checked.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Findings, Lines, Severity, Span};
use super::links::link;
use super::reader::{Node, Reader, span, string};
use super::{
    Consistency, Endpoint, Plan, Step, StepKind, ThrottleSpec, steps, tables, throttle, tune,
};

/// A plan file larger than this is a mistake.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the command line brings.
pub struct LoadOptions<'a> {
    /// Looks a variable up in the environment; the library never reads it by itself.
    pub vars: &'a dyn Fn(&str) -> Option<String>,
    /// URL of the source instead of the plan's.
    pub source: Option<String>,
    /// URL of the target instead of the plan's.
    pub target: Option<String>,
}

/// A plan and what a person should know about it.
#[derive(Debug)]
pub struct Loaded {
    /// The plan.
    pub plan: Plan,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}

/// Everything that is wrong with a plan file.
#[derive(Debug)]
pub struct PlanError {
    /// The file.
    pub file: PathBuf,
    /// Its text, for carets.
    pub text: String,
    /// The findings; at least one.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads and resolves the plan at `path`.
pub fn load(path: &Path, options: &LoadOptions<'_>) -> Result<Loaded, PlanError> {
    let whole_file = |message: String, help: Option<String>| PlanError {
        file: path.to_owned(),
        text: String::new(),
        diagnostics: vec![Diagnostic { severity: Severity::Error, message, span: None, help }],
    };
    let size = std::fs::metadata(path).map_err(|error| {
        whole_file(
            format!("can't read the plan: {error}"),
            Some("give the plan's path, as in `tablelift run plan.toml`".to_owned()),
        )
    })?;
    if !size.is_file() || size.len() > FILE_BYTES_MAX {
        return Err(whole_file("the plan is not a file of at most 16 MiB".to_owned(), None));
    }
    let bytes = std::fs::read(path)
        .map_err(|error| whole_file(format!("can't read the plan: {error}"), None))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| whole_file("the plan is not UTF-8 text".to_owned(), None))?;
    parse(text, path, options)
}

/// Resolves the text of a plan; `path` is where it stands.
pub fn parse(text: String, path: &Path, options: &LoadOptions<'_>) -> Result<Loaded, PlanError> {
    let findings = Findings::default();
    let plan = match DeTable::parse(&text) {
        Ok(tree) => {
            let lines = Lines::new(&text);
            Resolver { findings: &findings, text: &text, lines, path, options }.plan(tree.get_ref())
        }
        Err(error) => {
            let place = error.span().map_or(Span { start: 0, end: 0 }, Span::from);
            findings.error(place, format!("this is not TOML: {}", error.message().trim()), None);
            None
        }
    };
    let (errors, warnings) = findings.into_sorted();
    match plan {
        Some(plan) if errors.is_empty() => Ok(Loaded { plan: Plan { text, ..plan }, warnings }),
        _ => Err(PlanError { file: path.to_owned(), text, diagnostics: errors }),
    }
}

struct Resolver<'a> {
    findings: &'a Findings,
    text: &'a str,
    lines: Lines,
    path: &'a Path,
    options: &'a LoadOptions<'a>,
}

impl Resolver<'_> {
    fn plan(&self, table: &DeTable<'_>) -> Option<Plan> {
        let start = Span { start: 0, end: 0 };
        let mut reader = Reader::new(table, start, self.findings);
        let name = self.name(&mut reader);
        let description = reader.string("description");
        let vars = self.vars(reader.take("vars"));
        let is_sourceless = self.options.source.is_none() && !reader.has("source");
        let source = match is_sourceless {
            true => None,
            false => self.end(&mut reader, "source", true, &vars),
        };
        let target = self.end(&mut reader, "target", false, &vars);
        let defaults =
            match reader.take("defaults").and_then(|node| Reader::of(node, self.findings)) {
                Some(mut inner) => {
                    let options = steps::options(&mut inner, &steps::built_in());
                    inner.finish();
                    options
                }
                None => steps::built_in(),
            };
        let throttle_node = reader.take("throttle");
        let expand = |text: &str, place: Span| self.expand(text, place, &vars);
        let throttle = throttle_node.map_or_else(ThrottleSpec::default, |node| {
            throttle::throttle(node, &expand, self.findings)
        });
        let protect =
            self.many(reader.take("protect"), |inner| tables::protect(inner, &self.lines));
        let checks = self.many(reader.take("check"), |inner| tables::check(inner, &self.lines));
        let mut all = self.steps(reader.take("step"), &defaults);
        let reads_database = |step: &Step| matches!(step.kind, StepKind::Copy(_));
        let source = match is_sourceless {
            true if !all.is_empty() && !all.iter().any(reads_database) => Some(Endpoint::nothing()),
            true => reader.required("source").and(None),
            false => source,
        };
        reader.finish();
        if let (Some(node), Some(source), Some(target)) = (throttle_node, &source, &target) {
            throttle::fits(&throttle, source, target, span(node), self.findings);
        }
        self.references(&mut all);
        self.unique("check", checks.iter().map(|check| (check.name.as_str(), check.line)));
        self.unique("protected table", protect.iter().map(|one| (one.table.as_str(), one.line)));
        self.spares_protected(&all, &protect);
        tune::fits(&all, target.as_ref(), &self.lines, self.findings);
        self.not_expanded();
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        Some(Plan {
            name: name?,
            description,
            file: self.path.to_owned(),
            dir: dir.unwrap_or(Path::new(".")).to_owned(),
            text: String::new(),
            source: source?,
            target: target?,
            throttle,
            protect,
            steps: all,
            checks,
        })
    }

    fn many<T>(
        &self,
        node: Option<&Node<'_>>,
        read: impl Fn(Reader<'_, '_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(node) = node else { return Vec::new() };
        tables::list(node, self.findings).into_iter().filter_map(read).collect()
    }

    fn name(&self, reader: &mut Reader<'_, '_>) -> Option<String> {
        let node = reader.required("name")?;
        let name = string(node, self.findings)?;
        let fine = (1..=63).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fine {
            let help = "use a-z, 0-9 and -, at most 63 characters".to_owned();
            self.findings.error(span(node), "this can't be a plan's name", Some(help));
        }
        Some(name)
    }

    fn vars(&self, node: Option<&Node<'_>>) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        let Some(reader) = node.and_then(|node| Reader::of(node, self.findings)) else {
            return out;
        };
        for (name, _, node) in reader.entries() {
            let filled = string(node, self.findings)
                .and_then(|text| self.expand(&text, span(node), &BTreeMap::new()));
            if let Some(text) = filled {
                out.insert(name.to_owned(), text);
            }
        }
        out
    }

    /// Fills in `${VAR}` and `${VAR:-default}`. Values never appear in messages.
    fn expand(&self, text: &str, place: Span, vars: &BTreeMap<String, String>) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        let mut complete = true;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            let Some(end) = rest[at..].find('}') else {
                self.findings.error(place, "`${` without `}`", None);
                return None;
            };
            let inside = &rest[at + 2..at + end];
            let (name, default) = match inside.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (inside, None),
            };
            let found = vars.get(name).cloned().or_else(|| (self.options.vars)(name));
            match found.filter(|value| !value.is_empty()).or(default.map(str::to_owned)) {
                Some(value) => out.push_str(&value),
                None => {
                    let help = format!("set it in the environment, or write ${{{name}:-default}}");
                    let message = format!("the variable {name} is not set");
                    self.findings.error(place, message, Some(help));
                    complete = false;
                }
            }
            rest = &rest[at + end + 1..];
        }
        out.push_str(rest);
        complete.then_some(out)
    }

    fn end(
        &self,
        reader: &mut Reader<'_, '_>,
        key: &'static str,
        is_source: bool,
        vars: &BTreeMap<String, String>,
    ) -> Option<Endpoint> {
        let given = if is_source { &self.options.source } else { &self.options.target };
        let node = match given {
            Some(_) => reader.take(key),
            None => reader.required(key),
        };
        let written =
            node.and_then(|node| tables::end(node, is_source, given.is_some(), self.findings));
        let place = written
            .as_ref()
            .and_then(|written| written.url)
            .map_or(Span { start: 0, end: 0 }, span);
        let url = match (given, written.as_ref().and_then(|written| written.url)) {
            (Some(url), _) => url.clone(),
            (None, Some(node)) => self.expand(&string(node, self.findings)?, place, vars)?,
            (None, None) => return None,
        };
        self.known_scheme(&url, place, key);
        Some(Endpoint {
            url,
            schema: written.as_ref().and_then(|written| written.schema.clone()),
            consistency: written.map_or(Consistency::Batch, |written| written.consistency),
            line: self.lines.line(place),
        })
    }

    /// Refuses what no driver here understands, without repeating the URL.
    fn known_scheme(&self, url: &str, place: Span, end: &str) {
        let known = ["postgres://", "postgresql://", "mysql://", "mariadb://", "sqlite:"];
        if known.iter().any(|scheme| url.starts_with(scheme)) {
            return;
        }
        let (message, help) = if url.contains("host=") || url.contains("dbname=") {
            let help = "write postgres://user:password@host:5432/database".to_owned();
            (format!("the {end}'s url is a list of keywords, not a URL"), Some(help))
        } else {
            let help = "write postgres://…, mysql://… or sqlite:PATH".to_owned();
            (format!("the {end}'s url has an unknown scheme"), Some(help))
        };
        self.findings.error(place, message, help);
    }

    fn steps(&self, node: Option<&Node<'_>>, defaults: &super::Options) -> Vec<Step> {
        let start = Span { start: 0, end: 0 };
        let Some(node) = node else {
            let help = "add at least one [[step]]".to_owned();
            self.findings.error(start, "the plan has no step", Some(help));
            return Vec::new();
        };
        let mut out = Vec::new();
        let items = match node.get_ref() {
            DeValue::Array(items) => items.iter().collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        for (reader, item) in tables::list(node, self.findings).into_iter().zip(items) {
            if let Some(step) = steps::step(reader, defaults, &self.lines) {
                steps::misplaced(&step, item, self.findings);
                out.push(step);
            }
        }
        self.unique("step", out.iter().map(|step| (step.name.as_str(), step.line)));
        out
    }

    fn unique<'n>(&self, what: &str, names: impl Iterator<Item = (&'n str, usize)>) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (name, line) in names {
            if let Some(first) = seen.insert(name, line) {
                let message = format!("the {what} `{name}` stands twice, first in line {first}");
                self.findings.error(self.lines.span(line), message, None);
            }
        }
    }

    /// What [`link`] finds; a plan with patterns is linked when it is known what they mean.
    fn references(&self, all: &mut [Step]) {
        if all.iter().any(Step::needs_expansion) {
            return;
        }
        for (line, message, help) in link(all) {
            self.findings.error(self.lines.span(line), message, help);
        }
    }

    /// The plan itself may not change what it protects.
    fn spares_protected(&self, all: &[Step], protect: &[super::Protect]) {
        for step in all {
            let table = step.kind.target_table();
            let Some(one) = protect.iter().find(|one| table == Some(one.table.as_str())) else {
                continue;
            };
            let message = match &step.kind {
                StepKind::Update(update) => update
                    .set
                    .columns
                    .iter()
                    .find(|(column, _)| !one.except.contains(column))
                    .map(|(column, _)| {
                        format!("the step changes the protected column `{}.{column}`", one.table)
                    }),
                _ => (!one.allow_inserts)
                    .then(|| format!("the step inserts into the protected table `{}`", one.table)),
            };
            if let Some(message) = message {
                let help = "list the column under `except`, or say allow_inserts = true".to_owned();
                self.findings.error(self.lines.span(step.line), message, Some(help));
            }
        }
    }

    /// `${…}` outside urls and vars stays as it is: said, because it surprises.
    fn not_expanded(&self) {
        let mut section = "";
        for (at, line) in self.text.lines().enumerate() {
            let trimmed = line.trim();
            if trimmed.starts_with('[') {
                section = trimmed;
            }
            let is_url = trimmed.starts_with("url") || section == "[vars]";
            if trimmed.contains("${") && !is_url && !trimmed.starts_with('#') {
                let help = "variables work in url and in [vars] only".to_owned();
                self.findings.warning(
                    self.lines.span(at + 1),
                    "`${…}` is not filled in here",
                    Some(help),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
