//! The core's tables. Written per engine: change data capture must see the real DECIMAL, DATE and DATETIME(6) columns
//! of MariaDB, and SQLite would turn its DECIMAL into floating point, so there amounts are integers in minor units.

use sql::Dialect;

/// Creates what is missing; running it again changes nothing.
pub(crate) fn statements(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::MySql => MARIADB,
        Dialect::Sqlite => SQLITE,
    }
}

/// The columns of an account under the names that [`crate::account::Account`] reads.
pub(crate) fn account_columns(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::MySql => {
            "account_no, owner, ccy, status, CAST(balance * 100 AS SIGNED) AS balance_minor, \
             CAST(overdraft * 100 AS SIGNED) AS overdraft_minor, CAST(held * 100 AS SIGNED) AS held_minor, \
             last_posting, CAST(opened AS CHAR) AS opened_text, CAST(updated AS CHAR) AS updated_text"
        }
        Dialect::Sqlite => {
            "account_no, owner, ccy, status, balance AS balance_minor, overdraft AS overdraft_minor, \
             held AS held_minor, last_posting, opened AS opened_text, updated AS updated_text"
        }
    }
}

/// The columns of a posting, as text and integers.
pub(crate) fn posting_columns(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::MySql => {
            "account_no, posting_no, ext_ref, leg, CAST(amount * 100 AS SIGNED) AS amount_minor, ccy, \
             CAST(booked_at AS CHAR) AS booked_text, CAST(value_date AS CHAR) AS value_text, text"
        }
        Dialect::Sqlite => {
            "account_no, posting_no, ext_ref, leg, amount AS amount_minor, ccy, booked_at AS booked_text, \
             value_date AS value_text, text"
        }
    }
}

const MARIADB: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS customers (
       customer_no VARCHAR(32) NOT NULL PRIMARY KEY,
       name VARCHAR(80) NOT NULL
     ) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS accounts (
       account_no CHAR(12) NOT NULL PRIMARY KEY,
       owner VARCHAR(32) NOT NULL,
       ccy CHAR(3) NOT NULL,
       status CHAR(1) NOT NULL,
       balance DECIMAL(15,2) NOT NULL,
       overdraft DECIMAL(15,2) NOT NULL,
       held DECIMAL(15,2) NOT NULL,
       last_posting BIGINT NOT NULL,
       opened DATE NOT NULL,
       updated DATETIME(6) NOT NULL
     ) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS postings (
       account_no CHAR(12) NOT NULL,
       posting_no BIGINT NOT NULL,
       ext_ref VARCHAR(35) NULL,
       leg CHAR(1) NOT NULL,
       amount DECIMAL(15,2) NOT NULL,
       ccy CHAR(3) NOT NULL,
       booked_at DATETIME(6) NOT NULL,
       value_date DATE NOT NULL,
       text VARCHAR(140) NOT NULL,
       PRIMARY KEY (account_no, posting_no),
       KEY postings_ext_ref (ext_ref)
     ) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS refs (
       ext_ref VARCHAR(35) NOT NULL PRIMARY KEY,
       outcome VARCHAR(8) NOT NULL,
       fingerprint VARCHAR(120) NOT NULL,
       body VARCHAR(2000) NOT NULL,
       first_seen BIGINT NOT NULL
     ) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS customers (customer_no TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS accounts (
       account_no TEXT NOT NULL PRIMARY KEY,
       owner TEXT NOT NULL,
       ccy TEXT NOT NULL,
       status TEXT NOT NULL,
       balance INTEGER NOT NULL,
       overdraft INTEGER NOT NULL,
       held INTEGER NOT NULL,
       last_posting INTEGER NOT NULL,
       opened TEXT NOT NULL,
       updated TEXT NOT NULL
     )",
    "CREATE TABLE IF NOT EXISTS postings (
       account_no TEXT NOT NULL,
       posting_no INTEGER NOT NULL,
       ext_ref TEXT NULL,
       leg TEXT NOT NULL,
       amount INTEGER NOT NULL,
       ccy TEXT NOT NULL,
       booked_at TEXT NOT NULL,
       value_date TEXT NOT NULL,
       text TEXT NOT NULL,
       PRIMARY KEY (account_no, posting_no)
     )",
    "CREATE INDEX IF NOT EXISTS postings_ext_ref ON postings (ext_ref)",
    "CREATE TABLE IF NOT EXISTS refs (
       ext_ref TEXT NOT NULL PRIMARY KEY,
       outcome TEXT NOT NULL,
       fingerprint TEXT NOT NULL,
       body TEXT NOT NULL,
       first_seen INTEGER NOT NULL
     )",
    "CREATE TABLE IF NOT EXISTS change_log (
       position INTEGER PRIMARY KEY AUTOINCREMENT,
       topic TEXT NOT NULL,
       key_json TEXT NOT NULL,
       value_json TEXT NOT NULL
     )",
];
