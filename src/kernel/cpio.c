#include "kernel/cpio.h"

#include <stdint.h>
#include <string.h>

static void pad(struct cpio *cpio)
{
	while (cpio->bytes.size % 4)
		text_add_char(&cpio->bytes, '\0');
}

static void entry(struct cpio *cpio, const char *path, mode_t mode, unsigned major, unsigned minor, const void *bytes,
		  size_t size)
{
	size_t name = strlen(path) + 1;

	if (size > UINT32_MAX) {
		cpio->bytes.broken = true;
		return;
	}
	/* inode mode uid gid links mtime size major minor rmajor rminor name check */
	text_printf(&cpio->bytes, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", ++cpio->inode,
		    (unsigned)mode, 0u, 0u, 1u, 0u, size, 0u, 0u, major, minor, name, 0u);
	text_add_bytes(&cpio->bytes, path, name);
	pad(cpio);
	text_add_bytes(&cpio->bytes, bytes, size);
	pad(cpio);
}

void cpio_folder(struct cpio *cpio, const char *path, mode_t mode)
{
	entry(cpio, path, S_IFDIR | mode, 0, 0, "", 0);
}

void cpio_file(struct cpio *cpio, const char *path, mode_t mode, const void *bytes, size_t size)
{
	entry(cpio, path, S_IFREG | mode, 0, 0, bytes, size);
}

void cpio_device(struct cpio *cpio, const char *path, mode_t mode, unsigned major, unsigned minor)
{
	entry(cpio, path, mode, major, minor, "", 0);
}

int cpio_finish(struct cpio *cpio, struct annex_error **err)
{
	entry(cpio, "TRAILER!!!", 0, 0, 0, "", 0);
	return text_ok(&cpio->bytes) ? 0 : fail_memory(err);
}

void cpio_clear(struct cpio *cpio)
{
	text_clear(&cpio->bytes);
}
