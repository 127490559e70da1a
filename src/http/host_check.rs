//! Refuses requests that name a foreign host.
//!
//! A page from the web can make its own host name point to this machine (DNS rebinding) and so talk to a service that
//! only listens here. Such a request names the page's host. An IP address cannot be rebound, so those are fine.

use std::net::IpAddr;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::HOST;

/// Whether a request names no host but this service's, or those in `allowed`.
#[must_use]
pub fn is_own_request(request: &ServiceRequest, allowed: &[String]) -> bool {
    let header = request.headers().get(HOST).map(|value| value.to_str().unwrap_or_default());
    // a target may have a host of its own; a request with neither is no browser's
    let target = request.uri().authority().map(|authority| authority.as_str());
    [header, target].into_iter().flatten().all(|host| is_own(host, allowed))
}

fn is_own(host: &str, allowed: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    is("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok()
        || allowed.iter().any(|other| is(other) || host.eq_ignore_ascii_case(other))
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn only_local_names_addresses_and_allowed_names_are_own() {
        let allowed = ["plimsoll.internal".to_owned()];
        for own in
            ["localhost", "LOCALHOST:8765", "a.localhost:1", "127.0.0.1:8765", "[::1]:8765", "192.0.2.7", "plimsoll.internal:80"]
        {
            assert!(is_own(own, &allowed), "{own}");
        }
        for foreign in ["", "evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example", "[evil]"] {
            assert!(!is_own(foreign, &allowed), "{foreign}");
        }
    }
}
