# runtime: the tree whose programs Mags runs on the host. root/ is the tree, lock its packages.

inputs_runtime() {
  digest_recipe "$HERE/recipes/runtime" "$HERE/parts/runtime.sh" "$HERE/lib/debian.sh" "$HERE/lib/keep.sh"
}

build_runtime() { # STAGE
  local stage=$1 work
  work=$(work_dir runtime)
  debian_tree "$HERE/recipes/runtime" "$work/tree" "$stage/lock" "$(lock_in runtime)"
  keep_closure "$work/tree" "$HERE/recipes/runtime/keep" "$stage/root"
  (
    cd "$stage/root"
    cp -rT "$HERE/recipes/runtime/files" .
    # Modes of a checkout depend on the umask.
    chmod 644 etc/passwd etc/group
    chmod 755 usr/lib/mags usr/lib/mags/*
    mkdir -p usr/share/mags/empty-disk/up usr/share/mags/empty-disk/work
    find . -type d -exec chmod 755 {} +
    local name
    for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
    # Mount points of the jail.
    mkdir -p vm template image boot data sockets proc dev tmp
    : > etc/mtab # mke2fs looks there whether its file is mounted
  )
  settle_times "$stage/root"
  discard_work "$work"
}

digest_runtime() { # STAGE
  digest_tree "$1/root"
}
