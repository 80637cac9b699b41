-- A core that does what PostgreSQL cores do: a large value kept outside of the row, a partitioned table, tables without a key.
CREATE TABLE customers (customer_no text PRIMARY KEY, name text NOT NULL);

CREATE TABLE accounts (
    account_no text PRIMARY KEY, owner text NOT NULL, ccy char(3) NOT NULL, status char(1) NOT NULL,
    balance numeric(15, 2) NOT NULL, product text, filler text);
-- The filler makes a row so long that `product` moves out of it.
ALTER TABLE accounts ALTER COLUMN product SET STORAGE EXTERNAL, ALTER COLUMN filler SET STORAGE PLAIN;

CREATE TABLE postings (
    id bigint NOT NULL, account_no text NOT NULL, amount numeric(15, 2) NOT NULL, ccy char(3) NOT NULL,
    booked_at timestamptz NOT NULL, PRIMARY KEY (id, booked_at)) PARTITION BY RANGE (booked_at);
CREATE TABLE postings_before PARTITION OF postings FOR VALUES FROM ('2000-01-01') TO ('2026-01-01');
CREATE TABLE postings_since PARTITION OF postings FOR VALUES FROM ('2026-01-01') TO ('2100-01-01');

-- No primary key: one that may feed transactions, and one whose rows are states.
CREATE TABLE fees (ref text NOT NULL, account_no text NOT NULL, amount numeric(15, 2) NOT NULL, ccy char(3) NOT NULL, booked_at timestamptz NOT NULL);
CREATE TABLE savings (account_no text NOT NULL, owner text NOT NULL, ccy char(3) NOT NULL, status char(1) NOT NULL, balance numeric(15, 2) NOT NULL);

-- Known by a surrogate key; updates and deletes tell no more than that key.
CREATE TABLE loans (
    id bigint PRIMARY KEY, account_no text NOT NULL UNIQUE, owner text NOT NULL, ccy char(3) NOT NULL, status char(1) NOT NULL,
    balance numeric(15, 2) NOT NULL);

-- The connector writes here once a second, and reads it back from the log.
CREATE TABLE locum_heartbeat (id int PRIMARY KEY, beat uuid NOT NULL, previous uuid, timeline text);
INSERT INTO locum_heartbeat VALUES (1, gen_random_uuid());

-- By a row here the connector is told to read tables again.
CREATE TABLE debezium_signal (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048));

INSERT INTO customers VALUES ('C000001', 'Zoë');
INSERT INTO accounts SELECT 'A' || n, 'C000001', 'EUR', 'A', 100 FROM generate_series(1, 300) n;
INSERT INTO accounts VALUES ('LARGE', 'C000001', 'EUR', 'A', 1, repeat('p', 100), repeat('f', 3000));
INSERT INTO postings VALUES (1, 'A1', 5, 'EUR', '2025-05-05'), (2, 'A1', 6, 'EUR', '2026-05-05');
INSERT INTO fees VALUES ('fee-1', 'A2', -1, 'EUR', '2026-05-05');
INSERT INTO loans SELECT n, 'L' || n, 'C000001', 'EUR', 'A', 10 FROM generate_series(1, 5) n;
INSERT INTO savings VALUES ('S1', 'C000001', 'EUR', 'A', 9);
