/*
 * An ordinary user's containers are kept below the home. Where that is shared, they can't be: their files belong to
 * many users, and an overlay needs a file system that is all the kernel's own. And it would be the host's own Podman's,
 * too, which a second kernel must not work in.
 */
#include "guest/containers.h"

#include "base/file.h"
#include "base/text.h"
#include "guest/etcfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG  "/etc/containers/storage.conf"
#define STORAGE "/var/lib/annex/containers"

enum { CONFIG_MAX = 1 << 20 };

static const char text[] = ETCFILE_OURS "# The home is the host's, where containers of ordinary users can't be.\n"
					"[storage]\n"
					"driver = \"overlay\"\n"
					"runroot = \"/run/containers/storage\"\n"
					"graphroot = \"/var/lib/containers/storage\"\n"
					"rootless_storage_path = \"" STORAGE "/$UID\"\n";

/* Everybody may make a folder there, so the user's is made before somebody else makes it. */
static int make_own(uint32_t uid, uint32_t gid)
{
	char path[sizeof(STORAGE) + 16];
	struct stat st;

	snprintf(path, sizeof(path), STORAGE "/%u", uid);
	if ((mkdir(path, 0700) < 0 && errno != EEXIST) || lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || (st.st_uid != 0 && st.st_uid != uid))
		return -EEXIST;
	return st.st_uid == 0 && lchown(path, uid, gid) < 0 ? -errno : 0;
}

int containers_keep_on_disk(uint32_t uid, uint32_t gid, struct annex_error **err)
{
	auto_free char *now = NULL;
	int result = file_read_regular(&now, NULL, AT_FDCWD, CONFIG, CONFIG_MAX);

	if (result < 0 && result != -ENOENT)
		return 0; /* whatever it is, it is not ours */
	if (now && !text_starts(now, ETCFILE_OURS))
		return 0;
	result = file_make_folders(STORAGE, 0755);
	if (result == 0 && chmod(STORAGE, 01777) < 0)
		result = -errno;
	if (result == 0)
		result = make_own(uid, gid);
	if (result < 0)
		return fail_os(err, result, "cannot make %s", STORAGE);
	if (text_equal(now, text))
		return 0;
	result = file_make_folders("/etc/containers", 0755);
	if (result == 0)
		result = file_write_atomic(AT_FDCWD, CONFIG, text, strlen(text), 0644);
	return result < 0 ? fail_os(err, result, "cannot write %s", CONFIG) : 0;
}
