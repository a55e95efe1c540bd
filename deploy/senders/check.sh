#!/bin/sh
# Runs send_order.py and send-order.mjs, each in an empty environment with what the README says to install and nothing
# else, against `invoices up`, until their orders are invoices. When a package can't be fetched, or there is no node, it
# says so and goes on: the tests send the same messages with clients of their own.
set -eu
cd "$(dirname "$0")/../.."

place=$(mktemp -d)
pid=
finish() {
  test -z "$pid" || { kill "$pid" 2>/dev/null && wait "$pid" || :; }
  rm -rf "$place"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ---- what the README says to install

python_sender() {
  said=$(grep -o 'pip install [^`]*celery[^`]*' README.md | head -n 1 | sed 's/^pip install //; s/"//g')
  test -n "$said" || { echo "the README does not say what send_order.py needs" >&2; exit 1; }
  .venv/bin/python -m venv "$place/venv"
  "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 $said >"$place/pip.log" 2>&1 ||
    { echo "send_order.py is not checked: $said can't be fetched"; return 1; }
}

javascript_sender() {
  command -v node >/dev/null || { echo "send-order.mjs is not checked: there is no node on the PATH"; return 1; }
  command -v npm >/dev/null || { echo "send-order.mjs is not checked: there is no npm on the PATH"; return 1; }
  cp deploy/senders/send-order.mjs deploy/senders/package.json "$place"
  (cd "$place" && npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts --fetch-retries 1 \
    --fetch-timeout 20000) >"$place/npm.log" 2>&1 ||
    { echo "send-order.mjs is not checked: the package redis can't be fetched"; return 1; }
}

orders=
python_sender && orders="$orders from-python-1"
javascript_sender && orders="$orders from-node-1"
test -n "$orders" || exit 0

# ---- what they send

send() {
  case "$1" in
    from-python-1) (cd "$place" && BROKER="redis+socket://$socket" venv/bin/python -I "$OLDPWD/deploy/senders/send_order.py") ;;
    from-node-1) (cd "$place" && BROKER="$socket" node send-order.mjs) ;;
  esac
}

free_port='import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
export INVOICES_HOME="$place/home"
INVOICES_SANDBOX_PORT=$(.venv/bin/python -c "$free_port")
export INVOICES_SANDBOX_PORT INVOICES_WEB_PORT=0
socket="$INVOICES_HOME/valkey/valkey.sock"
PATH="$PWD/.venv/bin:$PATH" .venv/bin/invoices up >"$place/up.log" 2>&1 &
pid=$!

wait_for() {
  tries=0
  until "$@" >"$place/last" 2>&1; do
    tries=$((tries + 1))
    if test "$tries" -gt 120 || ! kill -0 "$pid" 2>/dev/null; then
      echo "in vain: $*" >&2
      tail -n 20 "$place/up.log" "$place/last" >&2 || :
      exit 1
    fi
    sleep 0.5
  done
}

wait_for test -S "$socket"
for order in $orders; do
  send "$order"
  wait_for .venv/bin/invoices show "$order"
  echo "$order is an invoice, sent from an empty environment"
done
