#include "share/handle.h"

#include "share/spot.h"

#include <fcntl.h>
#include <unistd.h>

/*
 * Ids are never given twice; an id tells its shard. A handle holds on to its inode.
 *
 * The guest may have more files open than the server may have descriptors. So a shard that holds more than its part of
 * them closes some that nobody uses just now, those first that were not used for long: each has a second chance when it
 * is looked at. They are opened anew when they are needed, by the inode. Only the table has a reference to a handle
 * that nobody uses, and who holds the shard's lock for writing knows that it stays so. Exempt are folders, whose place
 * in reading is the descriptor's, and what holds a lock.
 */
#define LOOKS_LIMIT 32 /* at handles, in search of one to close */
#define MADE_ROOM   2  /* descriptors that go when one comes */

struct handle_shard {
	pthread_rwlock_t lock;
	struct table table;
	struct handle *newest, *oldest;
	unsigned listed;
};

struct handles {
	struct handle_shard shards[HANDLE_SHARDS];
	_Atomic(uint64_t) last;
	_Atomic(unsigned) count;
	_Atomic(unsigned) readers;
	unsigned shard_limit; /* of descriptors */
};

/* With the shard's lock for writing, like what follows. */
static void leave_list(struct handle_shard *shard, struct handle *handle)
{
	if (!handle->listed)
		return;
	*(handle->newer ? &handle->newer->older : &shard->newest) = handle->older;
	*(handle->older ? &handle->older->newer : &shard->oldest) = handle->newer;
	handle->newer = handle->older = NULL;
	handle->listed = false;
	shard->listed--;
}

static void enter_list(struct handle_shard *shard, struct handle *handle)
{
	if (handle->flags & O_DIRECTORY)
		return;
	handle->older = shard->newest;
	*(shard->newest ? &shard->newest->newer : &shard->oldest) = handle;
	shard->newest = handle;
	handle->listed = true;
	shard->listed++;
}

/* Descriptors for the caller to close, without the lock; the others are negative. */
struct made_room {
	int fds[MADE_ROOM];
};

static void make_room(struct made_room *ret, const struct handles *handles, struct handle_shard *shard)
{
	size_t count = 0;

	for (size_t i = 0; i < MADE_ROOM; i++)
		ret->fds[i] = -EBADF;
	for (unsigned looks = 0; looks < LOOKS_LIMIT && count < MADE_ROOM && shard->listed > handles->shard_limit;
	     looks++) {
		struct handle *oldest = shard->oldest;
		bool used = atomic_exchange(&oldest->used, false);

		leave_list(shard, oldest);
		if (used || oldest->locked || oldest->refs > 1)
			enter_list(shard, oldest);
		else
			ret->fds[count++] = atomic_exchange(&oldest->fd, -EBADF);
	}
}

static void close_made_room(struct made_room *room)
{
	for (size_t i = 0; i < MADE_ROOM; i++)
		cleanup_close(&room->fds[i]);
}

int handles_new(struct handles **ret, unsigned descriptors, struct annex_error **err)
{
	struct handles *handles = calloc(1, sizeof(*handles));

	if (!handles)
		return fail_memory(err);
	for (size_t i = 0; i < HANDLE_SHARDS; i++)
		pthread_rwlock_init(&handles->shards[i].lock, NULL);
	handles->shard_limit = descriptors / HANDLE_SHARDS + 1;
	*ret = handles;
	return 0;
}

void handles_close_all(struct handles *handles)
{
	for (size_t i = 0; i < HANDLE_SHARDS; i++) {
		struct handle_shard *shard = &handles->shards[i];
		struct table_entry *entry;

		for (;;) {
			pthread_rwlock_wrlock(&shard->lock);
			entry = table_any(&shard->table);
			if (entry) {
				table_remove(&shard->table, entry);
				leave_list(shard, TABLE_OWNER(entry, struct handle, by_id));
			}
			pthread_rwlock_unlock(&shard->lock);
			if (!entry)
				break;
			atomic_fetch_sub(&handles->count, 1);
			handle_put(TABLE_OWNER(entry, struct handle, by_id));
		}
	}
}

static void close_one(struct table_entry *entry, void *data)
{
	const struct handle *handle = TABLE_OWNER(entry, struct handle, by_id);
	const struct share *share = data;

	if (handle->inode->share == share)
		share_close(share, handle->fd);
}

void handles_close_share(struct handles *handles, const struct share *share)
{
	for (size_t i = 0; i < HANDLE_SHARDS; i++) {
		struct handle_shard *shard = &handles->shards[i];

		pthread_rwlock_wrlock(&shard->lock);
		table_each(&shard->table, close_one, (void *)share);
		pthread_rwlock_unlock(&shard->lock);
	}
}

void handles_free(struct handles *handles)
{
	if (!handles)
		return;
	handles_close_all(handles);
	for (size_t i = 0; i < HANDLE_SHARDS; i++) {
		table_clear(&handles->shards[i].table);
		pthread_rwlock_destroy(&handles->shards[i].lock);
	}
	free(handles);
}

static struct handle_shard *shard_of(struct handles *handles, uint64_t id)
{
	return &handles->shards[id & (HANDLE_SHARDS - 1)];
}

int handle_add(uint64_t *ret_id, struct handles *handles, struct inode *inode, int fd, int flags)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	struct handle_shard *shard;
	struct made_room room;
	int result;

	if (!handle)
		return -ENOMEM;
	if (atomic_fetch_add(&handles->count, 1) >= HANDLES_LIMIT) {
		atomic_fetch_sub(&handles->count, 1);
		free(handle);
		return -ENFILE;
	}
	*handle = (struct handle){
		.id = atomic_fetch_add(&handles->last, 1) + 1, .refs = 1, .fd = fd, .flags = flags, .handles = handles};
	pthread_mutex_init(&handle->lock, NULL);
	handle->inode = inode_ref(inode);
	shard = shard_of(handles, handle->id);
	pthread_rwlock_wrlock(&shard->lock);
	/* What comes too late for handles_close_share() is not taken. */
	result = inode->share && inode->share->removed
			 ? -ESTALE
			 : table_add(&shard->table, &handle->by_id, table_hash(0, handle->id));
	*ret_id = handle->id;
	if (result == 0)
		enter_list(shard, handle);
	make_room(&room, handles, shard);
	pthread_rwlock_unlock(&shard->lock);
	close_made_room(&room);
	if (result < 0) {
		handle->fd = -EBADF; /* still the caller's */
		handle_put(handle);
		atomic_fetch_sub(&handles->count, 1);
	}
	return result;
}

/* With the lock. */
static struct handle *find(const struct handle_shard *shard, uint64_t id, const struct inode *inode)
{
	struct table_entry *entry = table_find(&shard->table, table_hash(0, id));
	struct handle *handle;

	for (; entry; entry = table_next(entry)) {
		handle = TABLE_OWNER(entry, struct handle, by_id);
		if (handle->id == id)
			return handle->inode == inode ? handle : NULL;
	}
	return NULL;
}

struct handle *handle_get(struct handles *handles, uint64_t id, const struct inode *inode)
{
	struct handle_shard *shard = shard_of(handles, id);
	struct handle *handle;

	pthread_rwlock_rdlock(&shard->lock);
	handle = find(shard, id, inode);
	if (handle) {
		atomic_fetch_add(&handle->refs, 1);
		atomic_store(&handle->used, true);
	}
	pthread_rwlock_unlock(&shard->lock);
	return handle;
}

/* What comes too late for handles_close_share() is not taken; nor is it listed when it was released meanwhile. */
static int take_back(struct handle *handle, int *fd)
{
	struct handle_shard *shard = shard_of(handle->handles, handle->id);
	struct made_room room;
	int result = -ESTALE;

	pthread_rwlock_wrlock(&shard->lock);
	if (!handle->inode->share->removed) {
		handle->fd = result = TAKE_FD(*fd);
		if (find(shard, handle->id, handle->inode) == handle)
			enter_list(shard, handle);
	}
	make_room(&room, handle->handles, shard);
	pthread_rwlock_unlock(&shard->lock);
	close_made_room(&room);
	return result;
}

/* Who may open it has been asked when the guest did. */
int handle_open(struct handle *handle)
{
	auto_close int fd = -EBADF;
	int result = handle->fd;

	if (result >= 0 || handle->flags & O_DIRECTORY)
		return result;
	pthread_mutex_lock(&handle->lock);
	result = handle->fd;
	if (result < 0) {
		fd = spot_open(handle->inode, handle->flags, true);
		result = fd < 0 ? fd : take_back(handle, &fd);
	}
	pthread_mutex_unlock(&handle->lock);
	return result;
}

struct handle *handle_release(struct handles *handles, uint64_t id, const struct inode *inode)
{
	struct handle_shard *shard = shard_of(handles, id);
	struct handle *handle;

	pthread_rwlock_wrlock(&shard->lock);
	handle = find(shard, id, inode);
	if (handle) {
		table_remove(&shard->table, &handle->by_id);
		leave_list(shard, handle);
	}
	pthread_rwlock_unlock(&shard->lock);
	if (handle)
		atomic_fetch_sub(&handles->count, 1);
	return handle;
}

bool handle_may_keep_reader(struct handle *handle)
{
	if (handle->keeps_reader)
		return true;
	handle->keeps_reader = atomic_fetch_add(&handle->handles->readers, 1) < READERS_LIMIT;
	if (!handle->keeps_reader)
		atomic_fetch_sub(&handle->handles->readers, 1);
	return handle->keeps_reader;
}

void handle_drop_reader(struct handle *handle)
{
	free(handle->reader);
	handle->reader = NULL;
	if (handle->keeps_reader)
		atomic_fetch_sub(&handle->handles->readers, 1);
	handle->keeps_reader = false;
}

void handle_put(struct handle *handle)
{
	if (!handle || atomic_fetch_sub(&handle->refs, 1) != 1)
		return;
	if (handle->fd >= 0)
		close(handle->fd);
	handle_drop_reader(handle);
	inode_put(handle->inode);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
}
