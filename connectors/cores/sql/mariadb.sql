-- An example of a core's tables and of the procedure that posts, for MariaDB. It goes with ../sql-mariadb.yaml.
-- What makes it safe: reference, postings and outcome are written in one transaction, and the reference is a primary key. So a second
-- call with the same reference waits for the first one and then answers with its outcome. Every table is transactional (InnoDB).
-- The procedure neither begins nor commits: the connector does (`transaction: connector`). A line of `//` ends a statement.

CREATE TABLE core_state (state VARCHAR(10) NOT NULL) ENGINE = InnoDB
//
INSERT INTO core_state VALUES ('OPEN')
//
CREATE TABLE accounts (
    account_no VARCHAR(12) PRIMARY KEY,
    ccy CHAR(3) NOT NULL,
    status CHAR(1) NOT NULL DEFAULT 'A',
    balance DECIMAL(15, 2) NOT NULL,
    overdraft DECIMAL(15, 2) NOT NULL DEFAULT 0,
    last_posting BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB
//
CREATE TABLE postings (
    account_no VARCHAR(12) NOT NULL,
    posting_no BIGINT NOT NULL,
    ext_ref VARCHAR(64) NOT NULL,
    leg CHAR(1) NOT NULL,
    amount DECIMAL(15, 2) NOT NULL,
    ccy CHAR(3) NOT NULL,
    booked_at DATETIME(6) NOT NULL,
    value_date DATE NOT NULL,
    text VARCHAR(140) NOT NULL,
    PRIMARY KEY (account_no, posting_no),
    KEY (ext_ref)
) ENGINE = InnoDB
//
CREATE TABLE transfer_outcomes (
    reference VARCHAR(64) PRIMARY KEY,
    outcome VARCHAR(10) NOT NULL,
    reason VARCHAR(30) NULL,
    debit_account VARCHAR(12) NOT NULL,
    debit_no BIGINT NULL,
    credit_account VARCHAR(12) NOT NULL,
    credit_no BIGINT NULL,
    amount DECIMAL(15, 2) NOT NULL,
    ccy CHAR(3) NOT NULL,
    accepted_at DATETIME(6) NOT NULL
) ENGINE = InnoDB
//
CREATE PROCEDURE post_transfer(
    IN p_reference VARCHAR(64),
    IN p_debit VARCHAR(12),
    IN p_credit VARCHAR(12),
    IN p_amount DECIMAL(15, 2),
    IN p_ccy CHAR(3),
    IN p_text VARCHAR(140),
    IN p_accepted_at DATETIME(6),
    IN p_value_date DATE
)
MODIFIES SQL DATA
BEGIN
    DECLARE v_known BOOLEAN DEFAULT FALSE;
    DECLARE v_reason VARCHAR(30) DEFAULT NULL;
    DECLARE v_found INT DEFAULT 0;
    DECLARE v_other_ccy INT DEFAULT 0;
    DECLARE v_other_status INT DEFAULT 0;
    DECLARE v_covered BOOLEAN DEFAULT FALSE;
    -- The reference first: whoever has it is waited for, or is known.
    BEGIN
        DECLARE CONTINUE HANDLER FOR 1062 SET v_known = TRUE;
        INSERT INTO transfer_outcomes (reference, outcome, debit_account, credit_account, amount, ccy, accepted_at)
        VALUES (p_reference, 'OPEN', p_debit, p_credit, p_amount, p_ccy, p_accepted_at);
    END;
    IF v_known THEN
        -- The first outcome again; other legs under this reference are a duplicate.
        SELECT IF(debit_account = p_debit AND credit_account = p_credit AND amount = p_amount AND ccy = p_ccy,
                  outcome, 'DUPLICATE') AS outcome,
               reason, reference, debit_account, debit_no, credit_account, credit_no, amount, ccy
        FROM transfer_outcomes WHERE reference = p_reference FOR UPDATE;
    ELSE
        -- Both accounts, locked in the order of their numbers, so that two transfers do not wait for each other.
        SELECT COUNT(*), COALESCE(SUM(ccy <> p_ccy), 0), COALESCE(SUM(status <> 'A'), 0),
               COALESCE(MAX(account_no = p_debit AND balance + overdraft >= p_amount), 0)
        INTO v_found, v_other_ccy, v_other_status, v_covered
        FROM accounts WHERE account_no IN (p_debit, p_credit) FOR UPDATE;
        SET v_reason = CASE
            WHEN v_found <> 2 THEN 'UNKNOWN_ACCOUNT'
            WHEN v_other_ccy > 0 THEN 'CURRENCY_MISMATCH'
            WHEN v_other_status > 0 THEN 'ACCOUNT_NOT_ACTIVE'
            WHEN NOT v_covered THEN 'INSUFFICIENT_FUNDS'
        END;
        IF v_reason IS NOT NULL THEN
            UPDATE transfer_outcomes SET outcome = 'REFUSED', reason = v_reason WHERE reference = p_reference;
        ELSE
            UPDATE accounts SET balance = balance - p_amount, last_posting = last_posting + 1 WHERE account_no = p_debit;
            UPDATE accounts SET balance = balance + p_amount, last_posting = last_posting + 1 WHERE account_no = p_credit;
            INSERT INTO postings
            SELECT account_no, last_posting, p_reference, IF(account_no = p_debit, 'D', 'C'), p_amount, p_ccy,
                   UTC_TIMESTAMP(6), p_value_date, p_text
            FROM accounts WHERE account_no IN (p_debit, p_credit);
            UPDATE transfer_outcomes SET
                outcome = 'POSTED',
                debit_no = (SELECT last_posting FROM accounts WHERE account_no = p_debit),
                credit_no = (SELECT last_posting FROM accounts WHERE account_no = p_credit)
            WHERE reference = p_reference;
        END IF;
        SELECT outcome, reason, reference, debit_account, debit_no, credit_account, credit_no, amount, ccy
        FROM transfer_outcomes WHERE reference = p_reference;
    END IF;
END
//
-- The same for a core that commits by itself (`transaction: procedure`). COMMIT is the last thing it does, and its handler rolls everything
-- back and tells the error on. The row is sent before the COMMIT; the connector reads the answer to its end and so sees an
-- error of it. Of a call that is interrupted nobody knows whether it committed, so errors 1317 and 1969 cannot be declared for it.
CREATE PROCEDURE post_transfer_and_commit(
    IN p_reference VARCHAR(64),
    IN p_debit VARCHAR(12),
    IN p_credit VARCHAR(12),
    IN p_amount DECIMAL(15, 2),
    IN p_ccy CHAR(3),
    IN p_text VARCHAR(140),
    IN p_accepted_at DATETIME(6),
    IN p_value_date DATE
)
MODIFIES SQL DATA
BEGIN
    DECLARE EXIT HANDLER FOR SQLEXCEPTION
    BEGIN
        ROLLBACK;
        RESIGNAL;
    END;
    START TRANSACTION;
    CALL post_transfer(p_reference, p_debit, p_credit, p_amount, p_ccy, p_text, p_accepted_at, p_value_date);
    COMMIT;
END
