# seed-disk: the empty writable layer of the default size, as seed.qcow2.

SEED_DISK_BYTES=$((2 << 30))

inputs_seed_disk() {
  digest_recipe "$HERE/parts/seed-disk.sh" "=$(< "$RUNTIME/digest")" "=$(< "$LAUNCHER/digest")"
}

build_seed_disk() { # STAGE
  local stage=$1 work
  work=$(work_dir seed-disk)
  chown 65534:65534 "$work"
  "$LAUNCHER/mags-launch" --root "$RUNTIME/root" --uid 65534 --gid 65534 --bind "$work" /data --env PATH=/usr/sbin:/usr/bin \
    -- /usr/lib/mags/make-disk "$SEED_DISK_BYTES" /data/seed.qcow2
  install -m 644 "$work/seed.qcow2" "$stage/seed.qcow2"
  discard_work "$work"
}

digest_seed_disk() { # STAGE
  digest_tree "$1"
}
