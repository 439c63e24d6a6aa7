/*
 * Drives the registry client: registry-tool [--scheme auto|https|http] [--platform P] [--cancel-after MS] COMMAND …
 *
 *   head NAME               prints the digest that the name leads to
 *   resolve NAME            prints root, manifest, configuration and layers as JSON
 *   download NAME FOLDER    the same, and writes each layer to FOLDER/N through a pipe; --slow MS pauses its reader
 *                           after each 64 KiB, --leave N ends the reader of layer N after its first bytes
 *   login DOMAIN [USER PASSWORD]
 *
 * Failures are printed as "KIND: MESSAGE" and "hint: …" on standard error, with status 1. Notices of waiting go to
 * standard error too.
 */
#include "base/digest.h"
#include "base/file.h"
#include "base/time.h"
#include "registry/client.h"
#include "registry/download.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

struct tool {
	struct registry_client_options client_options;
	struct platform platform;
	uint64_t cancel_at;
	long slow_ms, leave;
	struct registry_client *client;
};

static const char *const kinds[] = {
	[ANNEX_ERROR_SYSTEM] = "system",
	[ANNEX_ERROR_USAGE] = "usage",
	[ANNEX_ERROR_NOT_FOUND] = "not-found",
	[ANNEX_ERROR_EXISTS] = "exists",
	[ANNEX_ERROR_BUSY] = "busy",
	[ANNEX_ERROR_AUTH] = "auth",
	[ANNEX_ERROR_NETWORK] = "network",
	[ANNEX_ERROR_CORRUPT] = "corrupt",
	[ANNEX_ERROR_UNSUPPORTED] = "unsupported",
	[ANNEX_ERROR_TIMEOUT] = "timeout",
	[ANNEX_ERROR_CANCELLED] = "cancelled",
	[ANNEX_ERROR_GUEST] = "guest",
	[ANNEX_ERROR_NO_MEMORY] = "no-memory",
};

static int check(void *data)
{
	const struct tool *tool = data;

	return tool->cancel_at && time_monotonic_ms() >= tool->cancel_at;
}

static void notice(const char *text, void *data)
{
	(void)data;
	fprintf(stderr, "notice: %s\n", text ? text : "-");
}

static int head(struct tool *tool, const struct reference *reference, struct annex_error **err)
{
	auto_free char *digest = NULL;

	if (registry_head(&digest, tool->client, reference, err) < 0)
		return -1;
	printf("%s\n", digest);
	return 0;
}

static int resolve(struct image_manifest *ret, struct tool *tool, const struct reference *reference,
		   struct annex_error **err)
{
	char platform[PLATFORM_LIMIT];
	auto_free char *root = NULL;

	if (registry_resolve(ret, &root, tool->client, reference, &tool->platform, err) < 0)
		return -1;
	printf("{\"root\": \"%s\", \"manifest\": \"%s\", \"config\": \"%s\", \"platform\": \"%s\", \"layers\": [", root,
	       ret->digest, ret->config_digest, platform_text(platform, &ret->platform));
	for (size_t i = 0; i < ret->layer_count; i++)
		printf("%s\"%s\"", i ? ", " : "", ret->layers[i].digest);
	printf("]}\n");
	return 0;
}

/* The reader of one layer, as a process of its own. */
static pid_t start_reader(const struct tool *tool, int *ret_fd, const char *folder, size_t index)
{
	char path[4096];
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	child = fork();
	if (child == 0) {
		static char chunk[1 << 16];
		int out;
		ssize_t n;

		close(ends[1]);
		for (int fd = 3; fd < 256; fd++) {
			if (fd != ends[0])
				close(fd);
		}
		snprintf(path, sizeof(path), "%s/%zu", folder, index);
		out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		while ((n = read(ends[0], chunk, sizeof(chunk))) > 0) {
			if (out < 0 || file_write_all(out, chunk, (size_t)n) < 0)
				_exit(1);
			if (tool->leave == (long)index)
				_exit(0);
			if (tool->slow_ms)
				usleep((useconds_t)tool->slow_ms * 1000);
		}
		_exit(n < 0);
	}
	close(ends[0]);
	*ret_fd = ends[1];
	return child;
}

static bool tell_waiting(const char *what, bool told)
{
	if (what ? !told : told)
		notice(what, NULL);
	return what != NULL;
}

static int download(struct tool *tool, const struct reference *reference, const char *folder, struct annex_error **err)
{
	auto_image_manifest struct image_manifest image = {0};
	auto_registry_download struct registry_download *download = NULL;
	auto_free struct registry_blob *blobs = NULL;
	auto_free pid_t *readers = NULL;
	bool ended = false, told = false;
	int result;

	if (resolve(&image, tool, reference, err) < 0)
		return -1;
	blobs = calloc(image.layer_count, sizeof(*blobs));
	readers = calloc(image.layer_count, sizeof(*readers));
	if (!blobs || !readers)
		return fail_memory(err);
	for (size_t i = 0; i < image.layer_count; i++) {
		blobs[i] = (struct registry_blob){.digest = image.layers[i].digest,
						  .size = image.layers[i].size,
						  .urls = (const char *const *)image.layers[i].urls.items,
						  .data = image.layers[i].data};
		readers[i] = start_reader(tool, &blobs[i].fd, folder, i);
		if (readers[i] < 0)
			return fail_os(err, errno, "starting a reader");
	}
	result = registry_download_start(&download, tool->client, reference, blobs, image.layer_count, err);
	while (result == 0 && !ended) {
		result = registry_download_poll(download, -1, 1000, &ended, err);
		told = tell_waiting(registry_download_waiting(download), told);
	}
	for (size_t i = 0; download && i < image.layer_count; i++)
		printf("%zu: %llu of %llu\n", i, (unsigned long long)registry_download_done(download, i),
		       (unsigned long long)image.layers[i].size);
	registry_download_free(TAKE(download));
	for (size_t i = 0; i < image.layer_count; i++)
		waitpid(readers[i], NULL, 0);
	return result;
}

static int run(struct tool *tool, char **arguments, int count, struct annex_error **err)
{
	auto_reference struct reference reference = {0};
	auto_image_manifest struct image_manifest image = {0};

	if (strcmp(arguments[0], "login") == 0) {
		struct credential credential = {.username = count > 3 ? arguments[2] : NULL,
						.password = count > 3 ? arguments[3] : NULL};

		return registry_check_login(tool->client, arguments[1], count > 3 ? &credential : NULL, err);
	}
	if (reference_parse(&reference, arguments[1], err) < 0)
		return -1;
	if (strcmp(arguments[0], "head") == 0)
		return head(tool, &reference, err);
	if (strcmp(arguments[0], "resolve") == 0)
		return resolve(&image, tool, &reference, err);
	if (strcmp(arguments[0], "download") == 0 && count > 2)
		return download(tool, &reference, arguments[2], err);
	return fail(err, ANNEX_ERROR_USAGE, "unknown command '%s'", arguments[0]);
}

static int options(struct tool *tool, int count, char **arguments, struct annex_error **err)
{
	int at = 1;

	for (; at + 1 < count && text_starts(arguments[at], "--"); at += 2) {
		const char *name = arguments[at], *value = arguments[at + 1];
		uint64_t number = 0;

		if (strcmp(name, "--scheme") == 0)
			tool->client_options.scheme = strcmp(value, "http") == 0    ? REGISTRY_HTTP
						      : strcmp(value, "https") == 0 ? REGISTRY_HTTPS
										    : REGISTRY_AUTO;
		else if (strcmp(name, "--platform") == 0 && platform_parse(&tool->platform, value, err) < 0)
			return -1;
		else if (text_to_u64(&number, value, 10) == 0 && strcmp(name, "--cancel-after") == 0)
			tool->cancel_at = time_monotonic_ms() + number;
		else if (strcmp(name, "--slow") == 0)
			tool->slow_ms = (long)number;
		else if (strcmp(name, "--leave") == 0)
			tool->leave = (long)number;
	}
	return count - at < 2 ? fail(err, ANNEX_ERROR_USAGE, "too few arguments") : at;
}

int main(int count, char **arguments)
{
	auto_error struct annex_error *err = NULL;
	struct tool tool = {.leave = -1};
	int at, result = -1;

	platform_host(&tool.platform);
	at = options(&tool, count, arguments, &err);
	tool.client_options.check = check;
	tool.client_options.notice = notice;
	tool.client_options.data = &tool;
	if (at > 0 && registry_client_new(&tool.client, &tool.client_options, &err) == 0)
		result = run(&tool, arguments + at, count - at, &err);
	registry_client_free(tool.client);
	if (result == 0)
		return 0;
	fprintf(stderr, "%s: %s\n", kinds[annex_error_kind(err)], annex_error_message(err));
	if (annex_error_hint(err))
		fprintf(stderr, "hint: %s\n", annex_error_hint(err));
	return 1;
}
