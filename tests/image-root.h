#pragma once
/* A folder that stands for the root of an image, for tests of what the agent does there. Entering it needs root. */
#include "test.h"

#include "base/file.h"
#include "guest/inside.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char root[64];

static inline void in_root(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", root, name);
}

static inline void write_file(const char *name, const char *text, mode_t mode)
{
	char path[256];
	FILE *file;

	in_root(path, sizeof(path), name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fputs(text, file) >= 0, 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static inline void make_folder(const char *name)
{
	char path[256];

	in_root(path, sizeof(path), name);
	assert_int_equal(file_make_folders(path, 0755), 0);
}

static inline void expect_file(const char *name, const char *text)
{
	auto_free char *content = NULL;
	char path[256];

	in_root(path, sizeof(path), name);
	assert_int_equal(file_read(&content, NULL, AT_FDCWD, path, 1 << 20), 0);
	assert_string_equal(content, text);
}

static inline void expect_mode(const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	char path[256];
	struct stat st;

	in_root(path, sizeof(path), name);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

static inline int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/annex-image-XXXXXX");
	if (!mkdtemp(root) || chmod(root, 0755) < 0)
		return -1;
	make_folder("etc");
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	return file_remove_tree(AT_FDCWD, root);
}

static inline void run(inside_fn *fn, void *data)
{
	auto_error struct annex_error *err = NULL;

	if (inside_run(NULL, root, fn, data, &err) < 0)
		assert_string_equal(annex_error_message(err), "no error");
}

#define IMAGE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
