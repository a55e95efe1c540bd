#!/bin/sh
# Builds the container image by docker, podman or buildah, whichever is here (TOOL=…), from what `make dist` made. BASE is a tag,
# whose digest is then looked up, a digest or an image's id. Further arguments go to the build, such as --secret id=pip.conf,src=… or --platform.
set -eu
cd "$(dirname "$0")/.."
base=${BASE:-python:3.13-slim-bookworm}
image=${IMAGE:-invoices:latest}
tool=${TOOL:-$(command -v docker || command -v podman || command -v buildah || true)}
[ -n "$tool" ] || { echo "image: docker, podman or buildah is needed" >&2; exit 1; }
wheel=$(ls dist/*.whl 2>/dev/null) || { echo "image: there is no wheel in dist/: run 'make dist'" >&2; exit 1; }
[ "$(echo "$wheel" | wc -l)" -eq 1 ] || { echo "image: dist/ holds several wheels" >&2; exit 1; }
version=$(basename "$wheel" | cut -d- -f2)

case $base in
  *sha256:*) ;;
  *)
    "$tool" pull "$base"
    if [ "$(basename "$tool")" = buildah ]; then
      base=${base%:*}@$(buildah inspect --type image --format '{{.FromImageDigest}}' "$base")
    else
      base=$("$tool" image inspect --format '{{index .RepoDigests 0}}' "$base")
    fi
    ;;
esac
echo "image: on $base"

# OCI images have no HEALTHCHECK: podman and buildah leave it out unless they are told to write Docker's format.
[ "$(basename "$tool")" = docker ] || set -- --format docker "$@"
"$tool" build --build-arg BASE="$base" --build-arg VERSION="$version" \
  --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
  --file deploy/Dockerfile --tag "$image" "$@" .
echo "image: built $image"
