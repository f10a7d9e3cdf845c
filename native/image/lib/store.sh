# The store: finished results by content, found again by recipe.
#
#   objects/KIND-DIGEST16/   a finished result; never changed, appears whole by rename
#   recipes/KIND-RECIPE16    link to the object that this recipe last led to
#   tmp/                     what is being built; swept at the start of the next build
#   lock                     held while anything is built: one build at a time
#
# Needs log.sh. STORE is the store's absolute path.

store_open() { # DIR
  case $1 in
    /*) ;;
    *) die "the store must be an absolute path, not '$1'" ;;
  esac
  case $1 in
    *[,:\ ]*) die "the store's path must have no comma, colon or blank: '$1'" ;;
  esac
  STORE=$1
  mkdir -p "$STORE/objects" "$STORE/recipes" "$STORE/tmp" || die "cannot make the store $STORE"
}

# Takes the lock, waiting for another build, and removes what a killed one left. It ends with this process and its children.
store_lock() {
  exec {STORE_LOCK}> "$STORE/lock"
  if ! flock --nonblock "$STORE_LOCK"; then
    log "another build is running on $STORE; waiting for it"
    flock "$STORE_LOCK"
  fi
  rm -rf --one-file-system "${STORE:?}/tmp"
  mkdir "$STORE/tmp"
}

# Prints the object of a recipe; fails when there is none.
store_find() { # KIND RECIPE
  local link=$STORE/recipes/$1-${2:0:16}
  [ -d "$link/" ] || return 1
  readlink -f "$link"
}

store_stage() { # KIND
  mktemp -d "$STORE/tmp/$1.XXXXXX"
}

# Moves a staged result into the store under its digest and lets the recipe point to it. Prints the object.
store_publish() { # KIND RECIPE DIGEST STAGE
  local object=$STORE/objects/$1-${3:0:16}
  if [ -d "$object" ]; then
    rm -rf --one-file-system "$4"
  else
    printf 'sha256:%s\n' "$3" > "$4/digest"
    chmod 755 "$4"
    sync -f "$4/digest" # a power cut must not leave a finished name with unfinished content
    mv -T "$4" "$object"
  fi
  ln -s "../objects/${object##*/}" "$STORE/tmp/link.$1"
  mv -T "$STORE/tmp/link.$1" "$STORE/recipes/$1-${2:0:16}"
  printf '%s\n' "$object"
}
