//! The read model's tables. Every row carries its version, and the source it came from with its generation: rows of the core, of
//! which there are billions, by the number of their dataset, all others by name.

use sql::Migration;

/// Name of this crate's tables in `schema_versions`.
pub const COMPONENT: &str = "read-model";

/// In order; a published one is never edited.
///
/// The key of a row is (its canonical key, dataset), so that a new generation can be filled in the shadow of the one that is served.
/// `sources.generation` names the one that is served, and `sources.dataset` is its number. Rows are moved between
/// the seventh and the ninth, see `moving.rs`.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, statements: FIRST },
    Migration { version: 2, statements: PARKED_QUEUES },
    Migration { version: 3, statements: GENERATIONS },
    Migration { version: 4, statements: MARKS_OF_PARTITIONS },
    Migration { version: 5, statements: CORE_ROWS },
    Migration { version: 6, statements: DATASETS },
    // Its version alone says that every source was halted.
    Migration { version: 7, statements: &[] },
    Migration { version: 8, statements: WRITE_FENCE },
    Migration { version: 9, statements: NAMES_IN_VIEWS },
    Migration { version: 10, statements: POSTING_LINKS },
    Migration { version: 11, statements: WAITING_EVENTS },
    Migration { version: 12, statements: SHADOW_REFUSALS },
    Migration { version: 13, statements: DELETE_MARKERS },
];

/// When which delete marker of a transaction was written. A marker without a note stays as long as its dataset.
const DELETE_MARKERS: &[&str] = &[
    "CREATE TABLE delete_markers (
       dataset {int:4} NOT NULL, transaction_id {text:128} NOT NULL, version {bytes:26} NOT NULL, noted_ms {int} NOT NULL,
       PRIMARY KEY (dataset, transaction_id))",
    "CREATE INDEX delete_markers_by_time ON delete_markers (dataset, noted_ms)",
];

/// Refusals that a shadow saw, until its swap.
const SHADOW_REFUSALS: &[&str] = &["CREATE TABLE shadow_refusals (
       source {text:64} NOT NULL, generation {int} NOT NULL, core_ref {text:64} NOT NULL, code {text:64} NOT NULL,
       version {bytes:26} NOT NULL,
       PRIMARY KEY (source, generation, core_ref))"];

/// Events that wait for the row of an account.
const WAITING_EVENTS: &[&str] = &[
    "CREATE TABLE waiting_events (
       source {text:64} NOT NULL, generation {int} NOT NULL, account_id {text:64} NOT NULL, topic {text:249} NOT NULL,
       kpartition {int} NOT NULL, koffset {int} NOT NULL, event_topic {text:249} NOT NULL, event_key {blob}, event_value {blob},
       sent_ms {int} NOT NULL, made_ms {int} NOT NULL, left_out {int} NOT NULL,
       PRIMARY KEY (source, generation, account_id, topic, kpartition, koffset))",
    "CREATE INDEX waiting_events_by_time ON waiting_events (source, generation, left_out, made_ms)",
];

/// Rows of the core that name a posting and carry our reference, by the posting.
const POSTING_LINKS: &[&str] = &["CREATE TABLE posting_links (
       transaction_id {text:128} NOT NULL, dataset {int:4} NOT NULL, core_ref {text:64} NOT NULL, version {bytes:26} NOT NULL,
       PRIMARY KEY (transaction_id, dataset))"];

/// Rows of the core by dataset. `datasets` is only ever added to.
const DATASETS: &[&str] = &[
    "CREATE TABLE datasets (
       dataset {int:4} NOT NULL, source {text:64} NOT NULL, generation {int} NOT NULL,
       PRIMARY KEY (dataset))",
    "CREATE UNIQUE INDEX datasets_by_generation ON datasets (source, generation)",
    "CREATE TABLE leases (
       source {text:64} NOT NULL, owner {text:128} NOT NULL, token {int} NOT NULL, expires_at_ms {int} NOT NULL,
       PRIMARY KEY (source))",
    "ALTER TABLE sources ADD COLUMN dataset {int:4}",
    "ALTER TABLE sources ADD COLUMN snapshot_seen {int} NOT NULL DEFAULT 0",
    "ALTER TABLE shadows ADD COLUMN snapshot_seen {int} NOT NULL DEFAULT 0",
    "CREATE TABLE customer_rows (
       customer_id {text:64} NOT NULL, dataset {int:4} NOT NULL, version {bytes:26} NOT NULL, deleted {int} NOT NULL,
       name {text:512},
       PRIMARY KEY (customer_id, dataset))",
    "CREATE TABLE account_rows (
       account_id {text:64} NOT NULL, dataset {int:4} NOT NULL, version {bytes:26} NOT NULL, deleted {int} NOT NULL,
       customer_id {text:64} NOT NULL, currency {text:3} NOT NULL, state {text:16} NOT NULL, product {text:128},
       PRIMARY KEY (account_id, dataset))",
    "CREATE INDEX account_rows_by_customer ON account_rows (customer_id, account_id)",
    "CREATE TABLE balance_rows (
       account_id {text:64} NOT NULL, dataset {int:4} NOT NULL, version {bytes:26} NOT NULL, deleted {int} NOT NULL,
       currency {text:3} NOT NULL, booked_minor {int} NOT NULL, overdraft_line_minor {int} NOT NULL,
       core_holds_minor {int} NOT NULL, last_posting {int},
       PRIMARY KEY (account_id, dataset))",
    "CREATE TABLE transaction_rows (
       transaction_id {text:128} NOT NULL, dataset {int:4} NOT NULL, version {bytes:26} NOT NULL, deleted {int} NOT NULL,
       account_id {text:64} NOT NULL, booked_at_us {int} NOT NULL, posting_no {int}, amount_minor {int} NOT NULL,
       currency {text:3} NOT NULL, value_day {int} NOT NULL, remittance {text:1024}, remittance_search {text:2048},
       core_ref {text:64},
       PRIMARY KEY (transaction_id, dataset))",
    "CREATE INDEX transaction_rows_by_account
       ON transaction_rows (account_id, dataset, booked_at_us, transaction_id)",
    "CREATE TABLE core_row_keys (
       dataset {int:4} NOT NULL, row_hash {bytes:32} NOT NULL, entity {text:16} NOT NULL, entity_key {text:128} NOT NULL,
       account_id {text:64}, version {bytes:26} NOT NULL,
       PRIMARY KEY (dataset, row_hash, entity))",
];

/// An ingester of an earlier release needs this column in whatever it commits, and this table to lead. Channels' reads and admission
/// need neither: without them, that release still serves and can write no row any more.
const WRITE_FENCE: &[&str] = &[
    "ALTER TABLE sources DROP COLUMN snapshot_begun",
    "ALTER TABLE shadows DROP COLUMN snapshot_begun",
    "DROP TABLE IF EXISTS source_leases",
];

/// An earlier release reads the new rows under the old names, until its last process is replaced.
const NAMES_IN_VIEWS: &[&str] = &[
    "DROP TABLE IF EXISTS accounts",
    "CREATE VIEW accounts AS SELECT r.account_id, d.source, d.generation, r.version, r.deleted, r.customer_id, \
     r.currency, r.state, r.product FROM account_rows r JOIN datasets d ON d.dataset = r.dataset",
    "DROP TABLE IF EXISTS balances",
    "CREATE VIEW balances AS SELECT r.account_id, d.source, d.generation, r.version, r.deleted, r.currency, \
     r.booked_minor, r.overdraft_line_minor, r.core_holds_minor, r.last_posting \
     FROM balance_rows r JOIN datasets d ON d.dataset = r.dataset",
    "DROP TABLE IF EXISTS customers",
    "CREATE VIEW customers AS SELECT r.customer_id, d.source, d.generation, r.version, r.deleted, r.name \
     FROM customer_rows r JOIN datasets d ON d.dataset = r.dataset",
    "DROP TABLE IF EXISTS transactions",
    "CREATE VIEW transactions AS SELECT r.transaction_id, d.source, d.generation, r.version, r.deleted, r.account_id, \
     r.booked_at_us, r.posting_no, r.amount_minor, r.currency, r.value_day, r.remittance, r.remittance_search, r.core_ref \
     FROM transaction_rows r JOIN datasets d ON d.dataset = r.dataset",
    "DROP TABLE IF EXISTS core_rows",
];

/// A source has at most one shadow, the generation `sources.rebuilding`. What the source's own row says is of the generation
/// that is served; `served_at_ms` is set from a swap until the rows of earlier generations are deleted.
const GENERATIONS: &[&str] = &[
    "ALTER TABLE sources ADD COLUMN topic_prefix {text:249}",
    "ALTER TABLE sources ADD COLUMN snapshot_begun {int} NOT NULL DEFAULT 0",
    "ALTER TABLE sources ADD COLUMN served_at_ms {int}",
    "CREATE TABLE shadows (
       source {text:64} NOT NULL, generation {int} NOT NULL, topic_prefix {text:249}, opened_at_ms {int} NOT NULL,
       loaded {int} NOT NULL, as_of_ms {int}, watermark {bytes:26} NOT NULL, identity {text:255},
       events_applied {int} NOT NULL, events_behind {int}, snapshot_begun {int} NOT NULL,
       PRIMARY KEY (source))",
    "CREATE TABLE shadow_evidence (
       source {text:64} NOT NULL, generation {int} NOT NULL, core_ref {text:64} NOT NULL, leg {text:8} NOT NULL,
       row_hash {bytes:32} NOT NULL, row_key {text} NOT NULL, version {bytes:26} NOT NULL, verdict {text:16} NOT NULL, account_id {text:64} NOT NULL,
       amount_minor {int} NOT NULL, currency {text:3} NOT NULL, posting_no {int},
       PRIMARY KEY (source, generation, core_ref, leg, row_hash))",
];

/// What is remembered of partitions beside their offsets, balances that wait for their postings, and tables that were seen.
const MARKS_OF_PARTITIONS: &[&str] = &[
    "ALTER TABLE offsets ADD COLUMN last_offset {int}",
    "ALTER TABLE offsets ADD COLUMN last_sent_ms {int}",
    "ALTER TABLE offsets ADD COLUMN last_digest {bytes:32}",
    "ALTER TABLE offsets ADD COLUMN log_reached {text}",
    "CREATE TABLE waiting_balances (
       source {text:64} NOT NULL, generation {int} NOT NULL, account_id {text:64} NOT NULL,
       version {bytes:26} NOT NULL, currency {text:3} NOT NULL, booked_minor {int} NOT NULL,
       overdraft_line_minor {int} NOT NULL, core_holds_minor {int} NOT NULL, last_posting {int} NOT NULL,
       sent_ms {int} NOT NULL, made_ms {int} NOT NULL,
       PRIMARY KEY (source, generation, account_id, version))",
    "CREATE TABLE source_tables (
       source {text:64} NOT NULL, table_name {text:249} NOT NULL, seen {int} NOT NULL, unmapped {int} NOT NULL,
       PRIMARY KEY (source, table_name))",
];

/// What rows of the core are stored under, where the core's own key does not tell it.
const CORE_ROWS: &[&str] = &["CREATE TABLE core_rows (
       source {text:64} NOT NULL, generation {int} NOT NULL, row_hash {bytes:32} NOT NULL, entity {text:16} NOT NULL,
       entity_key {text:128} NOT NULL, account_id {text:64}, version {bytes:26} NOT NULL,
       PRIMARY KEY (source, generation, row_hash, entity))"];

/// Parked events by queue and generation; [`adopt`](crate::parked::adopt) moves those of `parked_events` over.
/// A key is in doubt while a row of `parked_marks` names it.
const PARKED_QUEUES: &[&str] = &[
    "CREATE TABLE parked (
       source {text:64} NOT NULL, generation {int} NOT NULL, topic {text:249} NOT NULL, kpartition {int} NOT NULL,
       koffset {int} NOT NULL, queue {bytes:32} NOT NULL, event_topic {text:249} NOT NULL, version {bytes:26},
       event_key {blob}, event_value {blob}, entity_keys {text} NOT NULL, reason {text:512} NOT NULL,
       parked_at_ms {int} NOT NULL, ordered {int} NOT NULL,
       PRIMARY KEY (source, generation, topic, kpartition, koffset))",
    "CREATE INDEX parked_by_queue ON parked (source, generation, queue)",
    "CREATE INDEX parked_by_order ON parked (source, ordered)",
    "CREATE TABLE parked_marks (
       source {text:64} NOT NULL, generation {int} NOT NULL, entity {text:16} NOT NULL, entity_key {text:128} NOT NULL,
       queue {bytes:32} NOT NULL,
       PRIMARY KEY (source, generation, entity, entity_key, queue))",
    "CREATE INDEX parked_marks_by_queue ON parked_marks (source, generation, queue)",
];

const FIRST: &[&str] = &[
    "CREATE TABLE customers (
       customer_id {text:64} NOT NULL, source {text:64} NOT NULL, generation {int} NOT NULL,
       version {bytes:26} NOT NULL, deleted {int} NOT NULL,
       name {text:512},
       PRIMARY KEY (customer_id, source, generation))",
    "CREATE TABLE accounts (
       account_id {text:64} NOT NULL, source {text:64} NOT NULL, generation {int} NOT NULL,
       version {bytes:26} NOT NULL, deleted {int} NOT NULL,
       customer_id {text:64} NOT NULL, currency {text:3} NOT NULL, state {text:16} NOT NULL, product {text:128},
       PRIMARY KEY (account_id, source, generation))",
    "CREATE INDEX accounts_by_customer ON accounts (customer_id, account_id)",
    "CREATE TABLE balances (
       account_id {text:64} NOT NULL, source {text:64} NOT NULL, generation {int} NOT NULL,
       version {bytes:26} NOT NULL, deleted {int} NOT NULL,
       currency {text:3} NOT NULL, booked_minor {int} NOT NULL, overdraft_line_minor {int} NOT NULL,
       core_holds_minor {int} NOT NULL, last_posting {int},
       PRIMARY KEY (account_id, source, generation))",
    "CREATE TABLE transactions (
       transaction_id {text:128} NOT NULL, source {text:64} NOT NULL, generation {int} NOT NULL,
       version {bytes:26} NOT NULL, deleted {int} NOT NULL,
       account_id {text:64} NOT NULL, booked_at_us {int} NOT NULL, posting_no {int}, amount_minor {int} NOT NULL,
       currency {text:3} NOT NULL, value_day {int} NOT NULL, remittance {text:1024}, remittance_search {text:2048},
       core_ref {text:64},
       PRIMARY KEY (transaction_id, source, generation))",
    "CREATE INDEX transactions_by_account
       ON transactions (account_id, source, generation, booked_at_us, transaction_id)",
    // applied_seq counts the apply transactions of a source: the position that answers carry. token = the lease's.
    "CREATE TABLE sources (
       source {text:64} NOT NULL, generation {int} NOT NULL, rebuilding {int}, identity {text:255},
       loaded {int} NOT NULL, as_of_ms {int}, watermark {bytes:26} NOT NULL, applied_seq {int} NOT NULL,
       events_applied {int} NOT NULL, events_behind {int}, halted {text:512}, token {int} NOT NULL,
       PRIMARY KEY (source))",
    "CREATE TABLE offsets (
       source {text:64} NOT NULL, topic {text:249} NOT NULL, kpartition {int} NOT NULL,
       generation {int} NOT NULL, next_offset {int} NOT NULL, token {int} NOT NULL,
       PRIMARY KEY (source, topic, kpartition))",
    "CREATE TABLE source_leases (
       source {text:64} NOT NULL, owner {text:128} NOT NULL, token {int} NOT NULL, expires_at_ms {int} NOT NULL,
       PRIMARY KEY (source))",
    "CREATE TABLE parked_events (
       source {text:64} NOT NULL, topic {text:249} NOT NULL, kpartition {int} NOT NULL, koffset {int} NOT NULL,
       generation {int} NOT NULL, event_key {blob}, event_value {blob}, entity_keys {text} NOT NULL,
       reason {text:512} NOT NULL, parked_at_ms {int} NOT NULL,
       PRIMARY KEY (source, topic, kpartition, koffset))",
    "CREATE TABLE degraded_keys (
       source {text:64} NOT NULL, entity {text:16} NOT NULL, entity_key {text:128} NOT NULL,
       generation {int} NOT NULL,
       PRIMARY KEY (source, entity, entity_key))",
];
