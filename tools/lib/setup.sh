# What ./quickstart and ./test have in common: whatever is missing gets installed and built; what is there is left alone.
# Needs ROOT, the root of the repository.

. "$ROOT/native/image/lib/log.sh"
. "$ROOT/tools/lib/toolchain.sh"

STORE=${MAGS_STORE:-/var/cache/mags}

check_host() {
  [ "$(id -u)" -eq 0 ] || die "this needs root: it installs packages and makes network namespaces. Try: sudo $0"
  [ "$(uname -sm)" = 'Linux x86_64' ] || die "Mags runs on Linux on x86-64 processors; this is $(uname -sm)"
  command -v apt-get > /dev/null ||
    die "Mags installs what it needs by apt; this is not Debian or Ubuntu (made for Debian 12, 13 and Ubuntu 24.04)"
}

package_is_installed() { # NAME
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

# Installs the packages of the list that are missing.
install_packages() { # NAME...
  local name missing=()
  for name in "$@"; do package_is_installed "$name" || missing+=("$name"); done
  [ "${#missing[@]}" -gt 0 ] || return 0
  log "installing packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  quietly "apt-get update" apt-get update -qq
  quietly "apt-get install" apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# npm packages of this repository as the lockfile has them, again whenever it has changed. Not by `npm ci`: it refuses a
# lockfile made with a registry that lacks the optional binaries of other platforms.
install_npm_packages() {
  local marker=$ROOT/node_modules/.installed-from wanted
  wanted=$(sha256sum < "$ROOT/package-lock.json")
  if [ -f "$marker" ] && [ "$(< "$marker")" = "$wanted" ]; then return; fi
  log "installing npm packages"
  (cd "$ROOT" && quietly "npm install" npm install --no-save --no-audit --no-fund)
  printf '%s\n' "$wanted" > "$marker"
}

# dist/ and packages/mags/dist, again whenever a source has changed.
build_bundles() {
  local marker=$ROOT/dist/.built-from wanted
  wanted=$(cd "$ROOT" && find apps packages tools/build.ts package-lock.json \( -name node_modules -o -name dist -o -name test \) -prune \
    -o -type f ! -name '*.test.ts' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
  if [ -f "$marker" ] && [ "$(< "$marker")" = "$wanted" ]; then return; fi
  log "bundling server and command line"
  (cd "$ROOT" && quietly "the bundling" node tools/build.ts)
  printf '%s\n' "$wanted" > "$marker"
}

# Runtime root, kernel, guest image; artifacts.json in the store names them. Started in the background, as its Debian
# parts need no Node: the part that does waits for `open_gate`.
start_building_images() {
  mkdir -p "$STORE"
  IMAGES_GATE=$(mktemp)
  exec {images_gate_lock}< "$IMAGES_GATE"
  flock "$images_gate_lock"
  MAGS_TOOLCHAIN_GATE=$IMAGES_GATE "$ROOT/native/image/build.sh" --store "$STORE" {images_gate_lock}<&- > /dev/null &
  images_job=$!
  trap 'kill -KILL "$images_job" 2> /dev/null || true; rm -f "$IMAGES_GATE"' EXIT
}

# Tells the build of the images where Node is.
open_gate() {
  printf '%s\n' "$PATH" > "$IMAGES_GATE"
  exec {images_gate_lock}<&-
}

finish_building_images() {
  wait "$images_job" || die "the runtime root and the guest image could not be built (see above)"
  rm -f "$IMAGES_GATE"
  trap - EXIT
}

# Names below localhost, which URLs have, lead to this machine for browsers; for all programs where systemd-resolved
# answers, or with this.
resolve_local_names() {
  getent ahosts name.localhost > /dev/null || install_packages libnss-myhostname
}

set_up() { # PACKAGES...
  check_host
  install_packages ca-certificates debian-archive-keyring gcc libc6-dev make mmdebstrap "$@"
  resolve_local_names
  start_building_images
  use_toolchain
  open_gate
  install_npm_packages
  build_bundles
  finish_building_images
}
