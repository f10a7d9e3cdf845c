# Where Debian's packages come from. Needs log.sh.
#
# In this order: MAGS_DEBIAN_MIRROR (with MAGS_DEBIAN_SECURITY_MIRROR, else its neighbour `…-security`); the Debian
# mirrors this host's apt uses; Debian's own. The suite is always SUITE. Updates and security are used where the mirror
# has them.

SUITE=trixie
DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The mirrors of this host's apt that carry Debian's archive with this label, each once, without a trailing slash.
mirrors_of_host() { # LABEL
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Label: $1" 2> /dev/null |
    sed 's:/*$::' | awk '!seen[$0]++'
}

mirror_has() { # MIRROR SUITE
  local file
  file=$(mktemp)
  /usr/lib/apt/apt-helper -qq download-file "$1/dists/$2/InRelease" "$file" > /dev/null 2>&1
  local found=$?
  rm -f "$file"
  return "$found"
}

# Prints the lines of a sources.list.
mirror_sources() {
  local mirrors securities mirror
  if [ -n "${MAGS_DEBIAN_MIRROR:-}" ]; then
    mirrors=${MAGS_DEBIAN_MIRROR%/}
    securities=${MAGS_DEBIAN_SECURITY_MIRROR:-}
  else
    mirrors=$(mirrors_of_host Debian)
    securities=$(mirrors_of_host Debian-Security)
    if [ -z "$mirrors" ]; then
      mirrors=http://deb.debian.org/debian
      securities=http://deb.debian.org/debian-security
    fi
  fi
  for mirror in $mirrors; do
    printf 'deb %s %s main\n' "$mirror" "$SUITE"
    if mirror_has "$mirror" "$SUITE-updates"; then printf 'deb %s %s-updates main\n' "$mirror" "$SUITE"; fi
  done
  for mirror in ${securities:-${mirrors%%$'\n'*}-security}; do
    if mirror_has "${mirror%/}" "$SUITE-security"; then
      printf 'deb %s %s-security main\n' "${mirror%/}" "$SUITE"
    else
      log "no security updates: ${mirror%/} has no $SUITE-security"
    fi
  done
}

# Prints the host's apt settings for reaching mirrors (proxies, certificates), one option a line.
mirror_apt_options() {
  apt-config dump --format '%F "%v";%n' 2> /dev/null | grep -E '^Acquire::(http|https|Retries)\b[^"]* "[^"]+";$' || true
}
