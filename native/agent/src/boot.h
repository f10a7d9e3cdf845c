/* What the agent does as /init, before it serves. */
#ifndef BOOT_H
#define BOOT_H

struct agent;

#define SLOT_DEVICE "/dev/vdb"
#define SLOT_SIZE_FILE "/sys/block/vdb/size"
#define BASE_DIR "/base"
#define OPERATOR_DIR "/operator"
/* Files that the agent puts over every image: resolv.conf, hosts, links of the identity. */
#define LAYER_DIR "/layer"
#define UPPER_MOUNT "/rw"
#define NEW_ROOT "/new"

/* Mounts, modules, base image, network. Returns the descriptors of the two ports. */
void boot_init(int *control, int *bulk);

/* One line on the console; the agent goes on. */
void warn(const char *what, int error);

#endif
