//! Who may ask. A page of another origin must not read what stands here, not even by a name of
//! its own that it points at this machine.

use std::net::IpAddr;

use hyper::header::HeaderMap;
use hyper::{Method, StatusCode, Uri};

/// Why a request is refused; `None`: it may pass. `typed` is the host as somebody wrote it for
/// `--metrics`.
pub fn refusal(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    typed: &str,
) -> Option<(StatusCode, &'static str)> {
    if method != Method::GET && method != Method::HEAD {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"));
    }
    let mut hosts = headers.get_all("host").iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let named = uri.authority().map(hyper::http::uri::Authority::as_str);
    let is_ours = host.is_some_and(|host| is_ours(host, typed))
        && hosts.next().is_none()
        && named.is_none_or(|name| is_ours(name, typed));
    if !is_ours {
        return Some((StatusCode::FORBIDDEN, "the host is not the one that is served here"));
    }
    // Browsers say so by themselves; a person who follows a link to the page may.
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign =
        said("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site");
    let follows =
        said("sec-fetch-mode") == Some("navigate") && said("sec-fetch-dest") == Some("document");
    let origin = said("origin");
    let own = |origin: &str| {
        let host = host.unwrap_or_default();
        origin.strip_prefix("http://").is_some_and(|rest| rest.eq_ignore_ascii_case(host))
    };
    if (foreign && !follows) || origin.is_some_and(|origin| !own(origin)) {
        return Some((StatusCode::FORBIDDEN, "not for pages of another origin"));
    }
    None
}

/// A name that nobody else can point at this machine: an address, `localhost`, or the name that
/// was typed.
fn is_ours(host: &str, typed: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || (!typed.is_empty() && name.eq_ignore_ascii_case(typed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(method: Method, pairs: &[(&'static str, &str)]) -> Option<u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        refusal(&method, &Uri::from_static("/"), &headers, "db7").map(|(code, _)| code.as_u16())
    }

    #[test]
    fn only_our_own_names_pass() {
        for host in ["127.0.0.1:9464", "localhost:1", "[::1]:9464", "10.0.0.7", "DB7:9464"] {
            assert_eq!(code(Method::GET, &[("host", host)]), None, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:9464", "", "[x]"] {
            assert_eq!(code(Method::GET, &[("host", host)]), Some(403), "{host}");
        }
        assert_eq!(code(Method::GET, &[]), Some(403));
        let two = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(code(Method::GET, &two), Some(403));
    }

    #[test]
    fn only_looks_pass_and_no_other_origin() {
        let host = ("host", "localhost:9464");
        assert_eq!(code(Method::POST, &[host]), Some(405));
        assert_eq!(code(Method::OPTIONS, &[host]), Some(405));
        assert_eq!(code(Method::HEAD, &[host]), None);
        let foreign = ("origin", "http://evil.example");
        assert_eq!(code(Method::GET, &[host, foreign]), Some(403));
        assert_eq!(code(Method::GET, &[host, ("origin", "null")]), Some(403));
        assert_eq!(code(Method::GET, &[host, ("origin", "http://localhost:9464")]), None);
        let site = ("sec-fetch-site", "cross-site");
        assert_eq!(code(Method::GET, &[host, site]), Some(403));
        let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert_eq!(code(Method::GET, &[host, site, link[0], link[1]]), None);
        let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        assert_eq!(code(Method::GET, &[host, site, frame[0], frame[1]]), Some(403));
    }
}
