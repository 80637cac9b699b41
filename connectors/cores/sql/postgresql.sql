-- An example of a core's tables and of the function that posts, for PostgreSQL. It goes with ../sql-postgresql.yaml.
-- What makes it safe: reference, postings and outcome are written in one transaction, and the reference is a primary key. So a second
-- call with the same reference waits for the first one and then answers with its outcome. A function cannot commit: with
-- `transaction: connector` the connector does, with `transaction: procedure` the server does at the end of the statement.

CREATE TABLE core_state (state text NOT NULL);
INSERT INTO core_state VALUES ('OPEN');

CREATE TABLE accounts (
    account_no varchar(12) PRIMARY KEY,
    ccy char(3) NOT NULL,
    status char(1) NOT NULL DEFAULT 'A',
    balance numeric(15, 2) NOT NULL,
    overdraft numeric(15, 2) NOT NULL DEFAULT 0,
    last_posting bigint NOT NULL DEFAULT 0
);

CREATE TABLE postings (
    account_no varchar(12) NOT NULL REFERENCES accounts,
    posting_no bigint NOT NULL,
    ext_ref varchar(64) NOT NULL,
    leg char(1) NOT NULL,
    amount numeric(15, 2) NOT NULL,
    ccy char(3) NOT NULL,
    booked_at timestamptz NOT NULL,
    value_date date NOT NULL,
    text varchar(140) NOT NULL,
    PRIMARY KEY (account_no, posting_no)
);
CREATE INDEX ON postings (ext_ref);

CREATE TABLE transfer_outcomes (
    reference varchar(64) PRIMARY KEY,
    outcome varchar(10) NOT NULL,
    reason varchar(30),
    debit_account varchar(12) NOT NULL,
    debit_no bigint,
    credit_account varchar(12) NOT NULL,
    credit_no bigint,
    amount numeric(15, 2) NOT NULL,
    ccy char(3) NOT NULL,
    accepted_at timestamptz NOT NULL
);

CREATE FUNCTION post_transfer(
    p_reference text,
    p_debit text,
    p_credit text,
    p_amount numeric,
    p_ccy text,
    p_text text,
    p_accepted_at timestamptz,
    p_value_date date
) RETURNS SETOF transfer_outcomes LANGUAGE plpgsql AS $$
DECLARE
    v_known transfer_outcomes;
    v_reason text;
    v_debit accounts;
    v_credit accounts;
BEGIN
    -- The reference first: whoever has it is waited for, or is known.
    INSERT INTO transfer_outcomes (reference, outcome, debit_account, credit_account, amount, ccy, accepted_at)
    VALUES (p_reference, 'OPEN', p_debit, p_credit, p_amount, p_ccy, p_accepted_at)
    ON CONFLICT (reference) DO NOTHING;
    IF NOT FOUND THEN
        -- The first outcome again; other legs under this reference are a duplicate.
        SELECT * INTO STRICT v_known FROM transfer_outcomes WHERE reference = p_reference;
        IF (v_known.debit_account, v_known.credit_account, v_known.amount, v_known.ccy)
            IS DISTINCT FROM (p_debit::varchar, p_credit::varchar, p_amount, p_ccy::bpchar) THEN
            v_known.outcome := 'DUPLICATE';
        END IF;
        RETURN NEXT v_known;
        RETURN;
    END IF;
    -- Both accounts, locked in the order of their numbers, so that two transfers do not wait for each other.
    PERFORM 1 FROM accounts WHERE account_no IN (p_debit, p_credit) ORDER BY account_no FOR UPDATE;
    SELECT * INTO v_debit FROM accounts WHERE account_no = p_debit;
    SELECT * INTO v_credit FROM accounts WHERE account_no = p_credit;
    v_reason := CASE
        WHEN v_debit.account_no IS NULL OR v_credit.account_no IS NULL THEN 'UNKNOWN_ACCOUNT'
        WHEN v_debit.ccy <> p_ccy OR v_credit.ccy <> p_ccy THEN 'CURRENCY_MISMATCH'
        WHEN v_debit.status <> 'A' OR v_credit.status <> 'A' THEN 'ACCOUNT_NOT_ACTIVE'
        WHEN v_debit.balance + v_debit.overdraft < p_amount THEN 'INSUFFICIENT_FUNDS'
    END;
    IF v_reason IS NOT NULL THEN
        RETURN QUERY UPDATE transfer_outcomes SET outcome = 'REFUSED', reason = v_reason
            WHERE reference = p_reference RETURNING *;
        RETURN;
    END IF;
    UPDATE accounts SET balance = balance - p_amount, last_posting = last_posting + 1
        WHERE account_no = p_debit RETURNING * INTO v_debit;
    UPDATE accounts SET balance = balance + p_amount, last_posting = last_posting + 1
        WHERE account_no = p_credit RETURNING * INTO v_credit;
    INSERT INTO postings VALUES
        (p_debit, v_debit.last_posting, p_reference, 'D', p_amount, p_ccy, clock_timestamp(), p_value_date, p_text),
        (p_credit, v_credit.last_posting, p_reference, 'C', p_amount, p_ccy, clock_timestamp(), p_value_date, p_text);
    RETURN QUERY UPDATE transfer_outcomes
        SET outcome = 'POSTED', debit_no = v_debit.last_posting, credit_no = v_credit.last_posting
        WHERE reference = p_reference RETURNING *;
END
$$;
