#include "machine/piece.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACE_FIELDS = 3, NUMBER_DIGITS = 20 };

void piece_list_clear(struct piece_list *list)
{
	free(list->numbers);
	*list = (struct piece_list){0};
}

/* Is it NAME, or NAME.N? */
static bool take_name(uint64_t *ret, const char *entry, const char *name)
{
	size_t length = strlen(name);

	if (strncmp(entry, name, length) != 0)
		return false;
	*ret = PIECE_PLAIN;
	if (entry[length] == '\0')
		return true;
	return entry[length] == '.' && entry[length + 1] != '0' && text_to_u64(ret, entry + length + 1, 10) == 0;
}

static int by_age(const void *a, const void *b)
{
	/* So that the plain one comes last. */
	uint64_t one = *(const uint64_t *)a - 1, two = *(const uint64_t *)b - 1;

	return one < two ? -1 : one > two;
}

static int add_number(struct piece_list *list, uint64_t number)
{
	uint64_t *grown = realloc(list->numbers, (list->count + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	list->numbers = grown;
	list->numbers[list->count++] = number;
	return 0;
}

int piece_list_load(struct piece_list *ret, const char *folder, const char *name)
{
	auto_piece_list struct piece_list list = {0};
	DIR *dir = opendir(folder);
	struct dirent *entry;
	uint64_t number;
	int result = 0;

	if (!dir)
		return -errno;
	while (result == 0 && (entry = readdir(dir))) {
		if (take_name(&number, entry->d_name, name))
			result = add_number(&list, number);
	}
	closedir(dir);
	if (result < 0)
		return result;
	if (list.count > 1)
		qsort(list.numbers, list.count, sizeof(*list.numbers), by_age);
	*ret = list;
	list = (struct piece_list){0};
	return 0;
}

static char *make_path(const char *folder, const char *name, uint64_t number, const char *ending)
{
	char digits[NUMBER_DIGITS + 2] = "", *path;

	if (number != PIECE_PLAIN)
		snprintf(digits, sizeof(digits), ".%llu", (unsigned long long)number);
	return asprintf(&path, "%s/%s%s%s", folder, name, digits, ending) < 0 ? NULL : path;
}

char *piece_path(const char *folder, const char *name, uint64_t number)
{
	return make_path(folder, name, number, "");
}

char *piece_times_path(const char *folder, const char *name, uint64_t number)
{
	return make_path(folder, name, number, ".times");
}

void piece_place_format(struct text *out, const struct piece_place *place)
{
	text_printf(out, "%llu %lld %u\n", (unsigned long long)place->offset, (long long)place->when_ms, place->stream);
}

static bool parse_place(struct piece_place *ret, char *line)
{
	const char *fields[PLACE_FIELDS] = {0};
	char *at = line;
	uint64_t when;
	uint32_t stream;

	for (size_t i = 0; i < PLACE_FIELDS; i++)
		fields[i] = strsep(&at, " ");
	if (at || !fields[1] || !fields[2] || text_to_u64(&ret->offset, fields[0], 10) < 0 ||
	    text_to_u64(&when, fields[1], 10) < 0 || text_to_u32(&stream, fields[2], 10) < 0 ||
	    when > INT64_MAX / 1000000 || stream < 1 || stream > 2)
		return false;
	ret->when_ms = (int64_t)when;
	ret->stream = stream;
	return true;
}

static int add_place(struct piece_places *list, const struct piece_place *place)
{
	struct piece_place *grown = list->items;

	if (list->count > 0 && place->offset < list->items[list->count - 1].offset)
		return 0;
	if ((list->count & (list->count - 1)) == 0) /* it has room for a power of two */
		grown = realloc(list->items, (list->count ? 2 * list->count : 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->items = grown;
	list->items[list->count++] = *place;
	return 0;
}

int piece_places_parse(struct piece_places *list, size_t *ret_used, const char *bytes, size_t size)
{
	const char *at = bytes, *end;
	int result = 0;

	while (result == 0 && (end = memchr(at, '\n', size - (size_t)(at - bytes)))) {
		auto_free char *line = strndup(at, (size_t)(end - at));
		struct piece_place place;

		if (!line)
			return -ENOMEM;
		if (parse_place(&place, line))
			result = add_place(list, &place);
		at = end + 1;
	}
	*ret_used = (size_t)(at - bytes);
	return result;
}

void piece_places_clear(struct piece_places *list)
{
	free(list->items);
	*list = (struct piece_places){0};
}
