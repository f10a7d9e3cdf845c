# What tests run of Debian besides the host's own programs, as trees: installed on the host these packages would enable
# services, or be of another version, or none. Needs ROOT, STORE and log.sh.

# Builds the trees of these recipes, folders of tools/, unless they are there. They are at STORE/NAME; the variables
# MAGS_CEPH and so on say so.
use_trees() { # NAME...
  local name
  for name in "$@"; do
    export "MAGS_${name^^}=$STORE/$name"
    use_tree "$name"
  done
}

use_tree() ( # NAME
  for library in digest store work mirrors debian; do . "$ROOT/native/image/lib/$library.sh"; done
  store_open "$STORE"
  recipe=$(digest_words "$1" "$SUITE" "$(digest_recipe "$ROOT/tools/$1" "$ROOT/tools/lib/test-trees.sh" "$ROOT/native/image/lib/debian.sh")")
  if ! object=$(store_find "$1" "$recipe"); then
    store_lock
    object=$(store_find "$1" "$recipe") || object=$(build_tree "$1" "$recipe") # somebody else may have built it meanwhile
  fi
  ln -sfn "$object/root" "$STORE/$1.$$" && mv -T "$STORE/$1.$$" "$STORE/$1"
)

# Prints the object.
build_tree() { # NAME RECIPE
  log "building a tree with $1 to test with"
  local stage name
  stage=$(store_stage "$1")
  DEBIAN_SOURCES=$(mirror_sources)
  debian_tree "$ROOT/tools/$1" "$stage/root" "$stage/lock" ""
  for name in bin sbin lib lib64; do [ -e "$stage/root/$name" ] || ln -s "usr/$name" "$stage/root/$name"; done
  # Mount points of `debianTree`, packages/test-kit.
  mkdir -p "$stage/root"/{dev,mnt,proc,tmp}
  store_publish "$1" "$2" "$(digest_tree "$stage/root")" "$stage"
}
