use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A file of this test's own, which goes with it.
struct TokensFile(PathBuf);

impl TokensFile {
    fn new(text: &str) -> Self {
        static WRITTEN: AtomicU32 = AtomicU32::new(0);
        let name = format!("locum-tokens-{}-{}", std::process::id(), WRITTEN.fetch_add(1, Ordering::SeqCst));
        let file = Self(std::env::temp_dir().join(name));
        fs::write(&file.0, text).unwrap();
        file
    }
}

impl Drop for TokensFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn load(text: &str) -> Result<Tokens, TokensError> {
    Tokens::load(TokensFile::new(text).0.clone())
}

fn refusal(text: &str) -> String {
    load(text).err().expect("refused").to_string()
}

#[test]
fn every_fault_is_told_with_its_remedy_and_no_token() {
    let text = "channels:\n\
        - {token: short, principal: a, customers: [c], scopes: [read]}\n\
        - {token: long-enough-secret-1, principal: '', customers: [], scopes: [operate]}\n\
        - {principal: c, customers: [c], scopes: [read], token_sha256: zz}\n\
        - {token: long-enough-secret-2, principal: d, customers: [], scopes: [read]}\n\
        - {token: long-enough-secret-3, principal: f, customers: [''], scopes: [read]}\n\
        operators:\n- {token: long-enough-secret-2, principal: e}\n";
    let told = refusal(text);
    for part in ["channels[0]: token is shorter", "channels[1]: scopes of a channel", "channels[1]: principal must"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    for part in ["channels[2]: token_sha256", "channels[3]: customers is empty", "channels[4]: a customer is an empty"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(told.contains("operators[0]: this token is listed"), "{told}");
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn a_malformed_file_is_refused_without_quoting_it() {
    let told = refusal("channels:\n- {token: [very-secret-token-value], principal: a}\n");
    assert!(told.contains("line 2") && !told.contains("very-secret"), "{told}");
}

#[test]
fn a_digest_in_the_file_is_as_good_as_the_token() {
    let digest: String = sha(b"a-token-nobody-knows").iter().map(|b| format!("{b:02x}")).collect();
    let tokens =
        load(&format!("channels: [{{token_sha256: {digest}, principal: m, customers: ['*'], scopes: [read, write]}}]"))
            .unwrap();
    let found = tokens.find(Audience::Channels, b"a-token-nobody-knows").unwrap();
    assert!(found.grant.covers("any") && found.scopes.write && !found.scopes.operate);
    assert!(tokens.find(Audience::Operators, b"a-token-nobody-knows").is_none());
    assert!(tokens.find(Audience::Channels, b"a-token-nobody-know").is_none());
}

#[test]
fn a_reload_swaps_the_credentials_and_a_broken_file_keeps_them() {
    let line = |token: &str| format!("operators: [{{token: {token}, principal: o}}]");
    let file = TokensFile::new(&line("the-first-operator-token"));
    let tokens = Tokens::load(file.0.clone()).unwrap();
    fs::write(&file.0, line("the-second-operators-token")).unwrap();
    assert_eq!(tokens.reload_if_changed().unwrap(), Some(Counts { channels: 0, operators: 1 }));
    assert!(tokens.find(Audience::Operators, b"the-first-operator-token").is_none());
    assert!(tokens.find(Audience::Operators, b"the-second-operators-token").is_some());
    assert_eq!(tokens.reload_if_changed().unwrap(), None);
    fs::write(&file.0, "operators: {").unwrap();
    assert!(tokens.reload_if_changed().is_err());
    assert!(tokens.find(Audience::Operators, b"the-second-operators-token").is_some());
}
