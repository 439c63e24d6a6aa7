#include "registry/place.h"

#include "base/file.h"

#include <stdio.h>

static int join(char **ret, const char *folder, const char *name)
{
	*ret = path_join(folder, name);
	return *ret ? 0 : -ENOMEM;
}

/* The XDG base directory specification has relative paths ignored. */
static const char *absolute(const char *variable)
{
	const char *set = getenv(variable);

	return set && *set == '/' ? set : NULL;
}

static int beneath_home(char **ret, const char *folder, const char *name)
{
	const char *home = absolute("HOME");

	if (!home)
		return -ENOENT;
	return asprintf(ret, "%s/%s/%s", home, folder, name) < 0 ? -ENOMEM : 0;
}

int place_config(char **ret, const char *name)
{
	const char *set = absolute("XDG_CONFIG_HOME");

	return set ? join(ret, set, name) : beneath_home(ret, ".config", name);
}

int place_runtime(char **ret, const char *name)
{
	const char *set = absolute("XDG_RUNTIME_DIR");

	if (set)
		return join(ret, set, name);
	return asprintf(ret, "/run/containers/%u/%s", (unsigned)getuid(), path_name(name)) < 0 ? -ENOMEM : 0;
}

int place_docker(char **ret, const char *name)
{
	const char *set = getenv("DOCKER_CONFIG");

	return set && *set ? join(ret, set, name) : beneath_home(ret, ".docker", name);
}
