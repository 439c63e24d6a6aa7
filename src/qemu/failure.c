/*
 * QEMU explains itself in English lines, most of them "PROGRAM: -option value: what went wrong", and has no codes. The
 * table knows the ones a user can do something about; for all others the last line that is no warning is passed on.
 */
#include "qemu/failure.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

struct row {
	const char *needle;
	enum annex_error_kind kind;
	const char *meaning; /* put before QEMU's words, or NULL */
	const char *hint;    /* or NULL */
};

static const struct row rows[] = {
	{"Failed to get \"write\" lock", ANNEX_ERROR_BUSY, "a disk is in use by another process", NULL},
	{"Failed to get shared", ANNEX_ERROR_BUSY, "a disk is in use by another process", NULL},
	{"Could not access KVM kernel module", ANNEX_ERROR_UNSUPPORTED, "KVM can't be used", "annex doctor"},
	{"failed to initialize kvm", ANNEX_ERROR_UNSUPPORTED, "KVM can't be used", "annex doctor"},
	{"failed to set MSR", ANNEX_ERROR_UNSUPPORTED, "KVM does not work on this host", "use the accelerator 'tcg'"},
	{"KVM internal error", ANNEX_ERROR_UNSUPPORTED, "KVM does not work on this host", "use the accelerator 'tcg'"},
	{"Cannot allocate memory", ANNEX_ERROR_NO_MEMORY, "the host has not enough memory", "use less memory"},
	{"without PVH ELF Note", ANNEX_ERROR_UNSUPPORTED, "the kernel can't be booted",
	 "use a bzImage, or a vmlinux of a kernel with CONFIG_PVH"},
	{"invalid kernel header", ANNEX_ERROR_UNSUPPORTED, "the kernel can't be booted",
	 "use a bzImage, or a vmlinux of a kernel with CONFIG_PVH"},
	{"Image is not in qcow2 format", ANNEX_ERROR_CORRUPT, "a disk is damaged", NULL},
	{"No space left on device", ANNEX_ERROR_SYSTEM, NULL, "free some disk space: annex doctor"},
	{"No such file or directory", ANNEX_ERROR_NOT_FOUND, NULL, NULL},
};

static char *line_at(const char *at)
{
	return strndup(at, strcspn(at, "\n"));
}

/* What follows the two words at the start of the line, or NULL. */
static const char *behind(const char *line, const char *word, const char *separator)
{
	if (!text_starts(line, word) || !text_starts(line + strlen(word), separator))
		return NULL;
	return line + strlen(word) + strlen(separator);
}

/* The line behind "PROGRAM: " and behind the echo of an option. */
static const char *without_prefix(const char *line, const struct text_list *args)
{
	const char *name = args->count ? strrchr(args->items[0], '/') : NULL;
	const char *words;

	name = name ? name + 1 : args->count ? args->items[0] : "";
	words = *name ? behind(line, name, ": ") : NULL;
	words = words ? words : behind(line, "qemu", ": ");
	line = words ? words : line;
	for (size_t i = 1; line[0] == '-' && i + 1 < args->count; i++) {
		const char *behind_option = behind(line, args->items[i], " ");
		const char *behind_value = behind_option ? behind(behind_option, args->items[i + 1], ": ") : NULL;

		if (behind_value)
			return behind_value;
	}
	return line;
}

/* The line that the needle is in, or NULL. */
static char *find_line(const char *output, const char *needle)
{
	const char *at = strstr(output, needle);

	while (at && at > output && at[-1] != '\n')
		at--;
	return at ? line_at(at) : NULL;
}

static char *last_line(const char *output)
{
	char *last = NULL;

	for (const char *at = output; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		auto_free char *line = line_at(at);

		if (!line || !*line || strstr(line, ": warning: "))
			continue;
		free(last);
		last = TAKE(line);
	}
	return last;
}

static int explain_silence(struct annex_error **err, int status)
{
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (!number)
		return fail(err, ANNEX_ERROR_SYSTEM, "QEMU ended with status %d and no word",
			    WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	fail(err, ANNEX_ERROR_SYSTEM, "QEMU was ended by signal %d (%s)", number, strsignal(number));
	return number == SIGKILL ? fail_hint(err, "if the host ran out of memory: sudo dmesg | tail") : -1;
}

int qemu_failure(struct annex_error **err, const struct text_list *args, int status, const char *output)
{
	auto_free char *line = NULL;
	const struct row *row = NULL;
	const char *words;

	for (size_t i = 0; i < COUNT_OF(rows) && !line; i++) {
		row = &rows[i];
		line = find_line(output, row->needle);
	}
	if (!line) {
		row = NULL;
		line = last_line(output);
	}
	if (!line)
		return explain_silence(err, status);
	words = without_prefix(line, args);
	if (row && row->meaning)
		fail(err, row->kind, "%s (QEMU: %s)", row->meaning, words);
	else
		fail(err, row ? row->kind : ANNEX_ERROR_SYSTEM, "QEMU: %s", words);
	return row && row->hint ? fail_hint(err, "%s", row->hint) : -1;
}
