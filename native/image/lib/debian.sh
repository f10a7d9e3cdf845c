# Debian trees by mmdebstrap. Needs log.sh and mirrors.sh; DEBIAN_SOURCES holds the lines of a sources.list.

# The lines of a list, without comments and blank ones.
lines_of() { # FILE
  sed -e 's/#.*//' -e 's/[[:blank:]]*$//' "$1" | awk 'NF'
}

# The first word of each line.
list_of() { # FILE
  lines_of "$1" | awk '{ print $1 }'
}

# Makes TREE, a tree of SUITE, out of a recipe folder:
#   packages   names of packages
#   paths      optional: `exclude PATTERN` and `include PATTERN` lines; what dpkg unpacks, the last match counts
#   variant    optional: mmdebstrap's variant; default `extract`, which unpacks and configures nothing
# and writes the exact packages, `name=version` a line, to LOCK_OUT. With LOCK_IN, a list of that form, the tree holds
# exactly those. Further arguments go to mmdebstrap.
debian_tree() { # RECIPE TREE LOCK_OUT LOCK_IN [ARGS...]
  local recipe=$1 tree=$2 lock_out=$3 lock_in=$4 variant=extract options=() what pattern option
  shift 4
  if [ -f "$recipe/variant" ]; then variant=$(list_of "$recipe/variant"); fi
  if [ -f "$recipe/paths" ]; then
    while read -r what pattern; do options+=("--dpkgopt=path-$what=$pattern"); done < <(lines_of "$recipe/paths")
  fi
  while read -r option; do options+=("--aptopt=$option"); done < <(mirror_apt_options)

  # `extract` has no package database and no later hook than this one, where the archives are still there.
  local write_lock='cd "$1/var/cache/apt/archives"
    for deb in *.deb; do dpkg-deb --show --showformat="\${Package}=\${Version}\n" "$deb"; done > "$LOCK_OUT"'
  if [ "$variant" = extract ]; then
    options+=("--extract-hook=$write_lock")
  else
    options+=('--customize-hook=dpkg-query --admindir="$1/var/lib/dpkg" --show --showformat="\${Package}=\${Version}\n" > "$LOCK_OUT"')
  fi

  LOCK_OUT=$lock_out quietly "mmdebstrap of ${recipe##*/}" \
    mmdebstrap --mode=root --format=directory --variant="$variant" --keyring="$DEBIAN_KEYRING" \
    --include="$(list_of "${lock_in:-$recipe/packages}" | paste -sd,)" \
    --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
    "${options[@]}" "$@" "$SUITE" "$tree" - <<< "$DEBIAN_SOURCES"
  LC_ALL=C sort -u -o "$lock_out" "$lock_out"
  if [ -n "$lock_in" ] && ! diff <(list_of "$lock_in") "$lock_out" >&2; then
    die "the packages differ from the lock $lock_in (above: < asked for, > found); the mirror may have moved on"
  fi
}

# Puts whatever in a tree is newer than SOURCE_DATE_EPOCH back to it, so that a rebuild is the same to the byte.
settle_times() { # TREE
  find "$1" -xdev -newermt "@$SOURCE_DATE_EPOCH" -print0 |
    xargs -0 -r touch --no-dereference --date="@$SOURCE_DATE_EPOCH"
}
