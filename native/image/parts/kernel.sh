# kernel: vmlinuz, version, modules.cpio.gz (what the initramfs needs, decompressed, in load order) and modules/ (all of
# them as the guest sees them below /usr/lib/modules).

inputs_kernel() {
  digest_recipe "$HERE/recipes/kernel" "$HERE/parts/kernel.sh" "$HERE/lib/debian.sh"
}

build_kernel() { # STAGE
  local stage=$1 work version
  work=$(work_dir kernel)
  debian_tree "$HERE/recipes/kernel" "$work/tree" "$stage/lock" "$(lock_in kernel)"
  local versions=("$work/tree/usr/lib/modules"/*)
  [ "${#versions[@]}" -eq 1 ] || die "expected the modules of one kernel, found: ${versions[*]}"
  version=${versions[0]##*/}
  printf '%s\n' "$version" > "$stage/version"
  cp "$work/tree/boot/vmlinuz-$version" "$stage/vmlinuz"
  chmod 644 "$stage/vmlinuz"
  [ -e "$work/tree/lib" ] || ln -s usr/lib "$work/tree/lib"
  runtime_tool /usr/sbin/depmod -b "$work/tree" "$version"
  early_modules "$work/tree" "$version" "$work/early/mods"
  settle_times "$work/early"
  make_cpio "$work/early" | runtime_tool /usr/bin/gzip -9n > "$stage/modules.cpio.gz"
  mkdir "$stage/modules"
  cp -a "$work/tree/usr/lib/modules/$version" "$stage/modules/"
  rm -f "$stage/modules/$version"/{build,source}
  settle_times "$stage/modules"
  discard_work "$work"
}

digest_kernel() { # STAGE
  digest_tree "$1"
}

# Writes the modules of the recipe and their dependencies to OUT/NN-name.ko, in the order they can be loaded in.
early_modules() { # TREE VERSION OUT
  local name file number=0
  mkdir -p "$3"
  while read -r name; do
    # A module that is built in has a line without a path. A name the kernel does not know ends the build.
    runtime_tool /usr/sbin/modprobe --dirname="$1" --set-version="$2" --show-depends "$name" ||
      die "the guest kernel has no module $name"
  done < <(list_of "$HERE/recipes/kernel/modules") | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
    while read -r file; do
      number=$((number + 1))
      name=$(basename "$file" .xz)
      case $file in
        *.xz) runtime_tool /usr/bin/xz -dc "$file" ;;
        *) cat "$file" ;;
      esac > "$3/$(printf '%02d' "$number")-$name"
    done
}

# Prints an archive as the kernel unpacks it, the same for the same content.
make_cpio() { # DIR
  (cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z |
    runtime_tool /usr/bin/cpio --null --create --format=newc --reproducible --owner=0:0 --quiet)
}
