/*
 * What Linux allows is what its tools do, and they differ: useradd, adduser, systemd, sudo, ssh and chown each have
 * rules of their own. What is kept here is what all of them can work with, though some would not make such a name.
 */
#include "guest/username.h"

#include "base/text.h"

#include <string.h>

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool may_stand_first(const char *name, size_t size)
{
	size_t digits = 0;

	while (digits < size && is_digit(name[digits]))
		digits++;
	return (is_letter(*name) || *name == '_' || is_digit(*name)) && digits < size;
}

char *username_fit(const char *name, const char *otherwise)
{
	const char *domain = strrchr(name, '\\');
	auto_text struct text made = {0};
	size_t size;

	name = domain && domain[1] ? domain + 1 : name;
	size = strcspn(name, "@");
	size = size > 0 ? size : strlen(name);
	if (size == 0)
		return strdup(otherwise);
	if (!may_stand_first(name, size))
		text_add_char(&made, '_');
	for (size_t i = 0; i < size && made.size < USERNAME_MAX; i++) {
		char c = name[i];

		text_add_char(&made, is_letter(c) || is_digit(c) || strchr("._-", c) ? c : '_');
	}
	return text_take(&made);
}
