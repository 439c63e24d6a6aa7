#include "machine/home.h"

#include "base/text.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int machine_home(char **ret, struct annex_error **err)
{
	const struct passwd *user = getpwuid(getuid());
	auto_text struct text made = {0};
	size_t length;

	if (!user || *user->pw_dir != '/') {
		text_printf(&made, "/home/u%u", (unsigned)getuid());
	} else {
		for (const char *name = user->pw_dir; *name; name += length + (name[length] == '/')) {
			length = strcspn(name, "/");
			if (length > 0 && !(length == 1 && *name == '.'))
				text_printf(&made, "/%.*s", (int)length, name);
		}
		if (made.size == 0)
			text_add_char(&made, '/');
	}
	*ret = text_take(&made);
	return *ret ? 0 : fail_memory(err);
}
