-- The part of a Fineract tenant's database that Locum reads, and what a transfer needs. Names and types are Fineract's on MariaDB; columns that nobody here needs are left out.
CREATE DATABASE fineract_default CHARACTER SET utf8mb4;
USE fineract_default;

-- Persons have first and last names, companies only `fullname`; `display_name` is there for both.
CREATE TABLE m_client (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account_no VARCHAR(20) NOT NULL UNIQUE,
    status_enum INT NOT NULL DEFAULT 300,
    office_id BIGINT NOT NULL,
    fullname VARCHAR(160) NULL,
    display_name VARCHAR(160) NOT NULL
);

-- Account and balance are one row. Nothing in it says which posting it includes last.
CREATE TABLE m_savings_account (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account_no VARCHAR(20) NOT NULL UNIQUE,
    client_id BIGINT NULL,
    group_id BIGINT NULL,
    product_id BIGINT NULL,
    status_enum SMALLINT NOT NULL DEFAULT 300,
    sub_status_enum SMALLINT NOT NULL DEFAULT 0,
    deposit_type_enum SMALLINT NOT NULL DEFAULT 100,
    currency_code VARCHAR(3) NOT NULL,
    currency_digits SMALLINT NOT NULL DEFAULT 2,
    allow_overdraft BIT(1) NOT NULL DEFAULT b'0',
    overdraft_limit DECIMAL(19,6) NULL,
    account_balance_derived DECIMAL(19,6) NOT NULL DEFAULT 0,
    on_hold_funds_derived DECIMAL(19,6) NULL,
    total_savings_amount_on_hold DECIMAL(19,6) NULL,
    version INT NOT NULL DEFAULT 1,
    FOREIGN KEY (client_id) REFERENCES m_client (id)
);

-- One leg a row, without a currency and without a reference of the client's. Holds (type 20) and their releases (21) are rows, too, and book nothing.
CREATE TABLE m_savings_account_transaction (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    savings_account_id BIGINT NOT NULL,
    office_id BIGINT NOT NULL,
    transaction_type_enum SMALLINT NOT NULL,
    is_reversed BIT(1) NOT NULL DEFAULT b'0',
    transaction_date DATE NOT NULL,
    amount DECIMAL(19,6) NOT NULL,
    running_balance_derived DECIMAL(19,6) NULL,
    balance_end_date_derived DATE NULL,
    created_on_utc DATETIME(6) NULL,
    last_modified_on_utc DATETIME(6) NULL,
    is_reversal BIT(1) NOT NULL DEFAULT b'0',
    ref_no VARCHAR(128) NULL,
    FOREIGN KEY (savings_account_id) REFERENCES m_savings_account (id)
);

-- A transfer: between whom, ...
CREATE TABLE m_account_transfer_details (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    from_office_id BIGINT NOT NULL,
    to_office_id BIGINT NOT NULL,
    from_client_id BIGINT NULL,
    to_client_id BIGINT NULL,
    from_savings_account_id BIGINT NULL,
    to_savings_account_id BIGINT NULL,
    transfer_type SMALLINT NULL
);

-- ... and by which two postings. The description is the only place for the client's reference in the transfer's own source transaction.
CREATE TABLE m_account_transfer_transaction (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account_transfer_details_id BIGINT NOT NULL,
    from_savings_transaction_id BIGINT NULL,
    to_savings_transaction_id BIGINT NULL,
    is_reversed BIT(1) NOT NULL DEFAULT b'0',
    transaction_date DATE NOT NULL,
    currency_code VARCHAR(3) NOT NULL,
    amount DECIMAL(19,6) NOT NULL,
    description VARCHAR(200) NOT NULL,
    FOREIGN KEY (account_transfer_details_id) REFERENCES m_account_transfer_details (id),
    FOREIGN KEY (from_savings_transaction_id) REFERENCES m_savings_account_transaction (id),
    FOREIGN KEY (to_savings_transaction_id) REFERENCES m_savings_account_transaction (id)
);

-- Every command with its idempotency key and its stored answer. It commits before and after the transfer, each time alone.
CREATE TABLE m_portfolio_command_source (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    action_name VARCHAR(50) NOT NULL,
    entity_name VARCHAR(50) NOT NULL,
    savings_account_id BIGINT NULL,
    api_get_url VARCHAR(100) NOT NULL,
    resource_id BIGINT NULL,
    command_as_json TEXT NOT NULL,
    maker_id BIGINT NOT NULL,
    made_on_date_utc DATETIME(6) NOT NULL,
    status SMALLINT NOT NULL,
    result TEXT NULL,
    result_status_code INT NULL,
    idempotency_key VARCHAR(50) NOT NULL,
    UNIQUE KEY UNIQUE_PORTFOLIO_COMMAND_SOURCE (action_name, entity_name, idempotency_key)
);

-- Ours: the connector writes here once a second, and reads it back from the core's log.
CREATE TABLE locum_heartbeat (
    id INT PRIMARY KEY,
    beat CHAR(36) NOT NULL,
    previous CHAR(36),
    timeline VARCHAR(36)
);
INSERT INTO locum_heartbeat (id, beat) VALUES (1, UUID());
