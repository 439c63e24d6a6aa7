/*
 * challenge = scheme [ SP ( token68 / parameter *( "," parameter ) ) ], separated by commas like the parameters
 * themselves: a word without "=" behind it begins the next challenge. Servers are lenient with commas and spaces, and
 * so is this.
 */
#include "registry/challenge.h"

#include <string.h>
#include <strings.h>

static const char token_chars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char spaces[] = " \t";

void challenge_list_clear(struct challenge_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].realm);
		free(list->items[i].service);
		free(list->items[i].scope);
		free(list->items[i].error);
	}
	*list = (struct challenge_list){0};
}

static bool is_word(const char *at, size_t length, const char *word)
{
	return strlen(word) == length && strncasecmp(at, word, length) == 0;
}

static void begin(struct challenge_list *into, const char *at, size_t length)
{
	struct challenge *made = &into->items[into->count++];

	*made = (struct challenge){0};
	if (is_word(at, length, "Bearer"))
		made->scheme = CHALLENGE_BEARER;
	else if (is_word(at, length, "Basic"))
		made->scheme = CHALLENGE_BASIC;
}

/* A token or a quoted text; *at moves behind it. -EINVAL: the quotes don't end. */
static int take_value(char **ret, const char **at)
{
	auto_text struct text value = {0};
	size_t length;

	if (**at != '"') {
		length = strcspn(*at, ", \t");
		text_add_bytes(&value, *at, length);
		*at += length;
	} else {
		for ((*at)++; **at != '"'; (*at)++) {
			if (**at == '\\' && (*at)[1])
				(*at)++;
			if (!**at)
				return -EINVAL;
			text_add_char(&value, **at);
		}
		(*at)++;
	}
	*ret = text_take(&value);
	return *ret ? 0 : -ENOMEM;
}

/* Parameters count once: a second one of the same name is ignored. */
static void keep(struct challenge *into, const char *name, size_t length, char *value)
{
	char **field = is_word(name, length, "realm")     ? &into->realm
		       : is_word(name, length, "service") ? &into->service
		       : is_word(name, length, "scope")   ? &into->scope
		       : is_word(name, length, "error")   ? &into->error
							  : NULL;

	if (field && !*field)
		*field = value;
	else
		free(value);
}

int challenge_parse(struct challenge_list *into, const char *header)
{
	struct challenge *current = NULL;
	const char *at = header;

	if (strlen(header) > CHALLENGE_HEADER_LIMIT)
		return 0;
	for (;;) {
		const char *word, *after;
		size_t length;

		at += strspn(at, ", \t");
		word = at;
		length = strspn(at, token_chars);
		if (length == 0)
			return 0;
		after = word + length + strspn(word + length, spaces);
		if (*after == '=' && current) {
			char *value = NULL;
			int result;

			at = after + 1 + strspn(after + 1, spaces);
			result = take_value(&value, &at);
			if (result < 0)
				return result == -ENOMEM ? result : 0;
			keep(current, word, length, value);
			continue;
		}
		if (*after == '=' || into->count == CHALLENGE_LIMIT)
			return 0;
		begin(into, word, length);
		current = &into->items[into->count - 1];
		at = word + length;
	}
}

const struct challenge *challenge_choose(const struct challenge_list *list)
{
	const struct challenge *basic = NULL;

	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].scheme == CHALLENGE_BEARER && list->items[i].realm)
			return &list->items[i];
		if (list->items[i].scheme == CHALLENGE_BASIC && !basic)
			basic = &list->items[i];
	}
	return basic;
}
