#include "guest/module.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

static void load(int dir, const char *name)
{
	auto_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		log_info("module %s: %s", name, strerror(errno));
	unlinkat(dir, name, 0); /* the initramfs is memory */
}

void module_load_all(void)
{
	auto_close int dir = open("/modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free char *order = NULL;
	char *at, *name;

	if (dir < 0 || file_read(&order, NULL, dir, "order", MODULE_ORDER_MAX) < 0)
		return;
	at = order;
	while ((name = strsep(&at, "\n"))) {
		if (*name)
			load(dir, name);
	}
}
