//! What of a URL may stand in a plan.

use std::path::Path;

use url::Url;

/// The URL as a plan may hold it, and whether a variable stands for it. Anything that can't be
/// read, or that holds a password, becomes `${variable}`.
pub fn written(url: &str, plan: &Path, variable: &str) -> (String, bool) {
    let instead = (format!("${{{variable}}}"), true);
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return match relative(Path::new(path), plan) {
            // A plan would take it for a variable.
            path if path.contains("${") => instead,
            path => (format!("sqlite:{path}"), false),
        };
    }
    let Ok(parsed) = Url::parse(url) else { return instead };
    let tells = |name: &str| name.to_ascii_lowercase().contains("pass");
    let secret = parsed.password().is_some()
        || parsed.query_pairs().any(|(name, _)| tells(&name))
        || url.contains("${");
    if secret { instead } else { (url.to_owned(), false) }
}

/// The path as seen from the plan's folder, where it lies below it; else the whole path.
fn relative(path: &Path, plan: &Path) -> String {
    let folder = plan.parent().filter(|folder| !folder.as_os_str().is_empty());
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (path, folder) = (whole(path), whole(folder.unwrap_or(Path::new("."))));
    let short = path.strip_prefix(&folder).unwrap_or(&path);
    short.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_written() {
        let plan = Path::new("plan.toml");
        for url in [
            "postgres://u:secret@h/d",
            "postgres://u@h/d?password=secret",
            "mysql://u:secret@h/d",
            "postgres://u:secret@h:notaport/d",
        ] {
            assert_eq!(written(url, plan, "X"), ("${X}".to_owned(), true), "{url}");
        }
        let open = "postgres://u@h:5432/d?sslmode=require";
        assert_eq!(written(open, plan, "X"), (open.to_owned(), false));
    }
}
