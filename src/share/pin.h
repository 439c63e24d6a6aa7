#pragma once
#include "share/inode.h"

/* Descriptors of inodes: O_PATH, opened when they are needed. */
#define PIN_DEPTH_LIMIT 2048 /* how far below its share a folder may lie whose way must be found anew */

/* A descriptor that stays until it is let go of; -errno, -ESTALE if the host has no longer what it was. */
struct pin {
	struct inode *inode;
	int fd;
};
MUST_USE int pin_take(struct pin *pin, struct inode *inode);
void pin_let_go(struct inode *inode);
static inline void cleanup_pin(struct pin *pin)
{
	if (pin->inode)
		pin_let_go(pin->inode);
}
#define auto_pin CLEANUP(cleanup_pin)

/* Its name is about to go: holds on to it by a descriptor; or the name is still there after all. */
void pin_keep(struct inode *inode);
void pin_unkeep(struct inode *inode);

bool pin_is_open(struct inode *inode);
/* Closes what is open and not in use, when descriptors have run out. */
void pin_make_room(struct inode *inode);
/* A new descriptor that is to stay, taken: it or another one. -EMFILE when what is left is kept for requests under way
 * and for what the front end and the supervisor send. Errors pass. */
#define PIN_DESCRIPTORS_LEFT 64
MUST_USE int pin_settle(int fd, struct inode *inode);
/* Lets go of the host's files of a share that was removed, even of what is in use: see share_close(). */
void pin_close_share(struct inodes *inodes, const struct share *share);
