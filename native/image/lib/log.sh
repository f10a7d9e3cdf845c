# Progress on stderr, with the seconds since the start; errors end the script.

log_started=${log_started:-$EPOCHREALTIME}
export log_started

seconds_since() { # TIME
  awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'
}

log() {
  printf '[%6ss] %s\n' "$(seconds_since "$log_started")" "$*" >&2
}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Runs a command silently; its output is shown only when it fails.
quietly() { # WHAT COMMAND...
  local what=$1 output
  shift
  output=$(mktemp)
  if ! "$@" > "$output" 2>&1; then
    tail -n 40 "$output" >&2
    rm -f "$output"
    die "$what failed; its last lines are above"
  fi
  rm -f "$output"
}
