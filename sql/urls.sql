--
-- URLs of schema registries and of token endpoints.  No server here is contacted.  Of a build
-- without libcurl (make with_schema_registry=no) the output is that of urls_1.out.
--
CREATE EXTENSION stream_ingest;
CREATE SERVER si_urls FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers 'broker1:9092');

-- schema registries
ALTER SERVER si_urls OPTIONS (ADD schema_registry_url 'registry:8081');
ALTER SERVER si_urls OPTIONS (ADD schema_registry_url 'http://user:secret@registry:8081');
ALTER SERVER si_urls OPTIONS (ADD schema_registry_url 'https://registry?token=secret');
ALTER SERVER si_urls OPTIONS (ADD schema_registry_url 'https://');
ALTER SERVER si_urls OPTIONS (ADD schema_registry_url 'https://a, ftp://b');
ALTER SERVER si_urls OPTIONS (ADD schema_registry_url 'https://a,https://b,https://c,https://d');
ALTER SERVER si_urls OPTIONS (ADD schema_registry_url '');
ALTER SERVER si_urls OPTIONS (ADD schema_registry_url 'https://a/v2, http://b:8081');

-- token endpoints
ALTER SERVER si_urls OPTIONS (ADD sasl_oauthbearer_token_endpoint_url 'file:///etc/passwd');
ALTER SERVER si_urls OPTIONS (ADD sasl_oauthbearer_token_endpoint_url 'https://app:secret@idp.example/token');
ALTER SERVER si_urls OPTIONS (ADD sasl_oauthbearer_token_endpoint_url 'https://idp.example/to ken');
ALTER SERVER si_urls OPTIONS (ADD sasl_mechanism 'OAUTHBEARER',
  ADD sasl_oauthbearer_token_endpoint_url 'https://idp.example/token?policy=a', ADD sasl_oauthbearer_client_id 'app',
  ADD sasl_oauthbearer_scope 'kafka', ADD sasl_oauthbearer_extensions 'logicalCluster=lkc-1,identityPoolId=pool-1');
ALTER SERVER si_urls OPTIONS (DROP sasl_oauthbearer_token_endpoint_url);

-- a token endpoint and a function that gives tokens
CREATE SERVER si_urls_function FOREIGN DATA WRAPPER stream_ingest
  OPTIONS (bootstrap_servers 'broker1:9092', sasl_mechanism 'OAUTHBEARER', sasl_oauthbearer_function 'auth.kafka_token');
ALTER SERVER si_urls_function OPTIONS (ADD sasl_oauthbearer_token_endpoint_url 'https://idp.example/token');

-- what the servers have in the end
SELECT srvname, option_name, option_value FROM pg_foreign_server, pg_options_to_table(srvoptions)
  WHERE srvname LIKE 'si\_urls%' ORDER BY srvname, option_name;

DROP EXTENSION stream_ingest CASCADE;
