#!/bin/bash
# Unpacks a package of Debian, with what it needs, into a folder: unpack-debian.sh DIR PACKAGE
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../native/image/lib/log.sh"
. "$here/../native/image/lib/mirrors.sh"
target=$1 package=$2
sources=$(mirror_sources)
rm -rf "$target" "$target.new"
mmdebstrap --mode=root --variant=extract --keyring="$DEBIAN_KEYRING" --include="$package" "$SUITE" "$target.new" - <<< "$sources" > /dev/null 2>&1 ||
  die "mmdebstrap failed"
mv "$target.new" "$target"
