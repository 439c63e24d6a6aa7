#include "registry/suggest.h"

#include "base/closest.h"
#include "base/file.h"
#include "base/text.h"
#include "json/json.h"
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

/* The less the better: a slip away, then those with the same beginning, then those that hold it. */
static unsigned tag_distance(const char *tag, const char *wanted)
{
	unsigned slips = closest_distance(tag, wanted);

	if (closest_is_near(wanted, slips))
		return slips;
	if (text_starts(tag, wanted) || text_starts(wanted, tag))
		return 10;
	return strstr(tag, wanted) ? 20 : 100 + slips;
}

static const char *nearest_tag(const json_t *tags, const char *wanted, const char *const *taken, size_t count)
{
	const char *best = NULL;
	unsigned nearest = 0;

	for (size_t i = 0; i < json_array_size(tags); i++) {
		const char *tag = json_string_value(json_array_get(tags, i));
		bool is_taken = !tag || !reference_is_tag(tag);

		for (size_t j = 0; j < count; j++)
			is_taken |= tag == taken[j];
		if (is_taken || (best && tag_distance(tag, wanted) >= nearest))
			continue;
		best = tag;
		nearest = tag_distance(tag, wanted);
	}
	return best;
}

char *suggest_tags(const char *bytes, size_t size, const char *wanted)
{
	auto_error struct annex_error *ignored = NULL;
	auto_json json_t *list = NULL;
	auto_text struct text names = {0};
	const char *taken[SUGGEST_TAGS];
	const json_t *tags;

	if (json_parse(&list, bytes, size, "tags", &ignored) < 0)
		return NULL;
	tags = json_object_get(list, "tags");
	for (size_t count = 0; count < SUGGEST_TAGS; count++) {
		taken[count] = nearest_tag(tags, wanted, taken, count);
		if (!taken[count])
			break;
		text_printf(&names, "%s%s", count ? ", " : "", taken[count]);
	}
	return names.size ? text_take(&names) : NULL;
}
