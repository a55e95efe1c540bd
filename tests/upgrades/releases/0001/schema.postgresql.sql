agenda.stage character varying(10) NOT NULL
agenda.subject character varying(90) NOT NULL
agenda.lane character varying(64) NOT NULL
agenda.due_at timestamp with time zone
agenda.lease_token character varying(32)
agenda.claims integer NOT NULL
agenda.pokes integer NOT NULL
delivery.id bigint NOT NULL DEFAULT nextval('delivery_id_seq'::regclass)
delivery.endpoint_id character varying(40) NOT NULL
delivery.event_number bigint NOT NULL
delivery.invoice_id character varying(40) NOT NULL
delivery.sequence integer NOT NULL
delivery.state character varying(12) NOT NULL
delivery.tries integer NOT NULL
delivery.next_try_at timestamp with time zone
delivery.created_at timestamp with time zone NOT NULL
delivery.finished_at timestamp with time zone
delivery_attempt.id bigint NOT NULL DEFAULT nextval('delivery_attempt_id_seq'::regclass)
delivery_attempt.delivery_id bigint NOT NULL
delivery_attempt.at timestamp with time zone NOT NULL
delivery_attempt.outcome character varying(20) NOT NULL
delivery_attempt.status integer
delivery_attempt.latency_ms integer NOT NULL
delivery_attempt.answer bytea
delivery_attempt.error text
delivery_attempt.next_try_at timestamp with time zone
endpoint.id character varying(40) NOT NULL
endpoint.url text NOT NULL
endpoint.secrets text NOT NULL
endpoint.events text
endpoint.headers text NOT NULL
endpoint.max_in_flight integer NOT NULL DEFAULT 50
endpoint.rotated_until timestamp with time zone
endpoint.created_at timestamp with time zone NOT NULL
endpoint.disabled_at timestamp with time zone
endpoint.disabled_reason text
event.number bigint NOT NULL DEFAULT nextval('event_number_seq'::regclass)
event.id character varying(40) NOT NULL
event.invoice_id character varying(40) NOT NULL
event.sequence integer NOT NULL
event.type character varying(40) NOT NULL
event.body bytea NOT NULL
event.created_at timestamp with time zone NOT NULL
event.published_at timestamp with time zone
evidence.id bigint NOT NULL DEFAULT nextval('evidence_id_seq'::regclass)
evidence.invoice_id character varying(40) NOT NULL
evidence.at timestamp with time zone NOT NULL
evidence.kind character varying(24) NOT NULL
evidence.detail text NOT NULL
evidence.raw text
evidence.verdict character varying(16) NOT NULL
invoice.id character varying(40) NOT NULL
invoice.account character varying(64) NOT NULL
invoice.provider_account character varying(64) NOT NULL
invoice.provider character varying(32) NOT NULL
invoice.order_id character varying(128) NOT NULL
invoice.idempotency_key character varying(255) NOT NULL
invoice.digest character varying(64) NOT NULL
invoice.status character varying(20) NOT NULL
invoice.anomaly character varying(20)
invoice.reason text
invoice.sequence integer NOT NULL
invoice.first_open integer NOT NULL
invoice.price text
invoice.currency character varying(16)
invoice.pay_amount text
invoice.pay_currency character varying(64)
invoice.paid_amount text
invoice.network text
invoice.address text
invoice.payment_url text
invoice.qr_code text
invoice.provider_ref character varying(255)
invoice.lifetime_minutes text
invoice.params text NOT NULL
invoice.metadata_json text NOT NULL
invoice.created_at timestamp with time zone NOT NULL
invoice.updated_at timestamp with time zone NOT NULL
invoice.create_before timestamp with time zone
invoice.expires_at timestamp with time zone
invoice.final_look_at timestamp with time zone
invoice.monitor_until timestamp with time zone
invoice.refused_since timestamp with time zone
invoice.create_tries integer NOT NULL
invoice.doubts integer NOT NULL
invoice.quiet_polls integer NOT NULL
invoice.evidence_digest character varying(64)
rejected_message.id bigint NOT NULL DEFAULT nextval('rejected_message_id_seq'::regclass)
rejected_message.message_key character varying(64) NOT NULL
rejected_message.at timestamp with time zone NOT NULL
rejected_message.task character varying(255)
rejected_message.reason text NOT NULL
rejected_message.excerpt text NOT NULL
rejected_message.complete boolean NOT NULL
rejected_message.redriven_at timestamp with time zone
CREATE UNIQUE INDEX agenda_pkey ON agenda USING btree (stage, subject)
CREATE UNIQUE INDEX delivery_attempt_pkey ON delivery_attempt USING btree (id)
CREATE UNIQUE INDEX delivery_pkey ON delivery USING btree (id)
CREATE UNIQUE INDEX endpoint_pkey ON endpoint USING btree (id)
CREATE UNIQUE INDEX event_id_key ON event USING btree (id)
CREATE UNIQUE INDEX event_pkey ON event USING btree (number)
CREATE UNIQUE INDEX evidence_pkey ON evidence USING btree (id)
CREATE UNIQUE INDEX invoice_pkey ON invoice USING btree (id)
CREATE INDEX ix_agenda_due ON agenda USING btree (stage, lane, due_at)
CREATE INDEX ix_attempt_delivery ON delivery_attempt USING btree (delivery_id)
CREATE INDEX ix_delivery_dead ON delivery USING btree (endpoint_id, event_number) WHERE ((state)::text = 'dead'::text)
CREATE INDEX ix_delivery_next ON delivery USING btree (endpoint_id, invoice_id, sequence) WHERE ((state)::text = 'due'::text)
CREATE INDEX ix_event_unpublished ON event USING btree (number) WHERE (published_at IS NULL)
CREATE INDEX ix_evidence_invoice ON evidence USING btree (invoice_id)
CREATE INDEX ix_invoice_order ON invoice USING btree (order_id)
CREATE INDEX ix_invoice_status ON invoice USING btree (status, id)
CREATE UNIQUE INDEX rejected_message_message_key_key ON rejected_message USING btree (message_key)
CREATE UNIQUE INDEX rejected_message_pkey ON rejected_message USING btree (id)
CREATE UNIQUE INDEX uq_delivery_event ON delivery USING btree (endpoint_id, event_number)
CREATE UNIQUE INDEX uq_event_sequence ON event USING btree (invoice_id, sequence)
CREATE UNIQUE INDEX uq_invoice_key ON invoice USING btree (account, idempotency_key)
CREATE UNIQUE INDEX uq_invoice_open_order ON invoice USING btree (account, order_id) WHERE (first_open = 1)
CREATE UNIQUE INDEX uq_invoice_provider_ref ON invoice USING btree (provider_account, provider_ref) WHERE (provider_ref IS NOT NULL)
agenda_pkey PRIMARY KEY (stage, subject)
delivery_attempt_pkey PRIMARY KEY (id)
delivery_pkey PRIMARY KEY (id)
endpoint_pkey PRIMARY KEY (id)
event_id_key UNIQUE (id)
event_pkey PRIMARY KEY (number)
evidence_pkey PRIMARY KEY (id)
invoice_pkey PRIMARY KEY (id)
rejected_message_message_key_key UNIQUE (message_key)
rejected_message_pkey PRIMARY KEY (id)
uq_delivery_event UNIQUE (endpoint_id, event_number)
uq_event_sequence UNIQUE (invoice_id, sequence)
uq_invoice_key UNIQUE (account, idempotency_key)
agenda WITH fillfactor=50, autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_insert_scale_factor=0.1, autovacuum_analyze_scale_factor=0.05, autovacuum_analyze_threshold=1000, autovacuum_vacuum_cost_delay=0
