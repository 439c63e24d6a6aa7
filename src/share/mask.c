#include "share/mask.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

/*
 * A mask is found by name: the paths form a tree, and whoever walks down the share walks down the tree beside it. The
 * same folder may have a second way to it (a bind mount, a link from one path to another of the share, a file system
 * that takes two names for one): for these the objects at the ends of the paths and on the way there, and those that
 * links there lead to, are known by device, number and birth too. These are looked up anew once in a while, since the
 * host makes and replaces them, and an object once known stays so: moving the folder around it does not uncover it.
 * Nothing of the tree changes after masks_new(), so reading it takes no lock.
 */
struct mask {
	char *name;
	bool hides;
	struct mask *children;
	struct mask *next; /* sibling */
};

struct identity {
	uint64_t dev, ino, born_ns; /* 0: not known */
};

struct known {
	struct identity identity;
	const struct mask *mask;
};

/* A path below the root, of a mask that is an end or on the way to one. */
struct place {
	char *path;
	const struct mask *mask;
};

struct masks {
	struct mask *top;
	struct place *places;
	size_t place_count, path_count;
	int root;
	_Atomic(uint64_t) hidden;
	pthread_rwlock_t lock; /* of what follows */
	struct known *known;
	size_t known_count, known_next;
	_Atomic(int64_t) refreshed_ns;
};

static void mask_free(struct mask *mask)
{
	while (mask) {
		struct mask *next = mask->next;

		mask_free(mask->children); /* at most MASK_DEPTH_LIMIT deep */
		free(mask->name);
		free(mask);
		mask = next;
	}
}

const struct mask *mask_child(const struct mask *mask, const char *name)
{
	const struct mask *child = mask ? mask->children : NULL;

	while (child && strcasecmp(child->name, name) != 0)
		child = child->next;
	return child;
}

bool mask_hides(const struct mask *mask)
{
	return mask && mask->hides;
}

const struct mask *masks_top(const struct masks *masks)
{
	return masks ? masks->top : NULL;
}

static struct mask *child_made(struct mask *parent, const char *name, size_t size)
{
	auto_free char *copy = strndup(name, size);
	struct mask *child = copy ? (struct mask *)mask_child(parent, copy) : NULL;

	if (child || !copy)
		return child;
	child = calloc(1, sizeof(*child));
	if (!child)
		return NULL;
	child->name = TAKE(copy);
	child->next = parent->children;
	parent->children = child;
	return child;
}

static bool is_name(const char *name, size_t size)
{
	return size > 0 && size <= NAME_MAX && !(size == 1 && name[0] == '.') &&
	       !(size == 2 && name[0] == '.' && name[1] == '.');
}

static int add_place(struct masks *masks, const char *path, size_t size, const struct mask *mask,
		     struct annex_error **err)
{
	struct place *places;
	char *copy;

	for (size_t i = 0; i < masks->place_count; i++) {
		if (strncmp(masks->places[i].path, path, size) == 0 && !masks->places[i].path[size])
			return 0;
	}
	places = reallocarray(masks->places, masks->place_count + 1, sizeof(*places));
	if (!places)
		return fail_memory(err);
	masks->places = places;
	copy = strndup(path, size);
	if (!copy)
		return fail_memory(err);
	places[masks->place_count++] = (struct place){copy, mask};
	return 0;
}

static int add_path(struct masks *masks, const char *path, struct annex_error **err)
{
	struct mask *at = masks->top;
	const char *name = path;
	unsigned depth = 0;

	if (masks->path_count++ == MASKS_LIMIT)
		return fail(err, ANNEX_ERROR_USAGE, "more than %d masks", MASKS_LIMIT);
	for (;;) {
		size_t size = strcspn(name, "/");

		if (!is_name(name, size) || ++depth > MASK_DEPTH_LIMIT)
			return fail(err, ANNEX_ERROR_USAGE, "'%s' is no path below a share", path);
		at = child_made(at, name, size);
		if (!at)
			return fail_memory(err);
		if (add_place(masks, path, (size_t)(name - path) + size, at, err) < 0)
			return -1;
		if (!name[size])
			break;
		name += size + 1;
	}
	at->hides = true;
	return 0;
}

/* With the lock, for reading at least. An object may be on several ways, or an end too: that counts more. */
static const struct mask *find_known(const struct masks *masks, const struct identity *what)
{
	const struct mask *found = NULL;

	for (size_t i = 0; i < masks->known_count && !mask_hides(found); i++) {
		const struct known *one = &masks->known[i];

		if (one->identity.ino == what->ino && one->identity.dev == what->dev &&
		    one->identity.born_ns == what->born_ns)
			found = one->mask;
	}
	return found;
}

static void learn(struct masks *masks, const struct place *place, int flags)
{
	struct identity identity;
	struct statx stx;
	const struct mask *before;

	if (statx(masks->root, place->path, flags | AT_NO_AUTOMOUNT, STATX_INO | STATX_BTIME, &stx) < 0)
		return;
	identity = (struct identity){.dev = makedev(stx.stx_dev_major, stx.stx_dev_minor), .ino = stx.stx_ino};
	if (stx.stx_mask & STATX_BTIME)
		identity.born_ns = (uint64_t)stx.stx_btime.tv_sec * 1000000000 + stx.stx_btime.tv_nsec;
	pthread_rwlock_wrlock(&masks->lock);
	before = find_known(masks, &identity);
	if (!before || (place->mask->hides && !before->hides)) {
		masks->known[masks->known_next] = (struct known){identity, place->mask};
		masks->known_next = (masks->known_next + 1) % MASK_KNOWN_LIMIT;
		if (masks->known_count < MASK_KNOWN_LIMIT)
			masks->known_count++;
		if (place->mask->hides)
			atomic_fetch_add(&masks->hidden, 1);
	}
	pthread_rwlock_unlock(&masks->lock);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The paths are resolved as the host would: only the numbers at their ends are taken. */
static void refresh(struct masks *masks)
{
	for (size_t i = 0; i < masks->place_count; i++) {
		learn(masks, &masks->places[i], 0);
		learn(masks, &masks->places[i], AT_SYMLINK_NOFOLLOW);
	}
}

bool masks_may_know(struct masks *masks, uint64_t ino)
{
	bool found = false;

	if (!masks)
		return false;
	pthread_rwlock_rdlock(&masks->lock);
	for (size_t i = 0; i < masks->known_count && !found; i++)
		found = masks->known[i].identity.ino == ino;
	pthread_rwlock_unlock(&masks->lock);
	return found;
}

const struct mask *masks_known(struct masks *masks, uint64_t dev, uint64_t ino, uint64_t born_ns)
{
	struct identity identity = {dev, ino, born_ns};
	const struct mask *found;
	int64_t now, seen;

	if (!masks)
		return NULL;
	now = now_ns();
	seen = atomic_load(&masks->refreshed_ns);
	if (now - seen > MASK_REFRESH_NS && atomic_compare_exchange_strong(&masks->refreshed_ns, &seen, now))
		refresh(masks);
	pthread_rwlock_rdlock(&masks->lock);
	found = find_known(masks, &identity);
	pthread_rwlock_unlock(&masks->lock);
	return found;
}

uint64_t masks_hidden(const struct masks *masks)
{
	return atomic_load(&masks->hidden);
}

int masks_new(struct masks **ret, const char *const *paths, int root, struct annex_error **err)
{
	auto_masks struct masks *masks = calloc(1, sizeof(*masks));

	if (!masks)
		return fail_memory(err);
	pthread_rwlock_init(&masks->lock, NULL);
	masks->root = root;
	masks->top = calloc(1, sizeof(*masks->top));
	masks->known = calloc(MASK_KNOWN_LIMIT, sizeof(*masks->known));
	if (!masks->top || !masks->known)
		return fail_memory(err);
	for (; *paths; paths++) {
		if (add_path(masks, *paths, err) < 0)
			return -1;
	}
	masks->refreshed_ns = now_ns();
	refresh(masks);
	*ret = TAKE(masks);
	return 0;
}

void masks_free(struct masks *masks)
{
	if (!masks)
		return;
	mask_free(masks->top);
	for (size_t i = 0; i < masks->place_count; i++)
		free(masks->places[i].path);
	free(masks->places);
	free(masks->known);
	pthread_rwlock_destroy(&masks->lock);
	free(masks);
}
