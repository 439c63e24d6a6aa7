#include "machine/volume.h"

#include "base/file.h"
#include "base/text.h"

#include <limits.h>
#include <string.h>

/* Where a machine has file systems of its kernel, what its agent keeps there, and what inits empty when they start:
 * OpenRC's would delete the host's files. */
static const char *const guests_own[] = {"/proc", "/sys", "/dev", "/run/host", "/tmp"};

static const char *const accesses[] = {"ro", "rw"};
static const char *const caches[] = {"cache=auto", "cache=none", "cache=always"};

void volume_clear(struct volume *volume)
{
	free(volume->host);
	free(volume->guest);
	free(volume->cache);
	*volume = (struct volume){0};
}

/* `path` of `size` bytes, absolute, without empty names, "." and a slash at the end. */
static int normal_path(char **ret, const char *path, size_t size, struct annex_error **err)
{
	auto_text struct text made = {0};
	const char *end = path + size;

	if (size >= PATH_MAX)
		return fail(err, ANNEX_ERROR_USAGE, "a path of %zu bytes is too long", size);
	if (memchr(path, '\n', size) || !text_is_utf8(path, size))
		return fail(err, ANNEX_ERROR_USAGE, "'%.*s' has a line break in it, or is not UTF-8", (int)size, path);
	for (const char *name = path; name < end;) {
		size_t length = strcspn(name, "/");

		if (length > (size_t)(end - name))
			length = (size_t)(end - name);
		if (length == 2 && memcmp(name, "..", 2) == 0)
			return fail(err, ANNEX_ERROR_USAGE, "'%.*s' has '..' in it", (int)size, path);
		if (length > 0 && !(length == 1 && *name == '.')) {
			text_add_char(&made, '/');
			text_add_bytes(&made, name, length);
		}
		name += length + 1;
	}
	if (made.size == 0)
		text_add_char(&made, '/');
	*ret = text_take(&made);
	return *ret ? 0 : fail_memory(err);
}

static int parse_guest(char **ret, const char *path, size_t size, struct annex_error **err)
{
	auto_free char *made = NULL;

	if (size == 0 || *path != '/')
		return fail(err, ANNEX_ERROR_USAGE, "the place in the machine must be an absolute path, not '%.*s'",
			    (int)size, path);
	if (normal_path(&made, path, size, err) < 0)
		return -1;
	if (strcmp(made, "/") == 0)
		return fail(err, ANNEX_ERROR_USAGE, "nothing can take the place of the machine's '/'");
	for (size_t i = 0; i < COUNT_OF(guests_own); i++) {
		if (!path_below(guests_own[i], made))
			continue;
		fail(err, ANNEX_ERROR_USAGE, "nothing can be put at '%s': %s is the machine's own", made,
		     guests_own[i]);
		if (strcmp(guests_own[i], "/tmp") == 0)
			return fail_hint(err, "choose a place outside of /tmp, which machines empty when they start");
		return -1;
	}
	*ret = TAKE(made);
	return 0;
}

int volume_guest(char **ret, const char *path, struct annex_error **err)
{
	return parse_guest(ret, path, strlen(path), err);
}

/* What the options have said so far. */
struct said {
	const char *access, *cache;
};

static int say(const char **said, const char *word, struct annex_error **err)
{
	if (*said && strcmp(*said, word) != 0)
		return fail(err, ANNEX_ERROR_USAGE, "the options %s and %s of a volume contradict each other", *said,
			    word);
	*said = word;
	return 0;
}

static int parse_option(struct said *said, const char *option, size_t size, struct annex_error **err)
{
	for (size_t i = 0; i < COUNT_OF(accesses); i++) {
		if (size == strlen(accesses[i]) && memcmp(option, accesses[i], size) == 0)
			return say(&said->access, accesses[i], err);
	}
	for (size_t i = 0; i < COUNT_OF(caches); i++) {
		if (size == strlen(caches[i]) && memcmp(option, caches[i], size) == 0)
			return say(&said->cache, caches[i], err);
	}
	return fail(err, ANNEX_ERROR_USAGE, "'%.*s' is no option of a volume: ro, rw, cache=auto, none or always",
		    (int)size, option);
}

static int parse_options(struct volume *volume, const char *options, struct annex_error **err)
{
	struct said said = {0};
	size_t size;

	for (;; options += size + 1) {
		size = strcspn(options, ",");
		if (parse_option(&said, options, size, err) < 0)
			return -1;
		if (!options[size])
			break;
	}
	volume->read_only = said.access && strcmp(said.access, "ro") == 0;
	if (!said.cache)
		return 0;
	free(volume->cache);
	volume->cache = strdup(said.cache + strlen("cache="));
	return volume->cache ? 0 : fail_memory(err);
}

const char *volume_find_guest(const char *text)
{
	const char *found = NULL;

	for (const char *at = strstr(text, ":/"); at; at = strstr(at + 1, ":/"))
		found = at + 1;
	return found;
}

static int parse(struct volume *volume, const char *text, struct annex_error **err)
{
	const char *guest = volume_find_guest(text);
	size_t size;

	if (!guest) {
		guest = strchr(text, ':');
		if (!guest || !guest[1])
			return fail(err, ANNEX_ERROR_USAGE, "'%s' doesn't say where the machine is to have it", text);
		return parse_guest(&volume->guest, guest + 1, strlen(guest + 1), err);
	}
	if (*text != '/')
		return fail(err, ANNEX_ERROR_USAGE, "the path of the host must be absolute, not '%.*s'",
			    (int)(guest - 1 - text), text);
	size = strcspn(guest, ":");
	volume->cache = strdup("auto");
	if (!volume->cache)
		return fail_memory(err);
	if (normal_path(&volume->host, text, (size_t)(guest - 1 - text), err) < 0 ||
	    parse_guest(&volume->guest, guest, size, err) < 0)
		return -1;
	return guest[size] ? parse_options(volume, guest + size + 1, err) : 0;
}

int volume_parse(struct volume *ret, const char *text, struct annex_error **err)
{
	auto_volume struct volume made = {0};

	if (strlen(text) >= VOLUME_TEXT_LIMIT)
		return fail(err, ANNEX_ERROR_USAGE, "a volume of %zu bytes is too long", strlen(text));
	if (parse(&made, text, err) < 0)
		return fail_hint(err, "a volume is HOST:GUEST[:OPTIONS], such as /srv/data:/data:ro,cache=none");
	*ret = made;
	made = (struct volume){0};
	return 0;
}

char *volume_text(const struct volume *volume)
{
	auto_text struct text text = {0};
	const char *before = ":";

	text_printf(&text, "%s:%s", volume->host, volume->guest);
	if (volume->read_only) {
		text_add(&text, ":ro");
		before = ",";
	}
	if (strcmp(volume->cache, "auto") != 0)
		text_printf(&text, "%scache=%s", before, volume->cache);
	return text_take(&text);
}

int volume_compare(const char *a, const char *b)
{
	const char *guest_a = volume_find_guest(a), *guest_b = volume_find_guest(b);
	size_t size_a = guest_a ? strcspn(guest_a, ":") : 0, size_b = guest_b ? strcspn(guest_b, ":") : 0;
	int order = memcmp(guest_a ? guest_a : "", guest_b ? guest_b : "", size_a < size_b ? size_a : size_b);

	return order ? order : (size_a > size_b) - (size_a < size_b);
}
