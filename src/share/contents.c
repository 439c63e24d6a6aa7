#include "share/contents.h"

#include "share/attribute.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* Contents go straight between the guest's memory and the host's files. */
#define SETTABLE_FLAGS (FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL | FS_DIRSYNC_FL | FS_NOCOW_FL | FS_COMPR_FL)

static int opened_file(struct call *call, uint64_t id, struct handle **ret)
{
	auto_handle struct handle *handle = NULL;
	int fd;

	if (call->inode->type != S_IFREG)
		return call->inode->type == S_IFDIR ? -EISDIR : -EBADF;
	handle = handle_get(call->handles, id, call->inode);
	if (!handle)
		return -EBADF;
	fd = handle_open(handle);
	if (fd < 0)
		return fd;
	*ret = TAKE(handle);
	return 0;
}

int contents_read(struct call *call)
{
	const struct fuse_read_in *in = CALL_ARGUMENTS(call, struct fuse_read_in);
	auto_handle struct handle *handle = NULL;
	struct iovec parts[CALL_PARTS_LIMIT];
	size_t room = in->size < call->out.left ? in->size : call->out.left;
	int result = opened_file(call, in->fh, &handle);

	if (result < 0)
		return result;
	if (in->offset > INT64_MAX)
		return -EINVAL;
	while (room > 0) {
		unsigned count = cursor_parts(&call->out, parts, room);
		ssize_t n = preadv2(handle->fd, parts, (int)count, (off_t)(in->offset + call->replied), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && call->replied == 0)
			return -errno;
		if (n <= 0)
			break;
		cursor_skip(&call->out, (size_t)n);
		call->replied += (size_t)n;
		room -= (size_t)n;
	}
	return 0;
}

static int write_parts(struct call *call, const struct handle *handle, const struct fuse_write_in *in, uint32_t *done)
{
	struct iovec parts[CALL_PARTS_LIMIT];
	bool append = handle->flags & O_APPEND && !(in->write_flags & FUSE_WRITE_CACHE);

	while (*done < in->size) {
		unsigned count = cursor_parts(&call->in, parts, in->size - *done);
		ssize_t n =
			pwritev2(handle->fd, parts, (int)count, (off_t)(in->offset + *done), append ? RWF_APPEND : 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return *done ? 0 : -errno;
		if (n == 0)
			break;
		cursor_skip(&call->in, (size_t)n);
		*done += (uint32_t)n;
	}
	return 0;
}

int contents_write(struct call *call)
{
	const struct fuse_write_in *in = CALL_ARGUMENTS(call, struct fuse_write_in);
	auto_handle struct handle *handle = NULL;
	struct fuse_write_out out = {0};
	int result;

	if (in->size > call->in.left || in->offset > (uint64_t)INT64_MAX - in->size)
		return -EINVAL;
	result = opened_file(call, in->fh, &handle);
	if (result == 0 && in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		result = attribute_drop_privileges(call, call->inode);
	if (result == 0)
		result = write_parts(call, handle, in, &out.size);
	return result < 0 ? result : call_reply(call, &out, sizeof(out));
}

int contents_sync(struct call *call)
{
	const struct fuse_fsync_in *in = CALL_ARGUMENTS(call, struct fuse_fsync_in);
	auto_handle struct handle *handle = NULL;
	int result = opened_file(call, in->fh, &handle);

	if (result < 0)
		return result;
	result = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(handle->fd) : fsync(handle->fd);
	return result < 0 ? -errno : 0;
}

int contents_allocate(struct call *call)
{
	const struct fuse_fallocate_in *in = CALL_ARGUMENTS(call, struct fuse_fallocate_in);
	auto_handle struct handle *handle = NULL;
	int result = opened_file(call, in->fh, &handle);

	if (result == 0 && (in->offset > INT64_MAX || in->length > INT64_MAX))
		result = -EINVAL;
	if (result == 0 && !call_is_root(call))
		result = attribute_drop_privileges(call, call->inode);
	if (result < 0)
		return result;
	return fallocate(handle->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0 ? -errno : 0;
}

int contents_seek(struct call *call)
{
	const struct fuse_lseek_in *in = CALL_ARGUMENTS(call, struct fuse_lseek_in);
	auto_handle struct handle *handle = NULL;
	struct fuse_lseek_out out;
	int result = opened_file(call, in->fh, &handle);
	off_t at;

	if (result < 0)
		return result;
	/* Nobody uses the position, so that of an open file is nobody's harm. */
	if ((in->whence != SEEK_DATA && in->whence != SEEK_HOLE && in->whence != SEEK_END && in->whence != SEEK_SET) ||
	    in->offset > INT64_MAX)
		return -EINVAL;
	at = lseek(handle->fd, (off_t)in->offset, (int)in->whence);
	if (at < 0)
		return -errno;
	out.offset = (uint64_t)at;
	return call_reply(call, &out, sizeof(out));
}

int contents_copy(struct call *call)
{
	const struct fuse_copy_file_range_in *in = CALL_ARGUMENTS(call, struct fuse_copy_file_range_in);
	auto_inode struct inode *to_inode = NULL;
	auto_handle struct handle *from = NULL, *to = NULL;
	struct fuse_write_out out = {0};
	off_t from_at = (off_t)in->off_in, to_at = (off_t)in->off_out;
	int result = opened_file(call, in->fh_in, &from);
	ssize_t n;

	if (result == 0)
		result = call_second(&to_inode, call, in->nodeid_out); /* -EXDEV: the guest copies itself */
	if (result < 0)
		return result;
	if (!to_inode->share || to_inode->type != S_IFREG)
		return -EBADF;
	to = handle_get(call->handles, in->fh_out, to_inode);
	if (!to)
		return -EBADF;
	if (to_inode->share->read_only)
		return -EROFS;
	result = handle_open(to);
	if (result < 0)
		return result;
	if (in->flags || in->off_in > INT64_MAX || in->off_out > INT64_MAX)
		return -EINVAL;
	if (!call_is_root(call))
		result = attribute_drop_privileges(call, to_inode);
	if (result < 0)
		return result;
	n = copy_file_range(from->fd, &from_at, to->fd, &to_at,
			    in->len < CONTENTS_COPY_LIMIT ? (size_t)in->len : CONTENTS_COPY_LIMIT, 0);
	if (n < 0)
		return -errno;
	out.size = (uint32_t)n;
	return call_reply(call, &out, sizeof(out));
}

/* lsattr and chattr, for flags that shut nobody out. */
int contents_control(struct call *call)
{
	const struct fuse_ioctl_in *in = CALL_ARGUMENTS(call, struct fuse_ioctl_in);
	auto_handle struct handle *handle = handle_get(call->handles, in->fh, call->inode);
	struct fuse_ioctl_out out = {0};
	unsigned flags = 0, now = 0;
	int result;

	if (!handle)
		return -EBADF;
	result = handle_open(handle);
	if (result < 0)
		return result;
	if ((in->cmd != FS_IOC_GETFLAGS && in->cmd != FS_IOC_SETFLAGS) || in->flags & FUSE_IOCTL_UNRESTRICTED)
		return -ENOTTY;
	if (ioctl(handle->fd, FS_IOC_GETFLAGS, &now) < 0)
		return -errno;
	if (in->cmd == FS_IOC_GETFLAGS) {
		result = call_reply(call, &out, sizeof(out));
		return result < 0 ? result : call_reply(call, &now, sizeof(now));
	}
	if (call->inode->share->read_only)
		return -EROFS;
	if (in->in_size != sizeof(flags) || cursor_read(&call->in, &flags, sizeof(flags)) != sizeof(flags))
		return -EINVAL;
	if ((flags ^ now) & ~(unsigned)SETTABLE_FLAGS)
		return -EPERM;
	if (ioctl(handle->fd, FS_IOC_SETFLAGS, &flags) < 0)
		return -errno;
	return call_reply(call, &out, sizeof(out));
}

static int sync_share(const struct share *share)
{
	auto_close int fd = share->read_only ? -ENOENT : descriptor_open(share->fd, O_RDONLY);

	return fd >= 0 && syncfs(fd) < 0 ? -errno : 0;
}

int contents_sync_all(struct call *call)
{
	uint64_t next = 0;
	int result = 0;

	for (;;) {
		auto_share struct share *share = root_next(call->root, next);

		if (!share || result < 0)
			return result;
		next = share->id + 1;
		result = sync_share(share);
	}
}
