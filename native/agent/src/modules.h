#ifndef MODULES_H
#define MODULES_H

/* Loads the kernel modules in /mods in the order of their names, and removes the files: they are memory. */
void modules_load(void);

#endif
