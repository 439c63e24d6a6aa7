#pragma once
/* A temporary folder for a test program: folder_set_up and folder_tear_down go to cmocka_run_group_tests(). */
#include "base/file.h"

#include <fcntl.h>
#include <string.h>

static char folder[64];

static inline int folder_set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/annex-test-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static inline int folder_tear_down(void **state)
{
	(void)state;
	return file_remove_tree(AT_FDCWD, folder);
}
