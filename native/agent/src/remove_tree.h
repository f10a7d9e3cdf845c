/* Removing a file, or a folder with all that is in it. */
#ifndef REMOVE_TREE_H
#define REMOVE_TREE_H

#include <stdbool.h>

/*
 * Follows no link, leaves the file system of `path` nowhere, and stops at the first thing that cannot be removed. However
 * deep and wide the tree is, one folder is open at a time. 0 or an errno, with `*step` what failed.
 */
int remove_tree(char *path, bool recursive, const char **step);

#endif
