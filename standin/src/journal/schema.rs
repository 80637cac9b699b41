//! The journal's tables. Money in minor units, times in microseconds since 1970 UTC, texts compared byte for byte.

use sql::Migration;

/// Component name in `schema_versions`.
pub const COMPONENT: &str = "journal";

/// Every step so far; a published one is never edited.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, statements: FIRST },
    Migration { version: 2, statements: SECOND },
    Migration { version: 3, statements: THIRD },
    Migration { version: 4, statements: FOURTH },
    Migration { version: 5, statements: FIFTH },
    Migration { version: 6, statements: PEOPLE },
    Migration { version: 7, statements: RESERVED },
    Migration { version: 8, statements: IN_ORDER },
    Migration { version: 9, statements: ARCHIVE },
    Migration { version: 10, statements: PLACES },
];

/// Where the row that booked a leg stands among the transactions of its source; NULL for a core that numbers its postings (ADR 0041).
/// The index finds the legs that are booked and whose holds count.
const PLACES: &[&str] = &[
    "ALTER TABLE legs ADD COLUMN booked_place {bytes:31}",
    "CREATE INDEX legs_by_place ON legs (account, released_at, booked_place)",
];

/// What stays of entries that left for files: their keys and references, the files in the order of their chain, and how many left.
const ARCHIVE: &[&str] = &[
    // `sent`: the reference may have reached the core. The rows of the core that booked it are kept as hashes.
    "CREATE TABLE archived_entries (entry_id {text:32} NOT NULL, key_hash {bytes:32} NOT NULL, principal {text:64} NOT NULL, \
     operation {text:32} NOT NULL, fingerprint {bytes:64} NOT NULL, core {text:32} NOT NULL, core_ref {text:64} NOT NULL, \
     state {text:16} NOT NULL, ordered {int} NOT NULL, reason {text:64}, version {int} NOT NULL, accepted_us {int} NOT NULL, \
     ended_us {int} NOT NULL, sent {int} NOT NULL, debit_row {bytes:16}, credit_row {bytes:16}, until_us {int} NOT NULL, \
     file {text:64} NOT NULL, PRIMARY KEY (entry_id))",
    // Not unique: a key that is honoured no more may be used again.
    "CREATE INDEX archived_by_key ON archived_entries (key_hash)",
    "CREATE INDEX archived_by_core_ref ON archived_entries (core, core_ref)",
    "CREATE INDEX archived_by_end ON archived_entries (sent, ended_us)",
    "CREATE TABLE archives (file {text:64} NOT NULL, seq {int} NOT NULL, ended_month {int} NOT NULL, entries {int} NOT NULL, \
     first_id {text:32} NOT NULL, last_id {text:32} NOT NULL, sha256 {text:64} NOT NULL, state {text:16} NOT NULL, \
     at_us {int} NOT NULL, PRIMARY KEY (file))",
    "CREATE UNIQUE INDEX archives_by_seq ON archives (seq)",
    "CREATE TABLE archived_counts (state {text:16} NOT NULL, n {int} NOT NULL, PRIMARY KEY (state))",
];

/// Which legs have a place in the order of their lanes. Those of older versions all have one.
const IN_ORDER: &[&str] = &["ALTER TABLE legs ADD COLUMN in_order {int} NOT NULL DEFAULT 1"];

/// Promises that only reserve the lane's day. Null: what stand-in accepted, and whatever older versions promised; it stays used.
const RESERVED: &[&str] = &["ALTER TABLE entries ADD COLUMN reserved_day {int}"];

/// What people order: grounds beside each entry, four eyes, postings keyed by hand, settled breaks, instances that are gone.
const PEOPLE: &[&str] = &[
    "ALTER TABLE audit ADD COLUMN subject {text:64}",
    "CREATE INDEX audit_by_subject ON audit (subject, id)",
    "CREATE TABLE approvals (id {text:32} NOT NULL, asked_by {text:64} NOT NULL, asked_ms {int} NOT NULL, \
     expires_ms {int} NOT NULL, action {text:64} NOT NULL, subject {text:64} NOT NULL, basis {text:255} NOT NULL, \
     body {blob} NOT NULL, state {text:16} NOT NULL, decided_by {text:64}, decided_ms {int}, deed {text:32}, PRIMARY KEY (id))",
    "CREATE INDEX approvals_by_state ON approvals (state, id)",
    // A posting stands for one entry at most; `seen` once its row has come.
    "CREATE TABLE links (core {text:32} NOT NULL, posting {text:128} NOT NULL, entry_id {text:32} NOT NULL, \
     at_us {int} NOT NULL, seen {int} NOT NULL, PRIMARY KEY (core, posting))",
    "CREATE INDEX links_by_seen ON links (core, seen, posting)",
    "CREATE INDEX links_by_entry ON links (entry_id)",
    "ALTER TABLE breaks ADD COLUMN settled_us {int}",
    "ALTER TABLE breaks ADD COLUMN settled_as {text:16}",
    // Holders up to `gone_boot` were declared gone; boots count from 1.
    "ALTER TABLE instances ADD COLUMN beats {int} NOT NULL DEFAULT 0",
    "ALTER TABLE instances ADD COLUMN seen_us {int} NOT NULL DEFAULT 0",
    "ALTER TABLE instances ADD COLUMN gone_boot {int} NOT NULL DEFAULT 0",
    "CREATE INDEX lanes_by_stopped ON lanes (stopped)",
];

/// What alerts count, without reading every entry there ever was.
const SECOND: &[&str] = &["CREATE INDEX entries_by_contradicted ON entries (contradicted)"];

/// The holds that a balance ends, by the number of their posting, and those without a number.
const THIRD: &[&str] = &["CREATE INDEX legs_by_posting ON legs (account, released_at, posting_no)"];

/// References in the width that a core declares. Keys that clients sent as quoted strings are kept as what is quoted, as they are
/// read now; one whose bare form is another entry's stays.
const FOURTH: &[&str] = &[
    "ALTER TABLE entries MODIFY COLUMN core_ref {text:64} NOT NULL",
    "ALTER TABLE breaks MODIFY COLUMN core_ref {text:64} NOT NULL",
    "UPDATE entries SET idempotency_key = SUBSTR(idempotency_key, 2, LENGTH(idempotency_key) - 2) \
     WHERE idempotency_key LIKE '\"_%\"' AND INSTR(idempotency_key, CHAR(92)) = 0 AND NOT EXISTS (SELECT 1 FROM \
     (SELECT DISTINCT principal AS p, operation AS o, idempotency_key AS k FROM entries) kept \
     WHERE kept.p = entries.principal AND kept.o = entries.operation \
     AND kept.k = SUBSTR(entries.idempotency_key, 2, LENGTH(entries.idempotency_key) - 2))",
];

/// Whether an attempt was the only one that could take effect, and its stamps by its own host's clock beside the SQL server's. Null:
/// recorded by an older version, so that it is not known.
const FIFTH: &[&str] = &[
    "ALTER TABLE attempts ADD COLUMN alone {int}",
    "ALTER TABLE attempts ADD COLUMN started_host_us {int}",
    "ALTER TABLE attempts ADD COLUMN ended_host_us {int}",
];

const FIRST: &[&str] = &[
    "CREATE TABLE entries (id {text:32} NOT NULL, generation {int} NOT NULL, version {int} NOT NULL, \
     principal {text:64} NOT NULL, operation {text:32} NOT NULL, idempotency_key {text:255} NOT NULL, \
     fingerprint {bytes:64} NOT NULL, core {text:32} NOT NULL, core_ref {text:35} NOT NULL, command {blob} NOT NULL, \
     state {text:16} NOT NULL, ordered {int} NOT NULL, contradicted {int} NOT NULL, reason {text:64}, \
     core_id {text:64}, accepted_us {int} NOT NULL, business_day {int} NOT NULL, updated_us {int} NOT NULL, \
     decision {blob}, PRIMARY KEY (id))",
    "CREATE UNIQUE INDEX entries_by_key ON entries (principal, operation, idempotency_key)",
    "CREATE UNIQUE INDEX entries_by_core_ref ON entries (core, core_ref)",
    "CREATE INDEX entries_by_state ON entries (state, id)",
    // A leg is `open` as long as its entry is; a hold counts while released_at is null or above the balance's version.
    "CREATE TABLE legs (entry_id {text:32} NOT NULL, leg {int} NOT NULL, account {text:64} NOT NULL, seq {int} NOT NULL, \
     open {int} NOT NULL, kind {text:8} NOT NULL, amount_minor {int} NOT NULL, currency {text:3} NOT NULL, \
     posting_no {int}, row_key {text:128}, released_at {bytes:64}, PRIMARY KEY (entry_id, leg))",
    "CREATE UNIQUE INDEX legs_by_seq ON legs (account, seq)",
    // `open` first: the heads of all lanes are read from it without their history.
    "CREATE INDEX legs_by_open ON legs (open, account, seq)",
    "CREATE INDEX legs_by_hold ON legs (account, released_at)",
    "CREATE TABLE lanes (account {text:64} NOT NULL, version {int} NOT NULL, next_seq {int} NOT NULL, \
     ordered {int} NOT NULL, direct {int} NOT NULL, held_minor {int} NOT NULL, stopped {int} NOT NULL, \
     used_day {int} NOT NULL, used_minor {int} NOT NULL, used_count {int} NOT NULL, PRIMARY KEY (account))",
    "CREATE TABLE attempts (entry_id {text:32} NOT NULL, n {int} NOT NULL, owner {text:64} NOT NULL, boot {int} NOT NULL, \
     token {int}, started_us {int} NOT NULL, ended_us {int}, result {text:32}, PRIMARY KEY (entry_id, n))",
    "CREATE INDEX attempts_by_owner ON attempts (owner, ended_us)",
    "CREATE TABLE transitions (entry_id {text:32} NOT NULL, version {int} NOT NULL, at_us {int} NOT NULL, \
     state {text:16} NOT NULL, evidence {text:32} NOT NULL, actor {text:64} NOT NULL, PRIMARY KEY (entry_id, version))",
    "CREATE TABLE instances (id {text:64} NOT NULL, boot {int} NOT NULL, started_us {int} NOT NULL, PRIMARY KEY (id))",
    "CREATE TABLE fences (name {text:64} NOT NULL, owner {text:128} NOT NULL, token {int} NOT NULL, until_ms {int} NOT NULL, \
     PRIMARY KEY (name))",
    "CREATE TABLE controls (name {text:64} NOT NULL, value {blob} NOT NULL, version {int} NOT NULL, PRIMARY KEY (name))",
    "CREATE TABLE audit (id {text:32} NOT NULL, at_us {int} NOT NULL, actor {text:64} NOT NULL, action {text:64} NOT NULL, \
     detail {blob} NOT NULL, PRIMARY KEY (id))",
    "CREATE TABLE breaks (id {text:32} NOT NULL, at_us {int} NOT NULL, core_ref {text:35} NOT NULL, leg {text:8} NOT NULL, \
     row_key {text:128} NOT NULL, finding {text:64} NOT NULL, PRIMARY KEY (core_ref, leg, row_key))",
];
