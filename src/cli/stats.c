/*
 * annex stats: what machines use.
 *
 * On a terminal the table is drawn over and over in place, as far as it fits; elsewhere each sample is a block of its
 * own. Processor time needs two samples: a single one is taken with another a second before it.
 */
#include "base/text.h"
#include "base/time.h"
#include "cli/interrupt.h"
#include "cli/machines.h"
#include "cli/output.h"
#include "cli/printable.h"
#include "cli/redraw.h"
#include "cli/terminal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define INTERVAL_MS 1000

enum { CELL = 48 };

struct stats_options {
	struct option_list names;
	const char *name;
	const char *format;
	bool all;
	bool no_stream;
};
#define AT(field) offsetof(struct stats_options, field)

static const struct option options[] = {
	{OPTION_FLAG, 'a', "all", AT(all), NULL, "also machines that don't run", COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "no-stream", AT(no_stream), NULL, "only once", COMPLETES_NOTHING},
	{OPTION_CHOICE, 0, "format", AT(format), "table|json", "how to print (default table)", COMPLETES_NOTHING},
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine, instead of a word", COMPLETES_MACHINE},
	{OPTION_WORDS, 0, NULL, AT(names), "NAME", "the machines (default: all)", COMPLETES_MACHINE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

/* The most important ones first: a narrow terminal cuts the rest. */
static const struct output_column columns[] = {
	{"NAME", false},   {"CPU", true},      {"MEMORY", true}, {"HOST", true},  {"DISK", true},     {"READ", true},
	{"WRITTEN", true}, {"RECEIVED", true}, {"SENT", true},   {"TASKS", true}, {"SESSIONS", true}, {"UPTIME", true},
};

/* NULL, which shows as "-", for what is not known. */
static const char *size_cell(char cell[CELL], int64_t bytes)
{
	return bytes < 0 ? NULL : text_from_size(cell, (uint64_t)bytes);
}

static const char *part_cell(char cell[CELL], int64_t used, int64_t total)
{
	char a[TEXT_SIZE_BUFFER], b[TEXT_SIZE_BUFFER];

	if (used < 0 || total <= 0)
		return NULL;
	snprintf(cell, CELL, "%s / %s", text_from_size(a, (uint64_t)used), text_from_size(b, (uint64_t)total));
	return cell;
}

static const char *number_cell(char cell[CELL], int64_t number)
{
	if (number < 0)
		return NULL;
	snprintf(cell, CELL, "%lld", (long long)number);
	return cell;
}

static const char *percent_cell(char cell[CELL], double part)
{
	if (part < 0)
		return NULL;
	snprintf(cell, CELL, "%.1f%%", part * 100);
	return cell;
}

static int64_t uptime(const struct annex_machine_stats *row)
{
	int64_t now = row->time / 1000000000;

	return row->started <= 0 ? -1 : now > row->started ? now - row->started : 0;
}

static const char *time_cell(char cell[CELL], int64_t seconds)
{
	long long s = seconds;

	if (seconds < 0)
		return NULL;
	if (s < 60)
		snprintf(cell, CELL, "%lld s", s);
	else if (s < 3600)
		snprintf(cell, CELL, "%lld min", s / 60);
	else if (s < 86400)
		snprintf(cell, CELL, "%lld h %lld min", s / 3600, s % 3600 / 60);
	else
		snprintf(cell, CELL, "%lld d %lld h", s / 86400, s % 86400 / 3600);
	return cell;
}

static int add_row(struct libscols_table *table, const struct annex_machine_stats *row, struct annex_error **err)
{
	char cell[COUNT_OF(columns)][CELL];
	const char *const cells[] = {
		row->name,
		percent_cell(cell[1], row->cpu),
		part_cell(cell[2], row->memory_used, row->memory_total),
		size_cell(cell[3], row->memory_host),
		part_cell(cell[4], row->disk_used, row->disk_size),
		size_cell(cell[5], row->disk_read),
		size_cell(cell[6], row->disk_written),
		size_cell(cell[7], row->network_received),
		size_cell(cell[8], row->network_sent),
		number_cell(cell[9], row->tasks),
		number_cell(cell[10], row->sessions),
		time_cell(cell[11], uptime(row)),
	};

	return output_table_row(table, cells, err);
}

static json_t *number(int64_t value)
{
	return value < 0 ? json_null() : json_integer(value);
}

/* With two digits behind the point. */
static json_t *decimal(double value)
{
	return value < 0 ? json_null() : json_real((double)(long long)(value * 100 + 0.5) / 100);
}

static json_t *object_of(const struct annex_machine_stats *row)
{
	const struct {
		const char *key;
		json_t *value;
	} members[] = {
		{"name", json_string(row->name)},
		{"state", json_string(annex_machine_state_name(row->state))},
		{"problem", output_json_text(row->problem)},
		{"time", output_json_time(row->time / 1000000000)},
		{"started", output_json_time(row->started > 0 ? row->started : 0)},
		{"uptime", number(uptime(row))},
		{"cpus", number(row->cpus)},
		{"cpuPercent", decimal(row->cpu * 100)},
		{"cpuTime", decimal((double)row->cpu_time / 1e9)},
		{"load", decimal(row->load)},
		{"memory", number(row->memory)},
		{"memoryTotal", number(row->memory_total)},
		{"memoryUsed", number(row->memory_used)},
		{"memoryHost", number(row->memory_host)},
		{"diskSize", number(row->disk_size)},
		{"diskUsed", number(row->disk_used)},
		{"diskHost", number(row->disk_host)},
		{"diskRead", number(row->disk_read)},
		{"diskWritten", number(row->disk_written)},
		{"networkReceived", number(row->network_received)},
		{"networkSent", number(row->network_sent)},
		{"tasks", number(row->tasks)},
		{"sessions", number(row->sessions)},
	};
	json_t *object = json_object();
	int result = 0;

	for (size_t i = 0; i < COUNT_OF(members); i++)
		result |= json_object_set_new(object, members[i].key, members[i].value);
	if (result == 0)
		return object;
	json_decref(object);
	return NULL;
}

static int make_table(struct libscols_table **ret, const struct annex_machine_stats *rows, size_t count,
		      struct annex_error **err)
{
	auto_table struct libscols_table *table = NULL;

	if (output_table_new(&table, columns, COUNT_OF(columns), err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (add_row(table, &rows[i], err) < 0)
			return -1;
	}
	*ret = TAKE(table);
	return 0;
}

static int print_table(const struct annex_machine_stats *rows, size_t count, struct annex_error **err)
{
	auto_table struct libscols_table *table = NULL;

	if (make_table(&table, rows, count, err) < 0 || output_table_print(table, err) < 0)
		return -1;
	return output_finish(err);
}

static int print_json(const struct annex_machine_stats *rows, size_t count, bool line, struct annex_error **err)
{
	auto_json json_t *array = json_array();

	for (size_t i = 0; i < count; i++) {
		if (json_array_append_new(array, object_of(&rows[i])) < 0)
			return fail_memory(err);
	}
	return line ? output_json_line(TAKE(array), err) : output_json(TAKE(array), err);
}

/* What the screen shows. */
struct screen {
	char *drawn; /* or NULL */
	unsigned resumed;
};

static void cleanup_screen(struct screen *screen)
{
	free(screen->drawn);
}

/* Of the table what the terminal has room for; a row and a column stay free. */
static void fit(struct text *ret, const char *table, size_t rows, size_t width)
{
	size_t lines = 0, shown = 0;

	for (const char *at = table; *at; at++)
		lines += *at == '\n';
	for (const char *at = table; *at && shown < rows; shown++) {
		size_t length = strcspn(at, "\n");
		auto_free char *line = strndup(at, length);

		if (shown)
			text_add_char(ret, '\n');
		if (lines > rows && shown + 1 == rows)
			text_printf(ret, "and %zu more", lines - shown);
		else if (line)
			text_add_bytes(ret, line, printable_cut(line, width));
		at += length + (at[length] == '\n');
	}
}

static bool is_in_foreground(void)
{
	pid_t foreground = tcgetpgrp(STDOUT_FILENO);

	return foreground < 0 || foreground == getpgrp();
}

static int draw(struct screen *screen, const struct annex_machine_stats *rows, size_t count, struct annex_error **err)
{
	auto_table struct libscols_table *table = NULL;
	auto_text struct text out = {0}, frame = {0};
	auto_free char *text = NULL;
	unsigned height, width;

	if (make_table(&table, rows, count, err) < 0)
		return -1;
	scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER); /* it would fold what is too wide */
	if (output_table_text(&text, table, err) < 0)
		return -1;
	if (!is_in_foreground() || screen->resumed != interrupt_resumed())
		free(TAKE(screen->drawn)); /* others have written there */
	screen->resumed = interrupt_resumed();
	if (!is_in_foreground())
		return 0;
	terminal_size(&height, &width);
	fit(&frame, text, height > 1 ? height - 1 : 1, width > 1 ? width - 1 : 1);
	redraw_add_return(&out, screen->drawn ? screen->drawn : "", width);
	redraw_add_lines(&out, text_ok(&frame) && frame.data ? frame.data : "");
	if (!text_ok(&out) || !text_ok(&frame))
		return fail_memory(err);
	fputs(out.data, stdout);
	free(screen->drawn);
	screen->drawn = text_take(&frame);
	return output_finish(err);
}

/* Leave what is drawn, without the key that ended it. */
static void leave(const struct screen *screen)
{
	const char *last = screen->drawn ? strrchr(screen->drawn, '\n') : NULL;

	if (screen->drawn && is_in_foreground())
		printf("\r%s\033[K\n", last ? last + 1 : screen->drawn);
}

/* Until an interrupt, which is how this ends. */
static int watch(struct annex_stats *stats, const struct stats_options *wanted, struct annex_error **err)
{
	bool json = text_equal(wanted->format, "json"), terminal = isatty(STDOUT_FILENO) && !json;
	CLEANUP(cleanup_screen) struct screen screen = {0};
	const struct annex_machine_stats *rows;
	const char *term = getenv("TERM");
	size_t count;
	int result;

	terminal = terminal && term && *term && !text_equal(term, "dumb");
	do {
		result = annex_stats_next(&rows, &count, stats, INTERVAL_MS, err);
		if (result == 0)
			result = terminal ? draw(&screen, rows, count, err)
				 : json   ? print_json(rows, count, true, err)
					  : print_table(rows, count, err);
	} while (result == 0);
	leave(&screen);
	if (interrupt_signal() != SIGINT || annex_error_kind(*err) != ANNEX_ERROR_CANCELLED)
		return -1;
	annex_error_free(TAKE(*err));
	return 0;
}

static int print_once(struct cli *cli, struct annex_stats *stats, bool json, struct annex_error **err)
{
	const struct annex_machine_stats *rows;
	bool runs = false;
	int status = 0;
	size_t count;

	if (annex_stats_next(&rows, &count, stats, 0, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		runs = runs || rows[i].cpu_time >= 0;
	if (runs && annex_stats_next(&rows, &count, stats, INTERVAL_MS, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		auto_error struct annex_error *problem = NULL;

		if (!rows[i].problem)
			continue;
		fail(&problem, ANNEX_ERROR_SYSTEM, "stats %s: %s", rows[i].name, rows[i].problem);
		fail_print(cli->progress, problem);
		status = FAIL_STATUS_FAILED;
	}
	if ((json ? print_json(rows, count, false, err) : print_table(rows, count, err)) < 0)
		return -1;
	return status;
}

static inline void cleanup_stats(struct annex_stats **stats)
{
	annex_stats_free(*stats);
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct stats_options *wanted = parsed;
	const char *const one[] = {wanted->name, NULL};
	CLEANUP(cleanup_stats) struct annex_stats *stats = NULL;
	const char *const *names = wanted->name ? one : wanted->names.count ? wanted->names.words : NULL;
	int result;

	if (names && (wanted->all || (wanted->name && wanted->names.count)))
		return fail(err, ANNEX_ERROR_USAGE, "stats: %s contradict each other",
			    wanted->all ? "--all and a name" : "--name and a word");
	if (annex_stats_new(&stats, cli->context, names, wanted->all, err) < 0)
		return fail_while(err, "stats");
	result = wanted->no_stream ? print_once(cli, stats, text_equal(wanted->format, "json"), err)
				   : watch(stats, wanted, err);
	return result < 0 ? fail_while(err, "stats") : result;
}

const struct command stats_command = {
	.name = "stats",
	.section = "Machines",
	.summary = "show what machines use",
	.description =
		"Shows what machines that run use, again each second, until it is interrupted. CPU is of this host's "
		"processors: 100% is one of them. MEMORY and DISK are as the machine sees them, used and all; HOST is "
		"this host's memory that the machine holds. READ and WRITTEN are of its disk, RECEIVED and SENT of its "
		"network, since its start. '-' is what can't be told, since the machine is not up or does not answer. "
		"With --format json, each sample is an array in a line of its own.",
	.example = "annex stats\nannex stats --no-stream --format json dev | jq '.[0].memoryUsed'",
	.options = options,
	.size = sizeof(struct stats_options),
	.run = run,
};
