#!/usr/bin/env bash
# Builds an image like python:3.13-slim from Debian's packages, which need no registry: Debian 13 has
# the same version of Python, and the programs are in the same directories.
# usage: base_image.sh STATE IMAGE BUILDAH_OPTION...   STATE keeps the downloaded files
set -euo pipefail

state=$1
image=$2
options=("${@:3}")
build() { buildah "${options[@]}" "$@"; }

if [ ! -s "$state/trixie.tar" ]; then
  mmdebstrap --quiet --mode=root --variant=minbase --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include=python3,python3-venv,ca-certificates,netbase,tzdata \
    trixie "$state/trixie.tar.part"
  mv "$state/trixie.tar.part" "$state/trixie.tar"
fi
python3 -m pip download --quiet --no-deps --require-hashes --only-binary :all: \
  --dest "$state/trixie-wheels" --requirement "$(dirname "$0")/base.txt"

# The Dockerfile's own downloads need this machine's certificates and index.
certificates=/etc/ssl/certs/ca-certificates.crt
printf '[global]\ncert = %s\ndefault-timeout = 180\n%s\n' "$certificates" \
  "${PIP_INDEX_URL:+index-url = $PIP_INDEX_URL}" > "$state/pip.conf"

container=$(build from scratch)
build add --quiet "$container" "$state/trixie.tar" /
build copy --quiet "$container" "${SSL_CERT_FILE:-$certificates}" "$certificates"
build copy --quiet "$container" "$state/pip.conf" /etc/pip.conf
build config --cmd python3 --env LANG=C.UTF-8 --env PYTHON_VERSION=3.13.5 \
  --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
# shellcheck disable=SC2016 # the shell in the container expands it
build run --isolation chroot --volume "$state/trixie-wheels:/wheels:ro" "$container" -- sh -ec '
  rm -f /usr/lib/python3.13/EXTERNALLY-MANAGED
  for name in python python3 python3.13; do ln -sf /usr/bin/python3.13 "/usr/local/bin/$name"; done
  PYTHONPATH=$(echo /wheels/pip-*.whl) python3 -m pip install --quiet --no-cache-dir --no-index \
    --root-user-action ignore --find-links /wheels pip'
build commit --quiet --rm "$container" "$image"
