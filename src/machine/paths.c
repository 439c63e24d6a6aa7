#include "machine/paths.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static const struct {
	size_t offset;
	const char *name;
} files[] = {
	{offsetof(struct machine_paths, record), "machine.json"},
	{offsetof(struct machine_paths, disk), "disk.qcow2"},
	{offsetof(struct machine_paths, lock), "lock"},
	{offsetof(struct machine_paths, edit_lock), "edit.lock"},
	{offsetof(struct machine_paths, run), "run.json"},
	{offsetof(struct machine_paths, failure), "failure.json"},
	{offsetof(struct machine_paths, boot_log), MACHINE_BOOT_LOG},
	{offsetof(struct machine_paths, log), "supervisor.log"},
};

int machine_paths_make(struct machine_paths *ret, const char *data, const char *config, const char *runtime,
		       const char *name, struct annex_error **err)
{
	auto_machine_paths struct machine_paths made = {0};
	bool whole;

	made.name = strdup(name);
	made.data = strdup(data);
	made.config = strdup(config);
	made.runtime = strdup(runtime);
	if (asprintf(&made.folder, "%s/machines/%s", data, name) < 0)
		made.folder = NULL;
	whole = made.name && made.data && made.config && made.runtime && made.folder;
	for (size_t i = 0; whole && i < COUNT_OF(files); i++) {
		char **path = (char **)(void *)((char *)&made + files[i].offset);

		*path = path_join(made.folder, files[i].name);
		whole = *path != NULL;
	}
	if (!whole)
		return fail_memory(err);
	*ret = made;
	made = (struct machine_paths){0};
	return 0;
}

void machine_paths_clear(struct machine_paths *paths)
{
	free(paths->name);
	free(paths->data);
	free(paths->config);
	free(paths->runtime);
	free(paths->folder);
	for (size_t i = 0; i < COUNT_OF(files); i++)
		free(*(char **)(void *)((char *)paths + files[i].offset));
	*paths = (struct machine_paths){0};
}

int machine_socket_path(char **ret, const struct machine_paths *paths, const char *id, struct annex_error **err)
{
	char *path;

	if (asprintf(&path, "%s/%.12s.sock", paths->runtime, id) < 0)
		return fail_memory(err);
	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		fail(err, ANNEX_ERROR_USAGE, "socket path %s is too long", path);
		free(path);
		return fail_hint(err, "set XDG_RUNTIME_DIR to a shorter folder");
	}
	*ret = path;
	return 0;
}
