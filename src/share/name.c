#include "share/name.h"

#include "share/entry.h"
#include "share/thread.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

/*
 * Everything is done in a folder that is pinned, with one name, which is never followed. What is masked can be neither
 * made nor replaced (EACCES) nor removed (ENOENT); a folder on the way to it can't be moved, nor anything into its
 * place, and no link can be made there, over which the host would keep elsewhere what is to be hidden (EBUSY, as a
 * mount point): what is below keeps its mask.
 */
struct making {
	uint32_t mode, umask, device;
	const char *target;
};

int name_readlink(struct call *call)
{
	auto_pin struct pin pin = {0};
	char target[PATH_MAX];
	ssize_t size;
	int result;

	if (call->inode->type != S_IFLNK)
		return -EINVAL;
	result = pin_take(&pin, call->inode);
	if (result < 0)
		return result;
	size = readlinkat(pin.fd, "", target, sizeof(target));
	return size < 0 ? -errno : call_reply(call, target, (size_t)size);
}

/* A device, and of others than the machine's user whatever has no attributes on the host, is an empty file there. */
static bool is_placeholder(const struct call *call, uint32_t mode)
{
	if (S_ISCHR(mode) || S_ISBLK(mode))
		return true;
	return (S_ISFIFO(mode) || S_ISSOCK(mode)) && !call->owners->real &&
	       (call->header.uid != call->owners->guest_uid || call->header.gid != call->owners->guest_gid);
}

static int make_at(const struct call *call, int folder, const struct making *what)
{
	mode_t mode = owner_host_mode(what->mode);
	auto_close int fd = -EBADF;
	int result;

	if (what->target) {
		result = symlinkat(what->target, folder, call->name);
	} else if (S_ISDIR(what->mode)) {
		result = mkdirat(folder, call->name, mode | (what->mode & S_ISVTX));
	} else if (S_ISREG(what->mode) || is_placeholder(call, what->mode)) {
		fd = openat(folder, call->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
		result = fd < 0 ? -1 : 0;
	} else {
		result = mknodat(folder, call->name, (what->mode & S_IFMT) | mode, 0);
	}
	return result < 0 ? -errno : 0;
}

static int own(struct call *call, int folder, const struct making *what)
{
	auto_close int fd = openat(folder, call->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : entry_own(call, folder, fd, what->mode, what->device);
}

static int reply_entry(struct call *call, int folder)
{
	struct fuse_entry_out entry;
	int result = entry_find(call, call->inode, folder, call->name, &entry, NULL);

	if (result < 0)
		return result;
	result = call_reply(call, &entry, sizeof(entry));
	if (result < 0)
		entry_forget(call, &entry);
	return result;
}

static bool on_the_way(const struct inode *folder, const char *name)
{
	const struct mask *mask = mask_child(atomic_load(&folder->mask), name);

	return mask && !mask_hides(mask);
}

static int make(struct call *call, const struct making *what)
{
	auto_pin struct pin pin = {0};
	int result = call_check_name(call->inode, call->name);

	if (result == 0 && what->target && on_the_way(call->inode, call->name))
		return -EBUSY;
	if (result == 0)
		result = pin_take(&pin, call->inode);
	if (result < 0)
		return result;
	thread_use_umask(what->umask);
	result = make_at(call, pin.fd, what);
	if (result < 0)
		return result;
	result = own(call, pin.fd, what);
	if (result < 0) {
		unlinkat(pin.fd, call->name, S_ISDIR(what->mode) ? AT_REMOVEDIR : 0);
		return result;
	}
	return reply_entry(call, pin.fd);
}

int name_symlink(struct call *call)
{
	return make(call, &(struct making){.mode = S_IFLNK | 0777, .target = call->second});
}

int name_mknod(struct call *call)
{
	const struct fuse_mknod_in *in = CALL_ARGUMENTS(call, struct fuse_mknod_in);
	struct making what = {.mode = in->mode, .umask = in->umask};

	switch (in->mode & S_IFMT) {
	case 0:
		what.mode |= S_IFREG;
		break;
	case S_IFCHR:
	case S_IFBLK:
		what.device = in->rdev;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	default:
		return -EINVAL;
	}
	return make(call, &what);
}

int name_mkdir(struct call *call)
{
	const struct fuse_mkdir_in *in = CALL_ARGUMENTS(call, struct fuse_mkdir_in);

	return make(call, &(struct making){.mode = S_IFDIR | (in->mode & 07777), .umask = in->umask});
}

/* What the guest knows of what stands there. A name that is hidden doesn't exist, or can't be taken: `hidden`. What is
 * on the way to a mask under another name stays there (-EBUSY): what would come into its place is not known yet. */
static int known_at(struct call *call, const struct inode *folder, int fd, const char *name, int hidden,
		    struct inode **ret)
{
	const struct mask *mask;
	struct statx stx;
	int result = call_check_name(folder, name);

	if (result < 0)
		return result == -EACCES ? hidden : result;
	if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, INODE_STATX, &stx) < 0)
		return -errno;
	mask = inode_mask(folder->share, &stx);
	if (mask_hides(mask))
		return hidden;
	if (mask && S_ISDIR(stx.stx_mode) && !mask_child(atomic_load(&folder->mask), name))
		return -EBUSY;
	*ret = inode_known(call->inodes, folder->share, &stx);
	return 0;
}

static int remove_name(struct call *call, int flags)
{
	auto_pin struct pin pin = {0};
	auto_inode struct inode *gone = NULL;
	int result = pin_take(&pin, call->inode);

	if (result == 0)
		result = known_at(call, call->inode, pin.fd, call->name, -ENOENT, &gone);
	if (result < 0)
		return result;
	if (gone)
		pin_keep(gone);
	if (unlinkat(pin.fd, call->name, flags) == 0)
		return 0;
	result = -errno;
	if (gone)
		pin_unkeep(gone);
	return result;
}

int name_unlink(struct call *call)
{
	return remove_name(call, 0);
}

int name_rmdir(struct call *call)
{
	return remove_name(call, AT_REMOVEDIR);
}

static int move(struct call *call, struct inode *to, int from_fd, int to_fd, unsigned flags)
{
	auto_inode struct inode *source = NULL, *target = NULL;
	int result = known_at(call, call->inode, from_fd, call->name, -ENOENT, &source);

	if (result < 0)
		return result;
	result = known_at(call, to, to_fd, call->second, -EACCES, &target);
	if (result < 0 && (result != -ENOENT || flags & RENAME_EXCHANGE))
		return result;
	if (on_the_way(call->inode, call->name) || on_the_way(to, call->second))
		return -EBUSY;
	if (target && !(flags & RENAME_EXCHANGE))
		pin_keep(target);
	if (renameat2(from_fd, call->name, to_fd, call->second, flags) < 0) {
		result = -errno;
		if (target && !(flags & RENAME_EXCHANGE))
			pin_unkeep(target);
		return result;
	}
	if (source)
		inode_moved(source, to, call->second);
	if (target && flags & RENAME_EXCHANGE)
		inode_moved(target, call->inode, call->name);
	return 0;
}

static int rename_to(struct call *call, uint64_t folder, unsigned flags)
{
	auto_inode struct inode *to = NULL;
	auto_pin struct pin from_pin = {0}, to_pin = {0};
	int result = call_second(&to, call, folder);

	if (result < 0)
		return result;
	if (to->share != call->inode->share)
		return -EXDEV;
	result = pin_take(&from_pin, call->inode);
	if (result == 0)
		result = pin_take(&to_pin, to);
	return result < 0 ? result : move(call, to, from_pin.fd, to_pin.fd, flags);
}

int name_rename(struct call *call)
{
	return rename_to(call, CALL_ARGUMENTS(call, struct fuse_rename_in)->newdir, 0);
}

int name_rename2(struct call *call)
{
	const struct fuse_rename2_in *in = CALL_ARGUMENTS(call, struct fuse_rename2_in);

	if (in->flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	return rename_to(call, in->newdir, in->flags);
}

int name_link(struct call *call)
{
	auto_inode struct inode *old = NULL;
	auto_pin struct pin pin = {0}, old_pin = {0};
	char path[DESCRIPTOR_PATH];
	int result = call_second(&old, call, CALL_ARGUMENTS(call, struct fuse_link_in)->oldnodeid);

	if (result < 0)
		return result;
	if (old->share != call->inode->share)
		return -EXDEV;
	result = call_check_name(call->inode, call->name);
	if (result == 0 && on_the_way(call->inode, call->name))
		return -EBUSY;
	if (result == 0)
		result = pin_take(&pin, call->inode);
	if (result == 0)
		result = pin_take(&old_pin, old);
	if (result < 0)
		return result;
	if (linkat(AT_FDCWD, descriptor_path(path, old_pin.fd), pin.fd, call->name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return reply_entry(call, pin.fd);
}
