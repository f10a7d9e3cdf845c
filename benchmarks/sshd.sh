#!/bin/sh
# OpenSSH's server in a tree of Debian, with its own users: sshd.sh TREE FOLDER. FOLDER is /mnt there. It ends with this process.
set -eu
tree=$1 folder=$2
mkdir -p "$tree/dev" "$tree/proc" "$tree/run" "$tree/mnt"
mount --rbind /dev "$tree/dev"
mount -t proc proc "$tree/proc"
mount -t tmpfs tmpfs "$tree/run"
mount --bind "$folder" "$tree/mnt"
mkdir "$tree/run/sshd"
printf 'root:x:0:0::/mnt:/bin/sh\nsshd:x:74:65534::/run/sshd:/bin/false\n' > "$folder/passwd"
touch "$tree/etc/passwd"
mount --bind "$folder/passwd" "$tree/etc/passwd"
exec chroot "$tree" /usr/sbin/sshd -D -e -f /mnt/sshd_config
