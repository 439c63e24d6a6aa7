/*
 * An archive is read once, in order, since it may come through a pipe; so all of its files are unpacked before anyone
 * knows which are needed. Its names are brought into one form ("./a//b" is "a/b", ".." is resolved, what leads out of
 * the archive is refused) and kept in a table beside the numbers that the files have on disk. `docker save` of older
 * versions writes a symbolic link where two layers are the same; links are table entries that lead to names.
 */
#include "registry/bundle.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { REPORT_STEP = 1 << 19 };

struct file {
	char *name;
	char *link; /* the name it leads to, or NULL */
};

struct bundle {
	int dir;
	char *folder; /* where the unpacked files are; NULL for a folder as it is */
	struct file *files;
	size_t count, capacity;
	uint64_t size;
};

struct unpacking {
	struct bundle *bundle;
	struct archive *archive;
	const char *what;
	uint64_t total;
	bundle_progress_fn *progress;
	void *data;
	uint64_t next_report; /* bytes of the archive */
};

static void cleanup_archive(struct archive **archive)
{
	if (*archive)
		archive_read_free(*archive);
}

/* Where a component begins at the end of what there is: "a/b" becomes "a". */
static bool drop_component(struct text *text)
{
	char *slash;

	if (text->size == 0)
		return false;
	slash = strrchr(text->data, '/');
	text->size = slash ? (size_t)(slash - text->data) : 0;
	text->data[text->size] = '\0';
	return true;
}

/* The one form of a name, relative to the folder of `from` (NULL: to the top). -EINVAL: it leads out of the archive. */
static int normalise(char **ret, const char *from, const char *name)
{
	auto_text struct text text = {0};

	text_add(&text, from && *name != '/' ? from : "");
	if (text.broken)
		return -ENOMEM;
	drop_component(&text);
	for (const char *at = name; *at;) {
		size_t length = strcspn(at, "/");

		if (length == 2 && strncmp(at, "..", 2) == 0) {
			if (!drop_component(&text))
				return -EINVAL;
		} else if (length > 1 || (length == 1 && *at != '.')) {
			if (text.size)
				text_add_char(&text, '/');
			text_add_bytes(&text, at, length);
		}
		if (text.broken)
			return -ENOMEM;
		at += length + (at[length] == '/');
	}
	if (text.size > BUNDLE_NAME_LIMIT)
		return -EINVAL;
	*ret = text_take(&text);
	return *ret ? 0 : -ENOMEM;
}

static struct file *find(const struct bundle *bundle, const char *name)
{
	for (size_t i = 0; i < bundle->count; i++) {
		if (strcmp(bundle->files[i].name, name) == 0)
			return &bundle->files[i];
	}
	return NULL;
}

/* Room for the name: as in tar, a later file replaces an earlier one. Takes both texts. */
static int add(size_t *ret, struct bundle *bundle, char *name, char *link)
{
	struct file *file = find(bundle, name);

	if (file) {
		free(file->name);
		free(file->link);
	} else {
		if (bundle->count == bundle->capacity) {
			size_t capacity = bundle->capacity ? bundle->capacity * 2 : 64;
			struct file *grown = reallocarray(bundle->files, capacity, sizeof(*grown));

			if (!grown) {
				free(name);
				free(link);
				return -ENOMEM;
			}
			bundle->files = grown;
			bundle->capacity = capacity;
		}
		file = &bundle->files[bundle->count++];
	}
	*file = (struct file){.name = name, .link = link};
	*ret = (size_t)(file - bundle->files);
	return 0;
}

static int damaged(const struct unpacking *unpacking, struct annex_error **err)
{
	const char *why = archive_error_string(unpacking->archive);

	fail(err, ANNEX_ERROR_CORRUPT, "%s is truncated or damaged: %s", unpacking->what, why ? why : "unknown error");
	return fail_hint(err, "make or copy the archive again");
}

static int report(struct unpacking *unpacking, struct annex_error **err)
{
	uint64_t done = (uint64_t)archive_filter_bytes(unpacking->archive, -1);

	if (!unpacking->progress || done < unpacking->next_report)
		return 0;
	unpacking->next_report = done + REPORT_STEP;
	if (unpacking->progress(done, unpacking->total, unpacking->data) != 0)
		return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
	return 0;
}

static int unpack_data(struct unpacking *unpacking, int fd, uint64_t whole, struct annex_error **err)
{
	struct bundle *bundle = unpacking->bundle;
	uint64_t end = 0;

	if (whole > BUNDLE_SIZE_LIMIT || bundle->size > BUNDLE_SIZE_LIMIT - whole)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s unpacks to more than %llu GiB", unpacking->what,
			    BUNDLE_SIZE_LIMIT >> 30);
	bundle->size += whole;
	for (;;) {
		const void *block;
		size_t size;
		int64_t offset;
		int result = archive_read_data_block(unpacking->archive, &block, &size, &offset);

		if (result == ARCHIVE_EOF)
			break;
		if (result < ARCHIVE_WARN)
			return damaged(unpacking, err);
		result = file_write_at(fd, block, size, (uint64_t)offset);
		if (result < 0)
			return fail_os(err, result, "cannot unpack %s", unpacking->what);
		end = (uint64_t)offset + size;
		if (report(unpacking, err) < 0)
			return -1;
	}
	/* A sparse file may end in a hole. */
	if (end < whole && ftruncate(fd, (off_t)whole) < 0)
		return fail_os(err, errno, "cannot unpack %s", unpacking->what);
	return 0;
}

static int unpack_file(struct unpacking *unpacking, char *name, uint64_t size, struct annex_error **err)
{
	auto_close int fd = -EBADF;
	char number[24];
	size_t at;

	if (add(&at, unpacking->bundle, name, NULL) < 0)
		return fail_memory(err);
	snprintf(number, sizeof(number), "%zu", at);
	fd = openat(unpacking->bundle->dir, number, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_os(err, errno, "cannot unpack %s", unpacking->what);
	return unpack_data(unpacking, fd, size, err);
}

static int unpack_entry(struct unpacking *unpacking, struct archive_entry *entry, struct annex_error **err)
{
	const char *path = archive_entry_pathname(entry), *hard = archive_entry_hardlink(entry), *soft;
	auto_free char *name = NULL, *link = NULL;
	size_t at;
	int result;

	soft = archive_entry_filetype(entry) == AE_IFLNK ? archive_entry_symlink(entry) : NULL;
	if (!hard && !soft && archive_entry_filetype(entry) != AE_IFREG)
		return 0;
	result = path ? normalise(&name, NULL, path) : -EINVAL;
	if (result == 0 && hard)
		result = normalise(&link, NULL, hard);
	else if (result == 0 && soft)
		result = normalise(&link, name, soft);
	if (result == -ENOMEM)
		return fail_memory(err);
	if (result < 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s holds a name that leads out of it or is too long",
			    unpacking->what);
	if (unpacking->bundle->count >= BUNDLE_FILE_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s holds more than %u files", unpacking->what,
			    BUNDLE_FILE_LIMIT);
	if (!link)
		return unpack_file(unpacking, TAKE(name), (uint64_t)archive_entry_size(entry), err);
	return add(&at, unpacking->bundle, TAKE(name), TAKE(link)) < 0 ? fail_memory(err) : 0;
}

static int unpack(struct unpacking *unpacking, int fd, struct annex_error **err)
{
	struct archive *archive = unpacking->archive;

	archive_read_support_filter_gzip(archive);
	archive_read_support_filter_zstd(archive);
	archive_read_support_filter_xz(archive);
	archive_read_support_format_tar(archive);
	/* The format is looked for here. */
	if (archive_read_open_fd(archive, fd, 1 << 17) != ARCHIVE_OK) {
		if (archive_filter_code(archive, 0) != ARCHIVE_FILTER_NONE)
			return damaged(unpacking, err);
		fail(err, ANNEX_ERROR_CORRUPT, "%s is not a tar archive", unpacking->what);
		return fail_hint(err, "'docker save' and 'skopeo copy … oci-archive:FILE' make suitable ones");
	}
	for (;;) {
		struct archive_entry *entry;
		int result = archive_read_next_header(archive, &entry);

		if (result == ARCHIVE_EOF)
			break;
		if (result < ARCHIVE_WARN)
			return damaged(unpacking, err);
		if (unpack_entry(unpacking, entry, err) < 0 || report(unpacking, err) < 0)
			return -1;
	}
	return 0;
}

int bundle_from_archive(struct bundle **ret, int fd, const char *what, const char *folder, bundle_progress_fn *progress,
			void *data, struct annex_error **err)
{
	auto_bundle struct bundle *bundle = calloc(1, sizeof(*bundle));
	CLEANUP(cleanup_archive) struct archive *archive = archive_read_new();
	struct unpacking unpacking = {
		.bundle = bundle, .archive = archive, .what = what, .progress = progress, .data = data};
	auto_free char *template = path_join(folder, "archive-XXXXXX");
	struct stat st;

	if (bundle)
		bundle->dir = -EBADF;
	if (!bundle || !archive || !template)
		return fail_memory(err);
	if (!mkdtemp(template))
		return fail_os(err, errno, "cannot make a folder in %s", folder);
	bundle->folder = TAKE(template);
	bundle->dir = open(bundle->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (bundle->dir < 0)
		return fail_os(err, errno, "cannot open %s", bundle->folder);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		unpacking.total = (uint64_t)st.st_size;
	if (unpack(&unpacking, fd, err) < 0)
		return -1;
	*ret = TAKE(bundle);
	return 0;
}

int bundle_from_folder(struct bundle **ret, int dir, struct annex_error **err)
{
	struct bundle *bundle = calloc(1, sizeof(*bundle));

	if (!bundle) {
		cleanup_close(&dir);
		return fail_memory(err);
	}
	bundle->dir = dir;
	*ret = bundle;
	return 0;
}

void bundle_free(struct bundle *bundle)
{
	if (!bundle)
		return;
	cleanup_close(&bundle->dir);
	if (bundle->folder && file_remove_tree(AT_FDCWD, bundle->folder) < 0)
		log_debug("cannot remove %s", bundle->folder);
	for (size_t i = 0; i < bundle->count; i++) {
		free(bundle->files[i].name);
		free(bundle->files[i].link);
	}
	free(bundle->files);
	free(bundle->folder);
	free(bundle);
}

/* The number of the file that a name of an archive leads to. */
static int resolve(char number[24], const struct bundle *bundle, const char *name)
{
	auto_free char *normal = NULL;
	struct file *file;
	int result = normalise(&normal, NULL, name);

	if (result < 0)
		return result == -EINVAL ? -ENOENT : result;
	file = find(bundle, normal);
	for (unsigned links = 0; file && file->link; links++) {
		if (links >= BUNDLE_LINK_LIMIT)
			return -ELOOP;
		file = find(bundle, file->link);
	}
	if (!file)
		return -ENOENT;
	snprintf(number, 24, "%zu", (size_t)(file - bundle->files));
	return 0;
}

int bundle_open(uint64_t *ret_size, const struct bundle *bundle, const char *name)
{
	auto_close int fd = -EBADF;
	char number[24];
	struct stat st;

	if (bundle->folder) {
		int result = resolve(number, bundle, name);

		if (result < 0)
			return result;
		name = number;
	}
	/* Not to hang on a fifo. */
	fd = openat(bundle->dir, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_size = (uint64_t)st.st_size;
	return TAKE_FD(fd);
}

bool bundle_has(const struct bundle *bundle, const char *name)
{
	uint64_t size;
	auto_close int fd = bundle_open(&size, bundle, name);

	return fd >= 0;
}

int bundle_read(char **ret, size_t *ret_size, const struct bundle *bundle, const char *name, size_t limit)
{
	uint64_t size = 0;
	auto_close int fd = bundle_open(&size, bundle, name);
	auto_free char *bytes = NULL;
	ssize_t n;

	if (fd < 0)
		return fd;
	if (size > limit)
		return -EFBIG;
	bytes = malloc((size_t)size + 1);
	if (!bytes)
		return -ENOMEM;
	n = file_read_full(fd, bytes, (size_t)size);
	if (n < 0)
		return (int)n;
	bytes[n] = '\0';
	*ret_size = (size_t)n;
	*ret = TAKE(bytes);
	return 0;
}
