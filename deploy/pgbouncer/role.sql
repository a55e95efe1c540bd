-- For PgBouncer in transaction mode: the session settings that our processes rely on, as defaults of the role that
-- they have. Run it as that role, once, straight on PostgreSQL. A setting that is wished stronger may stay so
-- (synchronous_commit = remote_apply). If the tables are in another schema, name that one in the last line.
ALTER ROLE CURRENT_USER SET array_nulls = 'on';
ALTER ROLE CURRENT_USER SET bytea_output = 'hex';
ALTER ROLE CURRENT_USER SET client_encoding = 'UTF8';
ALTER ROLE CURRENT_USER SET DateStyle = 'ISO, MDY';
ALTER ROLE CURRENT_USER SET default_transaction_deferrable = 'off';
ALTER ROLE CURRENT_USER SET default_transaction_isolation = 'read committed';
ALTER ROLE CURRENT_USER SET extra_float_digits = '1';
ALTER ROLE CURRENT_USER SET idle_in_transaction_session_timeout = '60000';
ALTER ROLE CURRENT_USER SET idle_session_timeout = '0';
ALTER ROLE CURRENT_USER SET IntervalStyle = 'postgres';
ALTER ROLE CURRENT_USER SET lock_timeout = '2000';
ALTER ROLE CURRENT_USER SET plan_cache_mode = 'auto';
ALTER ROLE CURRENT_USER SET quote_all_identifiers = 'off';
ALTER ROLE CURRENT_USER SET random_page_cost = '1.1';
ALTER ROLE CURRENT_USER SET row_security = 'off';
ALTER ROLE CURRENT_USER SET standard_conforming_strings = 'on';
ALTER ROLE CURRENT_USER SET statement_timeout = '30000';
ALTER ROLE CURRENT_USER SET synchronous_commit = 'on';
ALTER ROLE CURRENT_USER SET TimeZone = 'UTC';
ALTER ROLE CURRENT_USER SET transform_null_equals = 'off';
ALTER ROLE CURRENT_USER SET search_path = public, pg_temp;
