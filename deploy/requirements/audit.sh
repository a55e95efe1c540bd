#!/bin/sh
# Asks a vulnerability service about every pin, by pip-audit in an environment of its own (.venv/audit). Without a way to
# fetch or to ask, says so and succeeds within a minute: known-bad.txt was checked without a network by then. Fails when
# a pin is known to be vulnerable.
set -eu
cd "$(dirname "$0")/../.."
python=.venv/bin/python
place=.venv/audit
pins=deploy/requirements

skip() {
  echo "audit: no vulnerability service was asked: $1 (the kept list, known-bad.txt, was checked)"
  exit 0
}
command -v timeout >/dev/null || skip "there is no 'timeout' on the PATH"

if ! cmp -s "$pins/audit.txt" "$place/installed.txt"; then
  rm -rf "$place"
  timeout 60 "$python" -m venv "$place" >/dev/null 2>&1 || skip "an environment for pip-audit can't be made"
  timeout 60 "$place/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
    --retries 1 -r "$pins/audit.txt" >/dev/null 2>&1 || skip "pip-audit can't be fetched"
  cp "$pins/audit.txt" "$place/installed.txt"
fi

answer=$(mktemp)
trap 'rm -f "$answer" "$answer.err"' EXIT
code=0
timeout 45 "$place/bin/pip-audit" --requirement "$pins/dev.txt" --no-deps --disable-pip --progress-spinner off \
  --timeout 5 --format json >"$answer" 2>"$answer.err" || code=$?
exec "$place/bin/python" "$pins/read_audit.py" "$code" "$answer"
