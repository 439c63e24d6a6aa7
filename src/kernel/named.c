/*
 * Kernels that machines name by a path. They are read into a folder named by their content, which stays as long as the
 * file is the same, so a machine boots what was there when it was set or last started, and never half of a new one.
 */
#include "kernel/named.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "kernel/staging.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

static void cleanup_folder(DIR **folder)
{
	if (*folder)
		closedir(*folder);
}

int named_find_modules(char **ret, const char *file, const char *release, struct annex_error **err)
{
	auto_free char *beside = NULL, *host = NULL;

	if (asprintf(&beside, "%.*slib/modules/%s", (int)(path_name(file) - file), file, release) < 0) {
		beside = NULL;
		return fail_memory(err);
	}
	if (asprintf(&host, "/lib/modules/%s", release) < 0) {
		host = NULL;
		return fail_memory(err);
	}
	if (file_exists(AT_FDCWD, beside))
		*ret = TAKE(beside);
	else
		*ret = file_exists(AT_FDCWD, host) ? TAKE(host) : NULL;
	return 0;
}

/* Is it unpacked already, and are the modules found where they are now? */
static bool is_ready(const char *folder, const char *file)
{
	auto_kernel_record struct kernel_record record = {0};
	auto_free char *modules = NULL;

	return kernel_record_read(&record, folder, NULL) == 0 &&
	       named_find_modules(&modules, file, record.release, NULL) == 0 && text_equal(modules, record.modules);
}

/* A kernel is rebuilt many times under one path: of those that were read from it, only the last one stays. */
static void remove_older(const char *root, const char *file, const char *name)
{
	CLEANUP(cleanup_folder) DIR *folder = opendir(root);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		auto_free char *path = path_join(root, entry->d_name);
		auto_kernel_record struct kernel_record record = {0};

		if (!path || entry->d_name[0] == '.' || text_equal(entry->d_name, name) ||
		    kernel_record_read(&record, path, NULL) < 0)
			continue;
		if (text_equal(record.source, file) && file_remove_tree(dirfd(folder), entry->d_name) < 0)
			continue; /* the next time */
	}
}

int named_install(char **ret, const char *root, const char *file, struct annex_error **err)
{
	auto_staging struct staging staging = STAGING_NONE;
	auto_free char *bytes = NULL, *files = path_join(root, KERNEL_FILES), *full = NULL, *folder = NULL;
	char digest[DIGEST_TEXT];
	const char *name = digest_hex(digest);
	size_t size = 0;

	if (!files)
		return fail_memory(err);
	if (staging_read_file(&bytes, &size, file, err) < 0)
		return -1;
	full = realpath(file, NULL);
	digest_of(digest, bytes, size);
	folder = path_join(files, name);
	if (!full || !folder)
		return full ? fail_memory(err) : fail_os(err, errno, "cannot resolve %s", file);
	if (is_ready(folder, full)) {
		*ret = TAKE(folder);
		return 0;
	}
	if (staging_begin(&staging, files, err) < 0)
		return -1;
	if (staging_add_image(&staging, bytes, size, err) < 0)
		return fail_while(err, "%s", file);
	if (named_find_modules(&staging.record.modules, full, staging.record.release, err) < 0)
		return -1;
	staging.record.source = TAKE(full);
	if (staging_publish(&staging, name, err) < 0)
		return -1;
	remove_older(files, staging.record.source, name);
	*ret = TAKE(folder);
	return 0;
}
