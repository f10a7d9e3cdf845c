/* What the agent does as /init, before it serves. */
#ifndef BOOT_H
#define BOOT_H

struct agent;

#define SLOT_DEVICE "/dev/vdb"
#define SLOT_SIZE_FILE "/sys/block/vdb/size"
#define SLOT_STAT_FILE "/sys/block/vdb/stat"
#define BASE_DIR "/base"
/*
 * Files over every image: those of the operator, who put them into the initramfs, and for the rest those of the agent
 * (resolv.conf, hosts, links of the identity). One layer, since each costs time at every lookup.
 */
#define LAYER_DIR "/operator"
#define UPPER_MOUNT "/rw"
#define NEW_ROOT "/new"

/* Mounts, modules, base image, network. Returns the descriptors of the two ports. */
void boot_init(int *control, int *bulk);

/* One line on the console; the agent goes on. */
void warn(const char *what, int error);

#endif
