#include "base/file.h"
#include "base/text.h"
#include "registry/dockerconfig.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct dockerconfig *config, const char *domain)
{
	auto_credential struct credential found = {0}, again = {0};
	struct credential anna = {(char *)"anna", (char *)"secret", NULL};
	bool removed, changed;
	const char *helper;

	if (dockerconfig_helper(&helper, config, domain, NULL) == 0 && helper)
		assert(*helper && !strchr(helper, '/'));
	if (dockerconfig_find(&found, config, domain, "a/b", NULL) == 0 && found.username)
		assert(found.password && !strchr(found.username, ':'));
	if (dockerconfig_put(config, domain, &anna, NULL) < 0)
		__builtin_trap();
	if (dockerconfig_find(&again, config, domain, NULL, NULL) < 0 || !text_equal(again.password, "secret"))
		__builtin_trap();
	if (dockerconfig_remove(config, domain, &removed, &changed, NULL) < 0 || !removed || !changed)
		__builtin_trap();
	assert(!dockerconfig_holds(config, domain));
}

/* Whatever the file holds that is accepted, a login is found afterwards, and a logout takes it away. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_dockerconfig struct dockerconfig config = DOCKERCONFIG_INIT;
	auto_close int fd = memfd_create("fuzz", MFD_CLOEXEC);
	auto_error struct annex_error *err = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || file_write_all(fd, data, size) < 0)
		return 0;
	if (dockerconfig_read(&config, path, size % 2, &err) < 0) {
		assert(annex_error_kind(err) == ANNEX_ERROR_CORRUPT);
		return 0;
	}
	check(&config, "docker.io");
	check(&config, "ghcr.io");
	return 0;
}
