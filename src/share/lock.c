#include "share/lock.h"

#include <fcntl.h>
#include <sys/file.h>

/*
 * flock() belongs to an open file, and so do the handles: it is passed on. POSIX locks belong to an owner, of whom the
 * guest has many and the server is one; so each owner of each file gets an open file of its own and locks by that
 * ("open file description locks"). Closing it drops them, as the owner's closing of any descriptor should.
 *
 * Where the guest itself has such locks of an open file, that is the owner. Closing it is told by the release of the
 * handle only: who locked by that handle is done with then, for a process has closed it before.
 */

/* With the shard's lock. */
static struct lock_owner *owner_of(const struct inode *inode, uint64_t owner, unsigned *ret_count)
{
	struct lock_owner *at = inode->lock_owners;

	for (*ret_count = 0; at && at->owner != owner; at = at->next)
		++*ret_count;
	return at;
}

/* A descriptor of the owner's open file, for the caller to close. */
static int owner_descriptor(struct inode *inode, uint64_t owner)
{
	struct lock_owner *found;
	unsigned count;
	int fd = -ENOENT;

	inode_lock_shard(inode);
	found = owner_of(inode, owner, &count);
	if (found) {
		fd = fcntl(found->fd, F_DUPFD_CLOEXEC, 0);
		fd = fd < 0 ? -errno : fd;
	} else if (count >= LOCK_OWNERS_LIMIT) {
		fd = -ENOLCK;
	}
	inode_unlock_shard(inode);
	return fd;
}

static int owner_made(struct call *call, const struct fuse_lk_in *in)
{
	struct inode *inode = call->inode;
	struct lock_owner *made = calloc(1, sizeof(*made));
	auto_close int fd = spot_open(inode, inode->share->read_only ? O_RDONLY : O_RDWR, call_is_root(call));
	unsigned count;

	if (fd == -EACCES || fd == -EROFS || fd == -ETXTBSY)
		fd = spot_open(inode, O_RDONLY, call_is_root(call));
	if (!made || fd < 0) {
		free(made);
		return fd < 0 ? fd : -ENOMEM;
	}
	inode_lock_shard(inode);
	if (!inode->share->removed && !owner_of(inode, in->owner, &count)) {
		*made = (struct lock_owner){.next = inode->lock_owners,
					    .owner = in->owner,
					    .handle = in->fh,
					    .pid = in->lk.pid,
					    .fd = TAKE_FD(fd)};
		inode->lock_owners = made;
		made = NULL;
	}
	inode_unlock_shard(inode);
	free(made);
	return owner_descriptor(inode, in->owner);
}

static void free_owners(struct lock_owner *gone)
{
	while (gone) {
		struct lock_owner *next = gone->next;

		cleanup_close(&gone->fd);
		free(gone);
		gone = next;
	}
}

/* Takes out who is meant: by the handle, or by itself. */
static struct lock_owner *take_owners(struct inode *inode, uint64_t id, bool by_handle)
{
	struct lock_owner **at = &inode->lock_owners, *gone = NULL;

	inode_lock_shard(inode);
	while (*at) {
		struct lock_owner *owner = *at;

		if ((by_handle ? owner->handle : owner->owner) != id) {
			at = &owner->next;
			continue;
		}
		*at = owner->next;
		owner->next = gone;
		gone = owner;
	}
	inode_unlock_shard(inode);
	return gone;
}

void lock_drop(struct inode *inode, uint64_t owner)
{
	free_owners(take_owners(inode, owner, false));
}

void lock_drop_handle(struct inode *inode, uint64_t handle)
{
	free_owners(take_owners(inode, handle, true));
}

static int to_host(struct flock *ret, const struct fuse_file_lock *lock)
{
	if (lock->type != F_RDLCK && lock->type != F_WRLCK && lock->type != F_UNLCK)
		return -EINVAL;
	if (lock->start > INT64_MAX || lock->end < lock->start)
		return -EINVAL;
	*ret = (struct flock){.l_type = (short)lock->type, .l_whence = SEEK_SET, .l_start = (off_t)lock->start};
	/* Up to the end, whichever that will be, is written as 0. */
	if (lock->end < INT64_MAX)
		ret->l_len = (off_t)(lock->end - lock->start) + 1;
	return 0;
}

static int flock_of_handle(struct call *call, const struct fuse_lk_in *in)
{
	auto_handle struct handle *handle = handle_get(call->handles, in->fh, call->inode);
	int fd = handle ? handle_open(handle) : -EBADF, operation = LOCK_NB;

	if (fd < 0)
		return fd;
	switch (in->lk.type) {
	case F_RDLCK:
		operation |= LOCK_SH;
		break;
	case F_WRLCK:
		operation |= LOCK_EX;
		break;
	case F_UNLCK:
		operation |= LOCK_UN;
		break;
	default:
		return -EINVAL;
	}
	if (flock(fd, operation) < 0)
		return -errno;
	handle->locked = in->lk.type != F_UNLCK;
	return 0;
}

static int posix_descriptor(struct call *call, const struct fuse_lk_in *in)
{
	auto_handle struct handle *handle = handle_get(call->handles, in->fh, call->inode);
	int fd;

	if (!handle || call->inode->type != S_IFREG)
		return -EBADF;
	fd = owner_descriptor(call->inode, in->owner);
	if (fd == -ENOENT && in->lk.type == F_UNLCK)
		return fd; /* nothing to unlock */
	return fd == -ENOENT ? owner_made(call, in) : fd;
}

static int set_posix(struct call *call, const struct fuse_lk_in *in)
{
	struct flock lock;
	int result = to_host(&lock, &in->lk);
	auto_close int fd = result < 0 ? result : posix_descriptor(call, in);

	if (result < 0)
		return result;
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

int lock_set(struct call *call)
{
	const struct fuse_lk_in *in = CALL_ARGUMENTS(call, struct fuse_lk_in);

	return in->lk_flags & FUSE_LK_FLOCK ? flock_of_handle(call, in) : set_posix(call, in);
}

/* A descriptor of the open file of one of the owners, for the caller to close; negative behind the last. */
static int owner_at(struct inode *inode, size_t index, uint32_t *ret_pid)
{
	const struct lock_owner *at;
	int fd = -ENOENT;

	inode_lock_shard(inode);
	for (at = inode->lock_owners; at && index > 0; at = at->next)
		index--;
	if (at) {
		*ret_pid = at->pid;
		fd = fcntl(at->fd, F_DUPFD_CLOEXEC, 0);
	}
	inode_unlock_shard(inode);
	return fd;
}

/* Whose lock it is: to its owner alone, it is in nobody's way. 0: somebody's of the host, or of several who read. Asked
 * without the lock of the shard, as file systems on a network take their time. */
static uint32_t holder_of(struct inode *inode, const struct flock *lock)
{
	for (size_t i = 0; i < LOCK_OWNERS_LIMIT; i++) {
		struct flock probe = {
			.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = lock->l_start, .l_len = lock->l_len};
		uint32_t pid = 0;
		auto_close int fd = owner_at(inode, i, &pid);

		if (fd < 0)
			break;
		if (fcntl(fd, F_OFD_GETLK, &probe) == 0 && probe.l_type == F_UNLCK)
			return pid;
	}
	return 0;
}

int lock_get(struct call *call)
{
	const struct fuse_lk_in *in = CALL_ARGUMENTS(call, struct fuse_lk_in);
	struct fuse_lk_out out = {.lk = in->lk};
	struct flock lock;
	int result = to_host(&lock, &in->lk);
	auto_close int fd = result < 0 ? result : posix_descriptor(call, in);

	if (result < 0)
		return result;
	if (fd < 0)
		return fd == -ENOENT ? -EINVAL : fd;
	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	out.lk.type = (uint32_t)lock.l_type;
	if (lock.l_type != F_UNLCK) {
		out.lk.start = (uint64_t)lock.l_start;
		out.lk.end = lock.l_len ? (uint64_t)(lock.l_start + lock.l_len - 1) : INT64_MAX;
		out.lk.pid = holder_of(call->inode, &lock);
	}
	return call_reply(call, &out, sizeof(out));
}
