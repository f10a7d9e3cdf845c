#!/bin/bash
# Installs and builds what tests and benchmarks need, unless it is there, then runs a command with the right Node.
#   tools/prepared.sh [--trees] COMMAND ARGUMENTS...
# --trees: also an S3 store to test against, and a browser to test with.
set -euo pipefail
shopt -s inherit_errexit
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/lib/setup.sh"
. "$ROOT/tools/lib/test-trees.sh"

wants_trees=
if [ "$1" = --trees ]; then
  wants_trees=1
  shift
fi

# What `npm run` tells its scripts is not meant for the npm that installs here.
unset "${!npm_@}"
# Besides what an installation needs, what the tests use of the host.
set_up curl git iproute2 nftables openssh-client openssh-sftp-server pebble procps python3 rsync
if [ -n "$wants_trees" ]; then use_trees ceph chromium; fi
export MAGS_ARTIFACTS=$STORE/artifacts.json
cd "$ROOT"
exec "$@"
