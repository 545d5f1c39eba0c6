//! The tables, in the order in which they can be created and filled.

use uuid::Uuid;

use super::Cell;
use super::words::{KINDS, NOUNS, Numbers, TAGS};

/// One legacy or protected table.
pub struct Legacy {
    /// Its name.
    pub name: &'static str,
    /// CREATE TABLE for SQLite.
    pub sqlite: &'static str,
    /// CREATE TABLE for PostgreSQL.
    pub postgres: &'static str,
    /// Its rows.
    pub rows: Vec<Vec<Cell>>,
}

/// JTBDs of Medical Affairs for each strategic priority.
const LINKED: [usize; 7] = [17, 19, 18, 14, 15, 8, 14];

fn id(kind: &str, number: usize) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("digital-health/{kind}/{number}").as_bytes())
        .to_string()
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn name(numbers: &mut Numbers, number: usize) -> String {
    format!("{} {} {number}", numbers.pick(KINDS), numbers.pick(NOUNS))
}

fn tags(numbers: &mut Numbers) -> Cell {
    let count = numbers.below(4);
    Cell::List((0..count).map(|_| numbers.pick(TAGS).to_owned()).collect())
}

/// A nested document with numbers that a float would change.
fn document(numbers: &mut Numbers, number: usize) -> Cell {
    let word = serde_json::Value::from(numbers.pick(super::words::SENTENCES));
    Cell::Json(format!(
        "{{\"price\": 83476.{:02}, \"big\": {}, \"note\": {word}, \"steps\": [{{\"n\": 1, \"ok\": true}}, null, [\"é\", {{}}]]}}",
        number % 100,
        9_007_199_254_740_993_u64 + number as u64,
    ))
}

/// All tables.
pub fn all() -> Vec<Legacy> {
    let mut out = vec![strategic_priorities(), jtbd_library(), workflows()];
    out.extend(plain("agents", 190));
    out.extend(plain("personas", 210));
    out.extend(plain("prompts", 3570));
    out.extend([
        empty_tools(),
        empty_tasks(),
        domains(),
        use_cases(),
        dh_tool(),
        dh_workflow(),
        dh_task(),
    ]);
    out
}

fn strategic_priorities() -> Legacy {
    Legacy {
        name: "strategic_priorities",
        sqlite: "CREATE TABLE strategic_priorities (id TEXT PRIMARY KEY NOT NULL, code TEXT NOT NULL UNIQUE, name TEXT NOT NULL, details JSON);",
        postgres: "CREATE TABLE strategic_priorities (id uuid PRIMARY KEY, code varchar(10) NOT NULL UNIQUE, name text NOT NULL, details jsonb);",
        rows: Vec::new(),
    }
}

fn jtbd_library() -> Legacy {
    let mut numbers = Numbers::new(1);
    let mut rows = Vec::new();
    let priorities = LINKED.iter().enumerate().flat_map(|(at, count)| vec![at + 1; *count]);
    for (at, priority) in priorities.enumerate() {
        rows.push(jtbd(&mut numbers, &format!("JTBD-MA-{:03}", at + 1), "MA", Some(priority)));
    }
    for at in 1..=266 {
        rows.push(jtbd(&mut numbers, &format!("JTBD-DH-{at:03}"), "DH", None));
    }
    Legacy {
        name: "jtbd_library",
        sqlite: "CREATE TABLE jtbd_library (id TEXT PRIMARY KEY NOT NULL, jtbd_uuid TEXT NOT NULL UNIQUE, category TEXT NOT NULL, statement TEXT NOT NULL, sp_code TEXT, importance NUMERIC, context JSON, updated_at TEXT NOT NULL, strategic_priority_id TEXT REFERENCES strategic_priorities(id));",
        postgres: "CREATE TABLE jtbd_library (id varchar(20) PRIMARY KEY, jtbd_uuid uuid NOT NULL UNIQUE, category varchar(4) NOT NULL, statement text NOT NULL, sp_code varchar(10), importance numeric(4,2), context jsonb, updated_at timestamptz NOT NULL, strategic_priority_id uuid REFERENCES strategic_priorities(id));",
        rows,
    }
}

fn jtbd(numbers: &mut Numbers, code: &str, category: &str, priority: Option<usize>) -> Vec<Cell> {
    let link = format!("digital-health/jtbd/{code}");
    let number = numbers.below(1000);
    let importance = Cell::Number(format!("{}.5", numbers.below(10)));
    vec![
        text(code),
        text(Uuid::new_v5(&Uuid::NAMESPACE_URL, link.as_bytes()).to_string()),
        text(category),
        text(numbers.prose()),
        priority.map_or(Cell::Null, |priority| text(format!("SP{priority:02}"))),
        numbers.perhaps(importance),
        document(numbers, number),
        numbers.moment(),
        Cell::Null,
    ]
}

fn workflows() -> Legacy {
    let mut numbers = Numbers::new(2);
    let row = |at: usize| {
        vec![
            text(id("workflow", at)),
            text(name(&mut numbers, at)),
            numbers_prose(&mut numbers),
            if at.is_multiple_of(3) {
                text(format!("JTBD-MA-{:03}", at % 105 + 1))
            } else {
                Cell::Null
            },
            text(if at.is_multiple_of(4) { "draft" } else { "active" }),
            numbers.moment(),
        ]
    };
    Legacy {
        name: "workflows",
        sqlite: "CREATE TABLE workflows (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, description TEXT, jtbd_id TEXT REFERENCES jtbd_library(id), status TEXT NOT NULL DEFAULT 'active', created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);",
        postgres: "CREATE TABLE workflows (id uuid PRIMARY KEY, name text NOT NULL, description text, jtbd_id varchar(20) REFERENCES jtbd_library(id), status varchar(20) NOT NULL DEFAULT 'active', created_at timestamptz NOT NULL DEFAULT now());",
        rows: (1..=141).map(row).collect(),
    }
}

fn numbers_prose(numbers: &mut Numbers) -> Cell {
    let prose = text(numbers.prose());
    numbers.perhaps(prose)
}

/// Protected tables that nothing touches.
fn plain(table: &'static str, count: usize) -> Option<Legacy> {
    let (sqlite, postgres) = match table {
        "agents" => (
            "CREATE TABLE agents (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, body TEXT, settings JSON, active BOOLEAN NOT NULL, updated_at TEXT NOT NULL);",
            "CREATE TABLE agents (id uuid PRIMARY KEY, name text NOT NULL, body text, settings jsonb, active boolean NOT NULL, updated_at timestamptz NOT NULL);",
        ),
        "personas" => (
            "CREATE TABLE personas (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, body TEXT, settings JSON, active BOOLEAN NOT NULL, updated_at TEXT NOT NULL);",
            "CREATE TABLE personas (id uuid PRIMARY KEY, name text NOT NULL, body text, settings jsonb, active boolean NOT NULL, updated_at timestamptz NOT NULL);",
        ),
        "prompts" => (
            "CREATE TABLE prompts (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, body TEXT, settings JSON, active BOOLEAN NOT NULL, updated_at TEXT NOT NULL);",
            "CREATE TABLE prompts (id uuid PRIMARY KEY, name text NOT NULL, body text, settings jsonb, active boolean NOT NULL, updated_at timestamptz NOT NULL);",
        ),
        _ => return None,
    };
    let mut numbers = Numbers::new(count as u64);
    let row = |at: usize| {
        vec![
            text(id(table, at)),
            text(name(&mut numbers, at)),
            numbers_prose(&mut numbers),
            document(&mut numbers, at),
            Cell::Bool(!at.is_multiple_of(7)),
            numbers.moment(),
        ]
    };
    Some(Legacy { name: table, sqlite, postgres, rows: (1..=count).map(row).collect() })
}

fn empty_tools() -> Legacy {
    Legacy {
        name: "tools",
        sqlite: "CREATE TABLE tools (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, metadata JSON NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);",
        postgres: "CREATE TABLE tools (id uuid PRIMARY KEY, name text NOT NULL, metadata jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now());",
        rows: Vec::new(),
    }
}

fn empty_tasks() -> Legacy {
    Legacy {
        name: "tasks",
        sqlite: "CREATE TABLE tasks (id TEXT PRIMARY KEY NOT NULL, workflow_id TEXT NOT NULL REFERENCES workflows(id), title TEXT NOT NULL, position INTEGER NOT NULL, metadata JSON NOT NULL);",
        postgres: "CREATE TABLE tasks (id uuid PRIMARY KEY, workflow_id uuid NOT NULL REFERENCES workflows(id), title text NOT NULL, position integer NOT NULL, metadata jsonb NOT NULL);",
        rows: Vec::new(),
    }
}

fn domains() -> Legacy {
    let row = |at: usize| {
        vec![text(id("domain", at)), text(format!("D{at:02}")), text(format!("Domain №{at}"))]
    };
    Legacy {
        name: "dh_domain",
        sqlite: "CREATE TABLE dh_domain (id TEXT PRIMARY KEY NOT NULL, code TEXT NOT NULL UNIQUE, name TEXT NOT NULL);",
        postgres: "CREATE TABLE dh_domain (id uuid PRIMARY KEY, code varchar(10) NOT NULL UNIQUE, name text NOT NULL);",
        rows: (1..=9).map(row).collect(),
    }
}

fn use_cases() -> Legacy {
    let mut numbers = Numbers::new(3);
    let row = |at: usize| {
        vec![
            text(id("use-case", at)),
            text(id("domain", at % 9 + 1)),
            text(name(&mut numbers, at)),
            numbers_prose(&mut numbers),
        ]
    };
    Legacy {
        name: "dh_use_case",
        sqlite: "CREATE TABLE dh_use_case (id TEXT PRIMARY KEY NOT NULL, domain_id TEXT NOT NULL REFERENCES dh_domain(id), title TEXT NOT NULL, summary TEXT);",
        postgres: "CREATE TABLE dh_use_case (id uuid PRIMARY KEY, domain_id uuid NOT NULL REFERENCES dh_domain(id), title text NOT NULL, summary text);",
        rows: (1..=40).map(row).collect(),
    }
}

fn dh_tool() -> Legacy {
    let mut numbers = Numbers::new(4);
    let row = |at: usize| {
        let rating = Cell::Number(format!("{}.25", numbers.below(5)));
        let vendor = text(format!("Vendor & Söhne {}", numbers.below(30)));
        vec![
            text(id("tool", at)),
            text(format!("TL-{at:04}")),
            text(name(&mut numbers, at)),
            numbers_prose(&mut numbers),
            text(numbers.pick(&["ehr", "imaging", "wearable", "analytics"])),
            numbers.perhaps(vendor),
            text(format!("{}.{}", 1 + numbers.below(4), numbers.below(10))),
            Cell::Number(format!(
                "{}.{:02}",
                10 + numbers.below(90_000),
                5 * (1 + numbers.below(19))
            )),
            numbers.perhaps(rating),
            Cell::Bool(numbers.below(4) != 0),
            tags(&mut numbers),
            document(&mut numbers, at),
            Cell::Int(9_007_199_254_740_993 + at as i64),
            numbers.moment(),
            numbers.moment(),
        ]
    };
    Legacy {
        name: "dh_tool",
        sqlite: "CREATE TABLE dh_tool (id TEXT PRIMARY KEY NOT NULL, code TEXT NOT NULL UNIQUE, name TEXT NOT NULL, tool_description TEXT, category TEXT NOT NULL, vendor TEXT, version TEXT NOT NULL, annual_price NUMERIC, rating NUMERIC, is_active BOOLEAN NOT NULL, tags JSON, integrations JSON, external_ref INTEGER, created_at TEXT NOT NULL, updated_at TEXT);",
        postgres: "CREATE TABLE dh_tool (id uuid PRIMARY KEY, code varchar(20) NOT NULL UNIQUE, name text NOT NULL, tool_description text, category varchar(30) NOT NULL, vendor text, version varchar(10) NOT NULL, annual_price numeric(12,2), rating numeric(3,2), is_active boolean NOT NULL, tags text[], integrations jsonb, external_ref bigint, created_at timestamptz NOT NULL, updated_at timestamptz);",
        rows: (1..=150).map(row).collect(),
    }
}

fn dh_workflow() -> Legacy {
    let mut numbers = Numbers::new(5);
    let row = |at: usize| {
        let hours = Cell::Number(format!("{}.5", 1 + numbers.below(40)));
        vec![
            text(id("dh-workflow", at)),
            text(id("use-case", at % 40 + 1)),
            text(id("domain", at % 9 + 1)),
            text(format!("WF-{at:04}")),
            text(name(&mut numbers, at)),
            numbers_prose(&mut numbers),
            text(numbers.pick(&["simple", "standard", "complex"])),
            numbers.perhaps(hours),
            Cell::Int(1 + at as i64 % 5),
            Cell::Bool(numbers.below(3) != 0),
            tags(&mut numbers),
            document(&mut numbers, at),
            numbers.moment(),
            numbers.moment(),
        ]
    };
    Legacy {
        name: "dh_workflow",
        sqlite: "CREATE TABLE dh_workflow (id TEXT PRIMARY KEY NOT NULL, use_case_id TEXT NOT NULL REFERENCES dh_use_case(id), domain_id TEXT NOT NULL REFERENCES dh_domain(id), code TEXT NOT NULL UNIQUE, name TEXT NOT NULL, workflow_description TEXT, complexity TEXT NOT NULL, duration_hours NUMERIC, version INTEGER NOT NULL, is_template BOOLEAN NOT NULL, tags JSON, settings JSON, created_at TEXT NOT NULL, updated_at TEXT);",
        postgres: "CREATE TABLE dh_workflow (id uuid PRIMARY KEY, use_case_id uuid NOT NULL REFERENCES dh_use_case(id), domain_id uuid NOT NULL REFERENCES dh_domain(id), code varchar(20) NOT NULL UNIQUE, name text NOT NULL, workflow_description text, complexity varchar(20) NOT NULL, duration_hours numeric(6,1), version integer NOT NULL, is_template boolean NOT NULL, tags text[], settings jsonb, created_at timestamptz NOT NULL, updated_at timestamptz);",
        rows: (1..=116).map(row).collect(),
    }
}

fn dh_task() -> Legacy {
    let mut numbers = Numbers::new(6);
    let row = |at: usize| {
        let minutes = Cell::Int(5 * (1 + numbers.below(48) as i64));
        // Six of the 116 workflows have no task.
        vec![
            text(id("dh-task", at)),
            text(id("dh-workflow", at % 110 + 1)),
            text(format!("TK-{at:04}")),
            text(name(&mut numbers, at)),
            numbers_prose(&mut numbers),
            Cell::Int(at as i64 / 110 + 1),
            numbers.perhaps(minutes),
            text(numbers.pick(&["nurse", "physician", "system", "patiënt"])),
            Cell::Bool(numbers.below(2) == 0),
            tags(&mut numbers),
            document(&mut numbers, at),
            numbers.moment(),
        ]
    };
    Legacy {
        name: "dh_task",
        sqlite: "CREATE TABLE dh_task (id TEXT PRIMARY KEY NOT NULL, workflow_id TEXT NOT NULL REFERENCES dh_workflow(id), code TEXT NOT NULL UNIQUE, title TEXT NOT NULL, objective TEXT, position INTEGER NOT NULL, estimated_minutes INTEGER, assignee_role TEXT NOT NULL, is_automated BOOLEAN NOT NULL, tags JSON, config JSON, created_at TEXT NOT NULL);",
        postgres: "CREATE TABLE dh_task (id uuid PRIMARY KEY, workflow_id uuid NOT NULL REFERENCES dh_workflow(id), code varchar(20) NOT NULL UNIQUE, title text NOT NULL, objective text, position integer NOT NULL, estimated_minutes integer, assignee_role varchar(20) NOT NULL, is_automated boolean NOT NULL, tags text[], config jsonb, created_at timestamptz NOT NULL);",
        rows: (1..=343).map(row).collect(),
    }
}
