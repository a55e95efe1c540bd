#!/bin/sh
# Runs receiver.mjs with the official library against `invoices receiver-check`. Without node, or without a way to
# fetch the library, says so and succeeds: `make test` has checked receiver.py by then, and the rest needs no node.
set -eu
cd "$(dirname "$0")/../.."

skip() {
  echo "receiver.mjs is not checked: $1"
  exit 0
}
command -v node >/dev/null || skip "there is no node on the PATH"
command -v npm >/dev/null || skip "there is no npm on the PATH"

place=$(mktemp -d)
pid=
trap 'test -z "$pid" || kill "$pid" 2>/dev/null || :; rm -rf "$place"' EXIT
trap 'exit 130' INT TERM

cp deploy/receivers/receiver.mjs deploy/receivers/package.json "$place"
(cd "$place" && npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts --fetch-retries 1 \
  --fetch-timeout 20000) >"$place/install.log" 2>&1 || skip "the package standardwebhooks can't be fetched"

WEBHOOK_SECRET="whsec_$(node -p 'require("crypto").randomBytes(32).toString("base64")')"
export WEBHOOK_SECRET
PORT=0 node "$place/receiver.mjs" >"$place/receiver.log" 2>&1 &
pid=$!

tries=0
until url=$(sed -n 's/^receiving on //p' "$place/receiver.log") && test -n "$url"; do
  tries=$((tries + 1))
  if test "$tries" -gt 100 || ! kill -0 "$pid" 2>/dev/null; then
    echo "receiver.mjs did not start:" >&2
    cat "$place/receiver.log" >&2
    exit 1
  fi
  sleep 0.1
done

.venv/bin/python -m workers.cli receiver-check "$url" --allow 127.0.0.1 >"$place/check.log" 2>&1 || {
  cat "$place/check.log" >&2
  exit 1
}
echo "receiver.mjs passes every check of invoices receiver-check"
