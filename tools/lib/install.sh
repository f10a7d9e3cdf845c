# Installs what was built to /opt/mags. Needs log.sh, ROOT, STORE and NODE.
#
#   objects/NAME/       runtime root, kernel, images: by content, shared by releases, never changed
#   releases/ID/        bin, lib, node, artifacts.json
#   current             link to the release in use, replaced in one step
#   bin, artifacts.json links into it; mags and magsd are linked from COMMANDS
#   .lock               held by who changes any of this
#
# A release that is in use goes on working while a newer one is installed. What is not needed any more magsd removes: it
# knows the microVMs that still run from an older release (apps/magsd/src/installed).

PREFIX=/opt/mags
COMMANDS=/usr/local/bin
# Where systemd runs: sd_booted(3). And where an administrator's units are.
SYSTEMD_BOOTED=/run/systemd/system
UNITS=/etc/systemd/system

# Copies a file or tree without using space twice where that is possible.
copy_cheaply() { # FROM TO
  cp -a --link "$1" "$2" 2> /dev/null || { rm -rf "$2"; cp -a --reflink=auto "$1" "$2"; }
}

install_objects() {
  local object
  mkdir -p "$PREFIX/objects"
  grep -o "$STORE/objects/[^/\"]*" "$STORE/artifacts.json" | sort -u | while read -r object; do
    [ -d "$PREFIX/objects/${object##*/}" ] && continue
    copy_cheaply "$object" "$PREFIX/objects/.new.$$"
    sync -f "$PREFIX/objects/.new.$$" # an object that has its name is taken for whole
    mv -T "$PREFIX/objects/.new.$$" "$PREFIX/objects/${object##*/}"
  done
}

write_program() { # FILE SCRIPT
  printf '#!/bin/sh\nexec %s/current/node/bin/node %s/current/lib/%s "$@"\n' "$PREFIX" "$PREFIX" "$2" > "$1"
  chmod 755 "$1"
}

fill_release() { # DIR
  mkdir -p "$1/bin" "$1/lib/mags" "$1/lib/systemd" "$1/node/bin"
  cp "$ROOT"/apps/magsd/systemd/* "$1/lib/systemd/"
  cp "$NODE" "$1/node/bin/node"
  cp "$ROOT"/dist/magsd.mjs* "$ROOT"/dist/gateway.mjs* "$1/lib/"
  cp -R "$ROOT/packages/mags/dist" "$ROOT/packages/mags/package.json" "$1/lib/mags/"
  write_program "$1/bin/magsd" magsd.mjs
  write_program "$1/bin/mags" mags/dist/cli/mags.js
  sed "s|\"$STORE/objects/|\"$PREFIX/objects/|g" "$STORE/artifacts.json" > "$1/artifacts.json"
  chmod -R u=rwX,go=rX "$1"
}

release_id() {
  {
    "$NODE" --version
    cat "$STORE/artifacts.json" "$ROOT/tools/lib/install.sh" "$ROOT"/dist/magsd.mjs "$ROOT"/dist/gateway.mjs "$ROOT"/apps/magsd/systemd/*
    find "$ROOT/packages/mags/dist" -type f -print0 | LC_ALL=C sort -z | xargs -0 cat
  } | sha256sum | cut -c1-16
}

replace_link() { # TARGET LINK
  ln -sfn "$1" "$2.new" && mv -T "$2.new" "$2"
}

# Where systemd runs, the server is a unit of it. It is told each time: an installation may have been cut short between the
# files and the word of them.
install_units() {
  [ -d "$SYSTEMD_BOOTED" ] || return 0
  install -m 644 -t "$UNITS" "$PREFIX"/current/lib/systemd/*
  systemctl daemon-reload
  systemctl enable --quiet magsd.service
}

# Installs the release. RELEASE_CHANGED is 1 when another one was in use, or none.
install_release() {
  local id before lock
  mkdir -p "$PREFIX"
  exec {lock}> "$PREFIX/.lock"
  flock "$lock"
  # What an installation that was cut short has left, perhaps by a process of this one's number.
  rm -rf "$PREFIX"/objects/.new.* "$PREFIX"/releases/.new.*
  id=$(release_id)
  before=$(readlink "$PREFIX/current" 2> /dev/null || true)
  RELEASE_CHANGED=
  if [ "$before" != "releases/$id" ]; then
    RELEASE_CHANGED=1
    log "installing to $PREFIX"
    install_objects
    mkdir -p "$PREFIX/releases"
    if [ ! -d "$PREFIX/releases/$id" ]; then
      fill_release "$PREFIX/releases/.new.$$"
      sync -f "$PREFIX/releases"
      mv -T "$PREFIX/releases/.new.$$" "$PREFIX/releases/$id"
    fi
    chmod 755 "$PREFIX" "$PREFIX/objects" "$PREFIX/releases"
    replace_link "releases/$id" "$PREFIX/current"
  fi
  replace_link current/bin "$PREFIX/bin"
  replace_link current/artifacts.json "$PREFIX/artifacts.json"
  mkdir -p "$COMMANDS"
  replace_link "$PREFIX/bin/mags" "$COMMANDS/mags"
  replace_link "$PREFIX/bin/magsd" "$COMMANDS/magsd"
  install_units
  exec {lock}>&-
}
