#include "guest/shell.h"

#include "base/file.h"
#include "guest/etcfile.h"

#include <string.h>
#include <sys/stat.h>

enum { SETTINGS_MAX = 1 << 20 };

bool shell_works(const char *path)
{
	static const char *const refusals[] = {"nologin", "false", "true", "sync", "halt", "shutdown"};
	struct stat st;

	for (size_t i = 0; i < COUNT_OF(refusals); i++) {
		if (strcmp(path_name(path), refusals[i]) == 0)
			return false;
	}
	return path[0] == '/' && !path[strcspn(path, ":\n")] && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       access(path, X_OK) == 0;
}

static char *find(const char *name)
{
	static const char *const folders[] = {"/bin", "/usr/bin", "/usr/local/bin"};

	for (size_t i = 0; i < COUNT_OF(folders) && *name; i++) {
		auto_free char *path = path_join(folders[i], name);

		if (path && shell_works(path))
			return TAKE(path);
	}
	return NULL;
}

char *shell_setting(const char *text, const char *key)
{
	size_t size = strlen(key), length;

	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		const char *at = text + strspn(text, " \t");
		char quote;

		if (strncmp(at, key, size) != 0 || at[size] != '=')
			continue;
		at += size + 1;
		quote = *at;
		if (quote != '"' && quote != '\'')
			return strndup(at, strcspn(at, " \t\r\n#"));
		length = strcspn(at + 1, quote == '"' ? "\"\n" : "'\n");
		return strndup(at + 1, length);
	}
	return NULL;
}

static char *image_default(const char *path, const char *key)
{
	auto_text struct text text = {0};
	auto_free char *shell = NULL;

	if (etcfile_read(&text, NULL, path, SETTINGS_MAX, NULL) < 0 || !text.data)
		return NULL;
	shell = shell_setting(text.data, key);
	return shell && shell_works(shell) ? TAKE(shell) : NULL;
}

char *shell_choose(const char *wanted)
{
	char *shell = NULL;

	if (shell_works(wanted))
		return strdup(wanted);
	shell = find(path_name(wanted));
	if (!shell)
		shell = image_default("/etc/default/useradd", "SHELL");
	if (!shell)
		shell = image_default("/etc/adduser.conf", "DSHELL");
	if (!shell)
		shell = find("bash");
	return shell ? shell : strdup("/bin/sh");
}
