/*
 * No init but systemd tells anybody that it is done. What it starts it has in a table or in files of fixed names, and
 * waits for as its own children, which /proc shows:
 *
 * - sysvinit, and BusyBox' init: /etc/inittab says what is waited for. sysvinit also shows its runlevel as its title,
 *   once it has entered one; OpenRC under it is such an entry of the table.
 * - openrc-init: the runlevel that was entered last is in a file, and while one is entered there is a folder.
 * - runit: its one child is the script of a stage. The second one becomes runsvdir when all of it is done.
 * - s6-svscan: each service has a supervisor, whose state is in a file.
 *
 * What has not begun yet must not look like what is over: an init with a table has waited for a child once, which
 * counts in that its page faults are added to its own.
 */
#include "guest/phase.h"

#include "base/file.h"
#include "base/text.h"
#include "guest/program.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
	TABLE_SIZE_MAX = 1 << 16, /* of /etc/inittab */
	PROC_SIZE_MAX = 1 << 16,  /* of a file below /proc */
	ENTRY_WORDS = 3,          /* "/bin/sh", "-e", "/etc/init.d/rc": where of a command line its script can stand */
	SOFTLEVEL_MAX = 256,
	STATUS_SIZE = 43, /* of s6's supervise/status: two times, pid, group, wait status, flags */
	STATUS_PID_AT = 24,
	STATUS_PID_SIZE = 8,
	STATUS_WANTED_UP = 4, /* of the flags */
};

struct child {
	int pid;
	char *words; /* of its command line, each ended by a NUL, and one more NUL */
};

struct children {
	struct child items[64];
	size_t count;
};

static void children_clear(struct children *children)
{
	for (size_t i = 0; i < children->count; i++)
		free(children->items[i].words);
}

/* `format` has the process' number in it. NULL: it is gone. */
static char *read_process(int root, const char *format, int pid, size_t *ret_size)
{
	char path[64], *text = NULL;

	snprintf(path, sizeof(path), "proc/%d/%s", pid, format);
	return file_read_regular(&text, ret_size, root, path, PROC_SIZE_MAX) < 0 ? NULL : text;
}

/* With a further NUL behind the last one. */
static char *command_line(int root, int pid)
{
	size_t size = 0;
	auto_free char *read = read_process(root, "cmdline", pid, &size);
	char *words = read ? calloc(1, size + 2) : NULL;

	if (words)
		memcpy(words, read, size);
	return words;
}

static const char *next_word(const char *word)
{
	return *word ? word + strlen(word) + 1 : word;
}

/* More than fit don't count: an init starts one thing after the other. */
static void list_children(struct children *ret, int root, int pid)
{
	char path[48];
	auto_free char *list = NULL;
	char *at, *number;

	*ret = (struct children){0};
	snprintf(path, sizeof(path), "task/%d/children", pid);
	list = read_process(root, path, pid, NULL);
	at = list;
	while (at && (number = strsep(&at, " \n")) && ret->count < COUNT_OF(ret->items)) {
		uint32_t child = 0;
		char *words = text_to_u32(&child, number, 10) == 0 ? command_line(root, (int)child) : NULL;

		if (words)
			ret->items[ret->count++] = (struct child){(int)child, words};
	}
}

/* The first of those that run this program, as itself or as a script: the words from there on, or NULL. */
static const char *find_child(const struct children *children, const char *program, size_t length)
{
	for (size_t i = 0; i < children->count; i++) {
		const char *word = children->items[i].words;

		for (int k = 0; k < ENTRY_WORDS && *word; k++, word = next_word(word)) {
			if (strlen(word) == length && memcmp(word, program, length) == 0)
				return word;
		}
	}
	return NULL;
}

static const struct child *find_named(const struct children *children, const char *name)
{
	for (size_t i = 0; i < children->count; i++) {
		if (strcmp(path_name(children->items[i].words), name) == 0)
			return &children->items[i];
	}
	return NULL;
}

static void starting(struct phase *ret, const char *what)
{
	ret->kind = PHASE_STARTING;
	snprintf(ret->what, sizeof(ret->what), "%.*s", (int)sizeof(ret->what) - 1, what);
	for (char *at = ret->what; *at; at++)
		*at = *at >= ' ' && *at <= '~' ? *at : '?';
}

static void starting_words(struct phase *ret, const char *word)
{
	char joined[PHASE_WHAT_MAX] = "";

	for (; *word; word = next_word(word)) {
		size_t length = strlen(joined);

		snprintf(joined + length, sizeof(joined) - length, "%s%s", length > 0 ? " " : "", word);
	}
	starting(ret, joined);
}

/* Tables. */

struct entry {
	const char *action, *process; /* the latter up to the line's end */
	size_t action_length;
};

/* "id:runlevels:action:process". False: no entry. */
static bool parse_entry(struct entry *ret, const char *line, size_t size)
{
	const char *field[4] = {line}, *end = line + size;

	for (size_t i = 1; i < COUNT_OF(field); i++) {
		const char *colon = memchr(field[i - 1], ':', (size_t)(end - field[i - 1]));

		if (!colon)
			return false;
		field[i] = colon + 1;
	}
	ret->action = field[2];
	ret->action_length = (size_t)(field[3] - 1 - field[2]);
	while (field[3] < end && strchr("+-@", *field[3])) /* what init itself makes of it */
		field[3]++;
	ret->process = field[3];
	return line[0] != '#';
}

static bool is_action(const struct entry *entry, const char *const *actions)
{
	for (; *actions; actions++) {
		if (strlen(*actions) == entry->action_length &&
		    memcmp(*actions, entry->action, entry->action_length) == 0)
			return true;
	}
	return false;
}

/* What runs now of an entry with one of these actions, in words; NULL: nothing. *ret_has: the table has any. */
static const char *find_running(bool *ret_has, const char *table, const struct children *children,
				const char *const *actions)
{
	*ret_has = false;
	for (size_t size; *table; table += size + (table[size] == '\n')) {
		struct entry entry;
		const char *words;

		size = strcspn(table, "\n");
		if (!parse_entry(&entry, table, size) || !is_action(&entry, actions))
			continue;
		*ret_has = true;
		words = find_child(children, entry.process, strcspn(entry.process, " \t\n"));
		if (words)
			return words;
	}
	return NULL;
}

/* The eleventh field of its stat, behind the name, which may have anything in it. */
static bool has_waited(int root)
{
	enum { FIELDS_BEFORE = 9 };
	auto_free char *stat = read_process(root, "stat", 1, NULL);
	char *at = stat ? strrchr(stat, ')') : NULL, *field = NULL;

	for (int i = 0; at && i <= FIELDS_BEFORE; i++)
		field = strsep(&at, " ");
	return field && strcmp(field, "0") != 0;
}

/* What sysvinit shows as its command line: "init [2]". '\0': nothing like it. */
static char runlevel(int root)
{
	auto_free char *title = command_line(root, 1);

	return title && text_starts(title, "init [") && title[6] ? title[6] : '\0';
}

/* OpenRC. */

static bool is_among(const char *word, const char *const *list)
{
	for (; *list; list++) {
		if (strcmp(word, *list) == 0)
			return true;
	}
	return false;
}

static void look_at_openrc(struct phase *ret, int root)
{
	static const char *const before[] = {"", "sysinit", "boot", NULL}, *const after[] = {"shutdown", "reboot",
											     NULL};
	auto_free char *level = NULL;
	char what[PHASE_WHAT_MAX] = "";

	if (file_read_regular(&level, NULL, root, "run/openrc/softlevel", SOFTLEVEL_MAX) < 0)
		level = strdup("");
	if (!level)
		return;
	level[strcspn(level, "\n")] = '\0';
	if (*level)
		snprintf(what, sizeof(what), "OpenRC's runlevel %.64s", level);
	if (is_among(level, after) || file_exists(root, "run/openrc/rc.stopping"))
		ret->kind = PHASE_STOPPING;
	else if (is_among(level, before) || file_exists(root, "run/openrc/rc.starting"))
		starting(ret, what);
	else
		ret->kind = PHASE_UP;
}

/* Inits with a table. */

static void look_at_table(struct phase *ret, int root, bool shows_runlevel)
{
	static const char *const starts[] = {"sysinit", "bootwait", "wait", NULL}, *const ends[] = {"shutdown", NULL};
	static const char standard[] = "::sysinit:/etc/init.d/rcS\n"; /* BusyBox' without a table */
	CLEANUP(children_clear) struct children children = {0};
	auto_free char *table = NULL;
	char level = shows_runlevel ? runlevel(root) : '1';
	const char *runs;
	bool has_ends = false, has_starts = false;

	list_children(&children, root, 1);
	if (file_read_regular(&table, NULL, root, "etc/inittab", TABLE_SIZE_MAX) < 0)
		table = shows_runlevel ? NULL : strdup(standard);
	if (!table)
		ret->kind = PHASE_UP;
	else if (level == '0' || level == '6' || find_running(&has_ends, table, &children, ends))
		ret->kind = PHASE_STOPPING;
	else if ((runs = find_running(&has_starts, table, &children, starts)))
		starting_words(ret, runs);
	else
		ret->kind = !level || (has_starts && !has_waited(root)) ? PHASE_STARTING : PHASE_UP;
	if (ret->kind == PHASE_UP && file_exists(root, "run/openrc/softlevel"))
		look_at_openrc(ret, root); /* a script of the table may have become it */
}

static void look_at_sysvinit(struct phase *ret, int root)
{
	look_at_table(ret, root, true);
}

static void look_at_busybox(struct phase *ret, int root)
{
	look_at_table(ret, root, false);
}

/* runit. */

static void look_at_runit(struct phase *ret, int root)
{
	static const char *const stages[] = {"/etc/runit/1", "/etc/runit/2"}, last[] = "/etc/runit/3";
	CLEANUP(children_clear) struct children children = {0};

	list_children(&children, root, 1);
	ret->kind = find_named(&children, "runsvdir") ? PHASE_UP : PHASE_STARTING;
	if (find_child(&children, last, strlen(last)))
		ret->kind = PHASE_STOPPING;
	for (size_t i = 0; i < COUNT_OF(stages) && ret->kind == PHASE_STARTING; i++) {
		if (find_child(&children, stages[i], strlen(stages[i])))
			starting(ret, stages[i]);
	}
}

/* s6. */

/* It was started, or is not to be: what fails at once is tried again for ever, and the machine does not wait for it. */
static bool is_settled(int service)
{
	auto_free char *status = NULL;
	struct stat st;
	size_t size = 0;

	if (fstatat(service, "supervise/death_tally", &st, 0) == 0 && st.st_size > 0)
		return true;
	if (file_read(&status, &size, service, "supervise/status", PROC_SIZE_MAX) < 0)
		return false;
	if (size != STATUS_SIZE)
		return size > 0; /* of another version */
	for (size_t i = 0; i < STATUS_PID_SIZE; i++) {
		if (status[STATUS_PID_AT + i])
			return true;
	}
	return !(status[STATUS_SIZE - 1] & STATUS_WANTED_UP);
}

/* The folder that s6-svscan scans is its working directory, and has one of each service. */
static void look_at_s6(struct phase *ret, int root)
{
	auto_close int fd = openat(root, "proc/1/cwd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *services = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	ret->kind = services && faccessat(fd, ".s6-svscan", F_OK, 0) == 0 ? PHASE_UP : PHASE_STARTING;
	while (services && ret->kind == PHASE_UP && (entry = readdir(services))) {
		auto_close int service = -1;

		if (entry->d_name[0] == '.')
			continue;
		service = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (service < 0 || is_settled(service))
			continue;
		starting(ret, entry->d_name);
	}
	if (services) {
		closedir(services);
		fd = -1;
	}
}

static void look_at_nothing(struct phase *ret, int root)
{
	(void)root;
	ret->kind = PHASE_UP;
}

void phase_look(struct phase *ret, int root)
{
	static void (*const looks[])(struct phase * ret, int root) = {
		[PROGRAM_TELLS_NOTHING] = look_at_nothing,
		[PROGRAM_TELLS_BY_SOCKET] = look_at_nothing,
		[PROGRAM_HAS_RUNLEVELS] = look_at_sysvinit,
		[PROGRAM_HAS_TABLE] = look_at_busybox,
		[PROGRAM_IS_OPENRC] = look_at_openrc,
		[PROGRAM_IS_RUNIT] = look_at_runit,
		[PROGRAM_IS_S6] = look_at_s6,
	};
	const struct program *program = program_of_process(root, 1);

	*ret = (struct phase){0};
	if (program)
		looks[program->readiness](ret, root);
}
