#include "guest/unit.h"

#include "base/file.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define UNITS "run/systemd/system"

static const char drop_in[] = "# The host's. What keeps the machine's sessions from losing it before they end.\n"
			      "[Unit]\n"
			      "DefaultDependencies=no\n";

void unit_mount_name(struct text *out, const char *path)
{
	bool first = true;

	path += strspn(path, "/");
	for (; *path; path++) {
		if (*path == '/') {
			path += strspn(path, "/") - 1;
			if (path[1])
				text_add_char(out, '-');
		} else if (isalnum((unsigned char)*path) || *path == ':' || *path == '_' || (*path == '.' && !first))
			text_add_char(out, *path);
		else
			text_printf(out, "\\x%02x", (unsigned char)*path);
		first = false;
	}
	text_add(out, ".mount");
}

/* What is there is the machine's own, and stays. */
static int write_drop_in(int units, const char *folder)
{
	auto_close int dir = -1, fd = -1;

	if (mkdirat(units, folder, 0755) < 0 && errno != EEXIST)
		return -errno;
	dir = openat(units, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	fd = openat(dir, "annex.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	return file_write_all(fd, drop_in, strlen(drop_in));
}

int unit_keep_mounted(int root, const char *path)
{
	auto_close int units = openat(root, UNITS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_text struct text name = {0};

	if (units < 0)
		return 0;
	unit_mount_name(&name, path);
	text_add(&name, ".d");
	if (!text_ok(&name))
		return -ENOMEM;
	return write_drop_in(units, name.data);
}
