/*
 * systemd.service(5), systemd.exec(5) and systemd.syntax(7), as of version 252. Texts are in double quotes, in which
 * '\' and '"' are escaped, and '%' anywhere. '$' begins a variable in arguments, but neither in the program's path nor
 * in Environment=. The section [X-Annex] is for annex: systemd passes over sections whose names begin with X-.
 *
 * The supervisor gets the one SIGTERM (KillMode=mixed), stops the machine with its own deadline, which it tells
 * (EXTEND_TIMEOUT_USEC=), and ends. It starts a machine that failed again by itself, so systemd does only what it
 * can't: when the supervisor itself was killed (Restart=on-abnormal). Users may start it as often as they like. When
 * the host kills QEMU for its memory, systemd keeps out of it (OOMPolicy=continue).
 */
#include "machine/unit.h"

#include <stdio.h>
#include <string.h>

static int add_quoted(struct text *text, const char *value, bool dollars, struct annex_error **err)
{
	text_add_char(text, '"');
	for (const char *at = value; *at; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return fail(err, ANNEX_ERROR_USAGE, "there is a control character in '%s'", value);
		if (*at == '\\' || *at == '"')
			text_add_char(text, '\\');
		if (*at == '%' || (*at == '$' && dollars))
			text_add_char(text, *at);
		text_add_char(text, *at);
	}
	text_add_char(text, '"');
	return 0;
}

char *unit_file_name(const char *machine)
{
	char *name = NULL;

	return asprintf(&name, "annex-%s.service", machine) < 0 ? NULL : name;
}

static int add_command(struct text *text, const struct unit *unit, struct annex_error **err)
{
	const struct {
		const char *option, *value;
	} folders[] = {{"--data", unit->data}, {"--config", unit->config}, {"--runtime", unit->runtime}};

	text_add(text, "ExecStart=");
	if (add_quoted(text, unit->program, false, err) < 0)
		return -1;
	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		text_printf(text, " %s ", folders[i].option);
		if (add_quoted(text, folders[i].value, true, err) < 0)
			return -1;
	}
	text_printf(text, " --foreground %s\n", unit->name);
	return 0;
}

static int add_environment(struct text *text, const struct unit *unit, struct annex_error **err)
{
	for (size_t i = 0; unit->environment && unit->environment[i]; i++) {
		text_add(text, "Environment=");
		if (add_quoted(text, unit->environment[i], false, err) < 0)
			return -1;
		text_add_char(text, '\n');
	}
	return 0;
}

int unit_text(char **ret, const struct unit *unit, struct annex_error **err)
{
	auto_text struct text text = {0};
	auto_free char *made = NULL;

	text_printf(&text,
		    "# Written by annex (annex set -n %s autostart=true), which also changes and removes it.\n"
		    "# Changes of your own belong into a drop-in: systemctl --user edit annex-%s.service\n"
		    "[Unit]\nDescription=annex machine "
		    "%s\nStartLimitIntervalSec=0\n\n[Service]\nType=notify\nNotifyAccess=main\n",
		    unit->name, unit->name, unit->name);
	if (add_command(&text, unit, err) < 0 || add_environment(&text, unit, err) < 0)
		return -1;
	text_add(&text, "KillMode=mixed\nTimeoutStartSec=infinity\nTimeoutStopSec=120\nOOMPolicy=continue\n");
	text_add(&text, unit->restarts ? "Restart=on-abnormal\nRestartSec=2\n" : "Restart=no\n");
	text_add(&text, "\n[Install]\nWantedBy=default.target\n");
	text_printf(&text, "\n[X-Annex]\nId=%s\nData=%s\nProgram=%s\n", unit->id, unit->data, unit->program);
	made = text_take(&text);
	if (!made)
		return fail_memory(err);
	*ret = TAKE(made);
	return 0;
}

void unit_mark_clear(struct unit_mark *mark)
{
	free(mark->id);
	free(mark->data);
	free(mark->program);
	*mark = (struct unit_mark){0};
}

/* The rest of the line that begins with `key`; NULL: there is none, or memory ran out. */
static char *line_of(const char *section, const char *key)
{
	const char *found = strstr(section, key);

	return found ? strndup(found + strlen(key), strcspn(found + strlen(key), "\n")) : NULL;
}

int unit_read(struct unit_mark *ret, const char *text, struct annex_error **err)
{
	const char *section = strstr(text, "\n[X-Annex]\n");
	auto_unit_mark struct unit_mark made = {0};

	if (section) {
		made.id = line_of(section, "\nId=");
		made.data = line_of(section, "\nData=");
		made.program = line_of(section, "\nProgram=");
		if (!made.id || !made.data || !made.program)
			return fail(err, ANNEX_ERROR_CORRUPT, "its section [X-Annex] is not what annex writes");
	}
	*ret = made;
	made = (struct unit_mark){0};
	return 0;
}
