#pragma once
#include "share/pin.h"

/* Where an object of the host can be looked at: itself, by its descriptor, or by its name in a folder. */
struct spot {
	struct pin pin;
	int fd;
	bool opened;             /* not by O_PATH only */
	bool entered;            /* the folder is the thread's working folder */
	char name[NAME_MAX + 1]; /* "": `fd` itself */
};
#define auto_spot CLEANUP(cleanup_spot)
static inline void cleanup_spot(struct spot *spot)
{
	cleanup_pin(&spot->pin);
}

/* Looks at the inode without opening it if that can be helped. -errno; -ESTALE when it is no longer there. */
MUST_USE int spot_of(struct spot *spot, struct inode *inode, struct statx *ret);
MUST_USE int spot_stat(const struct spot *spot, struct statx *ret);

/* Opens what an O_PATH descriptor stands for, and how it is called. */
MUST_USE int descriptor_open(int fd, int flags);
#define DESCRIPTOR_PATH 32
const char *descriptor_path(char path[DESCRIPTOR_PATH], int fd);
/* Opens a file or a folder anew; creates and truncates nothing. -errno. `borrow`: also what its mode closes to its
 * owner, if that is the server's user, as root in the guest may. */
MUST_USE int spot_open(struct inode *inode, int flags, bool borrow);

/* The same for a folder while something is done in it: opens it to its owner, and back. Borrowers wait for each other.
 */
struct borrowed {
	struct pin pin;
	mode_t mode; /* to give back; 0: nothing was borrowed */
};
void spot_borrow(struct borrowed *borrowed, struct inode *folder);
void spot_give_back(struct borrowed *borrowed);
