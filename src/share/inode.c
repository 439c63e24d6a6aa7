#include "share/inode.h"

#include "share/fuse.h"
#include "share/pin.h"
#include "share/shard.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/*
 * What the guest knows is found by its id, and by its key: share, device, number and time of birth, so a file that the
 * host makes with the number of one that it removed is another inode. Both tables are split into shards by the key; an
 * id tells its shard. Ids are never given twice, so whatever the guest sends as one finds an inode or nothing.
 *
 * An inode needs no descriptor: it has the folder and the name where it was seen last, and opens itself from there when
 * somebody needs to work with it (pin.c); if there is something else by then, it is stale.
 *
 * References: an inode lives while the guest counts lookups of it or anybody holds a reference; children hold one on
 * their folder. Only who holds one already may take another without the lock of the shard. No lock of a shard is taken
 * while another one is held.
 */
#define CHECK_DEPTH_LIMIT 65536 /* folders around an inode */

int inodes_new(struct inodes **ret, uint64_t base, unsigned descriptors, struct annex_error **err)
{
	struct inodes *inodes = calloc(1, sizeof(*inodes));

	if (!inodes)
		return fail_memory(err);
	for (size_t i = 0; i < INODE_SHARDS; i++) {
		pthread_mutex_init(&inodes->shards[i].lock, NULL);
		inodes->shards[i].inodes = inodes;
		inodes->shards[i].idle_limit = descriptors / INODE_SHARDS;
	}
	pthread_mutex_init(&inodes->devices_lock, NULL);
	inodes->base = base;
	inodes->root = (struct inode){.id = INODE_ROOT, .refs = 1, .type = S_IFDIR, .fd = -EBADF};
	*ret = inodes;
	return 0;
}

void inodes_free(struct inodes *inodes)
{
	if (!inodes)
		return;
	inodes_forget_all(inodes);
	for (size_t i = 0; i < INODE_SHARDS; i++) {
		assert(inodes->shards[i].by_id.count == 0);
		table_clear(&inodes->shards[i].by_id);
		table_clear(&inodes->shards[i].by_key);
		pthread_mutex_destroy(&inodes->shards[i].lock);
	}
	pthread_mutex_destroy(&inodes->devices_lock);
	free(inodes);
}

/* 255 devices get numbers of their own; what is beyond shares one, by its name only. */
uint64_t inodes_number(struct inodes *inodes, uint64_t dev, uint64_t ino)
{
	unsigned count = atomic_load(&inodes->device_count), i = 0;

	while (i < count && inodes->devices[i] != dev)
		i++;
	if (i == count && i < DEVICES_LIMIT) {
		pthread_mutex_lock(&inodes->devices_lock);
		while (i < inodes->device_count && inodes->devices[i] != dev)
			i++;
		if (i == inodes->device_count && i < DEVICES_LIMIT) {
			inodes->devices[i] = dev;
			atomic_store(&inodes->device_count, i + 1);
		}
		pthread_mutex_unlock(&inodes->devices_lock);
	}
	return ino ^ (uint64_t)i << 56 ^ inodes->base;
}

static uint64_t key_hash(const struct share *share, const struct inode_key *key)
{
	return table_hash(table_hash(table_hash(share->id, key->dev), key->ino), key->born);
}

static struct inode_key key_of(const struct statx *stx)
{
	return (struct inode_key){
		.dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.ino = stx->stx_ino,
		.born = stx->stx_mask & STATX_BTIME
				? (uint64_t)stx->stx_btime.tv_sec * 1000000000 + stx->stx_btime.tv_nsec
				: 0,
	};
}

const struct mask *inode_mask(const struct share *share, const struct statx *stx)
{
	struct inode_key key = key_of(stx);

	return masks_known(share->masks, key.dev, key.ino, key.born);
}

bool inode_is(const struct inode *inode, const struct statx *stx)
{
	struct inode_key key = key_of(stx);

	return inode->key.dev == key.dev && inode->key.ino == key.ino && inode->key.born == key.born &&
	       inode->type == (stx->stx_mode & S_IFMT);
}

/* --- references --- */

struct inode *inode_ref(struct inode *inode)
{
	atomic_fetch_add(&inode->refs, 1);
	return inode;
}

/* Takes it out of the tables when nobody needs it any more; the caller frees it, without the lock. */
static bool retire(struct inode *inode)
{
	if (inode->refs > 0 || inode->lookups > 0)
		return false;
	pin_idle_leave(inode);
	table_remove(&inode->shard->by_id, &inode->by_id);
	table_remove(&inode->shard->by_key, &inode->by_key);
	return true;
}

static void dispose(struct inode *inode)
{
	while (inode) {
		struct inode *parent = inode->parent;
		bool last = false;

		cleanup_close(&inode->fd);
		for (struct lock_owner *owner = inode->lock_owners, *next; owner; owner = next) {
			next = owner->next;
			cleanup_close(&owner->fd);
			free(owner);
		}
		share_unref(inode->share);
		free(inode->name);
		free(inode);
		if (parent && parent->shard) {
			pthread_mutex_lock(&parent->shard->lock);
			atomic_fetch_sub(&parent->refs, 1);
			last = retire(parent);
			pthread_mutex_unlock(&parent->shard->lock);
		}
		inode = last ? parent : NULL;
	}
}

void inode_put(struct inode *inode)
{
	bool last;

	if (!inode || !inode->shard)
		return;
	pthread_mutex_lock(&inode->shard->lock);
	atomic_fetch_sub(&inode->refs, 1);
	last = retire(inode);
	pthread_mutex_unlock(&inode->shard->lock);
	if (last)
		dispose(inode);
}

static struct inode_shard *shard_of(struct inodes *inodes, uint64_t id)
{
	return &inodes->shards[id & (INODE_SHARDS - 1)];
}

/* With the lock. */
static struct inode *by_id(const struct inode_shard *shard, uint64_t id)
{
	struct table_entry *entry = table_find(&shard->by_id, table_hash(0, id));

	while (entry && TABLE_OWNER(entry, struct inode, by_id)->id != id)
		entry = table_next(entry);
	return entry ? TABLE_OWNER(entry, struct inode, by_id) : NULL;
}

struct inode *inode_get(struct inodes *inodes, uint64_t id)
{
	struct inode_shard *shard = shard_of(inodes, id);
	struct inode *inode;

	if (id == INODE_ROOT)
		return &inodes->root;
	pthread_mutex_lock(&shard->lock);
	inode = by_id(shard, id);
	/* What lives only by its children is nothing that the guest may name. */
	if (inode && inode->lookups == 0)
		inode = NULL;
	if (inode)
		inode_ref(inode);
	pthread_mutex_unlock(&shard->lock);
	return inode;
}

int inode_missing(const struct inodes *inodes, uint64_t id)
{
	return (id ^ inodes->base) >> FUSE_NUMBER_SHIFT && id != INODE_ROOT ? -EXDEV : -ESTALE;
}

void inode_forget(struct inodes *inodes, uint64_t id, uint64_t lookups)
{
	struct inode_shard *shard = shard_of(inodes, id);
	struct inode *inode;
	bool last = false;

	if (id == INODE_ROOT)
		return;
	pthread_mutex_lock(&shard->lock);
	inode = by_id(shard, id);
	if (inode) {
		inode->lookups -= lookups < inode->lookups ? lookups : inode->lookups;
		last = retire(inode);
	}
	pthread_mutex_unlock(&shard->lock);
	if (last)
		dispose(inode);
}

/* With the lock: what the inode's place was before goes into the parameters. */
static void set_place(struct inode *inode, struct inode **parent, char **name)
{
	struct inode *old_parent = inode->parent;
	char *old_name = inode->name;

	inode->parent = *parent;
	inode->name = *name;
	*parent = old_parent;
	*name = old_name;
}

static void inode_forget_fully(struct table_entry *entry, void *data)
{
	struct inode ***next = data;
	struct inode *inode = TABLE_OWNER(entry, struct inode, by_id);

	inode->lookups = 0;
	*(*next)++ = inode_ref(inode);
}

/* Folders that the host moved into each other while the guest looked may hold on to each other. */
static void lose_place(struct inode *inode)
{
	auto_free char *name = NULL;
	auto_inode struct inode *parent = NULL;

	pthread_mutex_lock(&inode->shard->lock);
	set_place(inode, &parent, &name);
	pthread_mutex_unlock(&inode->shard->lock);
}

void inodes_forget_all(struct inodes *inodes)
{
	for (size_t i = 0; i < INODE_SHARDS; i++) {
		struct inode_shard *shard = &inodes->shards[i];
		auto_free struct inode **all = NULL;
		struct inode **next;

		pthread_mutex_lock(&shard->lock);
		all = calloc(shard->by_id.count + 1, sizeof(struct inode *));
		next = all;
		if (all)
			table_each(&shard->by_id, inode_forget_fully, &next);
		pthread_mutex_unlock(&shard->lock);
		while (next > all) {
			lose_place(*--next);
			inode_put(*next);
		}
	}
}

/* --- finding and making --- */

/* With the lock. */
static struct inode *by_key(const struct inode_shard *shard, const struct share *share, const struct inode_key *key,
			    mode_t type)
{
	struct table_entry *entry = table_find(&shard->by_key, key_hash(share, key));

	for (; entry; entry = table_next(entry)) {
		struct inode *inode = TABLE_OWNER(entry, struct inode, by_key);

		if (inode->share == share && inode->key.dev == key->dev && inode->key.ino == key->ino &&
		    inode->key.born == key->born && inode->type == type)
			return inode;
	}
	return NULL;
}

static struct inode_shard *shard_of_key(struct inodes *inodes, const struct share *share, const struct inode_key *key)
{
	return &inodes->shards[key_hash(share, key) >> 32 & (INODE_SHARDS - 1)];
}

struct inode *inode_known(struct inodes *inodes, const struct share *share, const struct statx *stx)
{
	struct inode_key key = key_of(stx);
	struct inode_shard *shard = shard_of_key(inodes, share, &key);
	struct inode *inode;

	pthread_mutex_lock(&shard->lock);
	inode = by_key(shard, share, &key, stx->stx_mode & S_IFMT);
	if (inode)
		inode_ref(inode);
	pthread_mutex_unlock(&shard->lock);
	return inode;
}

static struct inode *inode_made(struct inode_shard *shard, struct inodes *inodes, const struct inode_seen *seen)
{
	struct inode *inode = shard->by_id.count < INODES_LIMIT / INODE_SHARDS ? calloc(1, sizeof(*inode)) : NULL;

	if (!inode)
		return NULL;
	inode->shard = shard;
	inode->id = inodes->base | (++shard->last * INODE_SHARDS + (uint64_t)(shard - inodes->shards));
	inode->key = key_of(seen->stx);
	inode->type = seen->stx->stx_mode & S_IFMT;
	inode->top = !seen->parent;
	inode->checked = seen->parent ? atomic_load(&seen->parent->checked) : 0;
	inode->may_have_privileges = true;
	inode->fd = -EBADF;
	inode->share = share_ref(seen->share);
	if (table_add(&shard->by_id, &inode->by_id, table_hash(0, inode->id)) < 0)
		goto no_memory;
	if (table_add(&shard->by_key, &inode->by_key, key_hash(seen->share, &inode->key)) == 0)
		return inode;
	table_remove(&shard->by_id, &inode->by_id);
no_memory:
	share_unref(inode->share);
	free(inode);
	return NULL;
}

static bool has_place(const struct inode *inode, const struct inode *parent, const char *name)
{
	return inode->parent == parent && inode->name && name && strcmp(inode->name, name) == 0;
}

/* With the lock: a descriptor that came along. What is left in *fd is for the caller to close. */
static void set_descriptor(struct inode *inode, int *fd, bool keep)
{
	if (*fd < 0 || inode->share->removed)
		return;
	if (inode->fd < 0)
		inode->fd = TAKE_FD(*fd);
	if (keep) {
		pin_idle_leave(inode);
		inode->kept = true;
	}
}

int inode_enter(struct inode **ret, struct inodes *inodes, struct inode_seen *seen)
{
	struct inode_key key = key_of(seen->stx);
	struct inode_shard *shard = shard_of_key(inodes, seen->share, &key);
	auto_free char *name = seen->name ? strdup(seen->name) : NULL;
	auto_inode struct inode *parent = seen->parent ? inode_ref(seen->parent) : NULL;
	auto_close int fd = TAKE_FD(seen->fd), too_many = -EBADF;
	struct inode *inode;

	if (seen->name && !name)
		return -ENOMEM;
	pthread_mutex_lock(&shard->lock);
	inode = by_key(shard, seen->share, &key, seen->stx->stx_mode & S_IFMT);
	if (!inode)
		inode = inode_made(shard, inodes, seen);
	if (inode) {
		inode_ref(inode);
		inode->lookups += seen->lookups;
		set_descriptor(inode, &fd, !seen->parent);
		if (seen->parent && !has_place(inode, parent, name))
			set_place(inode, &parent, &name);
		/* Once on the way to something hidden, always: whichever way it was reached. */
		if (seen->mask)
			atomic_store(&inode->mask, seen->mask);
		too_many = pin_idle_enter(inode);
	}
	pthread_mutex_unlock(&shard->lock);
	if (!inode)
		return -ENOMEM;
	*ret = inode;
	return 0;
}

void inode_moved(struct inode *inode, struct inode *parent, const char *name)
{
	auto_free char *copy = strdup(name);
	auto_inode struct inode *reference = inode_ref(parent);

	if (!copy)
		return; /* it is stale from now on, unless it is open */
	pthread_mutex_lock(&inode->shard->lock);
	set_place(inode, &reference, &copy);
	pthread_mutex_unlock(&inode->shard->lock);
}

void inode_place(struct inode *inode, struct inode **ret_parent, char ret_name[NAME_MAX + 1])
{
	pthread_mutex_lock(&inode->shard->lock);
	*ret_parent = inode->parent ? inode_ref(inode->parent) : NULL;
	snprintf(ret_name, NAME_MAX + 1, "%s", inode->name ? inode->name : "");
	pthread_mutex_unlock(&inode->shard->lock);
}

/* --- what became hidden --- */

static const struct mask *mask_of(const struct inode *inode)
{
	return masks_known(inode->share->masks, inode->key.dev, inode->key.ino, inode->key.born);
}

/* A reference, or NULL. */
static struct inode *parent_of(struct inode *inode)
{
	struct inode *parent;

	pthread_mutex_lock(&inode->shard->lock);
	parent = inode->parent ? inode_ref(inode->parent) : NULL;
	pthread_mutex_unlock(&inode->shard->lock);
	return parent;
}

/* By the folders where it and they were seen last; looked at again only when more is hidden. */
static bool lies_in_hidden(struct inode *inode)
{
	uint64_t hidden = masks_hidden(inode->share->masks);
	struct inode *at;
	bool found = false;

	if (atomic_load(&inode->checked) == hidden)
		return false;
	at = parent_of(inode);
	for (unsigned depth = 0; at && !found; depth++) {
		struct inode *parent = parent_of(at);

		/* Folders may hold on to each other: see lose_place(). */
		found = mask_hides(mask_of(at)) || depth == CHECK_DEPTH_LIMIT;
		inode_put(at);
		at = parent;
	}
	inode_put(at);
	if (!found)
		atomic_store(&inode->checked, hidden);
	return found;
}

int inode_check(struct inode *inode)
{
	const struct mask *mask;

	if (inode->share->removed)
		return -ESTALE;
	if (!inode->share->masks)
		return 0;
	mask = mask_of(inode);
	if (mask_hides(mask) || lies_in_hidden(inode))
		return -ESTALE;
	if (mask && inode->type == S_IFDIR && !atomic_load(&inode->mask))
		atomic_store(&inode->mask, mask);
	return 0;
}

void inode_lock_shard(struct inode *inode)
{
	pthread_mutex_lock(&inode->shard->lock);
}

void inode_unlock_shard(struct inode *inode)
{
	pthread_mutex_unlock(&inode->shard->lock);
}
