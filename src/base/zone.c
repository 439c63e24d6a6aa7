#include "base/zone.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

bool zone_is_name(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > ZONE_NAME_MAX || text[length - 1] == '/')
		return false;
	for (size_t i = 0; i < length; i++) {
		bool first = i == 0 || text[i - 1] == '/';
		unsigned char c = (unsigned char)text[i];

		if (first ? !isalpha(c) : !isalnum(c) && !strchr("_+-/", c))
			return false;
	}
	return true;
}

bool zone_is_rule(const char *text)
{
	size_t length = strlen(text), name;

	if (length > ZONE_RULE_MAX || text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
							"0123456789+-,./:<>")])
		return false;
	name = text[0] == '<' ? strcspn(text, ">") : 0;
	if (text[0] == '<')
		name += text[name] == '>';
	else
		while (isalpha((unsigned char)text[name]))
			name++;
	if (name < 3)
		return false;
	text += name;
	text += *text == '+' || *text == '-';
	return isdigit((unsigned char)*text);
}

const char *zone_of_path(const char *path)
{
	static const char *const variants[] = {"posix/", "right/"};
	const char *found = strstr(path, "zoneinfo/"), *name = found ? found + strlen("zoneinfo/") : NULL;

	for (size_t i = 0; name && i < COUNT_OF(variants); i++)
		name += text_starts(name, variants[i]) ? strlen(variants[i]) : 0;
	return name && zone_is_name(name) ? name : NULL;
}

bool zone_rule_of(char ret[ZONE_RULE_MAX + 1], const void *bytes, size_t size)
{
	const char *data = bytes, *end = data + size, *start;

	if (size < 8 || memcmp(data, "TZif", 4) != 0 || data[4] < '2' || end[-1] != '\n')
		return false;
	end--;
	start = memrchr(data, '\n', (size_t)(end - data));
	if (!start || (size_t)(end - ++start) > ZONE_RULE_MAX || memchr(start, '\0', (size_t)(end - start)))
		return false;
	memcpy(ret, start, (size_t)(end - start));
	ret[end - start] = '\0';
	return zone_is_rule(ret);
}
