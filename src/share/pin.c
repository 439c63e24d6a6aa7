#include "share/pin.h"

#include "share/shard.h"

#include <fcntl.h>
#include <sys/resource.h>

/*
 * Descriptors of inodes that nobody uses stay open, the one used last at the newest end of its shard's list, until the
 * shard has more than its part of them; then the oldest is closed. Exempt are those that nothing leads back to: roots
 * of shares, and what the guest has removed or never named.
 */
void pin_idle_leave(struct inode *inode)
{
	struct inode_shard *shard = inode->shard;

	if (!inode->idle)
		return;
	*(inode->newer ? &inode->newer->older : &shard->newest) = inode->older;
	*(inode->older ? &inode->older->newer : &shard->oldest) = inode->newer;
	inode->newer = inode->older = NULL;
	inode->idle = false;
	shard->idle--;
}

int pin_idle_enter(struct inode *inode)
{
	struct inode_shard *shard = inode->shard;
	struct inode *oldest;

	if (inode->idle || inode->pins > 0 || inode->kept || inode->fd < 0)
		return -EBADF;
	inode->older = shard->newest;
	*(shard->newest ? &shard->newest->newer : &shard->oldest) = inode;
	shard->newest = inode;
	inode->idle = true;
	if (++shard->idle <= shard->idle_limit)
		return -EBADF;
	oldest = shard->oldest;
	pin_idle_leave(oldest);
	return TAKE_FD(oldest->fd);
}

/* A descriptor that would be pinned for good is one that is kept. */
void pin_keep(struct inode *inode)
{
	struct pin pin;

	if (pin_take(&pin, inode) < 0)
		return;
	pthread_mutex_lock(&inode->shard->lock);
	inode->kept = true;
	inode->pins--;
	pthread_mutex_unlock(&inode->shard->lock);
}

void pin_unkeep(struct inode *inode)
{
	auto_close int too_many = -EBADF;

	pthread_mutex_lock(&inode->shard->lock);
	if (inode->parent)
		inode->kept = false;
	too_many = pin_idle_enter(inode);
	pthread_mutex_unlock(&inode->shard->lock);
}

bool pin_is_open(struct inode *inode)
{
	bool has;

	pthread_mutex_lock(&inode->shard->lock);
	has = inode->fd >= 0;
	pthread_mutex_unlock(&inode->shard->lock);
	return has;
}

void pin_make_room(struct inode *inode)
{
	for (size_t i = 0; i < INODE_SHARDS; i++) {
		struct inode_shard *shard = &inode->shard->inodes->shards[i];

		pthread_mutex_lock(&shard->lock);
		while (shard->oldest) {
			struct inode *oldest = shard->oldest;

			pin_idle_leave(oldest);
			cleanup_close(&oldest->fd);
			oldest->fd = -EBADF;
		}
		pthread_mutex_unlock(&shard->lock);
	}
}

/* The kernel gives the lowest number that is free. */
static bool is_left(int fd)
{
	struct rlimit limit;

	return fd >= PIN_DESCRIPTORS_LEFT && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	       (rlim_t)fd + PIN_DESCRIPTORS_LEFT >= limit.rlim_cur;
}

int pin_settle(int fd, struct inode *inode)
{
	auto_close int owned = fd, settled = -EBADF;

	if (!is_left(owned))
		return TAKE_FD(owned);
	pin_make_room(inode);
	settled = fcntl(owned, F_DUPFD_CLOEXEC, 0);
	return settled < 0 || is_left(settled) ? -EMFILE : TAKE_FD(settled);
}

static void close_one(struct table_entry *entry, void *data)
{
	const struct inode *inode = TABLE_OWNER(entry, struct inode, by_id);
	const struct share *share = data;

	if (inode->share != share)
		return;
	share_close(share, inode->fd);
	for (const struct lock_owner *owner = inode->lock_owners; owner; owner = owner->next)
		share_close(share, owner->fd);
}

void pin_close_share(struct inodes *inodes, const struct share *share)
{
	for (size_t i = 0; i < INODE_SHARDS; i++) {
		struct inode_shard *shard = &inodes->shards[i];

		pthread_mutex_lock(&shard->lock);
		table_each(&shard->by_id, close_one, (void *)share);
		pthread_mutex_unlock(&shard->lock);
	}
}

/* Takes the descriptor if the inode has none by now. */
static int pin_with(struct inode *inode, int *fd)
{
	int pinned;

	pthread_mutex_lock(&inode->shard->lock);
	/* What comes too late for pin_close_share() is not taken. */
	if (inode->fd < 0 && *fd >= 0 && !inode->share->removed)
		inode->fd = TAKE_FD(*fd);
	pinned = inode->fd >= 0 ? inode->fd : -ESTALE;
	if (pinned >= 0) {
		inode->pins++;
		pin_idle_leave(inode);
	}
	pthread_mutex_unlock(&inode->shard->lock);
	return pinned;
}

static int open_in(struct inode *inode, int folder, const char *name)
{
	auto_close int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statx stx;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		pin_make_room(inode);
		fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? -ESTALE : -errno;
	if (statx(fd, "", AT_EMPTY_PATH, INODE_STATX, &stx) < 0)
		return -errno;
	return inode_is(inode, &stx) ? pin_settle(TAKE_FD(fd), inode) : -ESTALE;
}

static int pin_from(struct inode *inode, unsigned depth)
{
	auto_inode struct inode *parent = NULL;
	auto_close int fd = -EBADF;
	char name[NAME_MAX + 1];
	int folder;

	if (!inode->shard || inode->share->removed)
		return -ESTALE;
	folder = pin_with(inode, &fd);
	if (folder >= 0)
		return folder;
	inode_place(inode, &parent, name);
	if (!parent || depth == PIN_DEPTH_LIMIT)
		return -ESTALE;
	folder = pin_from(parent, depth + 1);
	if (folder < 0)
		return folder;
	fd = open_in(inode, folder, name);
	pin_let_go(parent);
	return fd < 0 ? fd : pin_with(inode, &fd);
}

void pin_let_go(struct inode *inode)
{
	auto_close int too_many = -EBADF;

	pthread_mutex_lock(&inode->shard->lock);
	inode->pins--;
	too_many = pin_idle_enter(inode);
	pthread_mutex_unlock(&inode->shard->lock);
}

int pin_take(struct pin *pin, struct inode *inode)
{
	int fd = pin_from(inode, 0);

	if (fd < 0)
		return fd;
	*pin = (struct pin){inode, fd};
	return 0;
}
