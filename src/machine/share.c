/*
 * The plan of shares. A source is made canonical first, so that what it contains, and what contains it, can be told by
 * its path alone. What is hidden is a list of absolute paths of the host: the settings' masks, below the home, and what
 * is never shared, which is where annex keeps its own: who writes a machine's record has the host's files, by the
 * volumes in it. Each is in the list as it is named and as it resolves, and every share whose source contains one of
 * them gets it as a mask. A source that is a masked path, or lies in one, was named by the user: the settings' masks
 * don't hold there, but what is never shared stays so.
 *
 * A machine can write what is shared with it, so it can put a link where a volume of the next start, its own or another
 * machine's, is to come from. Volumes are kept canonical, and one that isn't any longer is refused; what is opened is
 * held to the path that was judged. The kernel's modules are in annex's data, and exempt from its mask only there.
 */
#include "machine/share.h"

#include "base/file.h"
#include "machine/volume.h"
#include "share/mask.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define OWN_MASKS_MAX 8u /* what find_hidden() adds to the settings' masks, each in two spellings as those are */
static_assert(2 * (SETTING_MASKS_MAX + OWN_MASKS_MAX) <= MASKS_LIMIT, "the server takes all masks of a share");

struct hidden {
	struct text_list never, masks; /* absolute */
};

static void hidden_clear(struct hidden *hidden)
{
	text_list_clear(&hidden->never);
	text_list_clear(&hidden->masks);
}
#define auto_hidden CLEANUP(hidden_clear)

static void share_clear(struct machine_share *share)
{
	free(share->name);
	free(share->source);
	free(share->target);
	free(share->cache);
	text_list_clear(&share->masks);
	*share = (struct machine_share){0};
}
#define auto_machine_share CLEANUP(share_clear)

void machine_shares_clear(struct machine_shares *shares)
{
	for (size_t i = 0; i < shares->count; i++)
		share_clear(&shares->items[i]);
	free(shares->items);
	*shares = (struct machine_shares){0};
}

/* The canonical form of a path of which only the beginning need exist; NULL: out of memory, or it is too long. */
static char *resolve(const char *path)
{
	auto_free char *begin = strdup(path);

	while (begin) {
		auto_free char *real = realpath(*begin ? begin : "/", NULL);
		const char *rest = path + strlen(begin);

		if (real && *rest)
			return path_join(real, rest + 1);
		if (real || !*begin)
			return TAKE(real);
		*strrchr(begin, '/') = '\0';
	}
	return NULL;
}

static bool has(const struct text_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], text) == 0)
			return true;
	}
	return false;
}

static int hide_one(struct text_list *list, const char *path, struct annex_error **err)
{
	if (!path)
		return fail_memory(err);
	return !has(list, path) && text_list_add(list, path) < 0 ? fail_memory(err) : 0;
}

/* Takes `path`, which may be NULL: out of memory. */
static int hide(struct text_list *list, char *path, struct annex_error **err)
{
	auto_free char *named = path, *real = named ? resolve(named) : NULL;

	return hide_one(list, named, err) < 0 ? -1 : hide_one(list, real, err);
}

static int find_hidden(struct hidden *hidden, const struct machine_paths *paths,
		       const struct machine_settings *settings, const char *home, struct annex_error **err)
{
	auto_free char *real = resolve(home);

	if (!real)
		return fail_memory(err);
	if (hide(&hidden->never, strdup(paths->data), err) < 0 ||
	    hide(&hidden->never, strdup(paths->config), err) < 0 ||
	    hide(&hidden->never, strdup(paths->runtime), err) < 0 ||
	    hide(&hidden->never, path_join(real, ".local/share/annex"), err) < 0 ||
	    hide(&hidden->never, path_join(real, ".config/annex"), err) < 0)
		return -1;
	/* What is read and written there is no files, but processes and devices. */
	if (hide(&hidden->never, strdup("/proc"), err) < 0 || hide(&hidden->never, strdup("/sys"), err) < 0 ||
	    hide(&hidden->masks, strdup("/dev"), err) < 0)
		return -1;
	for (size_t i = 0; i < settings->masks.count; i++) {
		if (hide(&hidden->masks, path_join(real, settings->masks.items[i]), err) < 0)
			return -1;
	}
	return 0;
}

static unsigned depth(const char *path) /* how many slashes it has */
{
	unsigned count = 0;

	for (; *path; path++)
		count += *path == '/';
	return count;
}

static int mask_list(struct machine_share *share, const struct text_list *list, struct annex_error **err)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *below = path_below(share->source, list->items[i]);

		if (!below || !*below || has(&share->masks, below))
			continue;
		if (depth(below) >= MASK_DEPTH_LIMIT)
			return fail(err, ANNEX_ERROR_USAGE, "cannot share %s: %s, which is masked, lies too deep in it",
				    share->source, list->items[i]);
		if (text_list_add(&share->masks, below) < 0)
			return fail_memory(err);
	}
	return 0;
}

static int find_source(struct machine_share *share, const char *path, struct annex_error **err)
{
	struct stat status;

	share->source = realpath(path, NULL);
	if (!share->source && (errno == ENOENT || errno == ENOTDIR))
		return fail(err, ANNEX_ERROR_NOT_FOUND, "cannot share %s: %s", path, strerror(errno));
	if (!share->source || stat(share->source, &status) < 0)
		return fail_os(err, errno, "cannot share %s", path);
	if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode))
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "cannot share %s: it is neither a folder nor a file", path);
	if (!text_is_utf8(share->source, strlen(share->source)) || strchr(share->source, '\n'))
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "cannot share %s: its path %s is not UTF-8 on one line", path,
			    share->source);
	share->is_file = S_ISREG(status.st_mode);
	return 0;
}

static int mask(struct machine_share *share, const struct hidden *hidden, struct annex_error **err)
{
	for (size_t i = 0; i < hidden->never.count; i++) {
		if (path_below(hidden->never.items[i], share->source))
			return fail(err, ANNEX_ERROR_USAGE, "cannot share %s: no machine gets what is in %s",
				    share->source, hidden->never.items[i]);
	}
	return mask_list(share, &hidden->never, err) < 0 ? -1 : mask_list(share, &hidden->masks, err);
}

bool machine_share_masked(const char *mask, const char *path)
{
	size_t size = strlen(mask);

	return strncasecmp(mask, path, size) == 0 && (!path[size] || path[size] == '/');
}

/* The share that a place in the machine lies in: the one with the longest target around it. */
static const struct machine_share *around(const struct machine_shares *shares, const char *target)
{
	const struct machine_share *found = NULL;

	for (size_t i = 0; i < shares->count; i++) {
		const char *below = path_below(shares->items[i].target, target);

		if (below && *below && (!found || strlen(found->target) < strlen(shares->items[i].target)))
			found = &shares->items[i];
	}
	return found;
}

static int check_place(const struct machine_shares *shares, const struct machine_share *share,
		       const struct machine_paths *paths, const struct text_list *masks, struct annex_error **err)
{
	const struct machine_share *outer = around(shares, share->target);
	const char *below = outer ? path_below(outer->target, share->target) : NULL;

	if (outer && outer->is_file)
		return fail(err, ANNEX_ERROR_USAGE, "cannot share %s at %s: %s is a file", share->source, share->target,
			    outer->target);
	for (size_t i = 0; outer && i < outer->masks.count; i++) {
		if (!machine_share_masked(outer->masks.items[i], below))
			continue;
		fail(err, ANNEX_ERROR_USAGE, "cannot share %s at %s: %s is masked in %s", share->source, share->target,
		     outer->masks.items[i], outer->target);
		if (strcmp(outer->name, "home") != 0 || !has(masks, outer->masks.items[i]))
			return fail_hint(err, "choose another place in the machine");
		return fail_hint(err, "choose another place, or annex set -n %s mask=-%s", paths->name,
				 outer->masks.items[i]);
	}
	return 0;
}

/* Takes the share, into its place in the order: behind all whose target has no more names. `kind` is of the error when
 * that target is taken. */
static int insert(struct machine_shares *shares, size_t *ret_index, struct machine_share *share,
		  enum annex_error_kind kind, struct annex_error **err)
{
	const struct machine_share *same = machine_shares_find(shares, share->target);
	struct machine_share *items;
	size_t index = shares->count;

	if (same)
		return fail(err, kind, "cannot share %s at %s: %s is shared there", share->source, share->target,
			    same->source);
	if (shares->count >= MACHINE_SHARES_MAX)
		return fail(err, ANNEX_ERROR_USAGE, "a machine has at most %u shares", MACHINE_SHARES_MAX);
	items = reallocarray(shares->items, shares->count + 1, sizeof(*items));
	if (!items)
		return fail_memory(err);
	shares->items = items;
	while (index > 0 && depth(items[index - 1].target) > depth(share->target))
		index--;
	memmove(&items[index + 1], &items[index], (shares->count - index) * sizeof(*items));
	items[index] = *share;
	*share = (struct machine_share){0};
	shares->count++;
	*ret_index = index;
	return 0;
}

static int fill(struct machine_share *share, const char *name, const struct volume *volume, bool kept,
		struct annex_error **err)
{
	share->name = strdup(name);
	share->target = strdup(volume->guest);
	share->cache = strdup(volume->cache);
	share->read_only = volume->read_only;
	share->kept = kept;
	return share->name && share->target && share->cache ? 0 : fail_memory(err);
}

static int make_volume(struct machine_share *ret, const char *series, unsigned long number, const struct volume *volume,
		       const char *home, const struct hidden *hidden, struct annex_error **err)
{
	auto_machine_share struct machine_share share = {0};
	char name[32];

	snprintf(name, sizeof(name), "%s-%lu", series, number);
	if (find_source(&share, volume->host, err) < 0)
		return -1;
	if (strcmp(share.source, volume->host) != 0)
		return fail(err, ANNEX_ERROR_USAGE, "cannot share %s: it is a link to %s now", volume->host,
			    share.source);
	if (mask(&share, hidden, err) < 0 || fill(&share, name, volume, true, err) < 0)
		return -1;
	share.is_home = !share.is_file && strcmp(home, volume->guest) == 0;
	*ret = share;
	share = (struct machine_share){0};
	return 0;
}

static int add_volumes(struct machine_shares *shares, const struct machine_paths *paths,
		       const struct text_list *volumes, const char *home, const struct hidden *hidden,
		       struct annex_error **err)
{
	for (size_t i = 0; i < volumes->count; i++) {
		auto_machine_share struct machine_share share = {0};
		auto_volume struct volume volume = {0};
		size_t index = 0;

		if (volume_parse(&volume, volumes->items[i], err) < 0)
			return -1;
		if (make_volume(&share, "volume", i + 1, &volume, home, hidden, err) < 0 ||
		    insert(shares, &index, &share, ANNEX_ERROR_USAGE, err) < 0)
			return fail_hint(err, "annex set -n %s volume=-%s", paths->name, volume.guest);
	}
	return 0;
}

/* A home that the user's account only names, as those of services do, is not shared: the host's /bin would take the
 * place of the machine's. */
static bool is_own_home(const char *home)
{
	auto_free char *real = realpath(home, NULL), *target = NULL;
	struct stat status;

	return real && strcmp(real, "/") != 0 && volume_guest(&target, home, NULL) == 0 && stat(real, &status) == 0 &&
	       S_ISDIR(status.st_mode) && (status.st_uid == getuid() || access(real, W_OK | X_OK) == 0);
}

static int add_home(struct machine_shares *shares, const struct machine_paths *paths,
		    const struct machine_settings *settings, const char *home, const struct hidden *hidden,
		    struct annex_error **err)
{
	auto_machine_share struct machine_share share = {0};
	char cache[] = "auto";
	struct volume volume = {
		.guest = *settings->home_target ? settings->home_target : (char *)home,
		.read_only = strcmp(settings->home_mount, "rw") != 0,
		.cache = cache,
	};
	size_t index = 0;

	if (settings->isolate || strcmp(settings->home_mount, "none") == 0 ||
	    (!*settings->home_target && !is_own_home(home)))
		return 0;
	if (find_source(&share, home, err) < 0 || mask(&share, hidden, err) < 0 ||
	    fill(&share, "home", &volume, true, err) < 0)
		return fail_hint(err, "annex set -n %s home-mount=none", paths->name);
	if (share.is_file || strcmp(share.source, "/") == 0) {
		fail(err, ANNEX_ERROR_UNSUPPORTED, "cannot share %s as the home", share.source);
		return fail_hint(err, "annex set -n %s home-mount=none", paths->name);
	}
	share.is_home = strcmp(volume.guest, home) == 0;
	return insert(shares, &index, &share, ANNEX_ERROR_USAGE, err);
}

static int check_modules(struct machine_share *share, const struct machine_paths *paths, const char *release,
			 const struct hidden *hidden, struct annex_error **err)
{
	auto_free char *folder = path_join(paths->data, "kernels"), *kernels = folder ? resolve(folder) : NULL;

	if (!kernels)
		return fail_memory(err);
	if (path_below(kernels, share->source))
		return 0;
	if (share->is_file || strcmp(path_name(share->source), release) != 0)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s is no folder of modules of %s", share->source, release);
	return mask(share, hidden, err);
}

static int add_modules(struct machine_shares *shares, const struct machine_paths *paths, const char *modules,
		       const char *release, const struct hidden *hidden, struct annex_error **err)
{
	auto_machine_share struct machine_share share = {0};
	auto_free char *target = NULL;
	char cache[] = "auto";
	struct volume volume = {.read_only = true, .cache = cache};
	size_t index = 0;

	if (asprintf(&target, "/lib/modules/%s", release) < 0) {
		target = NULL;
		return fail_memory(err);
	}
	volume.guest = target;
	if (find_source(&share, modules, err) < 0 || check_modules(&share, paths, release, hidden, err) < 0)
		return fail_hint(err, "annex kernel list");
	return fill(&share, "modules", &volume, true, err) < 0 ? -1
							       : insert(shares, &index, &share, ANNEX_ERROR_USAGE, err);
}

int machine_shares_make(struct machine_shares *ret, const struct machine_paths *paths,
			const struct machine_settings *settings, const char *home, const char *modules,
			const char *release, struct annex_error **err)
{
	auto_machine_shares struct machine_shares made = {0};
	auto_hidden struct hidden hidden = {0};

	if (find_hidden(&hidden, paths, settings, home, err) < 0 ||
	    add_home(&made, paths, settings, home, &hidden, err) < 0 ||
	    (modules && add_modules(&made, paths, modules, release, &hidden, err) < 0) ||
	    add_volumes(&made, paths, &settings->volumes, home, &hidden, err) < 0)
		return -1;
	for (size_t i = 0; i < made.count; i++) {
		if (check_place(&made, &made.items[i], paths, &settings->masks, err) < 0)
			return -1;
	}
	*ret = made;
	made = (struct machine_shares){0};
	return 0;
}

/* What is put over the place of another share would hide that until the next start, which puts it below. */
static int check_below(const struct machine_shares *shares, const struct machine_share *share, struct annex_error **err)
{
	for (size_t i = 0; i < shares->count; i++) {
		const char *below = path_below(share->target, shares->items[i].target);

		if (below && *below) {
			fail(err, ANNEX_ERROR_EXISTS, "cannot share %s at %s: it would hide what is shared at %s",
			     share->source, share->target, shares->items[i].target);
			return fail_hint(err, "annex umount %s", shares->items[i].target);
		}
	}
	return 0;
}

static bool is_set(const struct machine_settings *settings, const struct volume *volume)
{
	auto_free char *text = volume_text(volume);

	for (size_t i = 0; i < settings->volumes.count; i++) {
		if (text_equal(settings->volumes.items[i], text))
			return true;
	}
	return false;
}

int machine_shares_add(struct machine_shares *shares, const struct machine_share **ret_share,
		       const struct machine_paths *paths, const struct machine_settings *settings, const char *home,
		       const char *text, bool kept, struct annex_error **err)
{
	auto_machine_share struct machine_share share = {0};
	auto_hidden struct hidden hidden = {0};
	auto_volume struct volume volume = {0};
	size_t index = 0;

	if (volume_parse(&volume, text, err) < 0 || find_hidden(&hidden, paths, settings, home, err) < 0 ||
	    make_volume(&share, "mount", shares->mounts + 1ul, &volume, home, &hidden, err) < 0 ||
	    check_place(shares, &share, paths, &settings->masks, err) < 0 || check_below(shares, &share, err) < 0)
		return -1;
	share.kept = kept || is_set(settings, &volume); /* it had been taken away for a while */
	if (insert(shares, &index, &share, ANNEX_ERROR_EXISTS, err) < 0)
		return -1;
	shares->mounts++;
	*ret_share = &shares->items[index];
	return 0;
}

bool machine_shares_keep(struct machine_shares *shares, const char *text)
{
	auto_volume struct volume volume = {0};

	if (volume_parse(&volume, text, NULL) < 0)
		return false;
	for (size_t i = 0; i < shares->count; i++) {
		struct machine_share *share = &shares->items[i];

		if (strcmp(share->target, volume.guest) != 0 || strcmp(share->source, volume.host) != 0 ||
		    share->read_only != volume.read_only || strcmp(share->cache, volume.cache) != 0 ||
		    strcmp(share->name, "home") == 0)
			continue;
		share->kept = true;
		return true;
	}
	return false;
}

int machine_shares_remove(struct machine_shares *shares, const char *target, struct annex_error **err)
{
	const struct machine_share *found = machine_shares_find(shares, target);
	size_t index;

	if (!found)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "nothing is shared at %s", target);
	index = (size_t)(found - shares->items);
	share_clear(&shares->items[index]);
	shares->count--;
	memmove(&shares->items[index], &shares->items[index + 1], (shares->count - index) * sizeof(*shares->items));
	return 0;
}

const struct machine_share *machine_shares_find(const struct machine_shares *shares, const char *target)
{
	for (size_t i = 0; i < shares->count; i++) {
		if (strcmp(shares->items[i].target, target) == 0)
			return &shares->items[i];
	}
	return NULL;
}

int machine_share_open(int *ret_fd, const struct machine_share *share, struct annex_error **err)
{
	auto_close int fd = open(share->source, O_PATH | O_CLOEXEC);
	char link[sizeof("/proc/self/fd/") + 3 * sizeof(int)], path[PATH_MAX];
	ssize_t size;

	if (fd < 0)
		return fail_os(err, errno, "cannot share %s", share->source);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, path, sizeof(path));
	if (size < 0)
		return fail_os(err, errno, "cannot share %s", share->source);
	if ((size_t)size != strlen(share->source) || memcmp(path, share->source, (size_t)size) != 0)
		return fail(err, ANNEX_ERROR_USAGE, "cannot share %s: it is a link to %.*s now", share->source,
			    (int)size, path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

char *machine_share_wire(const struct machine_share *share)
{
	auto_text struct text text = {0};

	text_printf(&text, "%s %s%s%s %s", share->name, share->is_file ? "f" : "d", share->read_only ? "r" : "",
		    share->is_home ? "h" : "", share->target);
	return text_take(&text);
}
