#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The user's home on the machine's disk. All of this runs with the disk as root. */

/* Whether there is something else than what a share was bound to, an empty folder of root's. */
bool home_is_taken(const char *path, uint32_t uid);

/* Make a home that is missing, with what /etc/skel has; all of it or nothing. What of that can't be copied is left out.
 * One that is there is not touched. *ret_made: it was missing. */
MUST_USE int home_make(bool *ret_made, const char *path, uint32_t uid, uint32_t gid, struct annex_error **err);

/* Move a home, unless there is one at its new place, and leave a link in its old one: programs of the image may have
 * been told that. -errno. */
MUST_USE int home_move(const char *from, const char *to);

/* What is a user's and a group's below a folder becomes another's, as usermod -u does it. What fails is left out. */
void home_give(const char *path, const uint32_t from[2], const uint32_t to[2]);
