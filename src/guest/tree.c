#include "guest/tree.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

int tree_clone(const char *path)
{
	long fd = syscall(SYS_open_tree, AT_FDCWD, path,
			  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT);

	return fd < 0 ? -errno : (int)fd;
}

int tree_clone_at(int fd)
{
	long tree = syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	return tree < 0 ? -errno : (int)tree;
}

int tree_attach(int tree, int target)
{
	long result = syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);

	return result < 0 ? -errno : 0;
}

/* What is known here, without asking who serves the file system: whom there may be no more. */
static int look(int fd, struct statx *ret)
{
	int flags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;

	return syscall(SYS_statx, fd, "", flags, STATX_TYPE, ret) < 0 ? -errno : 0;
}

bool tree_is_mount(int fd)
{
	struct statx st = {0};

	return look(fd, &st) == 0 && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int tree_device(int fd, dev_t *ret)
{
	struct statx st = {0};
	int result = look(fd, &st);

	if (result < 0)
		return result;
	*ret = makedev(st.stx_dev_major, st.stx_dev_minor);
	return 0;
}
