#include "share/attribute.h"

#include "share/entry.h"

#include <fcntl.h>
#include <sys/statfs.h>
#include <unistd.h>

#define OWNER_BITS (FATTR_MODE | FATTR_UID | FATTR_GID)
#define TIME_BITS  (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW)

static int reply(struct call *call, const struct fuse_attr *attributes)
{
	struct fuse_attr_out out = {.attr = *attributes};

	entry_validity(call->inode, &out.attr_valid, &out.attr_valid_nsec);
	return call_reply(call, &out, sizeof(out));
}

static int reply_about(struct call *call, const struct spot *spot)
{
	struct fuse_attr attributes;
	struct statx stx;
	int result = spot_stat(spot, &stx);

	if (result < 0)
		return result;
	entry_describe(call, call->inode, spot, &stx, &attributes);
	return reply(call, &attributes);
}

/* What was just found, or made, to be without a record, is not asked for it once more. */
static int reply_plain(struct call *call, const struct spot *spot)
{
	struct fuse_attr attributes;
	struct statx stx;
	int result = spot_stat(spot, &stx);

	if (result < 0)
		return result;
	entry_describe_plain(call, call->inode, &stx, &attributes);
	return reply(call, &attributes);
}

int attribute_get(struct call *call)
{
	const struct fuse_getattr_in *in = CALL_ARGUMENTS(call, struct fuse_getattr_in);
	auto_handle struct handle *handle = NULL;
	auto_spot struct spot spot = {.fd = -EBADF};
	struct fuse_attr attributes = {.ino = INODE_ROOT, .mode = S_IFDIR | 0755, .nlink = 2, .blksize = 4096};
	struct statx stx;
	int result;

	if (!call->inode->share)
		return reply(call, &attributes);
	if (in->getattr_flags & FUSE_GETATTR_FH)
		handle = handle_get(call->handles, in->fh, call->inode);
	if (handle && handle->fd >= 0)
		return reply_about(call, &(struct spot){.fd = handle->fd, .opened = true});
	result = spot_of(&spot, call->inode, &stx);
	if (result < 0)
		return result;
	entry_describe(call, call->inode, &spot, &stx, &attributes);
	return reply(call, &attributes);
}

static uint32_t without_privileges(uint32_t mode)
{
	if (!S_ISREG(mode))
		return mode;
	mode &= ~(uint32_t)S_ISUID;
	return mode & S_IXGRP ? mode & ~(uint32_t)S_ISGID : mode;
}

/* *ret_plain: it has no record of its owner now. */
static int set_owner(struct call *call, const struct spot *spot, const struct fuse_setattr_in *in, bool *ret_plain)
{
	struct owner owner;
	struct statx stx;
	bool recorded;
	int result = spot_stat(spot, &stx);

	if (result < 0)
		return result;
	recorded = owner_show(call->owners, &owner, spot, &stx);
	if (in->valid & (FATTR_UID | FATTR_GID | FATTR_KILL_SUIDGID))
		owner.mode = without_privileges(owner.mode);
	if (in->valid & FATTR_MODE)
		owner.mode = (owner.mode & S_IFMT) | (in->mode & 07777);
	if (in->valid & FATTR_UID)
		owner.uid = in->uid;
	if (in->valid & FATTR_GID)
		owner.gid = in->gid;
	result = owner_set(call->owners, spot->fd, &stx, &owner, recorded);
	*ret_plain = result == 0;
	return result < 0 ? result : 0;
}

int attribute_drop_privileges(struct call *call, struct inode *inode)
{
	static const struct fuse_setattr_in kill = {.valid = FATTR_KILL_SUIDGID};
	auto_pin struct pin pin = {0};
	bool plain;
	int result;

	if (!atomic_load(&inode->may_have_privileges))
		return 0;
	result = pin_take(&pin, inode);
	if (result == 0)
		result = set_owner(call, &(struct spot){.fd = pin.fd}, &kill, &plain);
	if (result == 0)
		atomic_store(&inode->may_have_privileges, false);
	return result == -EPERM ? 0 : result; /* a file of somebody else: the host sees to it */
}

static int set_size(struct call *call, struct handle *handle, uint64_t size)
{
	int opened = handle ? handle_open(handle) : -EBADF;
	auto_close int fd = -EBADF;

	if (size > INT64_MAX)
		return -EFBIG;
	if (opened >= 0 && ftruncate(opened, (off_t)size) == 0)
		return 0;
	if (opened >= 0 && errno != EINVAL && errno != EBADF)
		return -errno;
	if (call->inode->type != S_IFREG)
		return -EINVAL;
	fd = spot_open(call->inode, O_WRONLY, call_is_root(call));
	if (fd < 0)
		return fd;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static struct timespec time_of(uint32_t valid, uint32_t set, uint32_t now, uint64_t s, uint32_t ns)
{
	if (valid & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	if (valid & set)
		return (struct timespec){.tv_sec = (time_t)s, .tv_nsec = ns};
	return (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_times(const struct spot *spot, const struct fuse_setattr_in *in)
{
	struct timespec times[2] = {
		time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
	};

	return utimensat(spot->fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int attribute_set(struct call *call)
{
	const struct fuse_setattr_in *in = CALL_ARGUMENTS(call, struct fuse_setattr_in);
	auto_handle struct handle *handle = NULL;
	auto_pin struct pin pin = {0};
	struct spot spot = {0};
	struct statx stx;
	bool plain = false;
	int result = pin_take(&pin, call->inode);

	if (result < 0)
		return result;
	spot.fd = pin.fd;
	if (in->valid & FATTR_FH)
		handle = handle_get(call->handles, in->fh, call->inode);
	if (in->valid & OWNER_BITS)
		result = set_owner(call, &spot, in, &plain);
	else if (spot_stat(&spot, &stx) == 0)
		plain = entry_is_plain(call->inode, &stx);
	if (result == 0 && in->valid & FATTR_SIZE)
		result = set_size(call, handle, in->size);
	if (result == 0 && in->valid & FATTR_SIZE && in->valid & FATTR_KILL_SUIDGID)
		result = attribute_drop_privileges(call, call->inode);
	if (result == 0 && in->valid & TIME_BITS)
		result = set_times(&spot, in);
	if (result < 0)
		return result;
	return plain ? reply_plain(call, &spot) : reply_about(call, &spot);
}

int attribute_statfs(struct call *call)
{
	struct fuse_statfs_out out = {.st = {.bsize = 4096, .frsize = 4096, .namelen = NAME_MAX}};
	auto_pin struct pin pin = {0};
	struct statfs fs;
	int result;

	if (!call->inode->share)
		return call_reply(call, &out, sizeof(out));
	result = pin_take(&pin, call->inode);
	if (result < 0)
		return result;
	if (fstatfs(pin.fd, &fs) < 0)
		return -errno;
	out.st = (struct fuse_kstatfs){
		.blocks = fs.f_blocks,
		.bfree = fs.f_bfree,
		.bavail = fs.f_bavail,
		.files = fs.f_files,
		.ffree = fs.f_ffree,
		.bsize = (uint32_t)fs.f_bsize,
		.namelen = (uint32_t)fs.f_namelen,
		.frsize = (uint32_t)fs.f_frsize,
	};
	return call_reply(call, &out, sizeof(out));
}
