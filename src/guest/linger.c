#include "guest/linger.h"

#include "base/file.h"
#include "base/text.h"
#include "guest/place.h"
#include "guest/tree.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STATE   "/var/lib/annex/linger"
#define UNITS   "/var/lib/annex/user-units"
#define SYSTEMD "/var/lib/systemd"

enum { STATE_MAX = 4096 };

static const char drop_in[] = "# The host's. What pam_systemd would say, where the image has it not.\n"
			      "[Service]\n"
			      "Environment=XDG_RUNTIME_DIR=/run/user/%i\n";

int linger_set(const char *root, const char *user, struct annex_error **err)
{
	char state[PATH_MAX], path[PATH_MAX];
	auto_free char *before = NULL;
	int result;

	snprintf(state, sizeof(state), "%s" STATE, root);
	result = file_read_regular(&before, NULL, AT_FDCWD, state, STATE_MAX);
	if (result == 0 && text_equal(before, user))
		return 0;
	if (result < 0 && result != -ENOENT)
		return fail_os(err, result, "cannot read " STATE);
	snprintf(path, sizeof(path), "%s" SYSTEMD "/linger", root);
	result = strchr(user, '/') || user[0] == '.' ? -EINVAL : file_make_folders(path, 0755);
	snprintf(path, sizeof(path), "%s" SYSTEMD "/linger/%s", root, user);
	if (result == 0)
		result = file_write_atomic(AT_FDCWD, path, "", 0, 0644);
	if (result == 0)
		result = file_write_atomic(AT_FDCWD, state, user, strlen(user), 0644);
	return result < 0 ? fail_os(err, result, "cannot let the services of %s linger", user) : 0;
}

int linger_make_units(const char *root, uint32_t uid, uint32_t gid, struct annex_error **err)
{
	char path[PATH_MAX];
	struct stat st;
	int result;

	snprintf(path, sizeof(path), "%s" UNITS, root);
	result = file_make_folders(path, 0755);
	if (result == 0 &&
	    (lstat(path, &st) < 0 || ((st.st_uid != uid || st.st_gid != gid) && lchown(path, uid, gid) < 0)))
		result = -errno;
	return result < 0 ? fail_os(err, result, "cannot make " UNITS) : 0;
}

/* The home is the user's, who may have links there to what is root's. Where one leads out of what the host shares, no
 * units are the host's. */
static int look_for_link(int root, const char *home, const char *path)
{
	auto_close int folder = place_open(root, home), fd = place_open(root, path);
	dev_t wanted = 0, found = 0;
	int result;

	if (folder < 0 || fd == -ENOENT)
		return folder < 0 ? folder : 0;
	result = fd < 0 ? fd : tree_device(folder, &wanted);
	if (result == 0)
		result = tree_device(fd, &found);
	return result == 0 && wanted != found ? -EXDEV : result;
}

int linger_bind_units(int root, const char *home)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *config = path_join(home, ".config"), *path = path_join(home, ".config/systemd");
	auto_close int from = -1, to = -1, tree = -1;
	int result;

	if (!config || !path)
		return -ENOMEM;
	result = look_for_link(root, home, config);
	if (result == 0)
		result = look_for_link(root, home, path);
	if (result < 0)
		return result;
	from = place_open(root, UNITS);
	if (from < 0)
		return from;
	if (place_make(&to, root, path, false, &err) < 0)
		return -(annex_error_errno(err) ? annex_error_errno(err) : EINVAL);
	tree = tree_clone_at(from);
	return tree < 0 ? tree : tree_attach(tree, to);
}

int linger_drop_in(int units)
{
	auto_close int folder = -1, fd = -1;

	if (mkdirat(units, "user@.service.d", 0755) < 0 && errno != EEXIST)
		return -errno;
	folder = openat(units, "user@.service.d", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	fd = folder < 0 ? -1 : openat(folder, "annex.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : file_write_all(fd, drop_in, strlen(drop_in));
}
