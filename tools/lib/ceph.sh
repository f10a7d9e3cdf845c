# Ceph for tests, as a Debian tree: installed on the host its packages would enable services. Needs ROOT, STORE and log.sh.

# Builds the tree unless it is there. MAGS_CEPH is where it is.
use_ceph() {
  local library
  for library in digest store work mirrors debian; do . "$ROOT/native/image/lib/$library.sh"; done
  export MAGS_CEPH=$STORE/ceph
  (
    store_open "$STORE"
    recipe=$(digest_words ceph "$SUITE" "$(digest_recipe "$ROOT/tools/ceph" "$ROOT/tools/lib/ceph.sh" "$ROOT/native/image/lib/debian.sh")")
    if ! object=$(store_find ceph "$recipe"); then
      store_lock
      object=$(store_find ceph "$recipe") || object=$(build_ceph "$recipe") # somebody else may have built it meanwhile
    fi
    ln -sfn "$object/root" "$MAGS_CEPH.$$" && mv -T "$MAGS_CEPH.$$" "$MAGS_CEPH"
  )
}

# Prints the object.
build_ceph() { # RECIPE
  log "building a tree with Ceph to test against"
  local stage name
  stage=$(store_stage ceph)
  DEBIAN_SOURCES=$(mirror_sources)
  debian_tree "$ROOT/tools/ceph" "$stage/root" "$stage/lock" ""
  for name in bin sbin lib lib64; do [ -e "$stage/root/$name" ] || ln -s "usr/$name" "$stage/root/$name"; done
  # Mount points of the harness, packages/test-kit/src/radosgw.
  mkdir -p "$stage/root"/{dev,mnt,proc,tmp}
  store_publish ceph "$1" "$(digest_tree "$stage/root")" "$stage"
}
