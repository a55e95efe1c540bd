#!/bin/sh
# Runs send-order.mjs with the official client against `invoices up`, until its order is an invoice. Without node, or
# without a way to fetch the client, says so and succeeds: the tests send the same message by a client of their own.
set -eu
cd "$(dirname "$0")/../.."

skip() {
  echo "send-order.mjs is not checked: $1"
  exit 0
}
command -v node >/dev/null || skip "there is no node on the PATH"
command -v npm >/dev/null || skip "there is no npm on the PATH"

place=$(mktemp -d)
pid=
finish() {
  test -z "$pid" || { kill "$pid" 2>/dev/null && wait "$pid" || :; }
  rm -rf "$place"
}
trap finish EXIT
trap 'exit 130' INT TERM

cp deploy/senders/send-order.mjs deploy/senders/package.json "$place"
(cd "$place" && npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts --fetch-retries 1 \
  --fetch-timeout 20000) >"$place/install.log" 2>&1 || skip "the package redis can't be fetched"

export INVOICES_HOME="$place/home"
INVOICES_SANDBOX_PORT=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
export INVOICES_SANDBOX_PORT
PATH="$PWD/.venv/bin:$PATH" .venv/bin/invoices up >"$place/up.log" 2>&1 &
pid=$!

sent=
tries=0
until test -n "$sent" && .venv/bin/invoices show from-node-1 >"$place/shown" 2>&1; do
  tries=$((tries + 1))
  if test "$tries" -gt 60 || ! kill -0 "$pid" 2>/dev/null; then
    echo "the order of send-order.mjs did not become an invoice:" >&2
    tail -n 20 "$place/up.log" "$place/shown" >&2 || :
    exit 1
  fi
  if test -z "$sent" && test -S "$INVOICES_HOME/valkey/valkey.sock"; then
    (cd "$place" && BROKER="$INVOICES_HOME/valkey/valkey.sock" node send-order.mjs) && sent=yes
  fi
  sleep 0.5
done
echo "the order of send-order.mjs is an invoice"
