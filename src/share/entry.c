#include "share/entry.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>

/*
 * A lookup is a look at the name in its folder, without opening anything: see inode.c for how the object is found again
 * when it is needed.
 */
#define CACHE_FOREVER_S 86400
#define CLOCK_TICK_NS   20000000 /* or shorter, of the clock that files' times are taken from */

void entry_validity(const struct inode *inode, uint64_t *ret_s, uint32_t *ret_ns)
{
	static const uint64_t seconds[] = {[SHARE_CACHE_AUTO] = 1, [SHARE_CACHE_ALWAYS] = CACHE_FOREVER_S};

	*ret_s = inode->share ? seconds[inode->share->cache] : 1;
	*ret_ns = 0;
}

static void attributes(struct call *call, const struct statx *stx, const struct owner *owner, struct fuse_attr *ret)
{
	uint64_t dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);

	*ret = (struct fuse_attr){
		.ino = inodes_number(call->inodes, dev, stx->stx_ino),
		.size = stx->stx_size,
		.blocks = stx->stx_blocks,
		.atime = (uint64_t)stx->stx_atime.tv_sec,
		.mtime = (uint64_t)stx->stx_mtime.tv_sec,
		.ctime = (uint64_t)stx->stx_ctime.tv_sec,
		.atimensec = stx->stx_atime.tv_nsec,
		.mtimensec = stx->stx_mtime.tv_nsec,
		.ctimensec = stx->stx_ctime.tv_nsec,
		.mode = owner->mode,
		.nlink = stx->stx_nlink,
		.uid = owner->uid,
		.gid = owner->gid,
		.rdev = owner->device,
		.blksize = stx->stx_blksize,
	};
}

/*
 * Most files have no record, and one that is written changes the time of the last change. So it is looked for once for
 * each such time, but for times so recent that the clock may not have ticked since.
 */
bool entry_has_settled(int64_t time_ns)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - time_ns > CLOCK_TICK_NS;
}

/* Not while it could change again without a trace. */
bool entry_is_unchanged(struct inode *inode, int fd)
{
	uint64_t version = 0;
	struct stat st;

	if (inode->share->cache != SHARE_CACHE_AUTO)
		return inode->share->cache == SHARE_CACHE_ALWAYS;
	if (fstat(fd, &st) == 0 && entry_has_settled(st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec))
		version = table_hash(table_hash((uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec),
				     (uint64_t)st.st_mtim.tv_nsec);
	return atomic_exchange(&inode->version, version) == version && version != 0;
}

static int64_t change_ns(const struct statx *stx)
{
	return stx->stx_ctime.tv_sec * 1000000000 + stx->stx_ctime.tv_nsec;
}

bool entry_is_plain(const struct inode *inode, const struct statx *stx)
{
	return change_ns(stx) != 0 && atomic_load(&inode->plain_ns) == change_ns(stx);
}

static void show_owner(struct call *call, struct inode *inode, const struct spot *spot, const struct statx *stx,
		       struct owner *ret)
{
	bool settled;

	if (entry_is_plain(inode, stx)) {
		*ret = owner_native(call->owners, stx);
		return;
	}
	settled = entry_has_settled(change_ns(stx)); /* before it is looked for */
	if (!owner_show(call->owners, ret, spot, stx) && settled)
		atomic_store(&inode->plain_ns, change_ns(stx));
}

static void describe(struct call *call, struct inode *inode, const struct statx *stx, const struct owner *owner,
		     struct fuse_attr *ret)
{
	atomic_store(&inode->may_have_privileges, (owner->mode & (S_ISUID | S_ISGID)) != 0);
	attributes(call, stx, owner, ret);
}

void entry_describe_plain(struct call *call, struct inode *inode, const struct statx *stx, struct fuse_attr *ret)
{
	struct owner owner = owner_native(call->owners, stx);

	describe(call, inode, stx, &owner, ret);
}

void entry_describe(struct call *call, struct inode *inode, const struct spot *spot, const struct statx *stx,
		    struct fuse_attr *ret)
{
	struct owner owner;

	show_owner(call, inode, spot, stx, &owner);
	describe(call, inode, stx, &owner, ret);
}

static void fill(struct call *call, struct inode *inode, const struct spot *spot, const struct statx *stx,
		 struct fuse_entry_out *ret)
{
	*ret = (struct fuse_entry_out){.nodeid = inode->id};
	entry_validity(inode, &ret->entry_valid, &ret->entry_valid_nsec);
	ret->attr_valid = ret->entry_valid;
	entry_describe(call, inode, spot, stx, &ret->attr);
}

static int enter(struct call *call, struct inode_seen *seen, const struct spot *spot, struct fuse_entry_out *ret_entry,
		 struct inode **ret_inode)
{
	struct inode *inode;
	int result = inode_enter(&inode, call->inodes, seen);

	if (result < 0)
		return result;
	fill(call, inode, spot, seen->stx, ret_entry);
	if (ret_inode)
		*ret_inode = inode;
	else
		inode_put(inode);
	return 0;
}

/* Another file system is mounted there: the host's processes and devices are no files, and processes would lead to all
 * that they hold. */
static bool is_kernels(int folder, const char *name)
{
	auto_close int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;

	return fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC;
}

/* Where births aren't known, a number is its object's for sure only while that is held open. */
static int hold_unborn(struct inode *inode, int folder, const char *name, struct statx *stx)
{
	auto_close int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		pin_make_room(inode);
		fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	return statx(fd, "", AT_EMPTY_PATH, INODE_STATX, stx) < 0 ? -errno : pin_settle(TAKE_FD(fd), inode);
}

int entry_find(struct call *call, struct inode *folder, int fd, const char *name, struct fuse_entry_out *ret_entry,
	       struct inode **ret_inode)
{
	const struct mask *mask = mask_child(atomic_load(&folder->mask), name), *known;
	struct spot spot = {.fd = fd, .entered = call->entered == fd};
	struct statx stx;
	struct inode_seen seen = {
		.share = folder->share, .parent = folder, .name = name, .stx = &stx, .fd = -EBADF, .lookups = 1};
	auto_close int held = -EBADF;
	int result;

	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	if (mask_hides(mask))
		return -ENOENT;
	strcpy(spot.name, name);
	result = spot_stat(&spot, &stx);
	if (result == 0 && !(stx.stx_mask & STATX_BTIME)) {
		held = hold_unborn(folder, fd, name, &stx);
		result = held < 0 ? held : 0;
	}
	if (result < 0)
		return result;
	known = inode_mask(folder->share, &stx);
	if (mask_hides(known))
		return -ENOENT;
	if (makedev(stx.stx_dev_major, stx.stx_dev_minor) != folder->key.dev && is_kernels(fd, name))
		return -EACCES;
	if (S_ISDIR(stx.stx_mode))
		seen.mask = mask ? mask : known;
	seen.fd = TAKE_FD(held);
	return enter(call, &seen, &spot, ret_entry, ret_inode);
}

int entry_find_share(struct call *call, struct share *share, struct fuse_entry_out *ret)
{
	struct spot spot = {.fd = share->fd};
	struct statx stx;
	struct inode_seen seen = {.share = share, .stx = &stx, .mask = masks_top(share->masks), .lookups = 1};
	int result = spot_stat(&spot, &stx);

	if (result < 0)
		return result;
	seen.fd = fcntl(share->fd, F_DUPFD_CLOEXEC, 0);
	if (seen.fd < 0)
		return -errno;
	return enter(call, &seen, &spot, ret, NULL);
}

int entry_made(struct call *call, struct inode *folder, const char *name, int fd, struct fuse_entry_out *ret_entry,
	       struct inode **ret_inode)
{
	struct statx stx;
	struct spot spot = {.fd = fd, .opened = true};
	struct inode_seen seen = {.share = folder->share,
				  .parent = name ? folder : NULL,
				  .name = name,
				  .stx = &stx,
				  .fd = -EBADF,
				  .lookups = 1};
	int result = spot_stat(&spot, &stx);

	if (result < 0)
		return result;
	if (!name)
		seen.fd = pin_settle(descriptor_open(fd, O_PATH), folder);
	if (!name && seen.fd < 0)
		return seen.fd;
	return enter(call, &seen, &spot, ret_entry, ret_inode);
}

void entry_forget(struct call *call, const struct fuse_entry_out *entry)
{
	inode_forget(call->inodes, entry->nodeid, 1);
}

int entry_own(struct call *call, int folder, int fd, uint32_t mode, uint32_t device)
{
	struct spot spot = {.fd = fd}, above = {.fd = folder};
	struct statx stx, parent;
	struct owner shown, want, holder;
	int result = spot_stat(&spot, &stx);

	if (result == 0)
		result = spot_stat(&above, &parent);
	if (result != 0)
		return result;
	shown = owner_native(call->owners, &stx); /* new as it is, it has no record */
	want = (struct owner){.uid = call->header.uid, .gid = call->header.gid, .device = device};
	want.mode = (mode & (S_IFMT | 07000)) | (shown.mode & 0777);
	if (parent.stx_mode & S_ISGID) {
		owner_show(call->owners, &holder, &above, &parent);
		want.gid = holder.gid;
		if (S_ISDIR(mode))
			want.mode |= S_ISGID;
	}
	if (want.uid == shown.uid && want.gid == shown.gid && want.mode == shown.mode && want.device == shown.device)
		return 0;
	result = owner_set(call->owners, fd, &stx, &want, false);
	/* What is the machine's user's by default is better than what can't be made. */
	if (result == -EPERM && (mode & S_IFMT) == (stx.stx_mode & S_IFMT))
		return 0;
	return result < 0 ? result : 0;
}

/* That there is nothing is known for as long as what there is. */
static int reply_nothing(struct call *call)
{
	struct fuse_entry_out entry = {0};

	if (!call->inode->share || call->inode->share->cache == SHARE_CACHE_NONE)
		return -ENOENT;
	entry_validity(call->inode, &entry.entry_valid, &entry.entry_valid_nsec);
	return call_reply(call, &entry, sizeof(entry));
}

int entry_lookup(struct call *call)
{
	auto_pin struct pin pin = {0};
	struct fuse_entry_out entry = {0};
	int result;

	if (!call->inode->share) {
		auto_share struct share *share = root_find(call->root, call->name);

		result = share ? entry_find_share(call, share, &entry) : -ENOENT;
	} else {
		atomic_fetch_add(&call->inode->searched, 1);
		result = call_check_name(call->inode, call->name);
		if (result == -EACCES)
			result = -ENOENT;
		if (result == 0)
			result = pin_take(&pin, call->inode);
		if (result == 0)
			result = entry_find(call, call->inode, pin.fd, call->name, &entry, NULL);
	}
	if (result == -ENOENT)
		return reply_nothing(call);
	if (result != 0)
		return result;
	result = call_reply(call, &entry, sizeof(entry));
	if (result < 0)
		entry_forget(call, &entry);
	return result;
}
