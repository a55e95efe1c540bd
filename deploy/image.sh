#!/bin/sh
# Builds the container image by docker, podman or buildah, the first that works here (TOOL=…), from what `make dist` made. BASE is a
# tag, whose digest is then looked up, a digest, or an image that is only here: its name or its id. Further arguments go to the build,
# such as --secret id=pip.conf,src=… or --platform.
set -eu
cd "$(dirname "$0")/.."
base=${BASE:-python:3.13-slim-bookworm}
image=${IMAGE:-invoices:latest}
tool=${TOOL:-}
# Docker's command may be here and its daemon not.
for each in docker podman buildah; do
  [ -n "$tool" ] || ! command -v "$each" >/dev/null || ! "$each" info >/dev/null 2>&1 || tool=$each
done
[ -n "$tool" ] || { echo "image: docker, podman or buildah is needed, and none works here" >&2; exit 1; }
wheel=$(ls dist/*.whl 2>/dev/null) || { echo "image: there is no wheel in dist/: run 'make dist'" >&2; exit 1; }
[ "$(echo "$wheel" | wc -l)" -eq 1 ] || { echo "image: dist/ holds several wheels" >&2; exit 1; }
version=$(basename "$wheel" | cut -d- -f2)
kind=$(basename "$tool")

local_id() { # of an image that is here already
  if [ "$kind" = buildah ]; then
    buildah_id=$("$tool" inspect --type image --format '{{.FromImageID}}' "$1") && echo "sha256:$buildah_id"
  else
    "$tool" image inspect --format '{{.Id}}' "$1"
  fi
}

case $base in
  *@sha256:*) ;;
  *)
    if [ "${base#sha256:}" = "$base" ] && "$tool" pull "$base"; then
      if [ "$kind" = buildah ]; then
        base=${base%:*}@$("$tool" inspect --type image --format '{{.FromImageDigest}}' "$base")
      else
        base=$("$tool" image inspect --format '{{index .RepoDigests 0}}' "$base")
      fi
    else
      id=$(local_id "$base") || { echo "image: $base can be neither fetched nor found here" >&2; exit 1; }
      base=$id
      # BuildKit takes no id: it would look for it at a registry.
      [ "$kind" != docker ] || { base=invoices-base:$(echo "${id#sha256:}" | cut -c1-12) && "$tool" tag "$id" "$base"; }
    fi
    ;;
esac
echo "image: on $base"

# Podman and buildah leave HEALTHCHECK out, which OCI images have not, unless they are told to write Docker's format. The Dockerfile's
# secrets need BuildKit, which older dockers don't use by themselves.
if [ "$kind" = docker ]; then export DOCKER_BUILDKIT=1; else set -- --format docker "$@"; fi
"$tool" build --build-arg BASE="$base" --build-arg VERSION="$version" \
  --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
  --file deploy/Dockerfile --tag "$image" "$@" .
echo "image: built $image"
