#!/bin/sh
# Lints deploy/Dockerfile by hadolint and reads deploy/compose.yaml by compose-spec, in an environment of their own
# (.venv/image). Where they can't be had, says so and succeeds.
set -eu
cd "$(dirname "$0")/../.."
python=.venv/bin/python
place=.venv/image
pins=deploy/requirements/image.txt

skip() {
  echo "image: Dockerfile and compose.yaml were not linted: $1"
  exit 0
}
command -v timeout >/dev/null || skip "there is no 'timeout' on the PATH"

if ! cmp -s "$pins" "$place/installed.txt"; then
  rm -rf "$place"
  "$python" -m venv "$place" >/dev/null 2>&1 || skip "an environment for the linters can't be made"
  timeout 120 "$place/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
    --retries 1 -r "$pins" >/dev/null 2>&1 || skip "the linters can't be fetched for this platform"
  cp "$pins" "$place/installed.txt"
fi

"$place/bin/hadolint" deploy/Dockerfile
"$python" -c 'import sys, yaml; from tests.images.composition import read_compose; yaml.safe_dump(read_compose(), sys.stdout)' |
  "$place/bin/python" -c 'import sys, compose_spec; compose_spec.PyCompose.from_yaml(sys.stdin.read())'
echo "image: Dockerfile and compose.yaml are in order"
