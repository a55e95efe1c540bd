CREATE TABLE agenda (
	stage VARCHAR(10) NOT NULL, 
	subject VARCHAR(90) NOT NULL, 
	lane VARCHAR(64) NOT NULL, 
	due_at DATETIME, 
	lease_token VARCHAR(32), 
	claims INTEGER NOT NULL, 
	pokes INTEGER NOT NULL, 
	PRIMARY KEY (stage, subject)
);
CREATE TABLE delivery (
	id INTEGER NOT NULL, 
	endpoint_id VARCHAR(40) NOT NULL, 
	event_number INTEGER NOT NULL, 
	invoice_id VARCHAR(40) NOT NULL, 
	sequence INTEGER NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	tries INTEGER NOT NULL, 
	next_try_at DATETIME, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_delivery_event UNIQUE (endpoint_id, event_number)
);
CREATE TABLE delivery_attempt (
	id INTEGER NOT NULL, 
	delivery_id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	outcome VARCHAR(20) NOT NULL, 
	status INTEGER, 
	latency_ms INTEGER NOT NULL, 
	answer BLOB, 
	error TEXT, 
	next_try_at DATETIME, 
	PRIMARY KEY (id)
);
CREATE TABLE endpoint (
	id VARCHAR(40) NOT NULL, 
	url TEXT NOT NULL, 
	secrets TEXT NOT NULL, 
	events TEXT, 
	headers TEXT NOT NULL, 
	max_in_flight INTEGER DEFAULT '50' NOT NULL, 
	rotated_until DATETIME, 
	created_at DATETIME NOT NULL, 
	disabled_at DATETIME, 
	disabled_reason TEXT, 
	PRIMARY KEY (id)
);
CREATE TABLE event (
	number INTEGER NOT NULL, 
	id VARCHAR(40) NOT NULL, 
	invoice_id VARCHAR(40) NOT NULL, 
	sequence INTEGER NOT NULL, 
	type VARCHAR(40) NOT NULL, 
	body BLOB NOT NULL, 
	created_at DATETIME NOT NULL, 
	published_at DATETIME, 
	PRIMARY KEY (number), 
	CONSTRAINT uq_event_sequence UNIQUE (invoice_id, sequence), 
	UNIQUE (id)
);
CREATE TABLE evidence (
	id INTEGER NOT NULL, 
	invoice_id VARCHAR(40) NOT NULL, 
	at DATETIME NOT NULL, 
	kind VARCHAR(24) NOT NULL, 
	detail TEXT NOT NULL, 
	raw TEXT, 
	verdict VARCHAR(16) NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE invoice (
	id VARCHAR(40) NOT NULL, 
	account VARCHAR(64) NOT NULL, 
	provider_account VARCHAR(64) NOT NULL, 
	provider VARCHAR(32) NOT NULL, 
	order_id VARCHAR(128) NOT NULL, 
	idempotency_key VARCHAR(255) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	anomaly VARCHAR(20), 
	reason TEXT, 
	sequence INTEGER NOT NULL, 
	first_open INTEGER NOT NULL, 
	price TEXT, 
	currency VARCHAR(16), 
	pay_amount TEXT, 
	pay_currency VARCHAR(64), 
	paid_amount TEXT, 
	network TEXT, 
	address TEXT, 
	payment_url TEXT, 
	qr_code TEXT, 
	provider_ref VARCHAR(255), 
	lifetime_minutes TEXT, 
	params TEXT NOT NULL, 
	metadata_json TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	create_before DATETIME, 
	expires_at DATETIME, 
	final_look_at DATETIME, 
	monitor_until DATETIME, 
	refused_since DATETIME, 
	create_tries INTEGER NOT NULL, 
	doubts INTEGER NOT NULL, 
	quiet_polls INTEGER NOT NULL, 
	evidence_digest VARCHAR(64), 
	PRIMARY KEY (id), 
	CONSTRAINT uq_invoice_key UNIQUE (account, idempotency_key)
);
CREATE TABLE rejected_message (
	id INTEGER NOT NULL, 
	message_key VARCHAR(64) NOT NULL, 
	at DATETIME NOT NULL, 
	task VARCHAR(255), 
	reason TEXT NOT NULL, 
	excerpt TEXT NOT NULL, 
	complete BOOLEAN NOT NULL, 
	redriven_at DATETIME, 
	PRIMARY KEY (id), 
	UNIQUE (message_key)
);
CREATE INDEX ix_agenda_due ON agenda (stage, lane, due_at);
CREATE INDEX ix_attempt_delivery ON delivery_attempt (delivery_id);
CREATE INDEX ix_delivery_dead ON delivery (endpoint_id, event_number) WHERE state = 'dead';
CREATE INDEX ix_delivery_next ON delivery (endpoint_id, invoice_id, sequence) WHERE state = 'due';
CREATE INDEX ix_event_unpublished ON event (number) WHERE published_at IS NULL;
CREATE INDEX ix_evidence_invoice ON evidence (invoice_id);
CREATE INDEX ix_invoice_order ON invoice (order_id);
CREATE INDEX ix_invoice_status ON invoice (status, id);
CREATE UNIQUE INDEX uq_invoice_open_order ON invoice (account, order_id) WHERE first_open = 1;
CREATE UNIQUE INDEX uq_invoice_provider_ref ON invoice (provider_account, provider_ref) WHERE provider_ref IS NOT NULL;
