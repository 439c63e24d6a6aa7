#pragma once
/* A home of its own for a test: home_set_up goes to cmocka_unit_test_setup(), besides those of folder.h for the group.
 */
#include "base/cleanup.h"
#include "folder.h"

#include <assert.h>
#include <stdio.h>

/* An empty home, and no variable that leads elsewhere. */
static inline int home_set_up(void **state)
{
	static const char *const elsewhere[] = {"XDG_CONFIG_HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE",
						"CONTAINERS_REGISTRIES_CONF"};
	auto_free char *run = path_join(folder, "run");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(elsewhere); i++)
		unsetenv(elsewhere[i]);
	if (!run || file_remove_tree(AT_FDCWD, folder) < 0 || mkdir(folder, 0700) < 0)
		return -1;
	return setenv("HOME", folder, 1) < 0 || setenv("XDG_RUNTIME_DIR", run, 1) < 0 ? -1 : 0;
}

/* The path of something there; valid until the next but three. */
static inline const char *home_path(const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static inline void home_write(const char *name, const char *text, mode_t mode)
{
	const char *path = home_path(name);
	auto_free char *parent = strdup(path);
	int result;

	assert(parent);
	*strrchr(parent, '/') = '\0';
	result = file_make_folders(parent, 0700);
	assert(result == 0);
	result = file_write_atomic(AT_FDCWD, path, text, strlen(text), mode);
	assert(result == 0);
}

/* What is in the file; the caller frees it. NULL: there is none. */
static inline char *home_read(const char *name)
{
	char *text = NULL;

	return file_read(&text, NULL, AT_FDCWD, home_path(name), 1 << 20) < 0 ? NULL : text;
}
