CREATE EXTENSION stream_ingest;

--
-- What may be said about a Kafka cluster: servers and user mappings.
-- Nothing here connects to a broker.
--
CREATE ROLE regress_si_user;

-- an error with its code, to see that each kind has the right one
CREATE FUNCTION error_code(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate;
END $$;

--
-- accepted forms of a server
--
CREATE SERVER si_plain FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers 'broker1:9092,broker2:9092');
CREATE SERVER si_dots FOREIGN DATA WRAPPER stream_ingest
    OPTIONS ("bootstrap.servers" 'broker1', "security.protocol" 'SASL_SSL', "sasl.mechanisms" 'PLAIN');
CREATE SERVER si_design FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers 'broker1:9092,broker2:9092', security_protocol 'SASL_SSL', sasl_mechanism 'SCRAM-SHA-256');
CREATE SERVER si_addresses FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers 'one, two:9093,10.0.0.1:1, [::1], [2001:db8::1]:65535');
CREATE SERVER si_all FOREIGN DATA WRAPPER stream_ingest OPTIONS (
    bootstrap_servers 'broker1:9092',
    broker_address_family 'v4',
    broker_address_ttl '5000',
    security_protocol 'sasl_ssl',
    sasl_mechanisms 'SCRAM-SHA-512',
    enable_ssl_certificate_verification 'true',
    ssl_endpoint_identification_algorithm 'https',
    ssl_ca_pem '-----BEGIN CERTIFICATE-----
MIIB
-----END CERTIFICATE-----',
    ssl_ca_location '/etc/ssl/certs/ca-certificates.crt',
    ssl_crl_location '/etc/ssl/crl.pem',
    ssl_certificate_location '/etc/kafka/client.crt',
    ssl_key_location '/etc/kafka/client.key',
    ssl_keystore_location '/etc/kafka/client.p12',
    ssl_cipher_suites 'ECDHE-RSA-AES256-GCM-SHA384',
    ssl_curves_list 'P-256',
    ssl_sigalgs_list 'ECDSA+SHA256',
    socket_timeout_ms '30000',
    socket_connection_setup_timeout_ms '10000',
    socket_keepalive_enable 'true',
    socket_nagle_disable 'true',
    socket_max_fails '3',
    socket_send_buffer_bytes '65536',
    socket_receive_buffer_bytes '65536',
    connections_max_idle_ms '60000',
    reconnect_backoff_max_ms '2000',
    api_version_request_timeout_ms '5000',
    group_prefix 'team-a.',
    client_id 'quota-a');

-- what was said stays as it was said
SELECT srvname, srvoptions FROM pg_foreign_server
WHERE srvname IN ('si_plain', 'si_dots', 'si_addresses') ORDER BY srvname;

-- and can be changed
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers 'broker3:9092', ADD group_prefix '');
ALTER SERVER si_plain OPTIONS (ADD security_protocol 'SASL_PLAINTEXT', ADD sasl_mechanism 'PLAIN');
ALTER SERVER si_plain OPTIONS (DROP security_protocol, DROP sasl_mechanism);
SELECT srvoptions FROM pg_foreign_server WHERE srvname = 'si_plain';

--
-- what a server needs
--
CREATE SERVER si_bad FOREIGN DATA WRAPPER stream_ingest;
CREATE SERVER si_bad FOREIGN DATA WRAPPER stream_ingest OPTIONS (group_prefix 'a.');
ALTER SERVER si_plain OPTIONS (DROP bootstrap_servers);
ALTER SERVER si_plain OPTIONS (ADD security_protocol 'SASL_SSL');
ALTER SERVER si_design OPTIONS (DROP sasl_mechanism);

--
-- names
--
ALTER SERVER si_plain OPTIONS (ADD bootstrap_server 'broker1');
ALTER SERVER si_plain OPTIONS (ADD "socket.timeout" '10000');
ALTER SERVER si_plain OPTIONS (ADD grup_prefix 'a.');
ALTER SERVER si_plain OPTIONS (ADD "group.prefix" 'b.');
ALTER SERVER si_plain OPTIONS (ADD "SECURITY_PROTOCOL" 'ssl');
ALTER SERVER si_plain OPTIONS (ADD host 'localhost');
ALTER SERVER si_plain OPTIONS (ADD "bootstrap.servers" 'broker1');
ALTER SERVER si_design OPTIONS (ADD sasl_mechanisms 'PLAIN');

--
-- values: librdkafka's words, and what it would take too easily
--
ALTER SERVER si_plain OPTIONS (ADD security_protocol 'tls');
ALTER SERVER si_plain OPTIONS (ADD socket_keepalive_enable 'maybe');
ALTER SERVER si_plain OPTIONS (ADD "socket.max.fails" 'many');
ALTER SERVER si_plain OPTIONS (ADD socket_max_fails '-1');
ALTER SERVER si_plain OPTIONS (ADD socket_max_fails '');
ALTER SERVER si_plain OPTIONS (ADD socket_timeout_ms '5999');
ALTER SERVER si_plain OPTIONS (ADD reconnect_backoff_max_ms '60001');
ALTER SERVER si_plain OPTIONS (ADD sasl_mechanism 'plain');
ALTER SERVER si_plain OPTIONS (ADD sasl_mechanism 'GSSAPI');
ALTER SERVER si_plain OPTIONS (ADD sasl_mechanism 'OAUTHBEARER');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_method 'default');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_extensions 'auth=x');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_extensions 'logicalCluster');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_extensions 'a=b,c1=d');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_client_secret 's3cret');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_client_id '');
ALTER SERVER si_plain OPTIONS (ADD https_ca_pem '/etc/ssl/ca.pem');

--
-- a function that gives tokens need not be there yet, as in a dump
--
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_function 'kafka_token');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_function 'auth.kafka_token()');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_function 'db.auth.kafka_token');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_function '');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_function 'auth.');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_function '"auth.kafka_token');
CREATE USER MAPPING FOR PUBLIC SERVER si_plain OPTIONS (sasl_oauthbearer_function 'auth.kafka_token');
ALTER SERVER si_plain OPTIONS (ADD sasl_mechanism 'OAUTHBEARER', ADD sasl_oauthbearer_function 'si_nowhere.kafka_token',
  ADD sasl_oauthbearer_extensions 'logicalCluster=lkc-1');
ALTER SERVER si_plain OPTIONS (ADD "sasl.oauthbearer.client.id" 'app');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_scope 'kafka');
ALTER SERVER si_plain OPTIONS (ADD https_ca_location '/etc/ssl/ca.pem');
ALTER SERVER si_plain OPTIONS (DROP sasl_oauthbearer_function);
ALTER SERVER si_plain OPTIONS (SET sasl_oauthbearer_function '"Auth". "my token"');
ALTER SERVER si_plain OPTIONS (DROP sasl_mechanism, DROP sasl_oauthbearer_function, DROP sasl_oauthbearer_extensions);
ALTER SERVER si_plain OPTIONS (ADD ssl_ca_pem '/etc/ssl/ca.pem');
ALTER SERVER si_plain OPTIONS (SET group_prefix 'team a.');
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers '');
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers 'broker1:9092,');
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers 'broker1 broker2');
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers 'SASL_SSL://broker1:9092');
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers ':9092');
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers 'broker1:');
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers 'broker1:kafka');
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers 'broker1:65536');
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers '2001:db8::1');
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers '[2001:db8::1');
ALTER SERVER si_plain OPTIONS (SET bootstrap_servers '[::1]9092');

--
-- refused wherever they are given: code, programs, tokens, logs, and what
-- belongs to the extension
--
ALTER SERVER si_plain OPTIONS (ADD plugin_library_paths '/tmp/evil.so');
ALTER SERVER si_plain OPTIONS (ADD "ssl.engine.location" '/tmp/evil.so');
ALTER SERVER si_plain OPTIONS (ADD ssl_providers 'legacy');
ALTER SERVER si_plain OPTIONS (ADD sasl_kerberos_kinit_cmd 'touch /tmp/evil');
ALTER SERVER si_plain OPTIONS (ADD "sasl.kerberos.min.time.before.relogin" '1000');
ALTER SERVER si_plain OPTIONS (ADD sasl_oauthbearer_config 'principal=admin');
ALTER SERVER si_plain OPTIONS (ADD enable_sasl_oauthbearer_unsecure_jwt 'true');
ALTER SERVER si_plain OPTIONS (ADD metadata_broker_list 'broker1');
ALTER SERVER si_plain OPTIONS (ADD group_id 'mine');
ALTER SERVER si_plain OPTIONS (ADD client_id 'two words');
ALTER SERVER si_plain OPTIONS (ADD auto_offset_reset 'earliest');
ALTER SERVER si_plain OPTIONS (ADD enable_auto_commit 'true');
ALTER SERVER si_plain OPTIONS (ADD rebalance_cb 'x');
ALTER SERVER si_plain OPTIONS (ADD debug 'all');
ALTER SERVER si_plain OPTIONS (ADD "statistics.interval.ms" '1000');
ALTER SERVER si_plain OPTIONS (ADD compression_type 'lz4');

--
-- secrets are for user mappings, fetching is for subscriptions
--
ALTER SERVER si_plain OPTIONS (ADD sasl_username 'app');
ALTER SERVER si_plain OPTIONS (ADD sasl_password 'regress-secret');
ALTER SERVER si_plain OPTIONS (ADD "ssl.key.pem" 'regress-secret');
ALTER SERVER si_plain OPTIONS (ADD ssl_key_password 'regress-secret');
ALTER SERVER si_plain OPTIONS (ADD fetch_min_bytes '1');

--
-- user mappings
--
CREATE USER MAPPING FOR CURRENT_USER SERVER si_design
    OPTIONS (sasl_username 'app', sasl_password 's3cret');
CREATE USER MAPPING FOR PUBLIC SERVER si_design
    OPTIONS ("sasl.username" 'app', "sasl.password" '');
CREATE USER MAPPING FOR PUBLIC SERVER si_plain;
CREATE USER MAPPING FOR CURRENT_USER SERVER si_plain OPTIONS (
    ssl_certificate_pem '-----BEGIN CERTIFICATE-----',
    ssl_key_pem '-----BEGIN PRIVATE KEY-----',
    ssl_key_password 's3cret',
    ssl_certificate_location '/etc/kafka/client.crt',
    ssl_key_location '/etc/kafka/client.key',
    ssl_keystore_location '/etc/kafka/client.p12',
    ssl_keystore_password 's3cret');

CREATE USER MAPPING FOR regress_si_user SERVER si_design
    OPTIONS (user 'app', password 's3cret');
CREATE USER MAPPING FOR regress_si_user SERVER si_design
    OPTIONS (sasl_user 'app');
CREATE USER MAPPING FOR regress_si_user SERVER si_design
    OPTIONS (sasl_password 'regress-secret', "sasl.password" 'regress-secret');
CREATE USER MAPPING FOR regress_si_user SERVER si_design
    OPTIONS (ssl_key_pem 'regress-secret');
-- nothing that says where to connect, or how
CREATE USER MAPPING FOR regress_si_user SERVER si_design
    OPTIONS (bootstrap_servers 'elsewhere:9092');
CREATE USER MAPPING FOR regress_si_user SERVER si_design
    OPTIONS ("security.protocol" 'plaintext');
CREATE USER MAPPING FOR regress_si_user SERVER si_design
    OPTIONS (ssl_ca_location '/etc/ssl/ca.pem');
CREATE USER MAPPING FOR regress_si_user SERVER si_design
    OPTIONS (group_prefix 'a.');
CREATE USER MAPPING FOR regress_si_user SERVER si_design
    OPTIONS (isolation_level 'read_committed');
CREATE USER MAPPING FOR regress_si_user SERVER si_design
    OPTIONS (sasl_kerberos_keytab '/etc/keytab');

--
-- others than superusers: no server without USAGE on the wrapper, and no
-- files of the server's machine
--
SET ROLE regress_si_user;
CREATE SERVER si_mine FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers 'broker1');
RESET ROLE;
GRANT USAGE ON FOREIGN DATA WRAPPER stream_ingest TO regress_si_user;
SET ROLE regress_si_user;
CREATE SERVER si_mine FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers 'broker1', ssl_ca_location '/etc/ssl/ca.pem');
CREATE SERVER si_mine FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers 'broker1', ssl_key_location '/etc/kafka/client.key');
CREATE SERVER si_mine FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers 'broker1', "ssl.crl.location" '/etc/ssl/crl.pem');
CREATE SERVER si_mine FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers 'broker1', ssl_ca_pem '-----BEGIN CERTIFICATE-----');
CREATE USER MAPPING FOR regress_si_user SERVER si_mine
    OPTIONS (ssl_keystore_location '/etc/kafka/client.p12');
CREATE USER MAPPING FOR regress_si_user SERVER si_mine
    OPTIONS (sasl_username 'app', sasl_password 's3cret');
-- what a superuser gave keeps the owner from altering the rest
RESET ROLE;
ALTER SERVER si_mine OPTIONS (ADD ssl_crl_location '/etc/ssl/crl.pem');
SET ROLE regress_si_user;
ALTER SERVER si_mine OPTIONS (SET bootstrap_servers 'broker2');
ALTER SERVER si_mine OPTIONS (SET bootstrap_servers 'broker2', DROP ssl_crl_location);
RESET ROLE;

--
-- the wrapper has no options of its own, and no foreign tables
--
ALTER FOREIGN DATA WRAPPER stream_ingest OPTIONS (ADD bootstrap_servers 'broker1');
CREATE FOREIGN TABLE si_table (a int) SERVER si_plain;
CREATE FOREIGN TABLE si_table (a int) SERVER si_plain OPTIONS (topic 'a');
CREATE FOREIGN TABLE si_table (a int OPTIONS (field 'a')) SERVER si_plain;

--
-- codes
--
SELECT command, error_code(command) FROM (VALUES
    ('CREATE SERVER si_bad FOREIGN DATA WRAPPER stream_ingest'),
    ($$ALTER SERVER si_plain OPTIONS (ADD host 'localhost')$$),
    ($$ALTER SERVER si_plain OPTIONS (ADD group_id 'mine')$$),
    ($$ALTER SERVER si_plain OPTIONS (ADD sasl_password 'x')$$),
    ($$ALTER SERVER si_plain OPTIONS (ADD "bootstrap.servers" 'broker1')$$),
    ($$ALTER SERVER si_plain OPTIONS (ADD socket_timeout_ms '1')$$),
    ($$ALTER SERVER si_plain OPTIONS (ADD socket_max_fails 'x')$$),
    ($$ALTER SERVER si_plain OPTIONS (ADD security_protocol 'SASL_SSL')$$),
    ($$SET LOCAL ROLE regress_si_user; ALTER SERVER si_mine OPTIONS (ADD ssl_ca_location '/x')$$),
    ('CREATE FOREIGN TABLE si_table (a int) SERVER si_plain'))
    AS commands (command);

--
-- the validator is an ordinary function to a session that calls it
--
SELECT stream_ingest.validator(NULL, 'pg_foreign_server'::regclass);
SELECT stream_ingest.validator('{}', 'pg_class'::regclass);
SELECT stream_ingest.validator('{a}', 'pg_class'::regclass);
SELECT stream_ingest.validator('{bootstrap_servers}', 'pg_foreign_server'::regclass);
SELECT stream_ingest.validator('{bootstrap_servers=broker1}', 'pg_foreign_server'::regclass);

SET client_min_messages = warning;
DROP SERVER si_plain, si_dots, si_design, si_addresses, si_all, si_mine CASCADE;
DROP FUNCTION error_code;
DROP EXTENSION stream_ingest;
DROP ROLE regress_si_user;
