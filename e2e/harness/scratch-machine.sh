#!/bin/sh
# Makes a scratch copy of this machine: its files, with all changes kept in memory, and no Mags installed. Prints the
# folder that holds the copy, in `root`, and what was written to it, in `upper*`; then waits for the end of its input.
# Run in a mount and pid namespace of its own, so that all ends with it.
#   scratch-machine.sh FOLDER...     folders that the copy must have, whatever file systems they are on
set -eu
top=$(mktemp -d)
mount -t tmpfs tmpfs "$top"

overlay() { # FOLDER NAME
  mkdir "$top/upper$2" "$top/work$2"
  mount -t overlay -o "lowerdir=$1,upperdir=$top/upper$2,workdir=$top/work$2" overlay "$top/root$1"
}

mkdir "$top/root"
overlay / ""
number=0
for mounted in $(for folder; do findmnt -no TARGET -T "$folder"; done | sort -u); do
  [ "$mounted" = / ] && continue
  number=$((number + 1))
  overlay "$mounted" "$number"
done
for folder in dev sys run; do mount --rbind "/$folder" "$top/root/$folder"; done
# A systemd of this machine is not the copy's: what is installed there must not talk to it.
if [ -d "$top/root/run/systemd" ]; then mount -t tmpfs tmpfs "$top/root/run/systemd"; fi
mount -t proc proc "$top/root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$top/root/tmp"
rm -rf "$top/root/opt/mags" "$top/root/etc/mags" "$top/root/var/lib/mags" "$top/root/root/.mags"
rm -f "$top/root/usr/local/bin/mags" "$top/root/usr/local/bin/magsd"
echo "$top"
cat > /dev/null
