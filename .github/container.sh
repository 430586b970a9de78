#!/usr/bin/env bash
# Builds a container action and runs it as a GitHub runner does, but on the host's network.
# usage: container.sh CONTEXT [-e KEY=VALUE]... -w WORKSPACE -o OUTPUT
set -euo pipefail

context=$1
shift
variables=()
while [ $# -gt 0 ]; do
  case $1 in
    -e) variables+=(--env "$2") ;;
    -w) workspace=$2 ;;
    -o) output=$2 ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done

mkdir -p "$output/file_commands" "$output/home"
touch "$output/file_commands/output" "$output/file_commands/step_summary"
image=$(docker build --quiet "$context")
docker run --rm --network host --workdir /github/workspace \
  --volume "$workspace:/github/workspace" \
  --volume "$output/home:/github/home" \
  --volume "$output/file_commands:/github/file_commands" \
  --env CI=true --env GITHUB_ACTIONS=true --env HOME=/github/home \
  --env GITHUB_WORKSPACE=/github/workspace \
  --env GITHUB_OUTPUT=/github/file_commands/output \
  --env GITHUB_STEP_SUMMARY=/github/file_commands/step_summary \
  "${variables[@]}" "$image"
