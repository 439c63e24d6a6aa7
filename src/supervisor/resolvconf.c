#include "supervisor/resolvconf.h"

#include <arpa/inet.h>
#include <string.h>

static const char blanks[] = " \t\r\f\v";

void resolvconf_clear(struct resolvconf *conf)
{
	text_list_clear(&conf->servers);
	text_list_clear(&conf->search);
}

static bool is_address(const char *text, size_t size)
{
	char copy[INET6_ADDRSTRLEN];
	uint8_t address[16];

	if (size >= sizeof(copy))
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	return inet_pton(AF_INET, copy, address) == 1 || inet_pton(AF_INET6, copy, address) == 1;
}

/* "192.0.2.53", "fe80::1%eth0"; with a port, as systemd writes it: "127.0.0.1#5353". */
static bool is_server(const char *word)
{
	const char *port = strchr(word, '#');
	size_t size = strcspn(word, "%#");
	uint32_t number = 0;

	if (port && (text_to_u32(&number, port + 1, 10) < 0 || number == 0 || number > UINT16_MAX))
		return false;
	return is_address(word, size) && strlen(word + size) < 32;
}

/* What a name can be made of; the guest writes it into a file of its own. */
static bool is_domain(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	return strlen(word) <= RESOLVCONF_NAME && strspn(word, plain) == strlen(word) && strcmp(word, ".") != 0;
}

static int take_search(struct resolvconf *conf, char *words)
{
	char *word;

	text_list_clear(&conf->search); /* the last line counts */
	while ((word = strsep(&words, blanks))) {
		if (*word && is_domain(word) && conf->search.count < RESOLVCONF_SEARCH &&
		    text_list_add(&conf->search, word) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int take_line(struct resolvconf *conf, char *line)
{
	char *rest = line, *word = strsep(&rest, blanks);

	if (!rest)
		return 0;
	rest += strspn(rest, blanks);
	if (strcmp(word, "search") == 0 || strcmp(word, "domain") == 0)
		return take_search(conf, rest);
	if (strcmp(word, "nameserver") != 0)
		return 0;
	rest[strcspn(rest, blanks)] = '\0';
	if (is_server(rest) && conf->servers.count < RESOLVCONF_SERVERS)
		return text_list_add(&conf->servers, rest);
	return 0;
}

int resolvconf_parse(struct resolvconf *ret, const char *text)
{
	auto_resolvconf struct resolvconf made = {0};
	auto_free char *copy = strdup(text ? text : "");
	char *left = copy, *line;

	if (!copy)
		return -ENOMEM;
	while ((line = strsep(&left, "\n"))) {
		if (*line != '#' && *line != ';' && take_line(&made, line) < 0)
			return -ENOMEM;
	}
	if (made.servers.count == 0 && text_list_add(&made.servers, "127.0.0.1") < 0)
		return -ENOMEM;
	*ret = made;
	made = (struct resolvconf){0};
	return 0;
}

static int take_host(struct text_list *list, char *line)
{
	auto_text struct text clean = {0};
	const char *word = NULL;
	unsigned words = 0;

	while ((word = strsep(&line, blanks))) {
		if (!*word)
			continue;
		if (words == 0 && !is_address(word, strlen(word)))
			return 0;
		text_printf(&clean, "%s%s", words++ > 0 ? " " : "", word);
	}
	if (words < 2 || clean.size > RESOLVCONF_HOST_LINE || !text_is_utf8(clean.data, clean.size))
		return 0;
	return text_list_add(list, clean.data);
}

int resolvconf_hosts(struct text_list *ret, const char *text)
{
	auto_text_list struct text_list made = {0};
	auto_free char *copy = strdup(text ? text : "");
	char *left = copy, *line;

	if (!copy)
		return -ENOMEM;
	while ((line = strsep(&left, "\n")) && made.count < RESOLVCONF_LINES) {
		line[strcspn(line, "#")] = '\0';
		if (take_host(&made, line) < 0)
			return -ENOMEM;
	}
	*ret = made;
	made = (struct text_list){0};
	return 0;
}
