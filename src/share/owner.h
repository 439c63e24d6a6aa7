#pragma once
#include "share/spot.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Whose the guest sees a file to be, and what an unprivileged server cannot say of it to its host. */
#define OWNER_ATTRIBUTE      "user.annex.owner"    /* UID:GID:MODE:DEVICE, of a file of the server's user */
#define OWNER_ATTRIBUTE_ROOT "trusted.annex.owner" /* the same, of a server that runs as root */
#define OWNER_RECORD_LIMIT   64                    /* bytes */
#define OWNER_UNKNOWN        65534                 /* who would look like the machine's user, and is not */

struct owners {
	bool real;      /* the server may give files away: runs as root */
	uid_t self;     /* its user */
	uid_t host_uid; /* the host's user, who is */
	gid_t host_gid;
	uid_t guest_uid; /* this one of the guest, and the other way round */
	gid_t guest_gid;
};

struct owner {
	uint32_t uid, gid;
	uint32_t mode;   /* with the type */
	uint32_t device; /* as FUSE writes it */
};

/* For a server that runs as the calling user. */
struct owners owners_here(uid_t guest_uid, gid_t guest_gid);
/* Whether an id means the same on both sides. */
bool owners_same(const struct owners *owners);

/* Whose it is. The record, if there is one, is read from where `spot` is; false if there is none, for then it is as
 * owner_native() says. */
struct owner owner_native(const struct owners *owners, const struct statx *stx);
bool owner_show(const struct owners *owners, struct owner *ret, const struct spot *spot, const struct statx *stx);
/* Makes it so: *want instead of what the host and the record say now; `recorded`: whether there is a record, as
 * owner_show() says. `fd` is the object's own. 1: there is a record now; 0: there is none; -EPERM where that can't be
 * kept; of a symbolic link it is let be. */
MUST_USE int owner_set(const struct owners *owners, int fd, const struct statx *stx, const struct owner *want,
		       bool recorded);
/* Mode bits for the host's object when it is made. */
mode_t owner_host_mode(uint32_t mode);
/* Whether the guest may not see this extended attribute. */
bool owner_hides(const char *attribute);

/* A record as text and back; false if it is none. */
int owner_format(char text[OWNER_RECORD_LIMIT], const struct owner *owner);
bool owner_parse(struct owner *ret, const char *text);
