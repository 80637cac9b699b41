-- What our stand-in books with. The real Blnk does this in its own program, in the same order and in one transaction.

-- An error as Blnk writes it, behind its status.
CREATE FUNCTION blnk.stand_in_error(status int, code text, message text) RETURNS text LANGUAGE sql AS $$
    SELECT status || ' ' || json_build_object('error', message, 'error_detail', json_build_object('code', code, 'message', message))
$$;

-- A transaction as Blnk shows it, behind the status.
CREATE FUNCTION blnk.stand_in_shown(status int, shown blnk.transactions) RETURNS text LANGUAGE sql AS $$
    SELECT status || ' ' || json_build_object(
        'transaction_id', (shown).transaction_id, 'source', (shown).source, 'destination', (shown).destination,
        'reference', (shown).reference, 'amount', (shown).amount, 'precise_amount', (shown).precise_amount, 'precision', (shown).precision,
        'currency', (shown).currency, 'status', (shown).status, 'description', (shown).description, 'created_at', (shown).created_at)
$$;

-- GET /transactions/reference/R
CREATE FUNCTION blnk.stand_in_by_reference(wanted text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(
        (SELECT blnk.stand_in_shown(200, found) FROM blnk.transactions found WHERE found.reference = wanted),
        blnk.stand_in_error(404, 'TXN_NOT_FOUND', 'transaction not found'))
$$;

-- POST /transactions with skip_queue. Of two callers with one reference the second one meets the unique index, and its caller reads 500.
CREATE FUNCTION blnk.stand_in_post(
    wanted_reference text, payer_id text, payee_id text, minor numeric, wanted_precision bigint, wanted_currency text, wanted_description text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    payer blnk.balances;
    payee blnk.balances;
    booked blnk.transactions;
BEGIN
    IF EXISTS (SELECT FROM blnk.transactions t WHERE t.reference = wanted_reference) THEN
        RETURN blnk.stand_in_error(409, 'TXN_DUPLICATE_REFERENCE', 'reference has been used');
    END IF;
    PERFORM 1 FROM blnk.balances b WHERE b.balance_id IN (payer_id, payee_id) ORDER BY b.balance_id FOR UPDATE;
    SELECT * INTO payer FROM blnk.balances b WHERE b.balance_id = payer_id;
    SELECT * INTO payee FROM blnk.balances b WHERE b.balance_id = payee_id;
    IF payer.balance_id IS NULL OR payee.balance_id IS NULL THEN
        RETURN blnk.stand_in_error(404, 'TXN_NOT_FOUND', 'no such balance');
    END IF;
    IF payer.indicator IS NULL AND payer.balance - payer.inflight_debit_balance < minor THEN
        RETURN blnk.stand_in_error(400, 'TXN_INSUFFICIENT_FUNDS', 'insufficient funds');
    END IF;
    UPDATE blnk.balances b SET balance = b.balance - minor, debit_balance = b.debit_balance + minor, version = b.version + 1 WHERE b.balance_id = payer_id;
    UPDATE blnk.balances b SET balance = b.balance + minor, credit_balance = b.credit_balance + minor, version = b.version + 1 WHERE b.balance_id = payee_id;
    INSERT INTO blnk.transactions
        (transaction_id, parent_transaction, source, destination, description, reference, amount, precise_amount, precision, currency, status,
         created_at, effective_date, scheduled_for, meta_data)
    VALUES
        ('txn_' || gen_random_uuid(), '', payer_id, payee_id, wanted_description, wanted_reference, minor / wanted_precision, minor, wanted_precision,
         wanted_currency, 'APPLIED', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', '0001-01-01', '{}')
    RETURNING * INTO booked;
    RETURN blnk.stand_in_shown(201, booked);
END $$;
