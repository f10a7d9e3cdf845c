#!/bin/bash
# Installs and builds what tests and benchmarks need, unless it is there, then runs a command with the right Node.
#   tools/prepared.sh [--ceph] COMMAND ARGUMENTS...
# --ceph: also an S3 store to test against.
set -euo pipefail
shopt -s inherit_errexit
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/lib/setup.sh"
. "$ROOT/tools/lib/ceph.sh"

wants_ceph=
if [ "$1" = --ceph ]; then
  wants_ceph=1
  shift
fi

# What `npm run` tells its scripts is not meant for the npm that installs here.
unset "${!npm_@}"
# Besides what an installation needs, what the tests use of the host.
set_up git iproute2 nftables openssh-client openssh-sftp-server procps python3 rsync
if [ -n "$wants_ceph" ]; then use_ceph; fi
export MAGS_ARTIFACTS=$STORE/artifacts.json
cd "$ROOT"
exec "$@"
