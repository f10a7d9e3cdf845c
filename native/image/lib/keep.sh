# Cuts a tree down to what is asked for. Needs log.sh and debian.sh.

# Copies from TREE to OUT what the list KEEP names, by two kinds of lines (patterns are relative to the tree):
#   program PATTERN   ELF files, with every library they need
#   data PATTERN      files, links or whole folders as they are
# Every pattern must match something. Libraries come from usr/lib/x86_64-linux-gnu.
keep_closure() { # TREE KEEP OUT
  local tree=$1 keep=$2 out=$3 kind pattern paths programs=() wanted=() path
  while read -r kind pattern; do
    mapfile -t paths < <(cd "$tree" && compgen -G "$pattern")
    if [ "${#paths[@]}" -eq 0 ]; then die "$keep: nothing in the tree matches '$pattern'"; fi
    case $kind in
      program) programs+=("${paths[@]}") ;;
      data) ;;
      *) die "$keep: unknown kind of line '$kind'" ;;
    esac
    wanted+=("${paths[@]}")
  done < <(lines_of "$keep")

  local libraries=usr/lib/x86_64-linux-gnu needed
  needed=$(cd "$tree" && for path in "${programs[@]}"; do
    usr/lib64/ld-linux-x86-64.so.2 --library-path "$PWD/$libraries" --list "$PWD/$path" | sed "s|^|$path: |"
  done) || die "$keep: the dynamic loader refuses a program"
  if grep 'not found' <<< "$needed" >&2; then die "$keep: libraries are missing from the tree (above)"; fi

  mkdir -p "$out"
  {
    printf '%s\n' "${wanted[@]}" usr/lib64/ld-linux-x86-64.so.2 "$libraries/ld-linux-x86-64.so.2"
    sed -n "s|.* => $tree/\([^ ]*\) .*|\1|p" <<< "$needed"
  } | sort -u | while read -r path; do
    printf '%s\n' "$path"
    # What a kept link leads to is kept too.
    if [ -L "$tree/$path" ]; then realpath --relative-to="$tree" "$tree/$path"; fi
  done | sort -u | tar -C "$tree" -cf - --files-from=- | tar -C "$out" -xpf -
}
