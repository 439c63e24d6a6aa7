#pragma once
#include "guest/userdb.h"

/* How many ids of its own a user's containers get (/etc/subuid, /etc/subgid), and from where on. */
enum { SUBID_COUNT = 65536, SUBID_FIRST = 100000 };

/* Give the user a range in each of the two files, unless it has one: behind all that others have. Pure. */
void subid_add(struct userdb *db, const char *name, uint32_t uid);
