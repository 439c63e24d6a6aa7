/*
 * Debian packages: an ar archive whose member data.tar.* is a compressed tar archive. Both are read by libarchive as
 * one stream, the inner archive through a callback on the outer, so nothing is unpacked twice and memory stays small.
 */
#include "kernel/package.h"

#include "base/file.h"
#include "base/text.h"
#include "kernel/vmlinux.h"
#include "kernel/filetree.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

enum { CHUNK = 64 << 10 };

struct unpacking {
	struct package package;
	const char *path;
	int dir;
	struct archive *outer, *inner;
	uint64_t bytes;
	char chunk[CHUNK];
};

void package_clear(struct package *package)
{
	free(package->image);
	free(package->release);
	*package = (struct package){0};
}

static void cleanup_unpacking(struct unpacking **unpacking)
{
	if (!*unpacking)
		return;
	archive_read_free((*unpacking)->inner);
	archive_read_free((*unpacking)->outer);
	package_clear(&(*unpacking)->package);
	free(*unpacking);
}

static int damaged(struct annex_error **err, struct archive *archive)
{
	const char *why = archive_error_string(archive);

	if (archive_errno(archive) == ENOMEM)
		return fail_memory(err);
	return fail(err, ANNEX_ERROR_CORRUPT, "the package is damaged or cut off (%s)", why ? why : "no reason given");
}

static la_ssize_t read_outer(struct archive *inner, void *data, const void **buffer)
{
	struct unpacking *unpacking = data;
	la_ssize_t n = archive_read_data(unpacking->outer, unpacking->chunk, sizeof(unpacking->chunk));

	if (n < 0)
		archive_set_error(inner, archive_errno(unpacking->outer), "%s", archive_error_string(unpacking->outer));
	*buffer = unpacking->chunk;
	return n;
}

/* "./usr/lib/modules/6.1.0/kernel/a.ko" → "lib/modules/6.1.0/kernel/a.ko". */
static const char *plain_name(const char *name)
{
	while (text_starts(name, "./"))
		name += 2;
	while (*name == '/')
		name++;
	return text_starts(name, "usr/lib/modules/") ? name + strlen("usr/") : name;
}

static bool leads_out(const char *path)
{
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (text_equal(at, "..") || text_starts(at, "../"))
			return true;
	}
	return false;
}

/* The data of the entry that was just read, into memory. */
static int read_image(struct unpacking *unpacking, struct archive_entry *entry, struct annex_error **err)
{
	struct package *package = &unpacking->package;
	int64_t size = archive_entry_size(entry);
	la_ssize_t n;

	if (package->image)
		return fail(err, ANNEX_ERROR_CORRUPT, "the package holds several kernels");
	if (size <= 0 || (uint64_t)size > VMLINUX_FILE_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "the package's kernel is empty or too large");
	package->image = malloc((size_t)size);
	if (!package->image)
		return fail_memory(err);
	n = archive_read_data(unpacking->inner, package->image, (size_t)size);
	if (n != size)
		return damaged(err, unpacking->inner);
	package->image_size = (size_t)size;
	return 0;
}

static int copy_data(struct unpacking *unpacking, int to, const char *name, struct annex_error **err)
{
	auto_free char *chunk = malloc(CHUNK);
	la_ssize_t n;

	if (!chunk)
		return fail_memory(err);
	while ((n = archive_read_data(unpacking->inner, chunk, CHUNK)) > 0) {
		int result = file_write_all(to, chunk, (size_t)n);

		if (result < 0)
			return fail_os(err, result, "cannot write %s", name);
		unpacking->bytes += (uint64_t)n;
		if (unpacking->bytes > PACKAGE_BYTES_LIMIT)
			return fail(err, ANNEX_ERROR_CORRUPT, "the package is larger than allowed");
	}
	return n < 0 ? damaged(err, unpacking->inner) : 0;
}

static int write_module(struct unpacking *unpacking, const char *name, struct annex_error **err)
{
	struct package *package = &unpacking->package;
	const char *release = name + strlen("lib/modules/");
	size_t length = strcspn(release, "/");
	auto_free char *word = strndup(release, length);
	auto_close int to = -1;

	if (!word)
		return fail_memory(err);
	if (release[length] != '/' || !vmlinux_release_is_valid(word))
		return fail(err, ANNEX_ERROR_CORRUPT, "the package holds the misplaced file '%.80s'", name);
	if (package->release && !text_equal(package->release, word))
		return fail(err, ANNEX_ERROR_CORRUPT, "the package holds modules of several kernels");
	if (!package->release)
		package->release = TAKE(word);
	to = filetree_create(unpacking->dir, name);
	if (to < 0)
		return fail_os(err, to, "cannot write %s", name);
	return copy_data(unpacking, to, name, err);
}

static int take_entry(struct unpacking *unpacking, struct archive_entry *entry, struct annex_error **err)
{
	const char *full = archive_entry_pathname(entry);
	const char *name = full ? plain_name(full) : NULL;

	if (!name || strlen(name) > PACKAGE_PATH_LIMIT || leads_out(name))
		return fail(err, ANNEX_ERROR_CORRUPT, "the package holds the forbidden name '%.80s'", full ? full : "");
	if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry))
		return 0;
	if (text_starts(name, "lib/modules/"))
		return write_module(unpacking, name, err);
	if (text_starts(name, "boot/vmlinuz-") || text_starts(name, "boot/vmlinux-"))
		return read_image(unpacking, entry, err);
	return 0;
}

static int take_entries(struct unpacking *unpacking, struct annex_error **err)
{
	struct archive_entry *entry;
	int result;

	for (unsigned i = 0; i < PACKAGE_ENTRIES_LIMIT; i++) {
		result = archive_read_next_header(unpacking->inner, &entry);
		if (result == ARCHIVE_EOF)
			return 0;
		if (result < ARCHIVE_WARN)
			return damaged(err, unpacking->inner);
		if (take_entry(unpacking, entry, err) < 0)
			return -1;
	}
	return fail(err, ANNEX_ERROR_CORRUPT, "the package holds more than %u files", PACKAGE_ENTRIES_LIMIT);
}

/* Leave the outer archive at its member data.tar.*. */
static int find_data(struct unpacking *unpacking, struct annex_error **err)
{
	struct archive_entry *entry;
	bool first = true;
	int result;

	archive_read_support_format_ar(unpacking->outer);
	if (archive_read_open_filename(unpacking->outer, unpacking->path, CHUNK) < ARCHIVE_WARN)
		return fail_os(err, archive_errno(unpacking->outer), "cannot read it");
	while ((result = archive_read_next_header(unpacking->outer, &entry)) >= ARCHIVE_WARN && result != ARCHIVE_EOF) {
		const char *name = archive_entry_pathname(entry);

		if (first && !text_equal(name, "debian-binary"))
			break;
		first = false;
		if (name && text_starts(name, "data.tar"))
			return 0;
	}
	if (result >= ARCHIVE_WARN && result != ARCHIVE_EOF)
		return fail(err, ANNEX_ERROR_USAGE, "it is not a Debian package");
	return result == ARCHIVE_EOF ? fail(err, ANNEX_ERROR_CORRUPT, "the package is cut off")
				     : damaged(err, unpacking->outer);
}

/* libarchive tells a file of another format only by an error that looks like one of reading. */
static bool has_magic(const char *path)
{
	static const char magic[] = {'!', '<', 'a', 'r', 'c', 'h', '>', '\n'};
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char start[sizeof(magic)];

	if (fd < 0)
		return errno != ENOENT; /* opening it again says why */
	return file_read_full(fd, start, sizeof(start)) == sizeof(start) && memcmp(start, magic, sizeof(magic)) == 0;
}

static int start(struct unpacking *unpacking, struct annex_error **err)
{
	struct stat st;

	if (stat(unpacking->path, &st) < 0)
		return errno == ENOENT ? fail(err, ANNEX_ERROR_NOT_FOUND, "there is no such file")
				       : fail_os(err, errno, "cannot read it");
	if (!S_ISREG(st.st_mode))
		return fail(err, ANNEX_ERROR_USAGE, "it is not a file");
	if (!has_magic(unpacking->path))
		return fail(err, ANNEX_ERROR_USAGE, "it is not a Debian package");
	unpacking->outer = archive_read_new();
	unpacking->inner = archive_read_new();
	if (!unpacking->outer || !unpacking->inner)
		return fail_memory(err);
	if (find_data(unpacking, err) < 0)
		return -1;
	archive_read_support_filter_all(unpacking->inner);
	archive_read_support_format_tar(unpacking->inner);
	if (archive_read_open(unpacking->inner, unpacking, NULL, read_outer, NULL) < ARCHIVE_WARN)
		return damaged(err, unpacking->inner);
	return 0;
}

int package_unpack(struct package *ret, int dir, const char *path, struct annex_error **err)
{
	CLEANUP(cleanup_unpacking) struct unpacking *unpacking = calloc(1, sizeof(*unpacking));

	if (!unpacking)
		return fail_memory(err);
	unpacking->dir = dir;
	unpacking->path = path;
	if (start(unpacking, err) < 0 || take_entries(unpacking, err) < 0)
		return fail_while(err, "%s", path);
	*ret = unpacking->package;
	unpacking->package = (struct package){0};
	return 0;
}
