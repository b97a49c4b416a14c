--
-- Options of servers about Kerberos.  No server here is contacted.  Of a build without
-- Kerberos (make with_kerberos=no) the output is that of kerberos_1.out.
--
CREATE EXTENSION stream_ingest;
CREATE ROLE regress_si_kerberos;
GRANT USAGE ON FOREIGN DATA WRAPPER stream_ingest TO regress_si_kerberos;

CREATE SERVER si_kerberos FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers 'broker1:9092', security_protocol 'SASL_SSL', sasl_mechanism 'GSSAPI',
             sasl_kerberos_keytab '/etc/postgresql/ingest.keytab', sasl_kerberos_principal 'ingest@EXAMPLE.COM');
ALTER SERVER si_kerberos OPTIONS (ADD sasl_kerberos_service_name 'kafka-prod');

-- values
CREATE SERVER si_kerberos_plain FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers 'broker1:9092');
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_kerberos_keytab 'ingest.keytab');
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_kerberos_keytab '');
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_kerberos_keytab E'/etc/a\nb');
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_kerberos_principal '');
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_kerberos_principal E'a\tb');
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_kerberos_service_name 'kafka/broker1');
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_kerberos_service_name '');

-- what the mechanism needs
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_mechanism 'gssapi');
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_mechanism 'GSSAPI', ADD sasl_kerberos_principal 'ingest');
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_mechanism 'GSSAPI', ADD sasl_kerberos_keytab '/etc/ingest.keytab');
ALTER SERVER si_kerberos OPTIONS (DROP sasl_kerberos_keytab);
ALTER SERVER si_kerberos OPTIONS (DROP sasl_kerberos_principal);

-- no program, nowhere
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_kerberos_kinit_cmd 'touch /tmp/evil');
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_kerberos_min_time_before_relogin '1000');
CREATE USER MAPPING FOR PUBLIC SERVER si_kerberos_plain OPTIONS (sasl_kerberos_keytab '/etc/ingest.keytab');
CREATE USER MAPPING FOR PUBLIC SERVER si_kerberos_plain OPTIONS (sasl_kerberos_principal 'ingest');

-- for superusers alone
ALTER SERVER si_kerberos_plain OWNER TO regress_si_kerberos;
SET ROLE regress_si_kerberos;
CREATE SERVER si_kerberos_mine FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers 'broker1:9092', security_protocol 'SASL_SSL', sasl_mechanism 'GSSAPI',
             sasl_kerberos_keytab '/etc/postgresql/ingest.keytab', sasl_kerberos_principal 'ingest@EXAMPLE.COM');
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_mechanism 'GSSAPI',
    ADD sasl_kerberos_keytab '/etc/ingest.keytab', ADD sasl_kerberos_principal 'ingest');
RESET ROLE;

-- also when such a server is used
ALTER SERVER si_kerberos_plain OPTIONS (ADD sasl_mechanism 'GSSAPI',
    ADD sasl_kerberos_keytab '/etc/ingest.keytab', ADD sasl_kerberos_principal 'ingest');
SELECT stream_ingest.topics(srvname) FROM pg_foreign_server
    WHERE srvname = 'si_kerberos_plain' AND 'sasl_mechanism=GSSAPI' = ANY (srvoptions);
SET ROLE regress_si_kerberos;
-- the list that this would leave still has the keytab
ALTER SERVER si_kerberos_plain OPTIONS (SET bootstrap_servers 'elsewhere:9092');
RESET ROLE;

SET client_min_messages = warning;
DROP SERVER IF EXISTS si_kerberos, si_kerberos_plain;
DROP EXTENSION stream_ingest;
DROP ROLE regress_si_kerberos;
