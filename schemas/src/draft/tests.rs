//! Drafts for tables as real cores have them.

use super::*;
use crate::debezium::tests::Fixture;
use crate::debezium::{Connector, Decoder, Record};
use crate::mapping::{FILL_IN, Mapping};

/// As Apache Fineract has it, in MariaDB.
const FINERACT: &str = "USE fineract_default;
CREATE TABLE `m_client` (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  firstname VARCHAR(50) NULL, lastname VARCHAR(50) NULL, display_name VARCHAR(160) NOT NULL
) ENGINE=InnoDB COMMENT='clients; and others';
CREATE TABLE m_savings_account (
  id BIGINT NOT NULL AUTO_INCREMENT, account_no VARCHAR(20) NOT NULL UNIQUE, client_id BIGINT NULL,
  status_enum SMALLINT NOT NULL DEFAULT 300, -- 300, active
  currency_code VARCHAR(3) NOT NULL, currency_digits SMALLINT NOT NULL,
  overdraft_limit DECIMAL(19,6) NULL, min_required_balance DECIMAL(19,6) NULL,
  account_balance_derived DECIMAL(19,6) NOT NULL DEFAULT 0.000000,
  on_hold_funds_derived DECIMAL(19,6) NULL, total_savings_amount_on_hold DECIMAL(19,6) NULL,
  PRIMARY KEY (id), KEY by_client (client_id),
  CONSTRAINT fk FOREIGN KEY (client_id) REFERENCES m_client (id)
);
CREATE TABLE m_savings_account_transaction (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, savings_account_id BIGINT NOT NULL,
  transaction_type_enum SMALLINT NOT NULL, is_reversed BIT(1) NOT NULL, transaction_date DATE NOT NULL,
  amount DECIMAL(19,6) NOT NULL, running_balance_derived DECIMAL(19,6) NULL, created_on_utc DATETIME(6) NULL,
  ref_no VARCHAR(128) NULL, FOREIGN KEY (savings_account_id) REFERENCES m_savings_account (id)
);
CREATE TABLE m_account_transfer_transaction (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, account_transfer_details_id BIGINT NOT NULL,
  transaction_date DATE NOT NULL, currency_code VARCHAR(3) NOT NULL, amount DECIMAL(19,6) NOT NULL, description VARCHAR(200)
);
CREATE UNIQUE INDEX i ON m_client (display_name);
";

/// As pg_dump writes Blnk's tables.
const BLNK: &str = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN; CREATE TABLE no (id int); END $$;
CREATE TABLE blnk.identity (
    id integer NOT NULL, identity_id text NOT NULL, first_name text NOT NULL, last_name text NOT NULL, organization_name text
);
CREATE TABLE blnk.balances (
    id integer NOT NULL, balance_id text NOT NULL, indicator text, balance numeric NOT NULL, credit_balance numeric NOT NULL,
    inflight_debit_balance numeric DEFAULT 0 NOT NULL, currency text NOT NULL, identity_id text, version integer, meta_data jsonb
);
CREATE TABLE blnk.transactions (
    id integer NOT NULL, transaction_id text NOT NULL, source text, destination text, description text, reference text,
    amount numeric, precise_amount numeric, currency character varying(3), status text,
    created_at timestamp without time zone DEFAULT now() NOT NULL, effective_date timestamp(3) with time zone
);
ALTER TABLE ONLY blnk.identity ADD CONSTRAINT identity_pkey PRIMARY KEY (id);
ALTER TABLE ONLY blnk.balances ADD CONSTRAINT balances_pkey PRIMARY KEY (id);
ALTER TABLE ONLY blnk.transactions ADD CONSTRAINT transactions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY blnk.transactions
    ADD CONSTRAINT s FOREIGN KEY (source) REFERENCES blnk.balances(balance_id);
";

fn has(draft: &str, line: &str) {
    assert!(draft.lines().any(|own| own.trim_start().starts_with(line)), "no line {line:?} in\n{draft}");
}

/// What is left open, each with what a person would write.
fn filled(draft: &str, answers: &[(&str, &str)]) -> String {
    let mut text = draft.to_owned();
    for (open, answer) in answers {
        assert!(text.contains(open), "{open:?} is not left open in\n{draft}");
        text = text.replace(open, answer);
    }
    text
}

#[test]
fn the_tables_of_fineract_are_found_by_names_types_and_keys() {
    let tables = tables_of_ddl(FINERACT);
    assert_eq!((tables.connector, tables.tables.len()), (Some(Connector::MariaDb), 4));
    let draft = propose("fin", &tables);
    for line in [
        "connector: mariadb",
        "database: \"fineract_default\"",
        "customer_id: id",
        "name: {column: display_name, empty_is: {columns: [firstname, lastname]}}",
        "account_id: id",
        "customer_id: {column: client_id, null_is: none}",
        "currency: currency_code",
        "booked: {column: account_balance_derived, type: decimal, scale: 6}",
        "overdraft_line: {column: overdraft_limit, type: decimal, scale: 6, null_is: 0}",
        "core_holds: {sum: [on_hold_funds_derived, total_savings_amount_on_hold], type: decimal, scale: 6, null_is: 0}",
        "transaction_id: id",
        "account_id: savings_account_id",
        "booked_at: {column: created_on_utc, type: timestamp_us, null_is: {column: transaction_date, type: date}}",
        "# Is every row booked?",
        "# Not mapped: m_account_transfer_transaction",
    ] {
        has(&draft, line);
    }
    let answers = [
        ("codes: {FILL-IN: FILL-IN}}  # by its name; list its codes, each with active", "codes: {\"300\": active}}  #"),
        ("codes: {FILL-IN: FILL-IN}}  # by its name; list its codes, each with debit", "codes: {\"1\": credit}}  #"),
        ("currency: FILL-IN", "currency: {constant: EUR}"),
    ];
    let mapping = Mapping::from_yaml(&filled(&draft, &answers)).unwrap_or_else(|err| panic!("{err}\n{draft}"));
    assert_eq!(mapping.tables().count(), 3);
}

#[test]
fn the_tables_of_blnk_are_found_where_keys_come_later_and_a_row_is_both_legs() {
    let tables = tables_of_ddl(BLNK);
    assert_eq!((tables.connector, tables.tables.len()), (Some(Connector::Postgres), 3));
    let draft = propose("blnk", &tables);
    for line in [
        "customer_id: identity_id",
        "account_id: balance_id",
        "booked: {column: balance, type: decimal_variable, unit: FILL-IN}",
        "core_holds: {column: inflight_debit_balance, type: decimal_variable, unit: FILL-IN, null_is: 0}",
        "legs: {debit: {account_id: {column: source, null_is: none}}, credit: {account_id: {column: destination, null_is: none}}}",
        "amount: {column: precise_amount, type: decimal_variable, unit: minor}",
        "booked_at: {column: created_at, type: timestamp_us}",
        "state: FILL-IN",
        "heartbeat: FILL-IN",
    ] {
        has(&draft, line);
    }
    let answers = [
        ("unit: FILL-IN", "unit: minor"),
        ("state: FILL-IN", "state: {constant: active}"),
        ("heartbeat: FILL-IN", "heartbeat: none"),
    ];
    Mapping::from_yaml(&filled(&draft, &answers)).unwrap_or_else(|err| panic!("{err}\n{draft}"));
}

#[test]
fn a_draft_is_refused_at_every_line_that_is_left_open() {
    for ddl in [FINERACT, BLNK, "CREATE TABLE x (a int)", ""] {
        let draft = propose("s", &tables_of_ddl(ddl));
        let open: Vec<u64> = (1_u64..)
            .zip(draft.lines())
            .filter(|(_, line)| !line.trim_start().starts_with('#') && line.contains(FILL_IN))
            .map(|(n, _)| n)
            .collect();
        let issues = Mapping::from_yaml(&draft).expect_err("something is open");
        assert!(!open.is_empty());
        for line in open.iter().filter(|_| !ddl.is_empty() && ddl.contains("NOT NULL")) {
            assert!(issues.0.iter().any(|issue| issue.line == *line), "line {line} is not refused: {issues}\n{draft}");
        }
    }
}

fn observed(events: &str) -> Tables {
    let (mut seen, mut decoder) = (Observed::default(), Decoder::new());
    for line in events.lines() {
        let record: Fixture = serde_json::from_str(line).unwrap();
        if let Ok(Record::Change(event)) = decoder.decode(&record.topic, record.key(), record.value()) {
            seen.see(&event);
        }
    }
    seen.tables()
}

#[test]
fn records_tell_columns_by_what_is_in_them() {
    let draft = propose("blnk", &observed(include_str!("../../fixtures/cores/blnk/captured.jsonl")));
    for line in [
        "database: \"blnk\"",
        "account_id: balance_id",
        "customer_id: {column: identity_id, null_is: none}",
        "legs: {debit: {account_id: {column: source}}, credit: {account_id: {column: destination}}}",
        "amount: {column: precise_amount, type: decimal_variable, unit: minor}",
        "booked_at: {column: created_at, type: timestamp_us}",
        "# Is every row booked? Otherwise say which are, `where: {COLUMN: [CODES]}`, by status (APPLIED, QUEUED).",
    ] {
        has(&draft, line);
    }
}

#[test]
fn codes_that_are_words_are_guessed_and_others_are_left_open() {
    let ddl = "CREATE TABLE accounts (no varchar(9) PRIMARY KEY, owner varchar(9) NOT NULL, ccy char(3) NOT NULL,
        status ENUM('A', 'CLOSED', 'blocked', 'X') NOT NULL, balance bigint NOT NULL) ENGINE=x;
        CREATE TABLE postings (`no` varchar(9), seq_no int, dc enum('D','C'), amount bigint, ccy char(3), booked_at datetime,
        `true` int, primary key (`no`, seq_no), foreign key (`no`) references accounts (`no`));";
    let draft = propose("s", &tables_of_ddl(ddl));
    has(&draft, r#"state: {column: status, codes: {"A": active, "CLOSED": closed, "X": FILL-IN, "blocked": frozen}}"#);
    has(&draft, r#"leg: {column: dc, codes: {"C": credit, "D": debit}}"#);
    has(&draft, "key: [no, seq_no]");
    has(&draft, "account_id: no");
    has(&draft, "booked: {column: balance, type: minor_units}");
    Mapping::from_yaml(&filled(&draft, &[("\"X\": FILL-IN", "\"X\": frozen")]))
        .unwrap_or_else(|err| panic!("{err}\n{draft}"));
}
