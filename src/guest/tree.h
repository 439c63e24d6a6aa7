#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/* Mounts by descriptor. -errno. */
MUST_USE int tree_clone(const char *path);      /* a mount of what is there, not attached anywhere yet */
MUST_USE int tree_clone_at(int fd);             /* the same of an open folder */
MUST_USE int tree_attach(int tree, int target); /* to where an O_PATH descriptor is */
/* Also of a file system whose server is gone. */
bool tree_is_mount(int fd); /* the top of a mount */
MUST_USE int tree_device(int fd, dev_t *ret);
