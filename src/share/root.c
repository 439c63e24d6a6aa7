#include "share/root.h"

#include "share/spot.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

/*
 * Shares are counted: the root holds one reference, every inode of the share another, so a share that was removed
 * lives until the guest has forgotten what it knew of it. They stand in the order of their ids.
 */
struct root {
	pthread_rwlock_t lock;
	struct share *shares[SHARES_LIMIT];
	size_t count;
	uint64_t last_id;
};

struct share *share_ref(struct share *share)
{
	atomic_fetch_add(&share->refs, 1);
	return share;
}

void share_unref(struct share *share)
{
	if (!share || atomic_fetch_sub(&share->refs, 1) != 1)
		return;
	masks_free(share->masks);
	cleanup_close(&share->fd);
	cleanup_close(&share->nothing);
	free(share->name);
	free(share);
}

/*
 * The number stays taken, so nobody who is about to use it meets another file: what is put there is a device's name,
 * without the right to read or write it, and no folder. A share brings it along, since that must not fail.
 */
void share_close(const struct share *share, int fd)
{
	if (fd >= 0)
		dup3(share->nothing, fd, O_CLOEXEC);
}

int root_new(struct root **ret, struct annex_error **err)
{
	struct root *root = calloc(1, sizeof(*root));

	if (!root)
		return fail_memory(err);
	pthread_rwlock_init(&root->lock, NULL);
	*ret = root;
	return 0;
}

void root_free(struct root *root)
{
	if (!root)
		return;
	for (size_t i = 0; i < root->count; i++)
		share_unref(root->shares[i]);
	pthread_rwlock_destroy(&root->lock);
	free(root);
}

static int share_new(struct share **ret, int fd, const struct share_options *options, struct annex_error **err)
{
	auto_share struct share *share = calloc(1, sizeof(*share));
	struct stat st;

	if (!share)
		return fail_memory(err);
	share->refs = 1;
	share->fd = share->nothing = -EBADF;
	if (fstat(fd, &st) < 0)
		return fail_os(err, errno, "share '%s'", options->name);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "'%s' is neither a folder nor a file", options->name);
	share->fd = descriptor_open(fd, O_PATH);
	if (share->fd < 0)
		return fail_os(err, -share->fd, "share '%s'", options->name);
	share->nothing = open("/dev/null", O_PATH | O_CLOEXEC);
	if (share->nothing < 0)
		return fail_os(err, errno, "/dev/null");
	share->folder = S_ISDIR(st.st_mode);
	share->read_only = options->read_only;
	share->cache = options->cache;
	share->name = strdup(options->name);
	if (!share->name)
		return fail_memory(err);
	if (share->folder && options->masks && *options->masks &&
	    masks_new(&share->masks, options->masks, share->fd, err) < 0)
		return fail_while(err, "share '%s'", options->name);
	*ret = TAKE(share);
	return 0;
}

static size_t index_of(const struct root *root, const char *name)
{
	size_t i = 0;

	while (i < root->count && strcmp(root->shares[i]->name, name) != 0)
		i++;
	return i;
}

static int take_in(struct root *root, struct share *share, struct annex_error **err)
{
	if (index_of(root, share->name) < root->count)
		return fail(err, ANNEX_ERROR_EXISTS, "there is a share '%s' already", share->name);
	if (root->count == SHARES_LIMIT)
		return fail(err, ANNEX_ERROR_USAGE, "a machine has at most %d shares", SHARES_LIMIT);
	share->id = ++root->last_id;
	root->shares[root->count++] = share;
	return 0;
}

int root_add(struct root *root, int fd, const struct share_options *options, struct annex_error **err)
{
	auto_share struct share *share = NULL;
	size_t size = strlen(options->name);
	int result;

	if (size == 0 || size > NAME_MAX || strchr(options->name, '/') || strcmp(options->name, ".") == 0 ||
	    strcmp(options->name, "..") == 0)
		return fail(err, ANNEX_ERROR_USAGE, "'%s' can't be the name of a share", options->name);
	if (share_new(&share, fd, options, err) < 0)
		return -1;
	pthread_rwlock_wrlock(&root->lock);
	result = take_in(root, share, err);
	pthread_rwlock_unlock(&root->lock);
	if (result == 0)
		share = NULL; /* the root's */
	return result;
}

struct share *root_remove(struct root *root, const char *name)
{
	struct share *share = NULL;
	size_t i;

	pthread_rwlock_wrlock(&root->lock);
	i = index_of(root, name);
	if (i < root->count) {
		share = root->shares[i];
		for (root->count--; i < root->count; i++)
			root->shares[i] = root->shares[i + 1];
		atomic_store(&share->removed, true);
	}
	pthread_rwlock_unlock(&root->lock);
	return share;
}

struct share *root_find(struct root *root, const char *name)
{
	struct share *share = NULL;
	size_t i;

	pthread_rwlock_rdlock(&root->lock);
	i = index_of(root, name);
	if (i < root->count)
		share = share_ref(root->shares[i]);
	pthread_rwlock_unlock(&root->lock);
	return share;
}

struct share *root_next(struct root *root, uint64_t id)
{
	struct share *share = NULL;
	size_t i = 0;

	pthread_rwlock_rdlock(&root->lock);
	while (i < root->count && root->shares[i]->id < id)
		i++;
	if (i < root->count)
		share = share_ref(root->shares[i]);
	pthread_rwlock_unlock(&root->lock);
	return share;
}
