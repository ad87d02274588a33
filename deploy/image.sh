#!/bin/sh
# Build the image with podman or docker; 3 where there is neither, or docker's server is not running.
set -eu
cd "$(dirname "$0")/.."
tag="${1:-localhost/aftercare-reminders:latest}"
if command -v podman >/dev/null 2>&1; then
  exec podman build --format docker --file deploy/Containerfile --tag "$tag" .
elif command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
  exec docker build --file deploy/Containerfile --tag "$tag" .
fi
echo "No image was built: podman or a running docker is needed." >&2
exit 3
