#!/bin/bash
# Builds what Mags runs on: runtime root, launcher, guest kernel with initramfs, guest image, empty disk.
#
#   build.sh [--store DIR] [--refresh] [--locks DIR]
#
#   --store DIR   where results are kept (default /var/cache/mags)
#   --refresh     build everything anew, with the packages the mirrors offer now
#   --locks DIR   use exactly the packages of this folder's *.lock files, as an earlier build left them in DIR/locks
#
# Prints one JSON object that names the results, and writes it to DIR/artifacts.json; progress goes to stderr. What is
# already in the store is not built again. Needs root, mmdebstrap, gcc, make, npm and node.
set -euo pipefail
shopt -s inherit_errexit
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NATIVE=$(dirname "$HERE")
for library in log digest store work mirrors debian keep npm; do . "$HERE/lib/$library.sh"; done
for part in runtime launcher kernel nodejs boot seed-disk standard; do . "$HERE/parts/$part.sh"; done

store=/var/cache/mags
REFRESH=
LOCKS=
arguments=("$@")
while [ $# -gt 0 ]; do
  case $1 in
    --store) store=${2:?--store needs a folder}; shift ;;
    --locks) LOCKS=$(realpath -e "${2:?--locks needs a folder}"); shift ;;
    --refresh) REFRESH=1 ;;
    -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) die "unknown option '$1'; see build.sh --help" ;;
  esac
  shift
done

# The digest of all that decides a part's result.
recipe_of() { # KIND
  local name=${1//-/_} lock=
  if [ -n "$LOCKS" ] && [ -f "$LOCKS/$1.lock" ]; then lock=$(digest_file "$LOCKS/$1.lock"); fi
  digest_words "$1" "$("inputs_$name")" "$lock" "$SOURCE_DATE_EPOCH" "$SUITE"
}

# Prints the object of a part if the store has it and it is not to be built anew.
find_part() { # KIND
  [ -z "$REFRESH" ] && store_find "$1" "$(recipe_of "$1")"
}

# Sets the variables that name the parts, in the order they depend on each other; fails at the first that is missing.
find_all() {
  LAUNCHER=$(find_part launcher) && RUNTIME=$(find_part runtime) && KERNEL=$(find_part kernel) &&
    NODEJS=$(find_part nodejs) && STANDARD=$(find_part standard) && BOOT=$(find_part boot) &&
    SEED_DISK=$(find_part seed-disk)
}

# Builds a part unless it is there. FOUND is its object.
ensure() { # KIND
  local kind=$1 name=${1//-/_} recipe stage started=$EPOCHREALTIME
  if FOUND=$(find_part "$kind"); then return; fi
  log "$kind: building"
  recipe=$(recipe_of "$kind")
  stage=$(store_stage "$kind")
  "build_$name" "$stage"
  FOUND=$(store_publish "$kind" "$recipe" "$("digest_$name" "$stage")" "$stage")
  log "$kind: $(du -sh "$FOUND" | cut -f1) in $(seconds_since "$started") s"
}

build_all() {
  DEBIAN_SOURCES=$(mirror_sources)
  STANDARD_WORK=
  # The tree of the guest image takes longest, so it is made beside everything else.
  if ! find_all && [ -z "${STANDARD:-}" ]; then
    STANDARD_WORK=$(work_dir standard)
    log "standard: installing its packages meanwhile"
    build_standard_tree "$STANDARD_WORK" &
    tree_job=$!
  fi
  ensure launcher; LAUNCHER=$FOUND
  ensure runtime; RUNTIME=$FOUND
  ensure kernel; KERNEL=$FOUND
  ensure nodejs; NODEJS=$FOUND
  ensure boot; BOOT=$FOUND
  ensure seed-disk; SEED_DISK=$FOUND
  ensure standard; STANDARD=$FOUND
}

write_artifacts() {
  cat > "$STORE/tmp.artifacts.$$" <<JSON
{
  "runtime": "$RUNTIME/root",
  "launcher": "$LAUNCHER/mags-launch",
  "boot": {
    "kernel": "$BOOT/vmlinuz",
    "initramfs": "$BOOT/initramfs",
    "kernelVersion": "$(< "$BOOT/version")"
  },
  "images": {
    "standard": {
      "base": "$STANDARD/base.erofs",
      "digest": "$(< "$STANDARD/digest")",
      "caBundle": "$STANDARD/ca-certificates.crt"
    }
  },
  "seedDisk": "$SEED_DISK/seed.qcow2",
  "digests": {
    "runtime": "$(< "$RUNTIME/digest")",
    "launcher": "$(< "$LAUNCHER/digest")",
    "boot": "$(< "$BOOT/digest")",
    "seedDisk": "$(< "$SEED_DISK/digest")"
  }
}
JSON
  mkdir -p "$STORE/locks"
  local kind object
  for object in "$RUNTIME" "$KERNEL" "$NODEJS" "$STANDARD"; do
    kind=${object##*/}
    cmp -s "$object/lock" "$STORE/locks/${kind%-*}.lock" || cp "$object/lock" "$STORE/locks/${kind%-*}.lock"
  done
  mv "$STORE/tmp.artifacts.$$" "$STORE/artifacts.json"
  cat "$STORE/artifacts.json"
}

make -s -C "$NATIVE/launcher" >&2
make -s -C "$NATIVE/agent" >&2
LAUNCHER_BUILD=$NATIVE/launcher/build/mags-launch
AGENT=$NATIVE/agent/build/agent
store_open "$store"

if ! find_all; then
  [ "$(id -u)" -eq 0 ] || die "building images needs root"
  if [ -z "${MAGS_IMAGE_NAMESPACE:-}" ]; then
    # Whatever the build mounts and starts vanishes with it, even when it is killed.
    MAGS_IMAGE_NAMESPACE=1 exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
      "$HERE/build.sh" "${arguments[@]}"
  fi
  trap 'exit 130' INT
  trap 'exit 143' TERM
  store_lock
  build_all
fi
write_artifacts
