-- Some rows to play with. Every balance is the sum of its account's postings.
USE fineract_default;

INSERT INTO m_client (id, account_no, office_id, fullname, display_name) VALUES
    (1, '000000001', 1, 'The bank itself', 'The bank itself'),
    (11, '000000011', 1, NULL, 'Ines Albers'),
    (12, '000000012', 1, NULL, 'Tomas Brandt'),
    (13, '000000013', 1, 'Hansa Boote GmbH', 'Hansa Boote GmbH');

-- 21 has 50.00 on hold; 23 may be overdrawn by 500.00; 24 is blocked; 31 is a fixed deposit and 41 in another currency, which the mapping leaves out.
INSERT INTO m_savings_account
    (id, account_no, client_id, product_id, sub_status_enum, deposit_type_enum, currency_code, allow_overdraft, overdraft_limit,
     account_balance_derived, on_hold_funds_derived, total_savings_amount_on_hold) VALUES
    (21, '000000021', 11, 1, 0, 100, 'EUR', b'0', NULL, 1250.000000, NULL, 50.000000),
    (22, '000000022', 12, 1, 0, 100, 'EUR', b'0', NULL, 0.000000, NULL, NULL),
    (23, '000000023', 13, 1, 0, 100, 'EUR', b'1', 500.000000, 200.000000, NULL, NULL),
    (24, '000000024', 12, 1, 400, 100, 'EUR', b'0', NULL, 75.000000, NULL, NULL),
    (31, '000000031', 12, 2, 0, 200, 'EUR', b'0', NULL, 5000.000000, NULL, NULL),
    (41, '000000041', 11, 1, 0, 100, 'CHF', b'0', NULL, 10.000000, NULL, NULL);

-- The oldest row is from a time when Fineract wrote no time of creation. Row 903 is a hold.
INSERT INTO m_savings_account_transaction
    (id, savings_account_id, office_id, transaction_type_enum, transaction_date, amount, running_balance_derived, created_on_utc) VALUES
    (900, 21, 1, 1, '2023-05-02', 1000.000000, 1000.000000, NULL),
    (901, 21, 1, 1, '2026-10-30', 300.000000, 1300.000000, '2026-10-30 08:15:00.123456'),
    (902, 21, 1, 2, '2026-11-02', 50.000000, 1250.000000, '2026-11-02 17:40:11.000000'),
    (903, 21, 1, 20, '2026-11-20', 50.000000, NULL, '2026-11-20 10:00:00.000000'),
    (904, 23, 1, 1, '2026-11-03', 200.000000, 200.000000, '2026-11-03 09:00:00.000000'),
    (905, 24, 1, 1, '2026-11-03', 75.000000, 75.000000, '2026-11-03 09:00:01.000000'),
    (906, 31, 1, 1, '2026-11-03', 5000.000000, 5000.000000, '2026-11-03 09:00:02.000000'),
    (907, 41, 1, 1, '2026-11-03', 10.000000, 10.000000, '2026-11-03 09:00:03.000000');
