#include "share/handle.h"

/* Ids are never given twice; an id tells its shard. A handle holds on to its inode. */
struct handle_shard {
	pthread_rwlock_t lock;
	struct table table;
};

struct handles {
	struct handle_shard shards[HANDLE_SHARDS];
	_Atomic(uint64_t) last;
	_Atomic(unsigned) count;
	_Atomic(unsigned) readers;
};

int handles_new(struct handles **ret, struct annex_error **err)
{
	struct handles *handles = calloc(1, sizeof(*handles));

	if (!handles)
		return fail_memory(err);
	for (size_t i = 0; i < HANDLE_SHARDS; i++)
		pthread_rwlock_init(&handles->shards[i].lock, NULL);
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
			if (entry)
				table_remove(&shard->table, entry);
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

int handle_add(uint64_t *ret_id, struct handles *handles, struct inode *inode, int fd, bool append)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	struct handle_shard *shard;
	int result;

	if (!handle)
		return -ENOMEM;
	if (atomic_fetch_add(&handles->count, 1) >= HANDLES_LIMIT) {
		atomic_fetch_sub(&handles->count, 1);
		free(handle);
		return -ENFILE;
	}
	*handle = (struct handle){.id = atomic_fetch_add(&handles->last, 1) + 1,
				  .refs = 1,
				  .fd = fd,
				  .append = append,
				  .handles = handles};
	pthread_mutex_init(&handle->lock, NULL);
	handle->inode = inode_ref(inode);
	shard = shard_of(handles, handle->id);
	pthread_rwlock_wrlock(&shard->lock);
	/* What comes too late for handles_close_share() is not taken. */
	result = inode->share && inode->share->removed
			 ? -ESTALE
			 : table_add(&shard->table, &handle->by_id, table_hash(0, handle->id));
	*ret_id = handle->id;
	pthread_rwlock_unlock(&shard->lock);
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
	if (handle)
		atomic_fetch_add(&handle->refs, 1);
	pthread_rwlock_unlock(&shard->lock);
	return handle;
}

struct handle *handle_release(struct handles *handles, uint64_t id, const struct inode *inode)
{
	struct handle_shard *shard = shard_of(handles, id);
	struct handle *handle;

	pthread_rwlock_wrlock(&shard->lock);
	handle = find(shard, id, inode);
	if (handle)
		table_remove(&shard->table, &handle->by_id);
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
	cleanup_close(&handle->fd);
	handle_drop_reader(handle);
	inode_put(handle->inode);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
}
