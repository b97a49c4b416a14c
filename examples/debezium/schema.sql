-- Whose the subscriptions are: a role of their own, which may log in (a worker
-- connects as the owner) and do no more than it needs.
CREATE ROLE shop LOGIN;
CREATE SCHEMA shop AUTHORIZATION shop;
SET ROLE shop;

-- The copies of two tables of another server, with a column more: where in that
-- server's log the row was written last.
CREATE TABLE shop.customers (
    id       bigint PRIMARY KEY,
    name     text NOT NULL,
    bio      text NOT NULL,
    active   boolean NOT NULL,
    born     date NOT NULL,
    since    timestamp NOT NULL,
    balance  numeric,
    tags     text[] NOT NULL,
    photo    bytea NOT NULL,
    lsn      bigint NOT NULL
);

CREATE TABLE shop.orders (
    id         uuid PRIMARY KEY,
    customer   bigint NOT NULL,
    total      numeric NOT NULL,
    rate       numeric,
    placed_on  date NOT NULL,
    placed_at  timestamp NOT NULL,
    paid_at    timestamptz,
    pickup     time NOT NULL,
    waited     interval NOT NULL,
    signature  bytea NOT NULL,
    lines      jsonb NOT NULL,
    lsn        bigint NOT NULL
);

RESET ROLE;
