#!/bin/sh
# Makes the environment of beancount (.venv/beancount), which judges what `invoices report payments --format beancount`
# writes, pinned by deploy/requirements/beancount.txt. Says so and succeeds if that can't be had: its test is skipped.
set -eu
cd "$(dirname "$0")/../.."
place=.venv/beancount
pins=deploy/requirements/beancount.txt

cmp -s "$pins" "$place/installed.txt" && exit 0
skip() {
  echo "beancount: $1; what needs it will be skipped"
  exit 0
}
rm -rf "$place"
.venv/bin/python -m venv "$place" >/dev/null 2>&1 || skip "an environment for it can't be made"
"$place/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --retries 1 \
  -r "$pins" >/dev/null 2>&1 || skip "it can't be fetched, or not for this platform"
cp "$pins" "$place/installed.txt"
echo "beancount: bean-check is here"
