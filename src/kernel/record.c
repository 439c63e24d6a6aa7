#include "kernel/record.h"

#include "base/file.h"
#include "base/text.h"
#include "json/json.h"
#include "kernel/vmlinux.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const struct json_row rows[] = {
	JSON_ROW(JSON_ROW_U64, "version", struct kernel_record, version, true),
	JSON_ROW(JSON_ROW_TEXT, "release", struct kernel_record, release, true),
	JSON_ROW(JSON_ROW_TEXT, "source", struct kernel_record, source, true),
	JSON_ROW(JSON_ROW_TIME, "installed", struct kernel_record, installed, true),
	JSON_ROW(JSON_ROW_U64, "size", struct kernel_record, size, true),
	JSON_ROW(JSON_ROW_BOOL, "pvh", struct kernel_record, pvh, true),
	JSON_ROW(JSON_ROW_BOOL, "virtio", struct kernel_record, virtio, true),
	JSON_ROW(JSON_ROW_TEXT, "image", struct kernel_record, image, true),
	JSON_ROW(JSON_ROW_TEXT, "modules", struct kernel_record, modules, false),
	JSON_ROW(JSON_ROW_TEXT, "content", struct kernel_record, content, true),
};

struct default_record {
	uint64_t version;
	char *name;
};

static const struct json_row default_rows[] = {
	JSON_ROW(JSON_ROW_U64, "version", struct default_record, version, true),
	JSON_ROW(JSON_ROW_TEXT, "name", struct default_record, name, true),
};

void kernel_record_clear(struct kernel_record *record)
{
	json_clear(record, rows, COUNT_OF(rows));
	*record = (struct kernel_record){0};
}

int kernel_record_write(const struct kernel_record *record, int dir, struct annex_error **err)
{
	auto_json json_t *value = json_encode(record, rows, COUNT_OF(rows));

	return value ? json_write_file(dir, KERNEL_RECORD_NAME, value, err) : fail_memory(err);
}

static int decode(struct kernel_record *record, const json_t *value, const char *path, struct annex_error **err)
{
	if (json_decode(record, value, rows, COUNT_OF(rows), path, err) < 0)
		return -1;
	if (record->version > KERNEL_RECORD_VERSION)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s: written by a newer annex", path);
	if (!vmlinux_release_is_valid(record->release) ||
	    (!text_equal(record->image, "vmlinux") && !text_equal(record->image, "vmlinuz")))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: not a kernel's record", path);
	return 0;
}

int kernel_record_read(struct kernel_record *ret, const char *folder, struct annex_error **err)
{
	auto_free char *path = path_join(folder, KERNEL_RECORD_NAME);
	auto_kernel_record struct kernel_record record = {0};
	auto_json json_t *value = NULL;

	if (!path)
		return fail_memory(err);
	if (json_read_file(&value, AT_FDCWD, path, err) < 0 || decode(&record, value, path, err) < 0)
		return -1;
	*ret = record;
	record = (struct kernel_record){0};
	return 0;
}

/* The modules' folder, or NULL in *ret. */
static int find_modules(char **ret, const struct kernel_record *record, const char *folder, struct annex_error **err)
{
	auto_free char *path = NULL;

	if (record->modules)
		path = strdup(record->modules);
	else if (asprintf(&path, "%s/lib/modules/%s", folder, record->release) < 0)
		path = NULL;
	if (!path)
		return fail_memory(err);
	*ret = record->modules || file_exists(AT_FDCWD, path) ? TAKE(path) : NULL;
	return 0;
}

int kernel_record_to_kernel(struct kernel **ret, const struct kernel_record *record, const char *name,
			    const char *folder, struct annex_error **err)
{
	auto_kernel struct kernel *kernel = calloc(1, sizeof(*kernel));

	if (!kernel)
		return fail_memory(err);
	kernel->name = strdup(name);
	kernel->release = strdup(record->release);
	kernel->folder = strdup(folder);
	kernel->source = strdup(record->source);
	kernel->vmlinux = path_join(folder, "vmlinux");
	kernel->image = path_join(folder, record->image);
	kernel->installed = record->installed;
	kernel->size = record->size;
	kernel->has_virtio = record->virtio;
	if (!kernel->name || !kernel->release || !kernel->folder || !kernel->source || !kernel->vmlinux ||
	    !kernel->image)
		return fail_memory(err);
	if (find_modules(&kernel->modules, record, folder, err) < 0)
		return -1;
	*ret = TAKE(kernel);
	return 0;
}

static void clear_default(struct default_record *record)
{
	json_clear(record, default_rows, COUNT_OF(default_rows));
}

int kernel_record_read_default(char **ret, const char *folder, struct annex_error **err)
{
	CLEANUP(clear_default) struct default_record record = {0};
	auto_free char *path = path_join(folder, "default.json");
	auto_json json_t *value = NULL;

	if (!path)
		return fail_memory(err);
	if (!file_exists(AT_FDCWD, path)) {
		*ret = NULL;
		return 0;
	}
	if (json_read_file(&value, AT_FDCWD, path, err) < 0 ||
	    json_decode(&record, value, default_rows, COUNT_OF(default_rows), path, err) < 0)
		return fail_hint(err, "annex kernel set NAME");
	*ret = TAKE(record.name);
	return 0;
}

int kernel_record_write_default(const char *folder, const char *name, struct annex_error **err)
{
	auto_free char *path = path_join(folder, "default.json"), *copy = name ? strdup(name) : NULL;
	auto_json json_t *value = NULL;

	if (!path || (name && !copy))
		return fail_memory(err);
	if (!name)
		return unlink(path) < 0 && errno != ENOENT ? fail_os(err, errno, "cannot remove %s", path) : 0;
	value = json_encode(&(struct default_record){KERNEL_RECORD_VERSION, copy}, default_rows,
			    COUNT_OF(default_rows));
	return value ? json_write_file(AT_FDCWD, path, value, err) : fail_memory(err);
}
