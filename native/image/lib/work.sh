# What the parts of a build share. Needs log.sh and store.sh; RUNTIME is the object of the runtime root.

# No time in a result is later than this (1 January 2026), so that building again gives the same bytes.
export SOURCE_DATE_EPOCH=1767225600

# A digest of what decides a result: files and folders of this repository by their content, and words that start with =.
digest_recipe() { # PATH|=WORD...
  local path
  for path in "$@"; do
    case $path in
      =*) printf '%s\n' "$path" ;;
      *)
        [ -e "$path" ] || die "$path is missing"
        (cd "${path%/*}" && find "${path##*/}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
        ;;
    esac
  done | sha256sum | cut -d' ' -f1
}

# The lock a part is to be built from, or nothing.
lock_in() { # KIND
  if [ -n "${LOCKS:-}" ]; then
    [ -f "$LOCKS/$1.lock" ] || die "$LOCKS has no $1.lock"
    printf '%s\n' "$LOCKS/$1.lock"
  fi
}

# A scratch folder, in memory when there is plenty: unpacking is twice as fast there. The build has namespaces of its
# own, so nothing stays mounted or running whatever ends it.
work_dir() { # KIND
  local dir
  dir=$(mktemp -d "$STORE/tmp/$1-work.XXXXXX")
  chmod 755 "$dir"
  if [ "$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)" -ge 6144 ]; then
    mount -t tmpfs -o size=3g,mode=755 tmpfs "$dir" || log "no scratch folder in memory; using $dir on disk"
  fi
  printf '%s\n' "$dir"
}

discard_work() { # DIR
  umount "$1" 2> /dev/null || true
  rm -rf --one-file-system "$1"
}

# Runs a tool of the finished runtime root on the host, through the root's own libraries.
runtime_tool() { # PROGRAM ARGS...
  local root=$RUNTIME/root program=$1
  shift
  "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
    --argv0 "${program##*/}" "$root$program" "$@"
}
