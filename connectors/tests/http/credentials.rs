//! Who we are: secrets from files, and tokens that are fetched, kept and renewed.

use std::path::Path;

use locum_connectors::http::{CORE_SIM, HttpCore};
use locum_connectors::{CoreConnector, Probe};
use schemas::core::{Enquiry, Outcome, Unsent};

use crate::peer::*;

/// The simulated core with these credentials.
fn core(credentials: &str, url: &str, folder: &Path) -> Result<HttpCore, Vec<String>> {
    core_of(&format!("{CORE_SIM}\ncredentials: {credentials}\n"), url, folder)
}

fn core_of(yaml: &str, url: &str, folder: &Path) -> Result<HttpCore, Vec<String>> {
    let mut config = config(yaml, url);
    config.resolve(folder);
    HttpCore::build(config).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// Only here are secrets sent without TLS.
const HERE: &str = "http://127.0.0.1:1";

fn faults(credentials: &str, folder: &Path) -> Vec<String> {
    core(credentials, HERE, folder).err().unwrap_or_default()
}

const RENEW: &str = "renew-on: [{status: [401], when: {/error: invalid_token}, nothing-done: true}]";
/// The same, of a core that says so in its headers.
const RENEW_BY_HEADER: &str = "renew-on: [{status: [401], when-header: {WWW-Authenticate: 'Bearer error=\"invalid_token\"'}, \
                               exists-header: [Content-Type], nothing-done: true}]";

fn token(renew: &str) -> String {
    "{token: {request: {method: POST, path: /token, form: {grant_type: client credentials, client_secret: \"{secret}\"}}, \
      secret-file: client, at: /access_token, expires: /expires_in, RENEW}}"
        .replace("RENEW", renew)
}

fn granted(token: &str) -> String {
    json(200, &format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":600}}"#))
}

fn expired() -> String {
    with_header(&json(401, r#"{"error":"invalid_token"}"#), "WWW-Authenticate: Bearer error=\"invalid_token\"")
}

fn bearer(received: &Received) -> Option<&str> {
    received.head.lines().find_map(|line| line.strip_prefix("authorization: Bearer "))
}

#[tokio::test]
async fn every_request_carries_what_the_files_hold() {
    let folder = Folder::new();
    folder.write("password", "p\u{e4}ss:word\n");
    folder.write("key", "k-1");
    let (listener, url) = Listener::start().await;
    let credentials = "{basic: {user: locum, password-file: password}, \
                       header: {X-Key: {file: key}, X-Other: {file: key, value: \"v1 {secret};\"}}}";
    let core = core(credentials, &url, &folder.0).unwrap();
    let expect = |received: Received| {
        // locum:päss:word
        for line in ["authorization: Basic bG9jdW06cMOkc3M6d29yZA==", "x-key: k-1", "x-other: v1 k-1;"] {
            assert!(received.head.lines().any(|l| l == line), "{line} is not in {}", received.head);
        }
    };
    let (outcome, (received, mut peer)) = tokio::join!(post(&core, PATIENT), listener.answer(json(201, BOOKED)));
    assert!(matches!(outcome, Outcome::Posted(_)), "{outcome:?}");
    expect(received);
    let (_, received) = tokio::join!(core.enquire("transfer", "LOC1", PATIENT), async {
        let received = peer.request().await;
        peer.send(&json(404, r#"{"code":"NOT_FOUND"}"#)).await;
        received
    });
    expect(received);
    let (probe, received) = tokio::join!(core.probe(PATIENT), async {
        let received = peer.request().await;
        peer.send(&json(200, r#"{"status":"UP"}"#)).await;
        received
    });
    expect(received);
    assert_eq!(probe, Probe::Up);
}

#[tokio::test]
async fn a_changed_file_counts_without_a_new_start() {
    let folder = Folder::new();
    folder.write("key", "first");
    let (listener, url) = Listener::start().await;
    let core = core("{header: {X-Key: {file: key}}}", &url, &folder.0).unwrap();
    let (_, (received, mut peer)) = tokio::join!(post(&core, PATIENT), listener.answer(json(201, BOOKED)));
    assert!(received.head.contains("x-key: first"), "{}", received.head);
    folder.write("key", "second");
    let until = tokio::time::Instant::now() + PATIENT;
    loop {
        let (_, received) = tokio::join!(post(&core, PATIENT), async {
            let received = peer.request().await;
            peer.send(&json(201, BOOKED)).await;
            received
        });
        if received.head.contains("x-key: second") {
            break;
        }
        assert!(tokio::time::Instant::now() < until, "the changed file was not read: {}", received.head);
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_and_kept() {
    let folder = Folder::new();
    folder.write("client", "s&c=t");
    let (listener, url) = Listener::start().await;
    let core = core(&token(RENEW), &url, &folder.0).unwrap();
    let (outcome, mut peer) = tokio::join!(post(&core, PATIENT), async {
        let (asked, mut peer) = listener.answer(granted("T1")).await;
        assert!(asked.head.starts_with("POST /token HTTP/1.1\r\n"), "{}", asked.head);
        assert!(asked.head.contains("content-type: application/x-www-form-urlencoded\r\n"), "{}", asked.head);
        assert_eq!(String::from_utf8(asked.body).unwrap(), "client_secret=s%26c%3Dt&grant_type=client%20credentials");
        let received = peer.request().await;
        assert_eq!(bearer(&received), Some("T1"));
        peer.send(&json(201, BOOKED)).await;
        peer
    });
    assert!(matches!(outcome, Outcome::Posted(_)), "{outcome:?}");
    let (_, received) = tokio::join!(post(&core, PATIENT), async {
        let received = peer.request().await;
        peer.send(&json(201, BOOKED)).await;
        received
    });
    assert_eq!(bearer(&received), Some("T1"));
    listener.assert_no_further_connection();
}

#[tokio::test]
async fn a_request_with_which_nothing_was_done_is_sent_once_more_with_a_new_token() {
    let folder = Folder::new();
    folder.write("client", "s");
    for (renew, last) in [(RENEW, json(201, BOOKED)), (RENEW, expired()), (RENEW_BY_HEADER, json(201, BOOKED))] {
        let (listener, url) = Listener::start().await;
        let core = core(&token(renew), &url, &folder.0).unwrap();
        let (outcome, ()) = tokio::join!(post(&core, PATIENT), async {
            let (_, mut first) = listener.answer(granted("T1")).await;
            assert_eq!(bearer(&first.request().await), Some("T1"));
            first.send(&expired()).await;
            let (asked, mut second) = listener.answer(granted("T2")).await;
            assert_eq!(bearer(&asked), None);
            let again = second.request().await;
            assert_eq!((bearer(&again), again.json()["reference"].as_str()), (Some("T2"), Some("LOC1")));
            second.send(&last).await;
        });
        match last == expired() {
            false => assert!(matches!(outcome, Outcome::Posted(_)), "{outcome:?}"),
            true => assert!(matches!(outcome, Outcome::NotSent { why: Unsent::NotDone, .. }), "{outcome:?}"),
        }
        listener.assert_no_further_connection();
    }
}

#[tokio::test]
async fn what_does_not_prove_that_nothing_was_done_is_unknown_and_only_renews_the_token() {
    let folder = Folder::new();
    folder.write("client", "s");
    let bare = "renew-on: [{status: [401]}]";
    let two = "renew-on: [{status: [401]}, {status: [401], when: {/error: invalid_token}, nothing-done: true}]";
    let challenge = with_header(&json(401, "{}"), "WWW-Authenticate: Bearer");
    for (renew, answer, renewed) in [
        (bare, expired(), true),
        (two, expired(), true),
        (RENEW, challenge.clone(), false),
        (RENEW_BY_HEADER, challenge, false),
        (RENEW, expired().replace("401", "403"), false),
        (RENEW, response(401, "text/html", "<html>"), false),
        ("renew-on: []", expired(), false),
    ] {
        let (listener, url) = Listener::start().await;
        let core = core(&token(renew), &url, &folder.0).unwrap();
        let (outcome, _) = tokio::join!(post(&core, PATIENT), async {
            let (_, mut first) = listener.answer(granted("T1")).await;
            first.request().await;
            first.send(&answer).await;
            first
        });
        assert!(is_unknown(&outcome), "{renew} {answer}: {outcome:?}");
        let (outcome, ()) = tokio::join!(post(&core, PATIENT), async {
            let mut peer = match renewed {
                true => listener.answer(granted("T2")).await.1,
                false => listener.accept().await,
            };
            let received = peer.request().await;
            assert_eq!(bearer(&received), Some(if renewed { "T2" } else { "T1" }), "{renew} {answer}");
            peer.send(&json(201, BOOKED)).await;
        });
        assert!(matches!(outcome, Outcome::Posted(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_of_two_kinds_or_of_another_request_is_never_a_reason_to_send_again() {
    let folder = Folder::new();
    folder.write("client", "s");
    let refused = CORE_SIM.replace("[{status: [422], code: /code}]", "[{status: [422, 401], code: /code}]");
    let echoing = CORE_SIM.replace("      posting:\n", "      echo: {header: X-Reference}\n      posting:\n");
    let both = json(401, r#"{"error":"invalid_token","code":"ACCOUNT_CLOSED"}"#);
    // Of three kinds, and an acceptance that lacks what it promises: as they stand neither says anything.
    let duplicate = refused.replace("{status: [409], when", "{status: [409, 401], when");
    let three = json(401, r#"{"error":"invalid_token","code":"DUPLICATE_REFERENCE"}"#);
    let duplicate =
        duplicate.replace("[{status: [503], when: {/code: READ_ONLY}}]", "[{status: [401], exists: /code}]");
    let accepted =
        CORE_SIM.replace("{status: [201, 200], when: {/status: BOOKED}}", "{status: [401], when: {/status: BOOKED}}");
    let booked = json(401, r#"{"error":"invalid_token","status":"BOOKED"}"#);
    for (yaml, answer) in [(refused, both), (echoing, expired()), (duplicate, three), (accepted, booked)] {
        let (listener, url) = Listener::start().await;
        let yaml = format!("{yaml}\ncredentials: {}\n", token(RENEW));
        let core = core_of(&yaml, &url, &folder.0).unwrap();
        let (outcome, _) = tokio::join!(post(&core, PATIENT), async {
            let (_, mut first) = listener.answer(granted("T1")).await;
            first.request().await;
            first.send(&answer).await;
            first
        });
        assert!(is_unknown(&outcome), "{answer}: {outcome:?}");
        listener.assert_no_further_connection();
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let folder = Folder::new();
    folder.write("client", "s");
    let deep = format!(r#"{{"access_token":{}1{}}}"#, "[".repeat(20), "]".repeat(20));
    let huge = json(200, &format!(r#"{{"access_token":"{}","expires_in":600}}"#, "x".repeat(70_000)));
    for answer in [
        json(500, "{}"),
        json(401, r#"{"access_token":"T1","expires_in":600}"#),
        response(200, "text/html", "<html>"),
        json(200, "{}"),
        json(200, r#"{"access_token":"","expires_in":600}"#),
        json(200, r#"{"access_token":"T1"}"#),
        json(200, r#"{"access_token":"T1","expires_in":0}"#),
        json(200, r#"{"access_token":"T1","expires_in":-5}"#),
        json(200, r#"{"access_token":"T1","expires_in":6e2}"#),
        json(200, r#"{"access_token":"T\r\n1","expires_in":600}"#),
        json(200, r#"{"access_token":"T1","access_token":"T2","expires_in":600}"#),
        json(200, &deep),
        huge,
        "nonsense\r\n\r\n".to_owned(),
    ] {
        let (listener, url) = Listener::start().await;
        let core = core(&token(RENEW), &url, &folder.0).unwrap();
        let (outcome, _peer) = tokio::join!(post(&core, PATIENT), listener.answer(&answer));
        assert!(matches!(outcome, Outcome::NotSent { why: Unsent::NotTried, .. }), "{answer}: {outcome:?}");
        // Nothing is fetched again at once, and nothing is sent meanwhile.
        assert!(matches!(core.probe(PATIENT).await, Probe::Down { .. }));
        assert!(matches!(core.enquire("transfer", "LOC1", PATIENT).await, Enquiry::Unavailable { .. }));
        listener.assert_no_further_connection();
    }
}

#[tokio::test]
async fn a_token_may_be_given_elsewhere() {
    let folder = Folder::new();
    folder.write("client", "s");
    let ((issuer, issued_by), (listener, url)) = (Listener::start().await, Listener::start().await);
    let credentials = format!(
        "{{token: {{url: '{issued_by}/realm', request: {{method: GET, path: /token}}, basic: {{user: me, password-file: client}}, \
          at: /t, header: {{X-Token: \"t={{token}}\"}}}}}}"
    );
    let core = core(&credentials, &url, &folder.0).unwrap();
    let (outcome, (asked, _), (received, _)) = tokio::join!(
        post(&core, PATIENT),
        issuer.answer(json(200, r#"{"t":"T1"}"#)),
        listener.answer(json(201, BOOKED))
    );
    assert!(asked.head.starts_with("GET /realm/token HTTP/1.1\r\n"), "{}", asked.head);
    assert!(asked.head.contains("authorization: Basic bWU6cw==\r\n"), "{}", asked.head);
    assert!(received.head.contains("x-token: t=T1\r\n"), "{}", received.head);
    assert!(matches!(outcome, Outcome::Posted(_)), "{outcome:?}");
}

#[tokio::test]
async fn requests_that_come_together_fetch_one_token() {
    let folder = Folder::new();
    folder.write("client", "s");
    let ((issuer, issued_by), (listener, url)) = (Listener::start().await, Listener::start().await);
    let credentials = format!("{{token: {{url: '{issued_by}', request: {{method: GET, path: /}}, at: /t}}}}");
    let core = core(&credentials, &url, &folder.0).unwrap();
    let (first, second, _issued, ()) =
        tokio::join!(post(&core, PATIENT), post(&core, PATIENT), issuer.answer(json(200, r#"{"t":"T1"}"#)), async {
            let mut peers = [listener.accept().await, listener.accept().await];
            for peer in &mut peers {
                assert_eq!(bearer(&peer.request().await), Some("T1"));
                peer.send(&json(201, BOOKED)).await;
            }
        },);
    assert!(matches!((&first, &second), (Outcome::Posted(_), Outcome::Posted(_))), "{first:?} {second:?}");
    issuer.assert_no_further_connection();
}

#[test]
fn credentials_are_checked_whole_and_each_fault_names_its_place() {
    let folder = Folder::new();
    folder.write("good", "CANARY");
    folder.write("two-lines", "CANARY\nCANARY");
    folder.write("umlaut", "CANARY\u{e4}");
    let request = "request: {method: GET, path: /t}";
    for (written, expected) in [
        ("{}".to_owned(), &["credentials: gives none"][..]),
        ("{basic: {user: \"a:b\", password-file: good}}".to_owned(), &["credentials.basic.user: must be a name"]),
        (
            "{basic: {user: a, password-file: none}, header: {X-A: {file: two-lines}}}".to_owned(),
            &["credentials.basic.password-file: cannot read", "credentials.header.X-A.file: "],
        ),
        ("{header: {X-A: {file: umlaut}}}".to_owned(), &["credentials.header.X-A.file: holds a secret that no header"]),
        ("{header: {Host: {file: good}}}".to_owned(), &["credentials.header.Host: is set by the transport"]),
        (
            "{header: {X-A: {file: good, value: plain}, X-B: {file: good, value: \"{token}\"}}}".to_owned(),
            &[
                "credentials.header.X-A.value: does not carry {secret}",
                "credentials.header.X-B.value: unknown placeholder",
            ],
        ),
        (
            "{basic: {user: a, password-file: good}, header: {authorization: {file: good}}}".to_owned(),
            &["credentials: set the header authorization twice"],
        ),
        (
            format!("{{token: {{{request}, at: token, expires: in, header: {{}}, secret-file: good}}}}"),
            &[
                "credentials.token.secret-file: is declared, and the request does not carry {secret}",
                "credentials.token.at: is not a JSON pointer",
                "credentials.token.expires: is not a JSON pointer",
                "credentials.token.header: must be one header",
            ],
        ),
        (
            format!(
                "{{token: {{{request}, url: ftp://x, at: /t, renew-on: [{{status: [200]}}, {{status: [401], nothing-done: true}}]}}}}"
            ),
            &[
                "credentials.token.url: ",
                "credentials.token.renew-on[0].status: needs statuses of 400..499",
                "credentials.token.renew-on[1].nothing-done: needs a condition beside the status",
            ],
        ),
        (
            format!(
                "{{token: {{{request}, at: /t, renew-on: [\
                 {{status: [401], exists-header: [www-authenticate], nothing-done: true}}, \
                 {{status: [401], when-header: {{WWW-Authenticate: Bearer}}, nothing-done: true}}, \
                 {{status: [401], exists-header: [WWW-Authenticate, X-Core], nothing-done: true}}, \
                 {{status: [401], exists-header: [WWW-Authenticate]}}]}}}}"
            ),
            &[
                "credentials.token.renew-on[0].nothing-done: needs a condition beside the status",
                "credentials.token.renew-on[1].nothing-done: needs a condition beside the status",
            ],
        ),
        (
            "{token: {request: {method: PUT, path: t, form: {a: \"{secret}\"}, body: {}}, at: /t}}".to_owned(),
            &[
                "credentials.token.request.method: must be one of GET, POST",
                "credentials.token.request.path: must begin with /",
                "credentials.token.request.form: is declared beside `body`",
                "credentials.token.request.form.a: unknown placeholder {secret}",
            ],
        ),
    ] {
        let found = faults(&written, &folder.0);
        for place in expected {
            assert!(found.iter().any(|fault| fault.starts_with(place)), "{place} is not in {found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{written}: {found:#?}");
        assert!(!format!("{found:?}").contains("CANARY"), "{found:?}");
    }
    let twice = format!("headers: {{X-A: plain}}\n{CORE_SIM}\ncredentials: {{header: {{x-a: {{file: good}}}}}}\n");
    let found = core_of(&twice, HERE, &folder.0).err().unwrap();
    assert_eq!(found, ["headers.X-A: is set by `credentials`, too; leave it out here"]);
    let named = config(&format!("{CORE_SIM}\ncredentials: {{header: {{X-A: {{file: none}}}}}}\n"), HERE);
    assert!(HttpCore::problems(&named).is_empty(), "a process that does not talk to the core needs no secret");
}

#[test]
fn no_secret_goes_to_another_host_without_tls() {
    let folder = Folder::new();
    folder.write("client", "s");
    let key = "{header: {X-Key: {file: client}}}";
    let elsewhere = "{token: {url: 'URL', request: {method: GET, path: /t}, at: /t}}";
    let found = |credentials: &str, url: &str| core(credentials, url, &folder.0).err().unwrap_or_default();
    for (credentials, url) in [
        (key.to_owned(), "http://localhost:7001"),
        (key.to_owned(), "http://[::1]:7001/api"),
        (elsewhere.replace("URL", "http://127.0.0.1:8080"), HERE),
    ] {
        assert_eq!(found(&credentials, url), [""; 0], "{url}");
    }
    for (credentials, url, at) in [
        (key.to_owned(), "http://core.internal:7001", "base-url"),
        (token(RENEW), "http://10.0.0.1", "base-url"),
        (elsewhere.replace("URL", "http://login.internal/realm"), HERE, "credentials.token.url"),
        (elsewhere.replace("URL", "http://127.0.0.1:8080"), "http://core.internal", "base-url"),
    ] {
        let found = found(&credentials, url);
        let fault = format!("{at}: begins with http and is not on this host");
        assert!(found.len() == 1 && found[0].starts_with(&fault), "{url}: {found:#?}");
        assert!(found[0].contains("write https"), "{found:#?}");
    }
    // Without credentials there is nothing to hear that would let anybody post.
    assert_eq!(core_of(CORE_SIM, "http://core.internal", &folder.0).err(), None);
}

#[tokio::test]
async fn no_outcome_shows_a_secret_or_a_token() {
    let folder = Folder::new();
    folder.write("client", "CANARY-1");
    for answer in [json(200, r#"{"access_token":"CANARY-2\n","expires_in":1}"#), json(403, r#"{"error":"CANARY-1"}"#)] {
        let (listener, url) = Listener::start().await;
        let core = core(&token(RENEW), &url, &folder.0).unwrap();
        let (outcome, _peer) = tokio::join!(post(&core, PATIENT), listener.answer(&answer));
        let shown = format!("{outcome:?} {:?}", core.probe(PATIENT).await);
        assert!(!shown.contains("CANARY"), "{shown}");
    }
}
