/*
 * A block is what stands between its two lines and begins with 127.88., or names the data folder: a line of somebody
 * else between them stays, and so does everything when one of the two was deleted by hand. Lines are kept with their
 * ends, whatever these are.
 */
#include "machine/hosts.h"

#include "machine/name.h"
#include "network/address.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define BEGIN "# >>> annex: machines of "
#define END   "# <<< annex: machines of "
#define FROM  "# those in "
#define OURS  "127.88."
#define BLANK " \t\r\n\v\f"

void machine_hosts_clear(struct machine_hosts *hosts)
{
	for (size_t i = 0; i < hosts->count; i++)
		free(hosts->items[i].name);
	free(hosts->items);
	*hosts = (struct machine_hosts){0};
}

int machine_hosts_add(struct machine_hosts *hosts, const char *name, uint32_t place, bool bare)
{
	struct machine_host host = {.name = strdup(name), .place = place, .bare = bare};

	if (!host.name)
		return -ENOMEM;
	if (hosts->count == hosts->capacity) {
		size_t capacity = hosts->capacity ? 2 * hosts->capacity : 16;
		struct machine_host *more = reallocarray(hosts->items, capacity, sizeof(*more));

		if (!more) {
			free(host.name);
			return -ENOMEM;
		}
		hosts->items = more;
		hosts->capacity = capacity;
	}
	hosts->items[hosts->count++] = host;
	return 0;
}

/* A line of the file, with its end. */
struct line {
	const char *at;
	size_t size;
};

static bool next_line(struct line *line, const char **at, const char *end)
{
	const char *newline;

	if (*at == end)
		return false;
	newline = memchr(*at, '\n', (size_t)(end - *at));
	line->at = *at;
	line->size = (size_t)((newline ? newline + 1 : end) - *at);
	*at += line->size;
	return true;
}

static bool begins(const struct line *line, const char *with)
{
	size_t length = strlen(with);

	return line->size >= length && memcmp(line->at, with, length) == 0;
}

/* A marker with the user's name, and nothing behind but blanks. */
static bool marks(const struct line *line, const char *marker, const char *user)
{
	size_t length = strlen(marker), name = strlen(user), size = line->size;

	while (size > 0 && strchr(BLANK, line->at[size - 1]))
		size--;
	return begins(line, marker) && size == length + name && memcmp(line->at + length, user, name) == 0;
}

/* Goes through a file, and tells of each line whether it is of the user's block. */
struct walk {
	const char *user;
	bool inside;
};

static bool is_ours(struct walk *walk, const struct line *line)
{
	if (marks(line, BEGIN, walk->user)) {
		walk->inside = true;
		return true;
	}
	if (marks(line, END, walk->user)) {
		walk->inside = false;
		return true;
	}
	if (begins(line, BEGIN))
		walk->inside = false;
	return walk->inside && (begins(line, OURS) || begins(line, FROM));
}

/* Whether one of the names of a line is this one. */
static bool names(const struct line *line, const char *name)
{
	const char *at = line->at, *end = line->at + line->size, *hash = memchr(at, '#', line->size);
	size_t length = strlen(name);
	bool is_address = true;

	end = hash ? hash : end;
	while (at < end) {
		const char *word;

		while (at < end && strchr(BLANK, *at))
			at++;
		for (word = at; at < end && !strchr(BLANK, *at);)
			at++;
		if (!is_address && (size_t)(at - word) == length && strncasecmp(word, name, length) == 0)
			return true;
		is_address = false;
	}
	return false;
}

void machine_hosts_yield(struct machine_hosts *hosts, const char *file, size_t size, const char *user)
{
	const char *at = file;
	struct walk walk = {.user = user};
	struct line line;

	while (next_line(&line, &at, file + size)) {
		if (is_ours(&walk, &line))
			continue;
		for (size_t i = 0; i < hosts->count; i++) {
			if (hosts->items[i].bare && names(&line, hosts->items[i].name))
				hosts->items[i].bare = false;
		}
	}
}

void machine_hosts_print(struct text *ret, const struct machine_hosts *hosts)
{
	for (size_t i = 0; i < hosts->count; i++) {
		const struct machine_host *host = &hosts->items[i];
		char address[ADDRESS_TEXT];

		text_printf(ret, "%s %s." ADDRESS_DOMAIN "%s%s\n", place_host_text(address, host->place), host->name,
			    host->bare ? " " : "", host->bare ? host->name : "");
	}
}

static int parse_line(struct machine_hosts *hosts, const char *text, struct annex_error **err)
{
	auto_free char *copy = strdup(text);
	char *left = copy, *address_text, *full, *bare, *dot;
	struct in_addr address = {0};
	uint32_t place = 0;

	if (!copy)
		return fail_memory(err);
	address_text = strsep(&left, " ");
	full = strsep(&left, " ");
	bare = left;
	dot = full ? strchr(full, '.') : NULL;
	if (!dot || strcmp(dot, "." ADDRESS_DOMAIN) != 0 || inet_pton(AF_INET, address_text, &address) != 1 ||
	    !place_of_host(&place, address) || !place_is_valid(place))
		return fail(err, ANNEX_ERROR_USAGE, "'%s' is no line of 'annex hosts'", text);
	*dot = '\0';
	if (machine_name_check(full, NULL) < 0 || (bare && strcmp(bare, full) != 0))
		return fail(err, ANNEX_ERROR_USAGE, "'%s' is no line of 'annex hosts'", text);
	return machine_hosts_add(hosts, full, place, bare != NULL) < 0 ? fail_memory(err) : 0;
}

int machine_hosts_parse(struct machine_hosts *ret, const char *lines, struct annex_error **err)
{
	auto_machine_hosts struct machine_hosts hosts = {0};
	auto_free char *copy = strdup(lines);
	char *left = copy, *line;

	if (!copy)
		return fail_memory(err);
	while ((line = strsep(&left, "\n"))) {
		if (!*line)
			continue;
		if (hosts.count == MACHINE_HOSTS_LINES)
			return fail(err, ANNEX_ERROR_USAGE, "more than %u lines", MACHINE_HOSTS_LINES);
		if (parse_line(&hosts, line, err) < 0)
			return -1;
	}
	*ret = hosts;
	hosts = (struct machine_hosts){0};
	return 0;
}

enum machine_hosts_kept machine_hosts_kept(const char *file, size_t size, const char *user, const char *origin)
{
	enum machine_hosts_kept kept = MACHINE_HOSTS_NOT_KEPT;
	const char *at = file;
	struct walk walk = {.user = user};
	struct line line;

	while (next_line(&line, &at, file + size)) {
		if (!is_ours(&walk, &line))
			continue;
		if (marks(&line, FROM, origin))
			return MACHINE_HOSTS_KEPT_HERE;
		if (begins(&line, FROM))
			return MACHINE_HOSTS_KEPT_ELSEWHERE;
		if (begins(&line, BEGIN))
			kept = MACHINE_HOSTS_KEPT;
	}
	return kept;
}

static void add_block(struct text *ret, const char *user, const struct machine_hosts *hosts)
{
	if (ret->size > 0 && ret->data[ret->size - 1] != '\n')
		text_add_char(ret, '\n');
	text_printf(ret, BEGIN "%s\n", user);
	if (hosts->origin && !strpbrk(hosts->origin, BLANK))
		text_printf(ret, FROM "%s\n", hosts->origin);
	machine_hosts_print(ret, hosts);
	text_printf(ret, END "%s\n", user);
}

void machine_hosts_edit(struct text *ret, const char *file, size_t size, const char *user,
			const struct machine_hosts *hosts)
{
	const char *at = file;
	struct walk walk = {.user = user};
	struct line line;

	while (next_line(&line, &at, file + size)) {
		if (!is_ours(&walk, &line)) {
			text_add_bytes(ret, line.at, line.size);
		} else if (hosts && marks(&line, BEGIN, user)) {
			add_block(ret, user, hosts);
			hosts = NULL;
		}
	}
	if (hosts)
		add_block(ret, user, hosts);
}
