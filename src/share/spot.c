#include "share/spot.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *descriptor_path(char path[DESCRIPTOR_PATH], int fd)
{
	snprintf(path, DESCRIPTOR_PATH, "/proc/self/fd/%d", fd);
	return path;
}

int descriptor_open(int fd, int flags)
{
	char path[DESCRIPTOR_PATH];
	int opened = open(descriptor_path(path, fd), (flags & ~O_NOFOLLOW) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	return opened < 0 ? -errno : opened;
}

int spot_stat(const struct spot *spot, struct statx *ret)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (spot->name[0] ? 0 : AT_EMPTY_PATH);

	return statx(spot->fd, spot->name, flags, INODE_STATX, ret) < 0 ? -errno : 0;
}

/* The folder is enough to look at what lies in it. */
static int spot_in_folder(struct spot *spot, struct inode *inode)
{
	auto_inode struct inode *parent = NULL;

	if (inode->type == S_IFDIR || pin_is_open(inode))
		return -ENOENT;
	inode_place(inode, &parent, spot->name);
	if (!parent || !parent->shard || pin_take(&spot->pin, parent) < 0)
		return -ENOENT;
	spot->fd = spot->pin.fd;
	return 0;
}

int spot_of(struct spot *spot, struct inode *inode, struct statx *ret)
{
	int result;

	if (spot_in_folder(spot, inode) == 0) {
		result = spot_stat(spot, ret);
		if (result == 0 && inode_is(inode, ret))
			return 0;
		cleanup_spot(spot);
		*spot = (struct spot){.fd = -EBADF};
	}
	spot->name[0] = '\0';
	result = pin_take(&spot->pin, inode);
	if (result < 0)
		return result;
	spot->fd = spot->pin.fd;
	return spot_stat(spot, ret);
}

/*
 * To root in the guest a mode closes nothing. The server is only the file's owner: it changes the mode, which is the
 * owner's to change, and puts it back at once. One who borrows a folder may have to borrow a file in it.
 */
static pthread_mutex_t borrowing = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static int open_borrowed(int fd, int flags, const struct statx *stx)
{
	char path[DESCRIPTOR_PATH];
	mode_t mode = stx->stx_mode & 07777;
	int opened = -EACCES;

	if (stx->stx_uid != geteuid())
		return -EACCES;
	descriptor_path(path, fd);
	pthread_mutex_lock(&borrowing);
	if (chmod(path, mode | (S_ISDIR(stx->stx_mode) ? S_IRWXU : S_IRUSR | S_IWUSR)) == 0) {
		opened = descriptor_open(fd, flags);
		if (chmod(path, mode) < 0 && opened >= 0) {
			close(opened);
			opened = -EACCES;
		}
	}
	pthread_mutex_unlock(&borrowing);
	return opened;
}

void spot_borrow(struct borrowed *borrowed, struct inode *folder)
{
	char path[DESCRIPTOR_PATH];
	struct statx stx;

	*borrowed = (struct borrowed){0};
	pthread_mutex_lock(&borrowing);
	if (pin_take(&borrowed->pin, folder) < 0 ||
	    statx(borrowed->pin.fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0)
		return;
	if (!S_ISDIR(stx.stx_mode) || stx.stx_uid != geteuid() || (stx.stx_mode & S_IRWXU) == S_IRWXU)
		return;
	if (chmod(descriptor_path(path, borrowed->pin.fd), (stx.stx_mode & 07777) | S_IRWXU) == 0)
		borrowed->mode = stx.stx_mode;
}

void spot_give_back(struct borrowed *borrowed)
{
	char path[DESCRIPTOR_PATH];

	if (borrowed->mode)
		chmod(descriptor_path(path, borrowed->pin.fd), borrowed->mode & 07777);
	pthread_mutex_unlock(&borrowing);
	cleanup_pin(&borrowed->pin);
}

static int open_it(int fd, int flags, bool borrow)
{
	struct statx stx;
	int opened = descriptor_open(fd, flags);

	if (opened != -EACCES || !borrow || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0)
		return opened;
	return open_borrowed(fd, flags, &stx);
}

int spot_open(struct inode *inode, int flags, bool borrow)
{
	auto_pin struct pin pin = {0};
	int result, opened;

	if (inode->type != S_IFREG && inode->type != S_IFDIR)
		return -ENXIO; /* the guest's kernel opens these itself */
	borrow = borrow && !inode->share->read_only;
	flags &= ~(O_CREAT | O_EXCL | O_TRUNC | O_DIRECT | O_APPEND | O_TMPFILE);
	if (inode->type == S_IFDIR)
		flags |= O_DIRECTORY;
	result = pin_take(&pin, inode);
	if (result < 0)
		return result;
	opened = open_it(pin.fd, flags, borrow);
	if (opened == -EMFILE || opened == -ENFILE) {
		pin_make_room(inode);
		opened = open_it(pin.fd, flags, borrow);
	}
	if (opened == -EPERM && flags & O_NOATIME)
		opened = open_it(pin.fd, flags & ~O_NOATIME, borrow);
	return pin_settle(opened, inode);
}
