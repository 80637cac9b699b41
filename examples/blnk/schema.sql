-- The part of Blnk's database that Locum reads, and what a transaction needs. Names and types are Blnk's; columns that nobody here needs are left out.
CREATE SCHEMA blnk;

-- Companies have an organization's name and empty first and last names.
CREATE TABLE blnk.identity (
    id SERIAL PRIMARY KEY,
    identity_id TEXT NOT NULL UNIQUE,
    first_name TEXT NOT NULL DEFAULT '',
    last_name TEXT NOT NULL DEFAULT '',
    organization_name TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT now()
);

-- Account and balance are one row. The NUMERIC columns have no scale and count minor units. There is no state and no overdraft line.
CREATE TABLE blnk.balances (
    id SERIAL PRIMARY KEY,
    balance_id TEXT NOT NULL UNIQUE,
    indicator TEXT,
    balance NUMERIC NOT NULL DEFAULT 0,
    credit_balance NUMERIC NOT NULL DEFAULT 0,
    debit_balance NUMERIC NOT NULL DEFAULT 0,
    inflight_balance NUMERIC NOT NULL DEFAULT 0,
    inflight_credit_balance NUMERIC NOT NULL DEFAULT 0,
    inflight_debit_balance NUMERIC NOT NULL DEFAULT 0,
    currency TEXT NOT NULL,
    ledger_id TEXT NOT NULL DEFAULT 'general_ledger_id',
    identity_id TEXT REFERENCES blnk.identity (identity_id),
    version INTEGER NOT NULL DEFAULT 1,
    created_at TIMESTAMP NOT NULL DEFAULT now(),
    CONSTRAINT unique_indicator_currency UNIQUE (indicator, currency)
);

-- Both accounts are in one row, and rows never change: a new state is a new row. A queued one carries the client's reference and books nothing.
CREATE TABLE blnk.transactions (
    id SERIAL PRIMARY KEY,
    transaction_id TEXT NOT NULL UNIQUE,
    parent_transaction TEXT,
    source TEXT REFERENCES blnk.balances (balance_id),
    destination TEXT REFERENCES blnk.balances (balance_id),
    description TEXT,
    reference TEXT,
    amount NUMERIC,
    precise_amount NUMERIC,
    precision BIGINT DEFAULT 1,
    currency TEXT,
    status TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT now(),
    effective_date TIMESTAMP,
    scheduled_for TIMESTAMP,
    meta_data JSONB
);
CREATE UNIQUE INDEX idx_transactions_reference_unique ON blnk.transactions (reference);

-- Ours. The connector writes the first one once a second, and reads it back from the core's log; by a row in the second it is told to read tables again.
CREATE TABLE public.locum_heartbeat (id int PRIMARY KEY, beat uuid NOT NULL, previous uuid, timeline text);
INSERT INTO public.locum_heartbeat VALUES (1, gen_random_uuid());
CREATE TABLE public.debezium_signal (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048));
