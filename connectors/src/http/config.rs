//! The configuration that attaches an HTTP/JSON core. Shapes only; what they must satisfy is in `check`.

mod credentials;
mod rules;
mod tls;

use std::collections::BTreeMap;
use std::path::Path;

pub use self::credentials::{BasicConfig, CredentialsConfig, RenewRule, SecretHeader, TokenConfig};
pub use self::rules::{CodeAt, Conditions, Pointers, PrefixCode, RefusalRule, Rule};
pub use self::tls::{ClientCertificate, TlsConfig};
use schemas::core::{Capabilities, ReferenceFormat};
use serde::Deserialize;
use serde_json::Value;

use crate::config::Kind;

/// One HTTP/JSON core. Unknown keys are errors, everywhere.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HttpCoreConfig {
    /// `http`, which is the default.
    #[serde(default)]
    pub kind: Kind,
    /// The core's name in Locum.
    pub name: String,
    /// `http://host:port` or `https://host:port`, with an optional path in front of every path below.
    pub base_url: String,
    /// TLS, where the address begins with https.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// What the core promises about references.
    pub capabilities: Capabilities,
    /// How it stores references.
    #[serde(default)]
    pub reference: ReferenceFormat,
    /// Bounds; every one has a default.
    #[serde(default)]
    pub limits: TransportLimits,
    /// Fixed headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How we show it who we are.
    #[serde(default)]
    pub credentials: Option<CredentialsConfig>,
    /// How to ask whether it takes work.
    pub probe: ProbeConfig,
    /// Operations by name.
    pub operations: BTreeMap<String, OperationConfig>,
}

impl HttpCoreConfig {
    /// Makes the paths of all files that it names absolute to `folder`, that of the file it stands in.
    pub fn resolve(&mut self, folder: &Path) {
        if let Some(tls) = &mut self.tls {
            tls.resolve(folder);
        }
        if let Some(credentials) = &mut self.credentials {
            credentials.resolve(folder);
        }
    }
}

/// Bounds of the transport and of answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TransportLimits {
    /// Name look-up and connection together. Default 1000.
    pub connect_ms_max: u64,
    /// Connections in use and idle together, probes aside. In a file: those of all instances, probes included, of which the server gives
    /// each its share. Default 64.
    pub connections_max: usize,
    /// An idle connection older than this is not used again; below the core's own idle time-out. Default 10 000.
    pub idle_ms_max: u64,
    /// A connection older than this is not used again, so that a moved name is noticed. Default 300 000.
    pub age_ms_max: u64,
    /// Largest answer body. Default 65 536.
    pub body_bytes_max: usize,
    /// Deepest nesting of an answer. Default 16.
    pub depth_max: usize,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            connect_ms_max: 1_000,
            connections_max: 64,
            idle_ms_max: 10_000,
            age_ms_max: 300_000,
            body_bytes_max: 65_536,
            depth_max: 16,
        }
    }
}

/// One request. Strings hold placeholders: `{core_ref}`, `{core_ref.uuid}`, `{accepted_at}` (RFC 3339, UTC), `{value_date}`, `{field}`,
/// and of a money field `{amount}` (decimal) and `{amount.currency}`; `{currency}` where there is one money field. `{amount.number}`
/// (decimal), `{amount.minor}`, `{amount.precision}` (100 for EUR) and `{amount.exponent}` (2) are JSON numbers where they are the whole
/// string. `{{` and `}}` are braces.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CallConfig {
    /// `POST`, `PUT`, `PATCH`; `GET` or `POST` to ask.
    pub method: String,
    /// From the base URL on; values are percent-encoded into it.
    pub path: String,
    /// Headers of this request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What we say we accept. Default `application/json`.
    #[serde(default)]
    pub accept: Option<String>,
    /// What we say the body is; it is JSON, or a form, whatever its type is called. Default `application/json`, of a form
    /// `application/x-www-form-urlencoded`.
    #[serde(default)]
    pub content_type: Option<String>,
    /// JSON body; keys are fixed, strings are templates, whole numbers, booleans and null stand for themselves.
    #[serde(default)]
    pub body: Option<Value>,
    /// Instead of `body`: name → template, sent as `application/x-www-form-urlencoded`.
    #[serde(default)]
    pub form: BTreeMap<String, String>,
}

/// Kind of a request field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldKind {
    /// Must be there.
    Text,
    /// Empty where it is missing.
    OptionalText,
    /// An amount with its currency.
    Money,
}

/// One operation.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OperationConfig {
    /// The fields of a request; each must be used by the post request.
    pub fields: BTreeMap<String, FieldKind>,
    /// The core's refusal codes and our reasons for them. A code that is not listed refuses nothing.
    #[serde(default)]
    pub refusals: BTreeMap<String, String>,
    /// How to post.
    pub post: PostConfig,
    /// How to ask what became of a reference.
    #[serde(default)]
    pub enquiry: Option<EnquiryConfig>,
}

/// A post and its declared answers. An answer that fits none of them, or rules of two kinds, is *outcome unknown*.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PostConfig {
    /// What to send.
    pub request: CallConfig,
    /// It is posted. May be left out where every request is booked later.
    #[serde(default)]
    pub accepted: Vec<Rule>,
    /// The core has taken it and books it later. Such an answer ends nothing, so a bare 202 may be declared here.
    #[serde(default)]
    pub pending: Vec<Rule>,
    /// The core says no, with a declared code.
    #[serde(default)]
    pub refused: Vec<RefusalRule>,
    /// The core knows the reference.
    #[serde(default)]
    pub duplicate: Vec<Rule>,
    /// What such an answer says.
    #[serde(default)]
    pub duplicate_means: DuplicateMeans,
    /// The core declares that it did nothing and that a later attempt may succeed.
    #[serde(default)]
    pub not_done: Vec<Rule>,
    /// Where every answer repeats the reference, if the core does that. An answer without ours is not understood.
    #[serde(default)]
    pub echo: Option<Echo>,
    /// What an acceptance tells.
    #[serde(default)]
    pub posting: PostingConfig,
}

/// What *duplicate* says of the posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DuplicateMeans {
    /// The reference was used. An enquiry asks for the outcome. Without an enquiry, change data or a person tell it.
    #[default]
    AskAgain,
    /// The core answers so only when it has posted this very request.
    Posted,
}

/// Where an answer repeats the reference of its request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Echo {
    /// At this JSON pointer.
    Body(String),
    /// In this header.
    Header(String),
}

/// An enquiry by `{core_ref}` and its declared answers.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EnquiryConfig {
    /// What to send; `{core_ref}` is the only placeholder.
    pub request: CallConfig,
    /// It is posted.
    pub found: Vec<Rule>,
    /// The core has taken it and has not booked it yet.
    #[serde(default)]
    pub pending: Vec<Rule>,
    /// The core keeps a refusal.
    #[serde(default)]
    pub refused: Vec<RefusalRule>,
    /// The core has nothing under the reference.
    pub not_found: Vec<Rule>,
    /// Where every answer repeats the reference, as in `post`.
    #[serde(default)]
    pub echo: Option<Echo>,
    /// What the answer tells; as in `post` where absent.
    #[serde(default)]
    pub posting: Option<PostingConfig>,
}

/// Where an acceptance tells what was posted. What is declared here must be there, or the answer is not usable.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PostingConfig {
    /// Pointer to the reference; it must be ours.
    pub reference: Option<String>,
    /// Pointer to the core's number of the posting.
    pub id: Option<String>,
    /// Where the legs are.
    pub legs: Vec<LegConfig>,
}

/// One leg, or one list of legs.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LegConfig {
    /// Pointer to a list, whose elements the other pointers start from; absent = they start from the answer.
    #[serde(default)]
    pub each: Option<String>,
    /// Pointer to the account.
    pub account: String,
    /// Pointer to the posting's number on that account.
    #[serde(default)]
    pub number: Option<String>,
    /// The amount; absent = the core tells only accounts and numbers, and legs are not compared.
    #[serde(default)]
    pub amount: Option<AmountConfig>,
}

/// Where a leg's amount is and what it means.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AmountConfig {
    /// Pointer to the amount, a string or a number (whose digits are read, never a float).
    pub at: String,
    /// What the digits count.
    pub unit: Unit,
    /// Which way the money goes. Default `signed`.
    #[serde(default)]
    pub direction: Direction,
}

/// What the digits of an amount count.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Minor units.
    Minor,
    /// Decimals of a fixed currency.
    Currency(String),
    /// Decimals of the currency at this pointer of the whole answer.
    AnswerCurrency(String),
    /// Decimals of the currency at this pointer of the leg.
    LegCurrency(String),
}

/// Which way a leg goes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Direction {
    /// The amount is signed, a debit is negative.
    #[default]
    Signed,
    /// Always a debit; the amount has no sign.
    Debit,
    /// Always a credit; the amount has no sign.
    Credit,
    /// A code says so; the amount has no sign.
    Coded {
        /// Pointer to the code.
        pointer: String,
        /// The code of a debit.
        debit: String,
        /// The code of a credit.
        credit: String,
    },
}

/// How to ask whether the core takes work.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProbeConfig {
    /// What to send; no placeholders.
    pub request: CallConfig,
    /// It takes postings.
    pub up: Vec<Rule>,
    /// It answers and takes none.
    #[serde(default)]
    pub read_only: Vec<Rule>,
}
