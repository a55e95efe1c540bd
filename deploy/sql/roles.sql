-- Four roles for PostgreSQL, each with exactly what its processes need (made from workers/store/grants.py):
--   invoices_intake   intake
--   invoices_worker   worker
--   invoices_web      web, and the commands that people use
--   invoices_read     people who only look; no column that holds a secret
-- `migrate`, `restored`, `archive` and `move` run as the owner of the tables; beat uses no database.
--
-- Run it once, after the first `invoices migrate`, as the owner of the tables, who must be allowed to create roles:
--   psql -v ON_ERROR_STOP=1 -f deploy/sql/roles.sql postgresql://OWNER@HOST/DATABASE
-- From then on `invoices migrate` grants the same after each migration. It may be run again at any time.
-- Processes log in as members, so that a password is changed by adding a second login:
--   CREATE ROLE shop_intake LOGIN PASSWORD '…' IN ROLE invoices_intake;

BEGIN;
DO $$ BEGIN
  CREATE ROLE invoices_intake NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
  CREATE ROLE invoices_worker NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
  CREATE ROLE invoices_web NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
  CREATE ROLE invoices_read NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema()); END $$;
REVOKE ALL ON alembic_version, operator_act, agenda, delivery_attempt, console_attempt, bulk_job, bulk_failure, callback, clock, delivery, provider_drift, drift_invoice, endpoint, event, evidence, forged_callback, invoice, replay_job, kept_answer, console_link, event_log, payment, console_person, event_position, process_seen, rejected_message, restoration, console_session, access_token FROM invoices_intake, invoices_worker, invoices_web, invoices_read;
REVOKE ALL ON SEQUENCE operator_act_id_seq, delivery_attempt_id_seq, callback_id_seq, delivery_id_seq, provider_drift_id_seq, event_number_seq, evidence_id_seq, forged_callback_id_seq, payment_id_seq, rejected_message_id_seq FROM invoices_intake, invoices_worker, invoices_web, invoices_read;
DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO invoices_intake, invoices_worker, invoices_web, invoices_read', current_schema()); END $$;
GRANT SELECT ON alembic_version TO invoices_intake;
GRANT SELECT, INSERT, UPDATE ON invoice TO invoices_intake;
GRANT SELECT, INSERT, UPDATE (repeats, last_at) ON evidence TO invoices_intake;
GRANT SELECT, INSERT, UPDATE ON payment TO invoices_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON agenda TO invoices_intake;
GRANT SELECT ON clock TO invoices_intake;
GRANT SELECT ON restoration TO invoices_intake;
GRANT SELECT, INSERT ON event TO invoices_intake;
GRANT SELECT (id, events, accounts) ON endpoint TO invoices_intake;
GRANT INSERT ON delivery TO invoices_intake;
GRANT SELECT (id, account, order_id, reference, at, state, invoice_id), UPDATE (state, invoice_id, reason) ON callback TO invoices_intake;
GRANT SELECT, INSERT ON rejected_message TO invoices_intake;
GRANT SELECT, INSERT, UPDATE, DELETE ON process_seen TO invoices_intake;
GRANT USAGE ON SEQUENCE evidence_id_seq, payment_id_seq, event_number_seq, delivery_id_seq, rejected_message_id_seq TO invoices_intake;
GRANT SELECT ON alembic_version TO invoices_worker;
GRANT SELECT, UPDATE ON invoice TO invoices_worker;
GRANT SELECT, INSERT, DELETE, UPDATE (repeats, last_at) ON evidence TO invoices_worker;
GRANT SELECT, INSERT, UPDATE ON payment TO invoices_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON agenda TO invoices_worker;
GRANT SELECT, INSERT, UPDATE ON clock TO invoices_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON kept_answer TO invoices_worker;
GRANT SELECT ON restoration TO invoices_worker;
GRANT SELECT, INSERT, UPDATE (published_at, positioned), DELETE ON event TO invoices_worker;
GRANT SELECT, UPDATE ON event_log TO invoices_worker;
GRANT SELECT, INSERT, DELETE ON event_position TO invoices_worker;
GRANT SELECT, UPDATE (disabled_at, disabled_reason) ON endpoint TO invoices_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON delivery TO invoices_worker;
GRANT SELECT, INSERT, DELETE ON delivery_attempt TO invoices_worker;
GRANT SELECT, UPDATE, DELETE ON callback TO invoices_worker;
GRANT SELECT, DELETE ON forged_callback TO invoices_worker;
GRANT SELECT, INSERT, DELETE ON rejected_message TO invoices_worker;
GRANT SELECT, INSERT ON provider_drift TO invoices_worker;
GRANT SELECT, INSERT ON drift_invoice TO invoices_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON process_seen TO invoices_worker;
GRANT USAGE ON SEQUENCE evidence_id_seq, payment_id_seq, event_number_seq, delivery_id_seq, delivery_attempt_id_seq, rejected_message_id_seq, provider_drift_id_seq TO invoices_worker;
GRANT SELECT ON alembic_version TO invoices_web;
GRANT SELECT, INSERT, UPDATE ON invoice TO invoices_web;
GRANT SELECT, INSERT, UPDATE (repeats, last_at) ON evidence TO invoices_web;
GRANT SELECT, INSERT, UPDATE ON payment TO invoices_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON agenda TO invoices_web;
GRANT SELECT ON clock TO invoices_web;
GRANT SELECT ON restoration TO invoices_web;
GRANT SELECT, INSERT, UPDATE (positioned) ON event TO invoices_web;
GRANT SELECT ON event_log TO invoices_web;
GRANT SELECT ON event_position TO invoices_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON endpoint TO invoices_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON delivery TO invoices_web;
GRANT SELECT, DELETE ON delivery_attempt TO invoices_web;
GRANT SELECT, INSERT, UPDATE ON callback TO invoices_web;
GRANT SELECT, INSERT, DELETE ON forged_callback TO invoices_web;
GRANT SELECT, UPDATE ON rejected_message TO invoices_web;
GRANT SELECT, UPDATE (accepted_at) ON provider_drift TO invoices_web;
GRANT SELECT ON drift_invoice TO invoices_web;
GRANT SELECT, INSERT ON operator_act TO invoices_web;
GRANT SELECT, INSERT, UPDATE (last_used_at, revoked_at) ON access_token TO invoices_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON replay_job TO invoices_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON bulk_job TO invoices_web;
GRANT SELECT, INSERT, DELETE ON bulk_failure TO invoices_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON process_seen TO invoices_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON console_person TO invoices_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON console_session TO invoices_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON console_link TO invoices_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON console_attempt TO invoices_web;
GRANT USAGE ON SEQUENCE evidence_id_seq, payment_id_seq, event_number_seq, delivery_id_seq, callback_id_seq, forged_callback_id_seq, operator_act_id_seq TO invoices_web;
GRANT SELECT ON alembic_version TO invoices_read;
GRANT SELECT ON operator_act TO invoices_read;
GRANT SELECT ON agenda TO invoices_read;
GRANT SELECT ON delivery_attempt TO invoices_read;
GRANT SELECT (until) ON console_attempt TO invoices_read;
GRANT SELECT ON bulk_job TO invoices_read;
GRANT SELECT ON bulk_failure TO invoices_read;
GRANT SELECT ON callback TO invoices_read;
GRANT SELECT ON clock TO invoices_read;
GRANT SELECT ON delivery TO invoices_read;
GRANT SELECT ON provider_drift TO invoices_read;
GRANT SELECT ON drift_invoice TO invoices_read;
GRANT SELECT (id, url, events, accounts, max_in_flight, rotated_until, created_at, disabled_at, disabled_reason) ON endpoint TO invoices_read;
GRANT SELECT ON event TO invoices_read;
GRANT SELECT ON evidence TO invoices_read;
GRANT SELECT ON forged_callback TO invoices_read;
GRANT SELECT ON invoice TO invoices_read;
GRANT SELECT ON replay_job TO invoices_read;
GRANT SELECT ON kept_answer TO invoices_read;
GRANT SELECT (name, created_at, ends_at) ON console_link TO invoices_read;
GRANT SELECT ON event_log TO invoices_read;
GRANT SELECT ON payment TO invoices_read;
GRANT SELECT (id, name, key, role, accounts, created_at, changed_at) ON console_person TO invoices_read;
GRANT SELECT ON event_position TO invoices_read;
GRANT SELECT ON process_seen TO invoices_read;
GRANT SELECT ON rejected_message TO invoices_read;
GRANT SELECT ON restoration TO invoices_read;
GRANT SELECT (name, key, role, accounts, way, address, created_at, seen_at, ends_at) ON console_session TO invoices_read;
GRANT SELECT (id, name, scopes, accounts, per_second, created_at, expires_at, revoked_at, last_used_at) ON access_token TO invoices_read;
COMMIT;
