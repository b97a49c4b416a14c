-- Whose the subscriptions are: a role of their own, which may log in (a worker
-- connects as the owner) and do no more than it needs.
CREATE ROLE payments LOGIN;
CREATE SCHEMA payments AUTHORIZATION payments;
SET ROLE payments;

-- whose payments go where
CREATE TABLE payments.accounts (
    payer    text PRIMARY KEY,
    account  text NOT NULL
);
INSERT INTO payments.accounts
    SELECT 'payer-' || n, 'ACC' || lpad((n * 7919 % 10000)::text, 6, '0')
      FROM generate_series(0, 499) AS n;

-- The columns of both messages.  Those of the first are not NOT NULL: what
-- produce() sends is in Kafka a moment before the payment is committed, so the
-- second message may find no row, and makes it.
CREATE TABLE payments.payments (
    payment_id    uuid PRIMARY KEY,
    amount        numeric,
    currency      text,
    payer         text,
    received_at   timestamptz,
    account       text,
    processed_at  timestamptz
);

RESET ROLE;
