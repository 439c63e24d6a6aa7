#include "share/opening.h"

#include "share/attribute.h"
#include "share/entry.h"
#include "share/lock.h"
#include "share/thread.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

/*
 * A file is opened with what the guest asks for, except: appending is done write by write (what the guest's page cache
 * writes has places of its own), direct I/O is the guest's (its memory need not be aligned for the host), truncation
 * comes after it is sure that the file is the one that was meant.
 */
#define FLAGS_PASSED (O_ACCMODE | O_SYNC | O_DSYNC | O_NOATIME)

static int host_flags(const struct call *call, uint32_t flags)
{
	int passed = (int)flags & FLAGS_PASSED;

	/* The guest's cache reads the rest of a page that is written in part; who only reads may truncate. */
	if ((call->session.writeback && (passed & O_ACCMODE) == O_WRONLY) ||
	    (flags & O_TRUNC && (passed & O_ACCMODE) == O_RDONLY))
		passed = (passed & ~O_ACCMODE) | O_RDWR;
	return passed;
}

static bool changes(uint32_t flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

/* The handle takes the descriptor. */
static int reply_opened(struct call *call, struct inode *inode, int *fd, uint32_t flags)
{
	struct fuse_open_out out = {.open_flags = entry_is_unchanged(inode, *fd) ? FOPEN_KEEP_CACHE : 0};
	int append = call->session.writeback ? 0 : (int)flags & O_APPEND;
	int result = handle_add(&out.fh, call->handles, inode, *fd, host_flags(call, flags) | append);

	if (result < 0)
		return result;
	*fd = -EBADF;
	result = call_reply(call, &out, sizeof(out));
	if (result < 0)
		handle_put(handle_release(call->handles, out.fh, inode));
	return result;
}

/* The kernel lets root write to a program and leaves it its set-id bits. What the guest writes must not run on the host
 * as somebody else. */
static int drop_host_privileges(const struct call *call, int fd)
{
	const mode_t privileges = S_ISUID | S_ISGID;
	struct stat st;

	if (!call->owners->real)
		return 0;
	if (fstat(fd, &st) < 0 || (st.st_mode & privileges && fchmod(fd, st.st_mode & 07777 & ~privileges) < 0))
		return -errno;
	return 0;
}

static int open_existing(struct call *call, struct inode *inode, uint32_t flags, uint32_t open_flags)
{
	auto_close int fd = -EBADF;
	int result = 0;

	if (inode->type != S_IFREG)
		return inode->type == S_IFDIR ? -EISDIR : -ENXIO;
	if (changes(flags) && inode->share->read_only)
		return -EROFS;
	fd = spot_open(inode, host_flags(call, flags), call_is_root(call));
	if (fd < 0)
		return fd;
	if (changes(flags))
		result = drop_host_privileges(call, fd);
	if (result == 0 && flags & O_TRUNC)
		result = ftruncate(fd, 0) < 0 ? -errno : 0;
	if (result == 0 && flags & O_TRUNC && open_flags & FUSE_OPEN_KILL_SUIDGID)
		result = attribute_drop_privileges(call, inode);
	return result < 0 ? result : reply_opened(call, inode, &fd, flags);
}

int opening_open(struct call *call)
{
	const struct fuse_open_in *in = CALL_ARGUMENTS(call, struct fuse_open_in);

	return open_existing(call, call->inode, in->flags, in->open_flags);
}

/* What was there already: -EEXIST when it may not. */
static int create_over(struct call *call, int folder, const struct fuse_create_in *in)
{
	auto_inode struct inode *inode = NULL;
	struct fuse_entry_out entry;
	int result;

	if (in->flags & O_EXCL)
		return -EEXIST;
	result = entry_find(call, call->inode, folder, call->name, &entry, &inode);
	if (result < 0)
		return result;
	result = call_reply(call, &entry, sizeof(entry));
	if (result == 0)
		result = open_existing(call, inode, in->flags, in->open_flags);
	if (result < 0)
		entry_forget(call, &entry);
	return result;
}

static int reply_created(struct call *call, struct inode *inode, const struct fuse_entry_out *entry, int *fd,
			 uint32_t flags)
{
	int result = call_reply(call, entry, sizeof(*entry));

	if (result == 0)
		result = reply_opened(call, inode, fd, flags);
	if (result < 0)
		entry_forget(call, entry);
	return result;
}

int opening_create(struct call *call)
{
	const struct fuse_create_in *in = CALL_ARGUMENTS(call, struct fuse_create_in);
	int flags = host_flags(call, in->flags) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	auto_pin struct pin pin = {0};
	auto_close int fd = -EBADF;
	auto_inode struct inode *inode = NULL;
	struct fuse_entry_out entry;
	int result = call_check_name(call->inode, call->name);

	if (result == 0)
		result = pin_take(&pin, call->inode);
	if (result < 0)
		return result;
	thread_use_umask(in->umask);
	fd = openat(pin.fd, call->name, flags & ~O_NOATIME, owner_host_mode(in->mode));
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		pin_make_room(call->inode);
		fd = openat(pin.fd, call->name, flags & ~O_NOATIME, owner_host_mode(in->mode));
	}
	if (fd < 0)
		return errno == EEXIST ? create_over(call, pin.fd, in) : -errno;
	fd = pin_settle(fd, call->inode);
	result = fd < 0 ? fd : entry_own(call, pin.fd, fd, S_IFREG | (in->mode & 07777), 0);
	if (result < 0) {
		unlinkat(pin.fd, call->name, 0);
		return result;
	}
	result = entry_made(call, call->inode, call->name, fd, &entry, &inode);
	return result < 0 ? result : reply_created(call, inode, &entry, &fd, in->flags);
}

int opening_tmpfile(struct call *call)
{
	const struct fuse_create_in *in = CALL_ARGUMENTS(call, struct fuse_create_in);
	auto_pin struct pin pin = {0};
	auto_close int fd = -EBADF;
	auto_inode struct inode *inode = NULL;
	struct fuse_entry_out entry;
	int result = pin_take(&pin, call->inode);

	if (result < 0)
		return result;
	thread_use_umask(in->umask);
	fd = openat(pin.fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | ((int)in->flags & O_EXCL), owner_host_mode(in->mode));
	fd = fd < 0 ? -errno : pin_settle(fd, call->inode);
	if (fd < 0)
		return fd;
	result = entry_own(call, pin.fd, fd, S_IFREG | (in->mode & 07777), 0);
	if (result < 0)
		return result;
	result = entry_made(call, call->inode, NULL, fd, &entry, &inode);
	return result < 0 ? result : reply_created(call, inode, &entry, &fd, in->flags);
}

/* Each closing of one of the guest's descriptors: locks of its owner end. */
int opening_flush(struct call *call)
{
	const struct fuse_flush_in *in = CALL_ARGUMENTS(call, struct fuse_flush_in);
	auto_handle struct handle *handle = handle_get(call->handles, in->fh, call->inode);
	int copy;

	if (!handle)
		return -EBADF;
	if (!call->inode->share)
		return 0;
	lock_drop(call->inode, in->lock_owner);
	copy = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0); /* closing it tells of errors that were kept for that */
	if (copy < 0)
		return 0;
	return close(copy) < 0 && errno != EINTR ? -errno : 0;
}

int opening_release(struct call *call)
{
	const struct fuse_release_in *in = CALL_ARGUMENTS(call, struct fuse_release_in);

	if (in->release_flags & FUSE_RELEASE_FLOCK_UNLOCK) {
		auto_handle struct handle *handle = handle_get(call->handles, in->fh, call->inode);

		if (handle && handle->fd >= 0)
			flock(handle->fd, LOCK_UN);
	}
	if (call->inode->share)
		lock_drop_handle(call->inode, in->fh);
	handle_put(handle_release(call->handles, in->fh, call->inode));
	return 0;
}
