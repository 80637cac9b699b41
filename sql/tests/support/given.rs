//! The real parts that `dev/test` gives to tests, by address; other crates' tests include this file. Where none is given a
//! test makes do without; under `LOCUM_TEST_STRICT`, which `dev/test` sets, that is a failure.
#![allow(dead_code)]

/// What this variable holds.
pub fn address(variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok().filter(|address| !address.is_empty());
    assert!(address.is_some() || !strict(), "{variable} is not set; dev/test sets it");
    address
}

/// The servers of `LOCUM_TEST_SQL_URLS`: at least MariaDB and OceanBase, since one engine hides what another shows.
pub fn servers() -> Vec<String> {
    let urls = address("LOCUM_TEST_SQL_URLS").unwrap_or_default();
    let servers = urls.split(',').map(|url| url.trim().trim_end_matches('/').to_owned());
    let servers: Vec<String> = servers.filter(|url| !url.is_empty()).collect();
    assert!(servers.len() >= 2 || !strict(), "LOCUM_TEST_SQL_URLS names {servers:?}; dev/test sets it to two servers");
    servers
}

fn strict() -> bool {
    std::env::var_os("LOCUM_TEST_STRICT").is_some()
}
