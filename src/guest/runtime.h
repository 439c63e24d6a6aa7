#pragma once
#include <stdbool.h>
#include <stdint.h>

/*
 * /run/user/UID, with mode 0700 and the user's: on systemd it is there already for who lingers; else it is made. False
 * when there is something else in its place. `root`: "", or a folder that stands for the machine's root; runs as its
 * root.
 */
#define RUNTIME_PATH_MAX 64u
bool runtime_folder(char ret[RUNTIME_PATH_MAX], const char *root, uint32_t uid, uint32_t gid);
/* Whether the user's D-Bus listens in there, at "bus". */
bool runtime_has_bus(const char *root, const char *folder);
