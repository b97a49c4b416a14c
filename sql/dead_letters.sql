CREATE EXTENSION stream_ingest;

--
-- Messages that cannot be applied, on librdkafka's embedded broker.  After
-- every step the counts must add up (see counts_of).
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;

-- waits until a query's answer is the expected one
CREATE FUNCTION wait_for(query text, expected text DEFAULT 'true') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + interval '30 s';
    answer text;
BEGIN
    LOOP
        EXECUTE 'SELECT (' || query || ')::text' INTO answer;
        IF answer IS NOT DISTINCT FROM expected THEN
            RETURN 'yes';
        END IF;
        IF clock_timestamp() > deadline THEN
            RETURN 'no: ' || coalesce(answer, 'null');
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
CREATE FUNCTION wait_state(subscription name, state text) RETURNS text LANGUAGE sql AS $$
    SELECT wait_for(format('SELECT string_agg(DISTINCT state, '','') FROM stream_ingest.status WHERE name = %L',
        subscription), state);
$$;
CREATE FUNCTION wait_offset(subscription name, next bigint) RETURNS text LANGUAGE sql AS $$
    SELECT wait_for(format('SELECT sum(next_offset) FROM stream_ingest.offsets WHERE name = %L',
        subscription), next::text);
$$;
-- the counts that are not 0, and whether they tell the truth
CREATE FUNCTION counts_of(subscription name) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ',
        CASE WHEN messages <> applied + ignored + dead_letters
            OR applied <> inserted + updated + deleted + superseded
            OR dead_letters <> (SELECT count(*) FROM stream_ingest.dead_letters d WHERE d.name = subscription)
            THEN 'COUNTS DO NOT ADD UP:' END,
        'messages=' || messages, 'applied=' || applied, 'inserted=' || inserted, 'ignored=' || nullif(ignored, 0),
        'dead_letters=' || nullif(dead_letters, 0))
    FROM stream_ingest.counts WHERE name = subscription;
$$;
CREATE FUNCTION letters_of(subscription name) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat(message_offset, ':', sqlstate, '/', attempts), ' ' ORDER BY partition, message_offset)
    FROM stream_ingest.dead_letters WHERE name = subscription;
$$;

--
-- every kind of refusal, each among good neighbours
--
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE parents (id int PRIMARY KEY);
INSERT INTO parents VALUES (1);
CREATE TABLE kinds (
    id int PRIMARY KEY, small smallint, short varchar(5), amount numeric(6,2) CHECK (amount >= 0),
    dom positive, nn text NOT NULL DEFAULT 'x', parent int REFERENCES parents,
    late int REFERENCES parents DEFERRABLE INITIALLY DEFERRED,
    during int4range, EXCLUDE USING gist (during WITH &&),
    twin int UNIQUE DEFERRABLE INITIALLY DEFERRED, say text, f float8, a int[], at date);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.say = TG_ARGV[0] THEN
        RAISE EXCEPTION 'no % here', NEW.say USING ERRCODE = TG_ARGV[1], DETAIL = 'so it was said',
            COLUMN = 'say', CONSTRAINT = 'a trigger';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER before_row BEFORE INSERT ON kinds FOR EACH ROW EXECUTE FUNCTION refuse('before', 'P0001');
CREATE TRIGGER unusual BEFORE INSERT ON kinds FOR EACH ROW EXECUTE FUNCTION refuse('unusual', 'XX000');
CREATE TRIGGER assertion BEFORE INSERT ON kinds FOR EACH ROW EXECUTE FUNCTION refuse('own code', 'UV123');
CREATE TRIGGER after_row AFTER INSERT ON kinds FOR EACH ROW EXECUTE FUNCTION refuse('after', 'P0001');
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON kinds DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse('deferred', 'P0001');
CREATE FUNCTION refuse_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM fresh WHERE say = 'statement') THEN
        RAISE EXCEPTION 'not this statement' USING ERRCODE = '22012';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER after_statement AFTER INSERT ON kinds REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_statement();

\! test/mock_broker -c create dl_kinds 1
\! { printf '%s\n' '{"id": 0}' 'not JSON' '{"id": 2' '[1]' '{"id": "four"}' '{"id": 5, "small": 40000}' '{"id": 6, "short": "too long"}' '{"id": 7, "amount": -1}' '{"id": 8, "amount": 123456}' '{"id": 9, "dom": 0}' '{"id": 10, "nn": null}' '{"id": 11, "parent": 2}' '{"id": 12, "late": 2}' '{"id": 0}' '{"id": 14, "during": "[1,5)"}' '{"id": 15, "during": "[3,7)"}' '{"id": 16, "twin": 1}' '{"id": 17, "twin": 1}' '{"id": 18, "say": "before"}' '{"id": 19, "say": "unusual"}' '{"id": 20, "say": "own code"}' '{"id": 21, "say": "after"}' '{"id": 22, "say": "deferred"}' '{"id": 23, "say": "statement"}' '{"id": 24, "f": 1e999999}' '{"id": 25, "a": [[1, 2], [3]]}' '{"id": 26, "at": 17}' '{"id": 27, "at": "2024-02-30"}' '{"id": 28, "say": "nul \u0000 byte"}'; printf '{"id": 29, "say": "\377"}\n'; printf '%s\n' '{"idd": 30}' '{"id": 31, "say": {"a": "\ud800"}}' '{"id": 32}'; } | test/produce -t dl_kinds -p 0 >/dev/null
SELECT stream_ingest.create_subscription('kinds', 'si_kafka', 'dl_kinds', 'kinds');
SELECT wait_offset('kinds', 33);
SELECT string_agg(id::text, ' ' ORDER BY id) FROM kinds;
SELECT counts_of('kinds');
SELECT message_offset, sqlstate, error, detail, column_name, constraint_name, attempts
FROM stream_ingest.dead_letters WHERE name = 'kinds' ORDER BY message_offset;
SELECT message_offset, convert_from(value, 'UTF8') FROM stream_ingest.dead_letters
WHERE name = 'kinds' AND message_offset IN (1, 7) ORDER BY message_offset;

-- what can be applied now is applied, oldest first; the rest remains
DROP TRIGGER before_row ON kinds;
DROP TRIGGER after_row ON kinds;
DROP TRIGGER unusual ON kinds;
DROP TRIGGER deferred ON kinds;
ALTER TABLE kinds ALTER short TYPE text, DROP CONSTRAINT kinds_amount_check;
INSERT INTO parents VALUES (2);
SELECT stream_ingest.retry_dead_letters('kinds');
SELECT string_agg(id::text, ' ' ORDER BY id) FROM kinds;
SELECT counts_of('kinds');
SELECT letters_of('kinds');
SELECT stream_ingest.retry_dead_letters('kinds');

-- a part; in a transaction that is rolled back; in a block that catches
ALTER TABLE kinds ALTER nn DROP NOT NULL, ALTER small TYPE int;
BEGIN;
SELECT stream_ingest.retry_dead_letters('kinds', 0, 5, 11);
SELECT counts_of('kinds');
ROLLBACK;
SELECT counts_of('kinds');
SELECT letters_of('kinds');
SELECT stream_ingest.retry_dead_letters('kinds', 0, 6, 10);
SELECT stream_ingest.retry_dead_letters('kinds', 0, 5, 6);
SELECT stream_ingest.retry_dead_letters('kinds', 0, 10);
SELECT stream_ingest.retry_dead_letters('kinds', 0, NULL, 5);
SELECT stream_ingest.retry_dead_letters('kinds', 1);
SELECT counts_of('kinds');
SELECT letters_of('kinds');

-- deferred constraints speak at once, and what the caller has pending first
BEGIN;
INSERT INTO kinds (id, late) VALUES (1000, 77);
SELECT stream_ingest.retry_dead_letters('kinds');
ROLLBACK;

-- a temporary error is the caller's, in words that quote nothing
CREATE FUNCTION always_passing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the secret is %', NEW USING ERRCODE = '40001';
END $$;
CREATE TRIGGER passing BEFORE INSERT ON kinds FOR EACH ROW EXECUTE FUNCTION always_passing();
UPDATE parents SET id = id WHERE id = 1;
SELECT stream_ingest.retry_dead_letters('kinds', 0, 9);
DO $$
BEGIN
    PERFORM stream_ingest.retry_dead_letters('kinds', 0, 9);
EXCEPTION WHEN serialization_failure THEN
    RAISE WARNING 'caught: %', sqlerrm;
END $$;
SELECT counts_of('kinds');
SELECT letters_of('kinds');
-- the worker tries the same batch again, and says so; it takes no rest from
-- one that is repaired
\! printf '%s\n' '{"id": 33}' '{"id": 34, "dom": -1}' '{"id": 35}' | test/produce -t dl_kinds -p 0 >/dev/null
SELECT wait_state('kinds', 'retrying');
SELECT reason, last_error, last_error_sqlstate FROM stream_ingest.status WHERE name = 'kinds';
SELECT counts_of('kinds');
DROP TRIGGER passing ON kinds;
SELECT wait_offset('kinds', 36);
SELECT counts_of('kinds');
SELECT letters_of('kinds');

-- a statement that cannot run at all is the caller's error, too
CREATE FUNCTION no_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'closed for today';
END $$;
CREATE TRIGGER closed BEFORE INSERT ON kinds FOR EACH STATEMENT EXECUTE FUNCTION no_statement();
SELECT stream_ingest.retry_dead_letters('kinds', 0, 9);
-- for the worker it is lasting: nothing becomes a dead letter, and it heals
\! printf '%s\n' '{"id": 36}' '{"id": 37}' | test/produce -t dl_kinds -p 0 >/dev/null
SELECT wait_state('kinds', 'stopped');
SELECT reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'kinds';
DROP TRIGGER closed ON kinds;
SELECT wait_offset('kinds', 38);
SELECT wait_state('kinds', 'streaming');
SELECT reason FROM stream_ingest.status WHERE name = 'kinds';
SELECT counts_of('kinds');

-- a backward seek over dead letters: nothing is counted again, those that are
-- repaired are gone, the others were tried once more
ALTER TABLE kinds DROP CONSTRAINT kinds_pkey;
ALTER DOMAIN positive DROP CONSTRAINT positive_check;
SELECT stream_ingest.seek('kinds', 0, 8);
SELECT wait_for($$SELECT count(*) FROM kinds WHERE id = 37$$, '2');
SELECT counts_of('kinds');
SELECT letters_of('kinds');
SELECT string_agg(id::text, ' ' ORDER BY id) FROM kinds;

-- discard
SELECT stream_ingest.discard_dead_letters('kinds', 0, 20);
SELECT counts_of('kinds');
BEGIN;
SELECT stream_ingest.discard_dead_letters('kinds');
SELECT counts_of('kinds');
ROLLBACK;
SELECT counts_of('kinds');
-- reset_counts keeps what lies there; also with changes not yet folded in
SELECT stream_ingest.reset_counts('kinds');
SELECT counts_of('kinds');
SELECT counts_of('kinds'), since BETWEEN now() - interval '5 min' AND clock_timestamp() FROM stream_ingest.counts WHERE name = 'kinds';
\! printf '%s\n' '{"id": 38}' 'bad' | test/produce -t dl_kinds -p 0 >/dev/null
SELECT wait_offset('kinds', 40);
SELECT counts_of('kinds');
SELECT stream_ingest.reset_counts('kinds');
SELECT stream_ingest.discard_dead_letters('kinds');
SELECT counts_of('kinds');

-- errors
SELECT stream_ingest.retry_dead_letters('none');
SELECT stream_ingest.retry_dead_letters(NULL);
SELECT stream_ingest.retry_dead_letters('kinds', NULL, 1);
SELECT stream_ingest.retry_dead_letters('kinds', -1);
SELECT stream_ingest.discard_dead_letters('kinds', NULL, NULL, 5);
SELECT stream_ingest.discard_dead_letters('none');
SELECT stream_ingest.reset_counts('none');
BEGIN READ ONLY;
SELECT stream_ingest.retry_dead_letters('kinds');
ROLLBACK;
SELECT stream_ingest.drop_subscription('kinds');

--
-- on_error ignore, stop
--
CREATE TABLE policy (id int, n int CHECK (n > 0));
\! test/mock_broker -c create policy 1
\! printf '%s\n' '{"id": 0, "n": 1}' 'bad' '{"id": 2, "n": 0}' '{"id": 3, "n": 1}' '{"id": 4, "n": -1}' '{"id": 5, "n": 1}' | test/produce -t policy -p 0 >/dev/null
SELECT stream_ingest.create_subscription('policy', 'si_kafka', 'policy', 'policy', options => '{"on_error": "ignore"}');
SELECT wait_offset('policy', 6);
SELECT string_agg(id::text, ' ' ORDER BY id), counts_of('policy') FROM policy;
-- stop: at the message, with all before it applied and none behind it
SELECT stream_ingest.alter_subscription('policy', options => '{"on_error": "stop"}');
SELECT stream_ingest.seek('policy', 0, 0);
SELECT wait_state('policy', 'stopped');
SELECT reason, last_error_sqlstate, next_offset FROM stream_ingest.status JOIN stream_ingest.offsets USING (name) WHERE name = 'policy';
SELECT string_agg(id::text, ' ' ORDER BY id), counts_of('policy') FROM policy;
SELECT stream_ingest.seek('policy', 0, 2);
SELECT wait_for($$SELECT reason FROM stream_ingest.status WHERE name = 'policy'$$, 'message at topic "policy", partition 0, offset 2 was refused: 23514 (check_violation), constraint "policy_n_check"; fix the cause and call enable(), or skip() the message');
ALTER TABLE policy DROP CONSTRAINT policy_n_check;
SELECT stream_ingest.enable('policy');
SELECT wait_offset('policy', 6);
SELECT string_agg(id::text, ' ' ORDER BY id), counts_of('policy') FROM policy;
SELECT stream_ingest.drop_subscription('policy');

--
-- a message under on_error = stop that was a dead letter before
--
\! test/mock_broker -c create again 1
\! printf '%s\n' '{"id": 0, "n": 1}' '{"id": 1, "n": "x"}' '{"id": 2, "n": 1}' | test/produce -t again -p 0 >/dev/null
SELECT stream_ingest.create_subscription('again', 'si_kafka', 'again', 'policy');
SELECT wait_offset('again', 3);
SELECT counts_of('again'), letters_of('again');
SELECT stream_ingest.alter_subscription('again', options => '{"on_error": "stop"}');
SELECT stream_ingest.seek('again', 0, 1);
SELECT wait_state('again', 'stopped');
SELECT counts_of('again'), letters_of('again');
SELECT stream_ingest.alter_subscription('again', options => '{"on_error": "ignore"}');
SELECT stream_ingest.enable('again');
SELECT wait_offset('again', 3);
SELECT counts_of('again'), letters_of('again');
SELECT stream_ingest.drop_subscription('again');

--
-- reject_limit as a number; enable restarts the count
--
\! test/mock_broker -c create rejects 1
TRUNCATE policy;
SELECT stream_ingest.create_subscription('rejects', 'si_kafka', 'rejects', 'policy', options => '{"reject_limit": 3}');
\! printf '%s\n' '{"id": 1}' 'bad' 'bad' '{"id": 2}' | test/produce -t rejects -p 0 >/dev/null
SELECT wait_offset('rejects', 4);
SELECT counts_of('rejects');
\! printf '%s\n' 'bad' '{"id": 3}' | test/produce -t rejects -p 0 >/dev/null
SELECT wait_state('rejects', 'stopped');
SELECT reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'rejects';
SELECT stream_ingest.enable('rejects');
\! printf '%s\n' 'bad' '{"id": 4}' 'bad' '{"id": 5}' | test/produce -t rejects -p 0 >/dev/null
SELECT wait_offset('rejects', 10);
SELECT wait_state('rejects', 'streaming');
SELECT counts_of('rejects');
-- meeting dead letters again is no new rejection
SELECT stream_ingest.alter_subscription('rejects', options => '{"reject_limit": 4}');
SELECT stream_ingest.seek('rejects', 0, 0);
SELECT wait_for($$SELECT count(*) FROM policy$$, '10');
SELECT wait_state('rejects', 'streaming');
SELECT counts_of('rejects'), letters_of('rejects');
SELECT stream_ingest.drop_subscription('rejects');

--
-- reject_limit in percent: of the last 10,000 messages
--
\! test/mock_broker -c create percent 1
TRUNCATE policy;
\! awk 'BEGIN { for (i = 0; i < 30000; i++) print i % 250 == 7 ? "bad" : "{\"id\": " i "}"; }' | test/produce -t percent -p 0 >/dev/null
SELECT stream_ingest.create_subscription('percent', 'si_kafka', 'percent', 'policy', options => '{"reject_limit": "1%"}');
SELECT wait_offset('percent', 30000);
SELECT wait_state('percent', 'streaming');
SELECT counts_of('percent'), count(*) FROM policy;
SELECT stream_ingest.alter_subscription('percent', options => '{"reject_limit": "0.3%"}');
TRUNCATE policy;
\! awk 'BEGIN { for (i = 0; i < 10000; i++) print i % 250 == 7 ? "bad" : "{\"id\": " i "}"; }' | test/produce -t percent -p 0 >/dev/null
SELECT wait_state('percent', 'stopped');
SELECT reason ~ '^reject_limit reached: (3\d|40) dead letters among the last 10000 messages; see the causes in dead_letters' FROM stream_ingest.status WHERE name = 'percent';
SELECT stream_ingest.drop_subscription('percent');

--
-- breaker: in a row, in one partition
--
\! test/mock_broker -c create breaker 2
TRUNCATE policy;
\! for i in 1 2 3 4; do printf '%s\n' 'bad' '{"id": 0, "n": "x"}' 'bad' 'bad' "{\"id\": $i}"; done | test/produce -t breaker -p 0 >/dev/null
SELECT stream_ingest.create_subscription('breaker', 'si_kafka', 'breaker', 'policy', options => '{"breaker": 5}');
SELECT wait_offset('breaker', 20);
SELECT wait_state('breaker', 'streaming');
\! printf '%s\n' bad bad bad | test/produce -t breaker -p 0 >/dev/null
\! printf '%s\n' bad bad bad bad | test/produce -t breaker -p 1 >/dev/null
SELECT wait_offset('breaker', 27);
SELECT wait_state('breaker', 'streaming');
\! printf '%s\n' bad | test/produce -t breaker -p 1 >/dev/null
SELECT wait_state('breaker', 'stopped');
SELECT reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'breaker';
SELECT counts_of('breaker');
SELECT stream_ingest.drop_subscription('breaker');

--
-- a table that refuses everything: nothing becomes a dead letter, although
-- some messages are bad anyway and some ask for no row
--
\! test/mock_broker -c create refusing 1
TRUNCATE policy;
ALTER TABLE policy ADD CONSTRAINT refuses_all CHECK (id < 0);
\! awk 'BEGIN { for (i = 0; i < 3000; i++) print i % 50 == 7 ? "bad" : i % 50 == 8 ? "" : "{\"id\": " i "}"; }' | test/produce -t refusing -Z -p 0 >/dev/null
SELECT stream_ingest.create_subscription('refusing', 'si_kafka', 'refusing', 'policy', options => '{"batch_interval": "300 ms"}');
SELECT wait_state('refusing', 'stopped');
SELECT reason ~ '^all \d+ rows were refused alike, so the table or the mapping is wrong: 23514 \(check_violation\), constraint "refuses_all"' AS same,
    last_error_sqlstate FROM stream_ingest.status WHERE name = 'refusing';
SELECT counts_of('refusing');
ALTER TABLE policy DROP CONSTRAINT refuses_all;
SELECT wait_offset('refusing', 3000);
SELECT counts_of('refusing'), count(*) FROM policy;
SELECT stream_ingest.drop_subscription('refusing');

--
-- orphans
--
CREATE TABLE children (id int, parent int REFERENCES parents);
\! test/mock_broker -c create orphans 1
\! printf '%s\n' '{"id": 0, "parent": 1}' '{"id": 1, "parent": 50}' '{"id": 2, "parent": 60}' '{"id": 3, "parent": "x"}' '{"id": 4, "parent": 2}' | test/produce -t orphans -p 0 >/dev/null
SELECT stream_ingest.create_subscription('orphans', 'si_kafka', 'orphans', 'children', options => '{"fk_retries": 1}');
SELECT wait_offset('orphans', 5);
INSERT INTO parents VALUES (50);
SELECT wait_for($$SELECT letters_of('orphans')$$, '2:23503/2 3:22P02/1');
SELECT string_agg(id::text, ' ' ORDER BY id), counts_of('orphans') FROM children;
-- that was its one retry; a call retries it again
INSERT INTO parents VALUES (60);
SELECT stream_ingest.retry_dead_letters('orphans');
SELECT string_agg(id::text, ' ' ORDER BY id), counts_of('orphans'), letters_of('orphans') FROM children;
-- that trying orphans again fails is no message's fault
\! printf '%s\n' '{"id": 5, "parent": 70}' | test/produce -t orphans -p 0 >/dev/null
SELECT wait_for($$SELECT letters_of('orphans')$$, '3:22P02/2 5:23503/1');
CREATE TRIGGER closed BEFORE INSERT ON children FOR EACH STATEMENT EXECUTE FUNCTION no_statement();
SELECT wait_for($$SELECT last_error FROM stream_ingest.status WHERE name = 'orphans'$$,
    'dead letters could not be tried again: a batch of topic "orphans" was refused: P0001 (raise_exception)');
SELECT state, reason FROM stream_ingest.status WHERE name = 'orphans';
SELECT counts_of('orphans'), letters_of('orphans');
DROP TRIGGER closed ON children;
SELECT stream_ingest.drop_subscription('orphans');

--
-- a message is kept whole: key, value, timestamp, headers with duplicates,
-- null and binary values; and comes back whole
--
CREATE TABLE whole (k text, v text, h jsonb, at timestamptz, n int NOT NULL);
\! test/mock_broker -c create whole 1
\! printf '%s\n' 'the key|{"v": "the value"}' '|{"v": ""}' | test/produce -t whole -p 0 -K '|' -H a=1 -H a=2 -H 'b=' -H 'none' -H "$(printf 'x=\377')" >/dev/null
SELECT stream_ingest.create_subscription('whole', 'si_kafka', 'whole', 'whole', mapping => '{"k": "$key", "h": "$headers", "at": "$timestamp"}');
SELECT wait_offset('whole', 2);
SELECT message_offset, key, convert_from(value, 'UTF8') AS value, headers, message_timestamp BETWEEN now() - interval '5 min' AND now() + interval '1 min' AS time, sqlstate
FROM stream_ingest.dead_letters WHERE name = 'whole' ORDER BY message_offset;
SELECT header_names, header_values FROM stream_ingest.dead_letter WHERE topic = 'whole' AND message_offset = 0;
ALTER TABLE whole ALTER n DROP NOT NULL;
UPDATE stream_ingest.dead_letter SET message_timestamp = '2024-01-02 03:04:05.678+00' WHERE topic = 'whole';
SELECT stream_ingest.retry_dead_letters('whole');
SELECT * FROM whole ORDER BY v;
SELECT counts_of('whole');
SELECT stream_ingest.drop_subscription('whole');

--
-- no partition for the row; row-level security refuses
--
CREATE TABLE parts (id int, part int) PARTITION BY LIST (part);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
\! test/mock_broker -c create parts 1
\! printf '%s\n' '{"id": 0, "part": 1}' '{"id": 1, "part": 2}' '{"id": 2}' '{"id": 3, "part": 1}' | test/produce -t parts -p 0 >/dev/null
SELECT stream_ingest.create_subscription('parts', 'si_kafka', 'parts', 'parts');
SELECT wait_offset('parts', 4);
SELECT message_offset, sqlstate, error, detail, constraint_name FROM stream_ingest.dead_letters WHERE name = 'parts' ORDER BY message_offset;
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
SELECT stream_ingest.retry_dead_letters('parts');
SELECT tableoid::regclass, id FROM parts ORDER BY id;
SELECT counts_of('parts');
SELECT stream_ingest.drop_subscription('parts');

CREATE ROLE si_owner LOGIN;
CREATE ROLE si_stranger;
CREATE ROLE si_monitor IN ROLE pg_monitor;
GRANT USAGE ON FOREIGN SERVER si_kafka TO si_owner;
GRANT CREATE ON SCHEMA public TO si_owner;
CREATE TABLE rls (id int, who text DEFAULT current_user, what text);
ALTER TABLE rls ENABLE ROW LEVEL SECURITY;
CREATE POLICY small ON rls FOR INSERT WITH CHECK (id < 10);
GRANT INSERT ON rls TO si_owner;
\! test/mock_broker -c create rls 1
\! printf 'key#%s\n' '{"id": 0}' '{"id": 10}' '{"id": 2, "what": 1}' '{"id": "the secret"}' | test/produce -t rls -p 0 -K '#' -H head=er >/dev/null
SET ROLE si_owner;
SELECT stream_ingest.create_subscription('rls', 'si_kafka', 'rls', 'rls');
RESET ROLE;
SELECT wait_offset('rls', 4);
SELECT id, who, what FROM rls ORDER BY id;
-- the owner sees it all
SET ROLE si_owner;
SELECT message_offset, convert_from(value, 'UTF8'), sqlstate, error, detail, column_name, attempts FROM stream_ingest.dead_letters ORDER BY message_offset;
-- who watches sees no payload
SET ROLE si_monitor;
SELECT message_offset, key, value, headers, sqlstate, error, detail, column_name, constraint_name, attempts FROM stream_ingest.dead_letters WHERE name = 'rls' ORDER BY message_offset;
SELECT stream_ingest.retry_dead_letters('rls');
SELECT stream_ingest.discard_dead_letters('rls');
SELECT stream_ingest.reset_counts('rls');
-- a stranger sees nothing
SET ROLE si_stranger;
SELECT count(*) FROM stream_ingest.dead_letters;
SELECT count(*) FROM stream_ingest.dead_letter;
SELECT stream_ingest.retry_dead_letters('rls');
-- a superuser's retry runs as the subscription's owner, policy and all
RESET ROLE;
SELECT stream_ingest.retry_dead_letters('rls');
SELECT letters_of('rls');
ALTER POLICY small ON rls WITH CHECK (id < 20 AND current_user = 'si_owner');
CREATE FUNCTION who_am_i() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.who := current_user || ' of ' || session_user || ', ' || current_setting('TimeZone');
    RETURN NEW;
END $$;
CREATE TRIGGER who BEFORE INSERT ON rls FOR EACH ROW EXECUTE FUNCTION who_am_i();
SET TimeZone = 'Asia/Tokyo';
SELECT stream_ingest.retry_dead_letters('rls');
SHOW TimeZone;
SELECT current_user = session_user;
RESET TimeZone;
SELECT id, replace(who, session_user, '(superuser)'), what FROM rls ORDER BY id;
SELECT counts_of('rls'), letters_of('rls');
-- the owner's own privileges decide, not the caller's
ALTER POLICY small ON rls WITH CHECK (true);
REVOKE INSERT ON rls FROM si_owner;
SELECT stream_ingest.retry_dead_letters('rls');
SELECT counts_of('rls'), letters_of('rls');
SELECT stream_ingest.drop_subscription('rls');

--
-- a refusal that only COMMIT pronounces
--
CREATE TABLE at_commit (id int);
CREATE TABLE beside (id int, parent int REFERENCES parents DEFERRABLE);
CREATE FUNCTION evade() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SET CONSTRAINTS ALL DEFERRED;
    INSERT INTO beside VALUES (NEW.id, NEW.id);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER evade AFTER INSERT ON at_commit DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION evade();
\! test/mock_broker -c create at_commit 1
\! printf '%s\n' '{"id": 1}' '{"id": 2}' '{"id": 1}' '{"id": 3}' '{"id": 2}' '{"id": 1}' '{"id": 3}' '{"id": 50}' | test/produce -t at_commit -p 0 >/dev/null
SELECT stream_ingest.create_subscription('at_commit', 'si_kafka', 'at_commit', 'at_commit');
SELECT wait_offset('at_commit', 8);
SELECT string_agg(id::text, ' ' ORDER BY id) FROM at_commit;
SELECT counts_of('at_commit'), letters_of('at_commit');
SELECT message_offset, sqlstate, error, detail, constraint_name FROM stream_ingest.dead_letters WHERE name = 'at_commit' ORDER BY message_offset;
INSERT INTO parents VALUES (3);
SELECT stream_ingest.retry_dead_letters('at_commit');
SELECT counts_of('at_commit'), letters_of('at_commit');
SELECT stream_ingest.drop_subscription('at_commit');

--
-- a retry whose target's trigger retries or discards the same dead letters
--
CREATE TABLE gated (id int, closed boolean);
CREATE TABLE gate (what text);
INSERT INTO gate VALUES ('refuse');
CREATE FUNCTION at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what text := (SELECT g.what FROM public.gate g);
BEGIN
    IF what = 'refuse' AND NEW.closed THEN RAISE EXCEPTION 'closed'; END IF;
    IF what = 'retry' THEN PERFORM stream_ingest.retry_dead_letters('gated'); END IF;
    IF what = 'discard' THEN PERFORM stream_ingest.discard_dead_letters('gated'); END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER at_gate BEFORE INSERT ON gated FOR EACH ROW EXECUTE FUNCTION at_gate();
\! test/mock_broker -c create gated 1
\! printf '%s\n' '{"id": 1, "closed": true}' '{"id": 2}' '{"id": 3, "closed": true}' | test/produce -t gated -p 0 >/dev/null
SELECT stream_ingest.create_subscription('gated', 'si_kafka', 'gated', 'gated');
SELECT wait_offset('gated', 3);
SELECT counts_of('gated'), letters_of('gated');
UPDATE gate SET what = 'discard';
SELECT stream_ingest.retry_dead_letters('gated');
SELECT counts_of('gated'), letters_of('gated');
UPDATE gate SET what = 'retry';
SELECT stream_ingest.retry_dead_letters('gated');
SELECT string_agg(id::text, ' ' ORDER BY id) FROM gated;
SELECT counts_of('gated'), letters_of('gated');
SELECT stream_ingest.drop_subscription('gated');

--
-- a trigger that discards dead letters whose messages are in its batch again
--
CREATE TABLE cleaned (id int);
UPDATE gate SET what = 'refuse';
CREATE FUNCTION clean() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id % 2 = 0 AND (SELECT what = 'refuse' FROM public.gate) THEN RAISE EXCEPTION 'even'; END IF;
    PERFORM stream_ingest.discard_dead_letters('cleaned');
    RETURN NEW;
END $$;
CREATE TRIGGER clean BEFORE INSERT ON cleaned FOR EACH ROW EXECUTE FUNCTION clean();
\! test/mock_broker -c create cleaned 1
\! printf '%s\n' '{"id": 1}' '{"id": 2}' '{"id": 4}' | test/produce -t cleaned -p 0 >/dev/null
SELECT stream_ingest.create_subscription('cleaned', 'si_kafka', 'cleaned', 'cleaned');
SELECT wait_offset('cleaned', 3);
SELECT counts_of('cleaned'), letters_of('cleaned');
UPDATE gate SET what = 'accept';
SELECT stream_ingest.seek('cleaned', 'earliest');
SELECT wait_for('SELECT count(*) = 4 FROM cleaned');
SELECT counts_of('cleaned'), letters_of('cleaned');
SELECT stream_ingest.drop_subscription('cleaned');

--
-- a temporary error while the statement is tried over nothing: the batch is
-- applied again, and not retried without effect
--
CREATE TABLE tried (id int);
CREATE SEQUENCE tried_statements;
CREATE FUNCTION fail_at_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_LEVEL = 'STATEMENT' THEN
        IF nextval('public.tried_statements') = 2 THEN
            RAISE EXCEPTION 'another time' USING ERRCODE = '40001';
        END IF;
    ELSIF currval('public.tried_statements') = 1 THEN
        RAISE EXCEPTION 'not yet';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER statement BEFORE INSERT ON tried FOR EACH STATEMENT EXECUTE FUNCTION fail_at_first();
CREATE TRIGGER each_row BEFORE INSERT ON tried FOR EACH ROW EXECUTE FUNCTION fail_at_first();
\! test/mock_broker -c create tried 1
\! printf '%s\n' '{"id": 1}' '{"id": 2}' '{"id": 3}' | test/produce -t tried -p 0 >/dev/null
SELECT stream_ingest.create_subscription('tried', 'si_kafka', 'tried', 'tried');
SELECT wait_offset('tried', 3);
SELECT string_agg(id::text, ' ' ORDER BY id) FROM tried;
SELECT counts_of('tried'), letters_of('tried');
SELECT last_value > 2 FROM tried_statements;
SELECT stream_ingest.drop_subscription('tried');

--
-- a target that fits no more while the stream runs: tried again, with what it
-- says, and without effect until it fits
--
CREATE TABLE refitted (id int, at timestamptz);
\! test/mock_broker -c create refitted 1
\! printf '%s\n' '{"id": 1}' | test/produce -t refitted -p 0 >/dev/null
SELECT stream_ingest.create_subscription('refitted', 'si_kafka', 'refitted', 'refitted', mapping => '{"at": "$timestamp"}');
SELECT wait_offset('refitted', 1);
ALTER TABLE refitted DROP COLUMN at, ADD COLUMN at boolean;
\! printf '%s\n' '{"id": 2}' | test/produce -t refitted -p 0 >/dev/null
SELECT wait_state('refitted', 'stopped');
SELECT wait_for('SELECT retries > 1 FROM stream_ingest.status WHERE name = ''refitted''');
SELECT state, last_error, last_error_sqlstate FROM stream_ingest.status WHERE name = 'refitted';
ALTER TABLE refitted DROP COLUMN at, ADD COLUMN at timestamptz;
SELECT wait_offset('refitted', 2);
SELECT id, at IS NOT NULL FROM refitted ORDER BY id;
SELECT counts_of('refitted'), letters_of('refitted');
SELECT stream_ingest.drop_subscription('refitted');

--
-- a composite type that is altered while the stream runs
--
CREATE TYPE inner_part AS (a int);
CREATE TYPE part AS (a int, i inner_part);
CREATE TABLE assembled (id int, one part, many part[]);
\! test/mock_broker -c create assembled 1
\! printf '%s\n' '{"id": 1, "one": {"a": 1, "b": 2, "i": {"a": 3, "c": 4}}, "many": [{"b": 2}]}' | test/produce -t assembled -p 0 >/dev/null
SELECT stream_ingest.create_subscription('assembled', 'si_kafka', 'assembled', 'assembled');
SELECT wait_offset('assembled', 1);
ALTER TYPE part ADD ATTRIBUTE b int;
\! printf '%s\n' '{"id": 2, "one": {"a": 1, "b": 2, "i": {"a": 3, "c": 4}}, "many": [{"b": 2}]}' | test/produce -t assembled -p 0 >/dev/null
SELECT wait_offset('assembled', 2);
ALTER TYPE inner_part ADD ATTRIBUTE c int;
\! printf '%s\n' '{"id": 3, "one": {"a": 1, "b": 2, "i": {"a": 3, "c": 4}}, "many": [{"b": 2}]}' | test/produce -t assembled -p 0 >/dev/null
SELECT wait_offset('assembled', 3);
SELECT id, to_json(one) AS one, to_json(many) AS many FROM assembled ORDER BY id;
SELECT stream_ingest.drop_subscription('assembled');

DROP TABLE rls;
DROP OWNED BY si_owner;
DROP ROLE si_owner, si_stranger, si_monitor;
DROP EXTENSION stream_ingest CASCADE;
