#include "registry/suggest.h"

#include "base/file.h"
#include "base/text.h"
#include "registry/reference.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

bool suggest_matches(const char *name, const char *wanted)
{
	auto_reference struct reference one = {0}, other = {0};
	auto_free char *one_text = NULL, *other_text = NULL;

	if (!name)
		return false;
	if (strcmp(name, wanted) == 0)
		return true;
	if (reference_parse(&one, name, NULL) < 0)
		return false;
	if (text_equal(one.tag, wanted))
		return true;
	if (reference_parse(&other, wanted, NULL) < 0)
		return false;
	one_text = reference_text(&one);
	other_text = reference_text(&other);
	return one_text && other_text && strcmp(one_text, other_text) == 0;
}

/* "Debian-12 (test).oci.tar.gz" becomes "debian-12-test". */
static char *clean(const char *path)
{
	static const char *const endings[] = {".tar", ".tgz", ".gz", ".zst", ".zstd", ".xz", ".oci", ".docker"};
	auto_text struct text text = {0};
	size_t length = strlen(path);

	for (size_t i = 0; i < COUNT_OF(endings); i++) {
		size_t ending = strlen(endings[i]);

		if (length > ending && strncmp(path + length - ending, endings[i], ending) == 0) {
			length -= ending;
			i = (size_t)-1;
		}
	}
	for (size_t i = 0; i < length && text.size < 100; i++) {
		char c = (char)tolower((unsigned char)path[i]);

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			text_add_char(&text, c);
		else if (text.size && text.data[text.size - 1] != '-' && text.data[text.size - 1] != '.')
			text_add_char(&text, c == '.' ? '.' : '-');
	}
	while (text.size && (text.data[text.size - 1] == '-' || text.data[text.size - 1] == '.'))
		text.data[--text.size] = '\0';
	if (text.size == 0)
		text_add(&text, "image");
	return text_take(&text);
}

static bool is_whole(const char *name)
{
	return name && strpbrk(name, "/:");
}

char *suggest_name(const char *full, const char *annotation, const char *path, const char *tag)
{
	auto_free char *real = NULL, *name = NULL, *composed = NULL;
	auto_text struct text text = {0};
	char *made;

	if (full && reference_normalise(&made, full, NULL) == 0)
		return made;
	if (is_whole(annotation) && reference_normalise(&made, annotation, NULL) == 0)
		return made;
	/* What "." is called, its real path knows. */
	real = realpath(path, NULL);
	name = clean(path_name(real ? real : path));
	if (annotation && reference_is_tag(annotation))
		tag = annotation;
	if (!name)
		return NULL;
	text_printf(&text, "%s:%s", name, tag && reference_is_tag(tag) ? tag : "latest");
	composed = text_take(&text);
	if (!composed || reference_normalise(&made, composed, NULL) < 0)
		return NULL;
	return made;
}
