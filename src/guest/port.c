#include "guest/port.h"

#include "base/file.h"
#include "base/text.h"
#include "guest/uevent.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { PORT_TIMEOUT_MS = 120000 }; /* nothing is known of the host yet: the slowest has to manage */

static bool is_port(int dir, const char *device)
{
	auto_free char *name = NULL;
	char path[300];

	snprintf(path, sizeof(path), "%s/name", device);
	if (file_read(&name, NULL, dir, path, 4096) < 0)
		return false;
	name[strcspn(name, "\n")] = '\0';
	return strcmp(name, PORT_NAME) == 0;
}

static int look(void *data)
{
	DIR *folder = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	char path[300];
	int result = -ENOENT;

	while (folder && result == -ENOENT && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.' || !is_port(dirfd(folder), entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		*(int *)data = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		result = *(int *)data < 0 ? -errno : 0;
	}
	if (folder)
		closedir(folder);
	return result;
}

int port_open(int *ret, int uevents, struct annex_error **err)
{
	int fd = -1, result;

	/* By now all modules are loaded: without it no port will ever come. */
	if (!file_exists(AT_FDCWD, "/sys/bus/virtio/drivers/virtio_console"))
		return fail(err, ANNEX_ERROR_UNSUPPORTED,
			    "the kernel has no driver for the control port (virtio_console)");
	result = uevent_wait(uevents, PORT_TIMEOUT_MS, look, &fd);
	if (result < 0)
		return fail_os(err, result, "cannot open the control port %s", PORT_NAME);
	*ret = fd;
	return 0;
}
