//! URLs of databases: what is known is understood, anything else is refused by name. No
//! message ever holds a URL, because a URL may hold a password.

use url::Url;

use crate::error::{Error, Result};

/// Parameters of a PostgreSQL URL that the driver understands.
const POSTGRES_PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Parses a PostgreSQL URL and refuses parameters that the driver would ignore in silence.
pub fn postgres(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| {
        Error::invalid(format!("the database URL can't be read: {error}")).hint(
            "Write postgres://user:password@host:5432/database; percent-encode special \
             characters in the password.",
        )
    })?;
    known_parameters(&url, POSTGRES_PARAMETERS)?;
    Ok(url)
}

/// Parameters of a MySQL URL that the driver understands and that our sessions don't set.
const MYSQL_PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslca",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "socket",
];

/// Parses a MySQL or MariaDB URL; as [`postgres`].
pub fn mysql(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| {
        Error::invalid(format!("the database URL can't be read: {error}"))
            .hint("Write mysql://user:password@host:3306/database; percent-encode special characters in the password.")
    })?;
    known_parameters(&url, MYSQL_PARAMETERS)?;
    Ok(url)
}

fn known_parameters(url: &Url, list: &[&str]) -> Result<()> {
    for (name, _) in url.query_pairs() {
        let known = list.contains(&name.as_ref())
            || list.contains(&"options") && name.starts_with("options[");
        if !known {
            return Err(Error::invalid(format!(
                "unknown parameter `{}` in the database URL",
                name.escape_debug()
            ))
            .hint(format!("Known parameters: {}.", list.join(", "))));
        }
    }
    Ok(())
}

/// True for hosts whose traffic never leaves the machine.
pub fn is_local(host: &str) -> bool {
    host.is_empty()
        || host.starts_with('/')
        || host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameters_are_refused_without_their_value() {
        let error = postgres("postgres://u:secret@h/d?passwrod=hunter2").unwrap_err();
        assert!(error.message.contains("passwrod"));
        assert!(!error.to_string().contains("hunter2"));
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn local_hosts() {
        assert!(is_local("127.0.0.1") && is_local("::1") && is_local("/tmp"));
        assert!(!is_local("10.0.0.1") && !is_local("db.example.com"));
    }
}
