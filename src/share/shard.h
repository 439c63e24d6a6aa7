#pragma once
#include "share/inode.h"

#include <pthread.h>

/* What inode.c and pin.c share: where inodes are kept. For nobody else. */
struct inode_shard {
	pthread_mutex_t lock;
	struct table by_id, by_key;
	struct inode *newest, *oldest;
	unsigned idle, idle_limit;
	uint64_t last;
	struct inodes *inodes;
};

#define DEVICES_LIMIT 255 /* that have numbers of their own */

struct inodes {
	struct inode_shard shards[INODE_SHARDS];
	struct inode root;
	uint64_t base; /* of ids */
	pthread_mutex_t devices_lock;
	_Atomic(unsigned) device_count;
	_Atomic(uint64_t) devices[DEVICES_LIMIT];
};

/* With the shard's lock: its list of inodes whose descriptors nobody uses. */
void pin_idle_leave(struct inode *inode);
/* What to close, if the shard has too many now: without the lock. */
int pin_idle_enter(struct inode *inode);
