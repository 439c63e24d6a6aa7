/*
 * The qcow2 header, all numbers big-endian: magic "QFI\xfb" at 0, version at 4, virtual size at 24.
 *
 * qemu-img takes "word:" at the start of a name for a protocol: the overlay is named by its absolute path, the base
 * gets "./" in front where that could happen.
 */
#include "rootfs/overlay.h"

#include "base/file.h"
#include "base/spawn.h"
#include "base/text.h"

#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { HEADER_SIZE = 72, VERSION_AT = 4, SIZE_AT = 24, MESSAGE_LIMIT = 4096 };

static const char magic[] = "QFI\xfb";

char *overlay_relative(const char *from, const char *to)
{
	auto_text struct text text = {0};
	size_t same = 0, i = 0;

	/* The part in common ends before a slash, or at the end of `from`. */
	for (; from[i] && from[i] == to[i]; i++) {
		if (from[i] == '/')
			same = i;
	}
	if (!from[i] && to[i] == '/')
		same = i;
	for (const char *at = from + same; *at; at++) {
		if (*at == '/' && at[1])
			text_add(&text, "../");
	}
	text_add(&text, to + same + (to[same] == '/'));
	if (text_ok(&text) && strchr(text.data, ':') && !text_starts(text.data, "../")) {
		auto_free char *name = text_take(&text);

		if (!name)
			return NULL;
		text_printf(&text, "./%s", name);
	}
	return text_take(&text);
}

/* The real path of the folder that `path` lies in. */
static int folder_of(char **ret, const char *path, struct annex_error **err)
{
	auto_free char *copy = strdup(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;

	if (!copy)
		return fail_memory(err);
	if (slash)
		slash[slash == copy] = '\0';
	*ret = realpath(slash ? copy : ".", NULL);
	return *ret ? 0 : fail_os(err, errno, "%s", path);
}

static int run(const char *const *argv, struct annex_error **err)
{
	auto_free char *output = NULL, *message = NULL;
	int status = 0;

	if (spawn_capture(&output, &message, &status, argv, MESSAGE_LIMIT, err) < 0) {
		if (err && *err && annex_error_kind(*err) == ANNEX_ERROR_NOT_FOUND)
			fail_hint(err, "install qemu-img (Debian: apt-get install qemu-utils; Fedora, Arch: qemu-img)");
		return -1;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	message[strcspn(message, "\n")] = '\0';
	return fail(err, strstr(message, "lock") ? ANNEX_ERROR_BUSY : ANNEX_ERROR_SYSTEM, "%s",
		    *message ? message : "qemu-img failed");
}

static int check_size(const char *base, uint64_t virtual_size, struct annex_error **err)
{
	char wanted[TEXT_SIZE_BUFFER], least[TEXT_SIZE_BUFFER];
	struct stat st;

	if (stat(base, &st) < 0)
		return fail_os(err, errno, "%s", base);
	if (virtual_size >= (uint64_t)st.st_size)
		return 0;
	fail(err, ANNEX_ERROR_USAGE, "a disk of %s is too small for the image", text_from_size(wanted, virtual_size));
	return fail_hint(err, "the image needs %s at least", text_from_size(least, (uint64_t)st.st_size));
}

int overlay_create(const char *path, const char *base, uint64_t virtual_size, struct annex_error **err)
{
	auto_free char *folder = NULL, *file = NULL, *real = NULL, *relative = NULL;
	char size[24];

	if (check_size(base, virtual_size, err) < 0 || folder_of(&folder, path, err) < 0)
		return -1;
	real = realpath(base, NULL);
	if (!real)
		return fail_os(err, errno, "%s", base);
	file = path_join(folder, path_name(path));
	relative = overlay_relative(folder, real);
	if (!file || !relative)
		return fail_memory(err);
	if (file_exists(AT_FDCWD, file))
		return fail(err, ANNEX_ERROR_EXISTS, "%s exists", path);
	snprintf(size, sizeof(size), "%" PRIu64, virtual_size);
	if (run((const char *const[]){"qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", relative, file,
				      size, NULL},
		err) < 0) {
		unlink(file);
		return fail_while(err, "cannot create the disk %s", path);
	}
	return 0;
}

int overlay_info(uint64_t *ret_virtual, uint64_t *ret_used, const char *path, struct annex_error **err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	unsigned char header[HEADER_SIZE];
	uint32_t version;
	uint64_t size;
	struct stat st;
	ssize_t got;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_os(err, errno, "cannot open the disk %s", path);
	got = file_read_full(fd, header, sizeof(header));
	if (got < 0)
		return fail_os(err, (int)got, "cannot read the disk %s", path);
	memcpy(&version, header + VERSION_AT, sizeof(version));
	memcpy(&size, header + SIZE_AT, sizeof(size));
	version = be32toh(version);
	if (got < HEADER_SIZE || memcmp(header, magic, 4) != 0 || version < 2 || version > 3)
		return fail(err, ANNEX_ERROR_CORRUPT, "the disk %s is not a qcow2 file", path);
	if (ret_virtual)
		*ret_virtual = be64toh(size);
	if (ret_used)
		*ret_used = (uint64_t)st.st_blocks * 512;
	return 0;
}

int overlay_grow(const char *path, uint64_t virtual_size, struct annex_error **err)
{
	auto_free char *folder = NULL, *file = NULL;
	char text[24], wanted[TEXT_SIZE_BUFFER], has[TEXT_SIZE_BUFFER];
	uint64_t now = 0;

	if (overlay_info(&now, NULL, path, err) < 0)
		return -1;
	if (virtual_size == now)
		return 0;
	if (virtual_size < now)
		return fail(err, ANNEX_ERROR_USAGE, "a disk can only grow: it has %s, %s would cut off files",
			    text_from_size(has, now), text_from_size(wanted, virtual_size));
	if (folder_of(&folder, path, err) < 0)
		return -1;
	file = path_join(folder, path_name(path));
	if (!file)
		return fail_memory(err);
	snprintf(text, sizeof(text), "%" PRIu64, virtual_size);
	if (run((const char *const[]){"qemu-img", "resize", "-q", "-f", "qcow2", file, text, NULL}, err) < 0)
		return fail_while(err, "cannot grow the disk %s", path);
	return 0;
}
