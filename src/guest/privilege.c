/*
 * Of several rules that fit, the last one counts: hence a file that is sorted behind others. sudo is told the user by
 * number, which needs no quotes and goes for every name of it; not every doas knows numbers. A rule is kept up as long
 * as it stands behind our line: who removes it, but not the line, is asked for a password.
 */
#include "guest/privilege.h"

#include "guest/etcfile.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define OURS         "# By annex: its user needs no password. To change that, keep this line and remove the next one.\n"
#define SUDOERS      "/etc/sudoers"
#define SUDOERS_RULE "/etc/sudoers.d/zz-annex" /* sudo reads no names with a dot */
#define DOAS         "/etc/doas.conf"
#define DOAS_RULE    "/etc/doas.d/zz-annex.conf"
#define PROXIES                                                \
	"http_proxy https_proxy ftp_proxy all_proxy no_proxy " \
	"HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY"

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_rule(const char *line)
{
	return (line[0] == '#' && line[1] >= '0' && line[1] <= '9') || text_starts(line, "permit nopass ");
}

/* Our line with the rule behind it. Nothing is added to a file that was ours and is no more. */
static int put_rule(bool *changed, const char *path, bool is_ours, const char *rule, mode_t mode,
		    struct annex_error **err)
{
	auto_text struct text now = {0}, made = {0};
	const char *ours, *next;
	bool there = false;

	if (etcfile_read(&now, &there, path, PRIVILEGE_FILE_MAX, err) < 0)
		return -1;
	ours = now.data ? strstr(now.data, OURS) : NULL;
	next = ours ? ours + strlen(OURS) : NULL;
	if (ours ? text_starts(next, rule) || !is_rule(next) : there && is_ours)
		return 0;
	text_add_bytes(&made, now.data, ours ? (size_t)(ours - now.data) : now.size);
	if (made.size > 0 && made.data[made.size - 1] != '\n')
		text_add_char(&made, '\n');
	text_add(&made, OURS);
	text_add(&made, rule);
	if (ours) {
		next += strcspn(next, "\n");
		next += *next == '\n';
		text_add_bytes(&made, next, now.size - (size_t)(next - now.data));
	}
	*changed = true;
	return etcfile_write(path, &made, mode, err);
}

bool privilege_includes(const char *sudoers)
{
	static const char *const words[] = {"@includedir", "#includedir"};

	for (const char *at = sudoers; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		const char *word = at + strspn(at, " \t");

		for (size_t i = 0; i < COUNT_OF(words); i++) {
			const char *path = word + strlen(words[i]);

			if (strncmp(word, words[i], strlen(words[i])) != 0 || !strchr(" \t", *path) || !*path)
				continue;
			path += strspn(path, " \t\"");
			if (text_starts(path, "/etc/sudoers.d") && strchr("/\" \t\r\n", path[strlen("/etc/sudoers.d")]))
				return true;
		}
	}
	return false;
}

static int grant_sudo(bool *changed, uint32_t uid, struct annex_error **err)
{
	auto_text struct text sudoers = {0};
	char rule[256];
	bool there = false;
	int result;

	/* And root may use the session's SSH agent and proxies, as its user may: "sudo git clone", "sudo apt update".
	 */
	snprintf(rule, sizeof(rule),
		 "#%u ALL=(ALL:ALL) NOPASSWD: ALL\n"
		 "Defaults:#%u env_keep += \"SSH_AUTH_SOCK " PROXIES "\"\n",
		 uid, uid);
	result = etcfile_make_folders("/etc/sudoers.d", 0750);
	if (result < 0)
		return fail_os(err, result, "cannot make /etc/sudoers.d");
	if (put_rule(changed, SUDOERS_RULE, true, rule, 0440, err) < 0 ||
	    etcfile_read(&sudoers, &there, SUDOERS, PRIVILEGE_FILE_MAX, err) < 0)
		return -1;
	return there && !privilege_includes(sudoers.data) ? put_rule(changed, SUDOERS, false, rule, 0440, err) : 0;
}

static bool is_plain(const char *name)
{
	static const char *const keywords[] = {"permit", "deny",  "as",      "cmd",     "args",
					       "nopass", "nolog", "persist", "keepenv", "setenv"};

	for (size_t i = 0; i < COUNT_OF(keywords); i++) {
		if (strcmp(name, keywords[i]) == 0)
			return false;
	}
	return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

void privilege_doas_rule(struct text *out, const char *name)
{
	text_add(out, "permit nopass setenv { SSH_AUTH_SOCK " PROXIES " } ");
	if (is_plain(name)) {
		text_printf(out, "%s\n", name);
		return;
	}
	text_add_char(out, '"');
	for (; *name; name++) {
		if (strchr("\"\\", *name))
			text_add_char(out, '\\');
		text_add_char(out, *name);
	}
	text_add(out, "\"\n");
}

static bool has_doas(void)
{
	return access("/usr/bin/doas", X_OK) == 0 || access("/bin/doas", X_OK) == 0 ||
	       access("/usr/local/bin/doas", X_OK) == 0;
}

/* Not every doas reads the folder, and those that do read it after the file. */
static int grant_doas(bool *changed, const char *name, struct annex_error **err)
{
	auto_text struct text rule = {0};

	privilege_doas_rule(&rule, name);
	if (!text_ok(&rule))
		return fail_memory(err);
	if (is_folder("/etc/doas.d") && put_rule(changed, DOAS_RULE, true, rule.data, 0644, err) < 0)
		return -1;
	return put_rule(changed, DOAS, false, rule.data, 0644, err);
}

int privilege_grant(bool *ret_changed, const char *name, uint32_t uid, struct annex_error **err)
{
	*ret_changed = false;
	if (grant_sudo(ret_changed, uid, err) < 0)
		return -1;
	return has_doas() ? grant_doas(ret_changed, name, err) : 0;
}
