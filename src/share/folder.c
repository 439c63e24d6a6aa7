#include "share/folder.h"

#include "share/entry.h"
#include "share/thread.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * What the host's kernel gives of a folder stays in the handle's buffer, so that several short reads of the guest need
 * one of the host. The guest's offsets are the host's: the place behind each entry. A read from elsewhere than where
 * the last one ended seeks.
 */
#define BUFFER_SIZE  32768
#define SEARCHES_FEW 8

struct reader {
	size_t size, at;
	int64_t offset; /* of what lies at `at` */
	char buffer[BUFFER_SIZE] __attribute__((aligned(8)));
};

/*
 * A listing that the guest keeps holds names only. Who looks at the entries too would have to ask for each one then,
 * and reads anew instead, which tells all of them with the names. And most folders are read once: to keep what nobody
 * reads again costs the guest time, so that is done only from the second time on.
 */
static bool may_keep_listing(struct inode *folder, int fd)
{
	bool unchanged = entry_is_unchanged(folder, fd);

	if (folder->share->cache == SHARE_CACHE_ALWAYS)
		return true;
	if (atomic_load(&folder->searched) > SEARCHES_FEW)
		return false;
	atomic_store(&folder->searched, 0);
	return unchanged;
}

int folder_open(struct call *call)
{
	struct fuse_open_out out = {0};
	auto_close int fd = -EBADF;
	int result;

	if (call->inode->type != S_IFDIR)
		return -ENOTDIR;
	if (call->inode->share) {
		fd = spot_open(call->inode, O_RDONLY | O_DIRECTORY, call_is_root(call));
		if (fd < 0)
			return fd;
		if (may_keep_listing(call->inode, fd))
			out.open_flags = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
	}
	result = handle_add(&out.fh, call->handles, call->inode, fd, O_DIRECTORY);
	if (result < 0)
		return result;
	fd = -EBADF; /* the handle's */
	result = call_reply(call, &out, sizeof(out));
	if (result < 0)
		handle_put(handle_release(call->handles, out.fh, call->inode));
	return result;
}

/* Room for the entry, or -ERANGE. */
static int emit(struct call *call, const struct dirent64 *entry, uint64_t ino, const struct fuse_entry_out *plus,
		size_t *room)
{
	static const char padding[8];
	size_t name = strlen(entry->d_name), head = (plus ? sizeof(*plus) : 0) + FUSE_NAME_OFFSET;
	size_t size = FUSE_DIRENT_ALIGN(head + name);
	struct fuse_dirent out = {
		.ino = ino, .off = (uint64_t)entry->d_off, .namelen = (uint32_t)name, .type = entry->d_type};
	int result = size <= *room && size <= call->out.left ? 0 : -ERANGE;

	if (result == 0 && plus)
		result = call_reply(call, plus, sizeof(*plus));
	if (result == 0)
		result = call_reply(call, &out, FUSE_NAME_OFFSET);
	if (result == 0)
		result = call_reply(call, entry->d_name, name);
	if (result == 0)
		result = call_reply(call, padding, size - head - name);
	if (result == 0)
		*room -= size;
	return result;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool is_hidden(const struct inode *folder, int fd, const struct dirent64 *entry)
{
	struct masks *masks = folder->share->masks;
	struct statx stx;

	if (mask_hides(mask_child(atomic_load(&folder->mask), entry->d_name)))
		return true;
	if (!masks_may_know(masks, entry->d_ino))
		return false;
	return statx(fd, entry->d_name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, INODE_STATX, &stx) == 0 &&
	       mask_hides(inode_mask(folder->share, &stx));
}

/* The entry and, if that is wanted, what a lookup would say; what can't be looked at has its name only. */
static int emit_host(struct call *call, int fd, struct dirent64 *entry, bool plus, size_t *room)
{
	bool above = call->inode->top && strcmp(entry->d_name, "..") == 0;
	uint64_t ino = above ? INODE_ROOT : inodes_number(call->inodes, call->inode->key.dev, entry->d_ino);
	struct fuse_entry_out found = {0};
	int result = 0;

	if (!plus)
		return emit(call, entry, ino, NULL, room);
	if (FUSE_DIRENT_ALIGN(sizeof(found) + FUSE_NAME_OFFSET + strlen(entry->d_name)) > *room)
		return -ERANGE;
	if (!is_dots(entry->d_name))
		result = entry_find(call, call->inode, fd, entry->d_name, &found, NULL);
	if (result == -ENOENT)
		return 0;
	if (result < 0)
		found = (struct fuse_entry_out){0};
	if (found.nodeid)
		entry->d_type = (unsigned char)(found.attr.mode >> 12);
	result = emit(call, entry, found.nodeid ? found.attr.ino : ino, &found, room);
	if (result < 0 && found.nodeid)
		entry_forget(call, &found);
	return result;
}

static int refill(struct reader *reader, int fd, int64_t offset)
{
	ssize_t size;

	if (offset != reader->offset && lseek(fd, offset, SEEK_SET) < 0)
		return -errno;
	reader->offset = offset;
	reader->at = reader->size = 0;
	size = getdents64(fd, reader->buffer, sizeof(reader->buffer));
	if (size < 0)
		return -errno;
	reader->size = (size_t)size;
	return 0;
}

/* The buffer is filled before it is read. */
static struct reader *reader_made(void)
{
	struct reader *reader = malloc(sizeof(*reader));

	if (reader) {
		reader->size = reader->at = 0;
		reader->offset = -1;
	}
	return reader;
}

static int give_entries(struct call *call, struct handle *handle, bool plus, size_t room)
{
	struct reader *reader = handle->reader;
	int fd = handle->fd, result = 0;

	for (;;) {
		struct dirent64 *entry = (struct dirent64 *)(void *)(reader->buffer + reader->at);

		if (reader->at == reader->size) {
			result = refill(reader, fd, reader->offset);
			if (result < 0 || reader->size == 0)
				break;
			continue;
		}
		if (!is_hidden(call->inode, fd, entry))
			result = emit_host(call, fd, entry, plus, &room);
		if (result < 0)
			break;
		reader->offset = entry->d_off;
		reader->at += entry->d_reclen;
	}
	/* An error behind something is told when it is read again. */
	return call->replied > 0 || result == -ERANGE ? 0 : result;
}

static int read_host(struct call *call, struct handle *handle, const struct fuse_read_in *in, bool plus)
{
	size_t room = in->size < call->out.left ? in->size : call->out.left;
	int result = 0;

	pthread_mutex_lock(&handle->lock);
	if (!handle->reader)
		handle->reader = reader_made();
	if (!handle->reader)
		result = -ENOMEM;
	else if (in->offset == 0 || (int64_t)in->offset != handle->reader->offset) {
		handle->reader->offset = -1; /* from the start, it is read anew */
		result = refill(handle->reader, handle->fd, (int64_t)in->offset);
	}
	if (result == 0 && plus && thread_enter(handle->fd))
		call->entered = handle->fd;
	if (result == 0)
		result = give_entries(call, handle, plus, room);
	if (call->entered >= 0)
		thread_leave();
	call->entered = -EBADF;
	/* At the end nothing is kept: folders stay open that nobody reads any more. */
	if (handle->reader && (handle->reader->size == 0 || !handle_may_keep_reader(handle)))
		handle_drop_reader(handle);
	pthread_mutex_unlock(&handle->lock);
	return result;
}

static int emit_share(struct call *call, uint64_t *offset, bool plus, size_t *room)
{
	auto_share struct share *share = root_next(call->root, *offset - 1);
	struct fuse_entry_out found = {0};
	struct dirent64 entry = {.d_type = DT_UNKNOWN};
	int result = 0;

	if (!share)
		return -ENOENT;
	snprintf(entry.d_name, sizeof(entry.d_name), "%s", share->name);
	entry.d_off = (int64_t)share->id + 2;
	*offset = share->id + 2;
	if (FUSE_DIRENT_ALIGN((plus ? sizeof(found) : 0) + FUSE_NAME_OFFSET + strlen(share->name)) > *room)
		return -ERANGE;
	result = entry_find_share(call, share, &found);
	if (result < 0)
		return 0; /* gone from the host */
	entry.d_type = (unsigned char)(found.attr.mode >> 12);
	result = emit(call, &entry, found.attr.ino, plus ? &found : NULL, room);
	if (!plus || result < 0)
		entry_forget(call, &found);
	return result;
}

/* Offsets are 1 and 2 behind the dots, a share's id and 2 behind it. */
static int read_root(struct call *call, const struct fuse_read_in *in, bool plus)
{
	static const char *const dots[] = {".", ".."};
	struct fuse_entry_out none = {0};
	size_t room = in->size < call->out.left ? in->size : call->out.left;
	uint64_t offset = in->offset;
	int result = 0;

	for (; offset < COUNT_OF(dots) && result == 0; offset++) {
		struct dirent64 entry = {.d_off = (int64_t)offset + 1, .d_type = DT_DIR};

		strcpy(entry.d_name, dots[offset]);
		result = emit(call, &entry, INODE_ROOT, plus ? &none : NULL, &room);
	}
	while (result == 0)
		result = emit_share(call, &offset, plus, &room);
	return 0;
}

static int read_folder(struct call *call, bool plus)
{
	const struct fuse_read_in *in = CALL_ARGUMENTS(call, struct fuse_read_in);
	auto_handle struct handle *handle = handle_get(call->handles, in->fh, call->inode);

	if (!handle)
		return -EBADF;
	if (call->inode->type != S_IFDIR)
		return -ENOTDIR;
	return call->inode->share ? read_host(call, handle, in, plus) : read_root(call, in, plus);
}

int folder_read(struct call *call)
{
	return read_folder(call, false);
}

int folder_read_plus(struct call *call)
{
	return read_folder(call, true);
}

int folder_release(struct call *call)
{
	handle_put(handle_release(call->handles, CALL_ARGUMENTS(call, struct fuse_release_in)->fh, call->inode));
	return 0;
}

int folder_sync(struct call *call)
{
	const struct fuse_fsync_in *in = CALL_ARGUMENTS(call, struct fuse_fsync_in);
	auto_handle struct handle *handle = handle_get(call->handles, in->fh, call->inode);
	int result;

	if (!handle)
		return -EBADF;
	if (!call->inode->share)
		return 0;
	result = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(handle->fd) : fsync(handle->fd);
	return result < 0 ? -errno : 0;
}
