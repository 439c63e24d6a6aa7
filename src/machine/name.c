#include "machine/name.h"

#include "base/file.h"
#include "base/text.h"

#include <ctype.h>
#include <string.h>

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

int machine_name_check(const char *name, struct annex_error **err)
{
	size_t length = strlen(name);
	const char *wrong = NULL;

	if (length == 0)
		wrong = "it is empty";
	else if (length > MACHINE_NAME_MAX)
		wrong = "it is longer than 56 characters";
	else if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != length)
		wrong = "only a-z, 0-9 and - are allowed";
	else if (!is_plain(name[0]) || !is_plain(name[length - 1]))
		wrong = "it must begin and end with a letter or digit";
	if (!wrong)
		return 0;
	fail(err, ANNEX_ERROR_USAGE, "machine name '%s' is invalid: %s", name, wrong);
	return fail_hint(err, "choose a name such as 'dev' or 'debian-12'");
}

char *machine_name_from_image(const char *image)
{
	auto_text struct text name = {0};
	const char *at = strchr(image, ':'), *end;
	size_t length;

	/* "oci:DIR:TAG" and the like: the part behind the transport. */
	if (at &&
	    (text_starts(image, "oci:") || text_starts(image, "oci-archive:") || text_starts(image, "docker-archive:")))
		image = at + 1;
	image = path_name(image);
	end = image + strcspn(image, ":@");
	if (end - image > 4 && strncmp(end - 4, ".tar", 4) == 0)
		end -= 4;
	for (at = image; at < end && name.size < MACHINE_NAME_MAX; at++) {
		char c = (char)tolower((unsigned char)*at);

		if (is_plain(c))
			text_add_char(&name, c);
		else if (name.size > 0 && name.data[name.size - 1] != '-')
			text_add_char(&name, '-');
	}
	for (length = name.size; length > 0 && name.data[length - 1] == '-'; length--)
		name.data[length - 1] = '\0';
	if (length == 0) {
		text_clear(&name);
		text_add(&name, "machine");
	}
	return text_take(&name);
}
