#!/bin/sh
# Runs receiver.py and receiver.mjs, each in an empty environment with what the README says to install and nothing else,
# and checks them with `invoices receiver-check`. When a package can't be fetched, or there is no node, it says so and
# goes on: `make test` checks receiver.py too.
set -eu
cd "$(dirname "$0")/../.."

place=$(mktemp -d)
pid=
trap 'test -z "$pid" || kill "$pid" 2>/dev/null || :; rm -rf "$place"' EXIT
trap 'exit 130' INT TERM

python_receiver() {
  said=$(grep -o 'pip install [^`]*standardwebhooks[^`]*' README.md | head -n 1 | sed 's/^pip install //; s/"//g')
  test -n "$said" || { echo "the README does not say what receiver.py needs" >&2; exit 1; }
  .venv/bin/python -m venv "$place/venv"
  "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 $said >"$place/pip.log" 2>&1 ||
    { echo "receiver.py is not checked: $said can't be fetched"; return 1; }
}

javascript_receiver() {
  command -v node >/dev/null || { echo "receiver.mjs is not checked: there is no node on the PATH"; return 1; }
  command -v npm >/dev/null || { echo "receiver.mjs is not checked: there is no npm on the PATH"; return 1; }
  cp deploy/receivers/receiver.mjs deploy/receivers/package.json "$place"
  (cd "$place" && npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts --fetch-retries 1 \
    --fetch-timeout 20000) >"$place/npm.log" 2>&1 ||
    { echo "receiver.mjs is not checked: the package standardwebhooks can't be fetched"; return 1; }
}

# check NAME COMMAND...: starts a receiver and checks it
check() {
  name=$1
  shift
  "$@" >"$place/$name.log" 2>&1 &
  pid=$!
  tries=0
  until url=$(sed -n 's/^receiving on //p' "$place/$name.log") && test -n "$url"; do
    tries=$((tries + 1))
    if test "$tries" -gt 100 || ! kill -0 "$pid" 2>/dev/null; then
      echo "$name did not start:" >&2
      cat "$place/$name.log" >&2
      exit 1
    fi
    sleep 0.1
  done
  .venv/bin/python -m workers.cli receiver-check "$url" --allow 127.0.0.1 >"$place/check.log" 2>&1 || {
    cat "$place/check.log" >&2
    exit 1
  }
  echo "$name passes every check of invoices receiver-check, in an empty environment"
  kill "$pid"
  wait "$pid" 2>/dev/null || :
  pid=
}

WEBHOOK_SECRET="whsec_$(.venv/bin/python -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())')"
export WEBHOOK_SECRET PORT=0
if python_receiver; then check receiver.py "$place/venv/bin/python" -I deploy/receivers/receiver.py; fi
if javascript_receiver; then check receiver.mjs node "$place/receiver.mjs"; fi
