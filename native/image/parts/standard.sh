# standard: the guest's default image. base.erofs, and the certificates it trusts as ca-certificates.crt.
#
# It is built in two steps, so that its Debian tree can be made while the parts it takes in are.

inputs_standard() {
  digest_recipe "$HERE/recipes/standard" "$HERE/parts/standard.sh" "$HERE/lib/debian.sh" \
    "=$(< "$RUNTIME/digest")" "=$(< "$KERNEL/digest")" "=$(< "$NODEJS/digest")"
}

# Step 1: WORK/tree and WORK/lock.
build_standard_tree() { # WORK
  PYTHONHASHSEED=0 debian_tree "$HERE/recipes/standard" "$1/tree" "$1/lock" "$(lock_in standard)"
}

# Step 2.
build_standard() { # STAGE
  local stage=$1 work=$STANDARD_WORK
  if [ -n "$work" ]; then
    wait "$tree_job" || die "the packages of the guest image could not be installed"
  else
    work=$(work_dir standard)
    build_standard_tree "$work"
  fi
  cp -a "$NODEJS/tree/." "$work/tree/usr/local/"
  mkdir -p "$work/tree/usr/lib/modules"
  cp -a "$KERNEL/modules/." "$work/tree/usr/lib/modules/"
  finish_standard_tree "$work/tree"
  cp "$work/tree/etc/ssl/certs/ca-certificates.crt" "$stage/"
  quietly "mkfs.erofs" runtime_tool /usr/bin/mkfs.erofs -zlz4 -T "$SOURCE_DATE_EPOCH" \
    -U 6d616773-0000-4000-8000-000000000002 -L mags "$stage/base.erofs" "$work/tree"
  chmod 644 "$stage/base.erofs"
  cp "$work/lock" "$stage/lock"
  discard_work "$work"
}

digest_standard() { # STAGE
  digest_file "$1/base.erofs"
}

finish_standard_tree() { # TREE
  local tree=$1
  cp -rT "$HERE/recipes/standard/files" "$tree"
  (
    cd "$HERE/recipes/standard/files"
    find . -type d -exec chmod 755 "$tree/{}" \;
    find . -type f -exec chmod 644 "$tree/{}" \;
    find . -exec chown 0:0 "$tree/{}" \;
  )
  chmod 755 "$tree/usr/local/bin/apk"
  # The rules of what is unpacked hold in the guest too; how the build reached its mirror does not.
  grep '^path-' "$tree/etc/dpkg/dpkg.cfg.d/99mmdebstrap" > "$tree/etc/dpkg/dpkg.cfg.d/90mags"
  rm -f "$tree/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$tree/etc/apt/apt.conf.d/99mmdebstrap" "$tree/etc/apt/sources.list"
  chroot "$tree" debconf-set-selections <<< 'debconf debconf/frontend select Noninteractive'

  # Every VM gets an identity of its own when it starts.
  : > "$tree/etc/machine-id"
  : > "$tree/etc/resolv.conf"
  rm -f "$tree/var/lib/dbus/machine-id" "$tree"/etc/ssh/ssh_host_*
  # What the image holds stays: `apt autoremove` in the guest never takes a part of it.
  rm -f "$tree/var/lib/apt/extended_states"
  # Traces of the build, which differ from one to the next.
  rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/* "$tree"/var/cache/ldconfig "$tree"/var/cache/debconf/*-old \
    "$tree"/var/lib/dpkg/*-old "$tree"/etc/{passwd,group,shadow,gshadow,subuid,subgid}- "$tree"/tmp/* "$tree"/run/*
  find "$tree/var/log" -type f -delete
  sed -i -E "s/^([^:]*:[^:]*:)[0-9]+:/\1$((SOURCE_DATE_EPOCH / 86400)):/" "$tree/etc/shadow"
  chroot "$tree" python3 - < "$HERE/recipes/standard/pyc-times.py"
  settle_times "$tree"
}
