# boot: the kernel and the initramfs that microVMs start from: the guest agent as /init, and its modules.

inputs_boot() {
  digest_recipe "$HERE/parts/boot.sh" "$AGENT" "=$(< "$KERNEL/digest")"
}

build_boot() { # STAGE
  local stage=$1 work
  work=$(work_dir boot)
  mkdir -p "$work/root/dev"
  install -m 755 "$AGENT" "$work/root/init"
  settle_times "$work/root"
  # The kernel unpacks one archive after the other.
  { make_cpio "$work/root" | runtime_tool /usr/bin/gzip -9n; cat "$KERNEL/modules.cpio.gz"; } > "$stage/initramfs"
  cp "$KERNEL/vmlinuz" "$KERNEL/version" "$stage/"
  discard_work "$work"
}

digest_boot() { # STAGE
  digest_tree "$1"
}
