/*
 * Shares of a virtual machine without a supervisor: serves the vhost-user connection on a descriptor until it ends.
 *
 *     share-host FD UID GID          the guest's ids of this process's user
 *
 * Commands on standard input, each answered by a line, "ok" or what went wrong:
 *
 *     add NAME rw|ro PATH
 *     remove NAME
 */
#include "base/text.h"
#include "share/device.h"
#include "share/fuse.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct fuse_server *server;

static ssize_t serve(struct share_request *request, void *data)
{
	return fuse_serve(data, request);
}

static int add(char *rest, struct annex_error **err)
{
	const char *name = strsep(&rest, " "), *mode = strsep(&rest, " ");
	auto_close int fd = rest ? open(rest, O_PATH | O_CLOEXEC) : -1;
	struct share_options options = {.name = name, .read_only = text_equal(mode, "ro"), .cache = SHARE_CACHE_NONE};

	if (fd < 0)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "no path");
	return fuse_add_share(server, fd, &options, err);
}

static void *command(void *unused)
{
	char line[5000];

	while (fgets(line, sizeof(line), stdin)) {
		auto_error struct annex_error *err = NULL;
		char *rest = line, *word;
		int result;

		line[strcspn(line, "\n")] = '\0';
		word = strsep(&rest, " ");
		if (text_equal(word, "add"))
			result = add(rest, &err);
		else
			result = fuse_remove_share(server, rest, &err);
		printf("%s\n", result < 0 ? annex_error_message(err) : "ok");
		fflush(stdout);
	}
	return unused;
}

int main(int argc, char **argv)
{
	auto_error struct annex_error *err = NULL;
	struct fuse_options options = {0};
	struct device_options device = {.queues = 1, .workers = 4, .serve = serve};
	uint32_t fd = 0;
	pthread_t thread;

	if (argc != 4 || text_to_u32(&fd, argv[1], 10) < 0 || text_to_u32(&options.guest_uid, argv[2], 10) < 0 ||
	    text_to_u32(&options.guest_gid, argv[3], 10) < 0)
		return 2;
	if (fuse_new(&server, &options, &err) < 0 || pthread_create(&thread, NULL, command, NULL) != 0)
		return 1;
	device.data = server;
	if (device_run((int)fd, &device, &err) < 0)
		fprintf(stderr, "share-host: %s\n", annex_error_message(err));
	_exit(err != NULL);
}
