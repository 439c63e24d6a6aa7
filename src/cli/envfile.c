#include "cli/envfile.h"

#include "base/file.h"

#include <fcntl.h>
#include <string.h>

struct place {
	const char *name;
	size_t line;
};

static int refuse(struct annex_error **err, const struct place *place, const char *what)
{
	return fail(err, ANNEX_ERROR_USAGE, "%s:%zu: %s", place->name, place->line, what);
}

static int parse_line(struct text_list *ret, const struct place *place, const char *line, size_t size,
		      char *(*lookup)(const char *key), struct annex_error **err)
{
	auto_free char *text = NULL, *key = NULL;
	const char *value;
	size_t length;
	int result;

	while (size && (*line == ' ' || *line == '\t')) {
		line++;
		size--;
	}
	if (size && line[size - 1] == '\r')
		size--;
	if (!size || *line == '#')
		return 0;
	if (memchr(line, '\0', size))
		return refuse(err, place, "a NUL byte");
	if (!text_is_utf8(line, size))
		return refuse(err, place, "not UTF-8");
	text = strndup(line, size);
	length = text ? strcspn(text, "=") : 0;
	key = text ? strndup(text, length) : NULL;
	if (!key)
		return fail_memory(err);
	if (!length)
		return refuse(err, place, "no variable name before the =");
	if (key[strcspn(key, " \t")])
		return refuse(err, place, "blanks in a variable's name");
	if (ret->count >= ENVFILE_MAX_VARIABLES)
		return refuse(err, place, "too many variables");
	value = text[length] ? text + length + 1 : lookup(key);
	if (!value)
		return 0;
	result = text_list_printf(ret, "%s=%s", key, value);
	return result < 0 ? fail_memory(err) : 0;
}

int envfile_parse(struct text_list *ret, const char *name, const char *bytes, size_t size,
		  char *(*lookup)(const char *key), struct annex_error **err)
{
	static const char mark[] = "\xef\xbb\xbf";
	struct place place = {.name = name};
	size_t at = size >= 3 && memcmp(bytes, mark, 3) == 0 ? 3 : 0;

	if (size > ENVFILE_MAX_SIZE)
		return fail(err, ANNEX_ERROR_USAGE, "%s: larger than %u bytes", name, ENVFILE_MAX_SIZE);
	while (at < size) {
		const char *end = memchr(bytes + at, '\n', size - at);
		size_t length = end ? (size_t)(end - bytes) - at : size - at;

		place.line++;
		if (parse_line(ret, &place, bytes + at, length, lookup, err) < 0)
			return -1;
		at += length + 1;
	}
	return 0;
}

int envfile_read(struct text_list *ret, const char *path, struct annex_error **err)
{
	auto_free char *bytes = NULL;
	size_t size = 0;
	int result = file_read(&bytes, &size, AT_FDCWD, path, ENVFILE_MAX_SIZE);

	if (result == -EFBIG)
		return fail(err, ANNEX_ERROR_USAGE, "%s: larger than %u bytes", path, ENVFILE_MAX_SIZE);
	if (result < 0)
		return fail_os(err, result, "cannot read %s", path);
	return envfile_parse(ret, path, bytes, size, getenv, err);
}
