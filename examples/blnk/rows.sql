-- Some rows to play with. Blnk's own ids are `bln_` and a UUID; short ones are easier to type.
INSERT INTO blnk.identity (identity_id, first_name, last_name, organization_name) VALUES
    ('idt_ada', 'Ada', 'Meier', ''),
    ('idt_boote', '', '', 'Hansa Boote GmbH');

-- The house's own account has an indicator and no identity. Points are no currency; the mapping leaves them out. Ada has 20.00 in flight.
INSERT INTO blnk.balances (balance_id, indicator, balance, credit_balance, debit_balance, inflight_balance, inflight_debit_balance, currency, identity_id, version) VALUES
    ('bln_world', '@world-EUR', -50000, 0, 50000, 0, 0, 'EUR', NULL, 2),
    ('bln_ada', NULL, 50000, 50000, 0, -2000, 2000, 'EUR', 'idt_ada', 3),
    ('bln_boote', NULL, 0, 0, 0, 0, 0, 'EUR', 'idt_boote', 1),
    ('bln_points', NULL, 700, 700, 0, 0, 0, 'POINTS', 'idt_ada', 2);

-- The first is booked, the second is held, and the third waits in Blnk's queue: only the first is a posting.
INSERT INTO blnk.transactions
    (transaction_id, parent_transaction, source, destination, description, reference, amount, precise_amount, precision, currency, status,
     created_at, effective_date, scheduled_for, meta_data)
VALUES
    ('txn_cash', '', 'bln_world', 'bln_ada', 'cash in', 'cash-in-1', 500, 50000, 100, 'EUR', 'APPLIED', '2026-11-02 08:00:00', '2026-11-02 08:00:00', '0001-01-01', '{}'),
    ('txn_hotel', '', 'bln_ada', 'bln_boote', 'deposit', 'hotel-1', 20, 2000, 100, 'EUR', 'INFLIGHT', '2026-11-03 08:00:00', '2026-11-03 08:00:00', '0001-01-01', '{}'),
    ('txn_later', '', 'bln_ada', 'bln_boote', 'tips', 'tips-1', 1, 100, 100, 'EUR', 'QUEUED', '2026-11-03 09:00:00', '2026-11-03 09:00:00', '0001-01-01', '{}');
