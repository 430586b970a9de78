#!/usr/bin/env bash
# Serves Docker's API with podman on STATE/engine.sock until it is terminated. STATE keeps its storage
# and settings for later runs. Nothing of this machine's own containers is used or changed.
# usage: engine.sh STATE
# env: STORAGE_DRIVER overlay (default) or vfs
set -euo pipefail

state=$1
image=docker.io/library/python:3.13-slim
driver=${STORAGE_DRIVER:-overlay}
storage=(--root "$state/$driver" --runroot "$state/run-$driver" --storage-driver "$driver")
mkdir -p "$state"

# Some machines allow no higher limits, and crun refuses some versions of cgroups.
cat > "$state/containers.conf" << 'EOF'
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
EOF
export CONTAINERS_CONF=$state/containers.conf

if ! buildah "${storage[@]}" inspect --type image "$image" > /dev/null 2>&1; then
  "$(dirname "$0")/base_image.sh" "$state" "$image" "${storage[@]}" > "$state/base.log" 2>&1 ||
    { tail --lines 20 "$state/base.log" >&2; exit 1; }
fi
# Not every machine can run containers, such as a container itself.
podman "${storage[@]}" --tmpdir "$state/tmp" run --rm --network host "$image" true
exec podman "${storage[@]}" --tmpdir "$state/tmp" system service --time=0 "unix://$state/engine.sock"
